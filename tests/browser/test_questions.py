"""A data set that can be read in several ways, in Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.running import Service, axe
from tests.browser.test_pages import WAIT, Person
from tests.integration.datasets.test_layouts import nested

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_reading_that_is_meant_is_chosen_and_the_page_goes_on(
    service: Service, person: Person, tmp_path: Path
) -> None:
    archive = tmp_path / "sites.zip"
    archive.write_bytes(nested())
    me, other = person(), person()
    page = me.page(f"{service.url}/datasets")
    page.locator("#archive").set_input_files(archive)
    expect(page.get_by_text("can be read in several ways that give different classes")).to_be_visible(timeout=WAIT)
    watching = other.page(page.url)
    assert axe(page) == []
    cats, sites = page.locator(".reading").first, page.locator(".reading", has_text="from the top folders")
    expect(cats).to_contain_text("the likeliest")
    expect(cats).to_contain_text("cat dog")

    page.get_by_role("button", name="Read it like this").click()
    expect(page.get_by_role("radio", checked=True)).to_have_count(0)  # nobody chooses by haste
    sites.click()
    page.get_by_role("button", name="Read it like this").click()
    for each in (page, watching):
        expect(each.get_by_role("link", name="Train on it")).to_be_visible(timeout=WAIT)
        expect(each.locator(".lead")).to_contain_text("2 classes from the top folders")
        expect(each.get_by_role("link", name="site b")).to_be_visible()
        expect(each.get_by_text("Which one is meant?")).to_be_hidden()
    assert axe(page) == []

    page.get_by_role("link", name="site b").click()
    expect(page.locator(".pictures img").first).to_have_js_property("naturalWidth", 12)
    whole = page.locator(".pictures a").first.get_attribute("href")
    assert page.request.get(f"{service.url}{whole}").headers["content-type"] == "image/png"
    me.require_clean(service.url)
    other.require_clean(service.url)
