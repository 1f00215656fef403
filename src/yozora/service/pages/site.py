"""All pages of the service, as routes to serve beside the interface."""

from __future__ import annotations

from starlette.routing import Route

from yozora.service.pages import (
    billing,
    catalogue,
    dashboard,
    entry,
    guide,
    keys,
    people,
    playground,
    verify,
    webhooks,
)
from yozora.service.pages.web import sealed, static

ROOMS = (entry, playground, dashboard, keys, webhooks, people, billing, catalogue, guide, verify)


def routes() -> list[Route]:
    """The pages, and the few files that they load."""
    files = Route("/static/{name}", sealed(static), methods=["GET"])
    return [files, *(route for room in ROOMS for route in room.pages)]
