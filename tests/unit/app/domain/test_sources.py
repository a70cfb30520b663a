"""Addresses that archives are fetched from."""

import pytest
from pydantic import TypeAdapter, ValidationError

from app.domain.errors import BucketRefused
from app.domain.sources import Buckets, SourceUrl, file_name, shown_url
from app.settings import Settings

URL: TypeAdapter[str] = TypeAdapter(SourceUrl)


class TestSourceUrl:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("https://Example.COM/a.zip?token=s3cret", "https://example.com/a.zip?token=s3cret"),
            ("S3://photos/2026/a b.zip", "s3://photos/2026/a b.zip"),
            ("s3://my.bucket/#1.zip", "s3://my.bucket/#1.zip"),
        ],
    )
    def test_has_one_spelling(self, sent: str, kept: str) -> None:
        assert URL.validate_python(sent) == kept

    @pytest.mark.parametrize(
        "bad",
        [
            *("ftp://a.example/a.zip", "file:///etc/passwd", "images.zip", "gs://bucket/a.zip", "https://", ""),
            *("https://me:s3cret@a.example/a.zip", "https://a.example/a.zip#s3cret", "https://a/" + "b" * 8192),
            *("s3://photos", "s3://photos/", "s3://photos/folder/", "s3://PHOTOS/a.zip", "s3:///a.zip", "s3://a/b"),
            *("s3://photos/a.zip?versionId=s3cret", "s3://photos/../a.zip", "s3://photos/a\n.zip"),
        ],
    )
    def test_refuses_what_is_none_and_repeats_nothing_of_it(self, bad: str) -> None:
        with pytest.raises(ValidationError) as refused:
            URL.validate_python(bad)
        assert "s3cret" not in refused.value.errors()[0]["msg"]


class TestShown:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://a.example:8443/d/a.zip?X-Amz-Signature=s3cret", "https://a.example:8443/d/a.zip"),
            ("https://me:s3cret@a.example/a.zip#s3cret", "https://a.example/a.zip"),
            ("s3://photos/d/a.zip", "s3://photos/d/a.zip"),
        ],
    )
    def test_has_nothing_secret(self, url: str, shown: str) -> None:
        assert shown_url(url) == shown
        assert shown_url(shown) == shown

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://a.example/d/my%20photos.zip?name=b.zip", "my photos.zip"),
            ("https://a.example/", ""),
            ("s3://photos/d/a.zip", "a.zip"),
        ],
    )
    def test_the_name_is_the_last_part(self, url: str, name: str) -> None:
        assert file_name(url) == name


class TestBuckets:
    @pytest.mark.parametrize("url", ["s3://photos/a.zip", "s3://shared/sets/a.zip", "s3://shared/sets/b/a.zip"])
    def test_lets_through_what_the_operator_has_opened(self, url: str) -> None:
        Buckets.parse("photos, s3://shared/sets/").require(url)

    @pytest.mark.parametrize("url", ["s3://photos2/a.zip", "s3://shared/a.zip", "s3://shared/sets-of-others/a.zip"])
    def test_refuses_all_others(self, url: str) -> None:
        with pytest.raises(BucketRefused, match="may not read") as refused:
            Buckets.parse("photos, shared/sets").require(url, "source_url")
        assert "TDMR_SOURCE_BUCKETS" in str(refused.value.hint)

    def test_none_are_open_unless_some_are_named(self) -> None:
        with pytest.raises(BucketRefused):
            Buckets.parse("").require("s3://photos/a.zip")

    @pytest.mark.parametrize(
        ("opened", "overlap"),
        [
            *(("blobs", True), ("blobs/tdmr", True), ("blobs/tdmr/jobs", True)),
            *(("blobs/sets", False), ("blobs/tdmr-sets", False), ("photos", False)),
        ],
    )
    def test_the_service_s_own_files_are_never_open(self, opened: str, overlap: bool) -> None:
        assert Buckets.parse(opened).overlap("s3://blobs/tdmr/") == overlap
        if overlap:
            with pytest.raises(ValueError, match="must not open TDMR_STORAGE_URL"):
                Settings(source_buckets=opened, storage_url="s3://blobs/tdmr")
        else:
            Settings(source_buckets=opened, storage_url="s3://blobs/tdmr")

    @pytest.mark.parametrize("entry", ["*", "a", "Photos", "https://photos.s3.example"])
    def test_what_is_no_bucket_is_refused_at_the_start(self, entry: str) -> None:
        with pytest.raises(ValueError, match="neither a bucket"):
            Buckets.parse(f"photos,{entry}")
