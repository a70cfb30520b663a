"""Pages for people. A module for each noun reads what the routes' own services give and renders a template.

They share the short paths with the API: a browser that asks for `text/html` gets a page. What changes something is a
form, answered by a redirect; what moves is a small ES module in `static/`. Nothing imports this package but `app.main`.
"""

from fastapi import FastAPI

from app.pages import access, compare, datasets, home, jobs, new_job, queue, routing, sign_in, static_files, webhooks


def install(app: FastAPI) -> None:
    """Add the pages. They stand aside for whoever asks for no page, so they come before the API's routes."""
    for module in (home, new_job, compare, jobs, datasets, queue, webhooks, sign_in, access):
        app.include_router(module.router)
    app.include_router(datasets.pictures)
    app.router.routes.append(static_files.files)
    app.router.default = routing.with_lost_page(app.router.default)
