"""The application: routes, and what befalls every request before and after them."""

from __future__ import annotations

import os
import random
from functools import lru_cache

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yozora.service import keys
from yozora.service.api import (
    batch_work,
    batches,
    document,
    errors,
    events,
    files,
    health,
    models,
    shown,
    videos,
    webhooks,
)
from yozora.service.api.forms import FIELD
from yozora.service.api.observed import Observed, figures
from yozora.service.api.service import Service
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.fetch import Rules
from yozora.service.metrics import Metrics
from yozora.service.moderation import moderator
from yozora.service.offer import Offer
from yozora.service.pages import site
from yozora.service.providers import read_providers
from yozora.service.registry import Models
from yozora.service.settings import Settings

ROUTES = [
    *videos.routes,
    *events.routes,
    *models.routes,
    *files.routes,
    *batches.routes,
    *webhooks.routes,
]
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


def create_app(settings: Settings, database: Database, artifacts: Artifacts) -> Starlette:
    """The HTTP interface over a database whose tables are there. Raises YozoraError when a model is missing."""
    app = Starlette(
        routes=[
            *document.served(ROUTES),
            Route("/openapi.json", openapi),
            Route("/metrics", figures),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            *site.routes(),
        ],
        lifespan=batch_work.worked_on,
        middleware=[Middleware(Named), Middleware(Observed)],
        exception_handlers=dict.fromkeys(
            (HTTPException, Exception, *errors.EXPECTED), errors.handle
        ),
    )
    app.router.redirect_slashes = False  # redirects are made of the Host header: the client's word
    app.state.metrics = Metrics(database)
    app.state.document = written
    app.state.service = Service(
        settings,
        database,
        artifacts,
        Artifacts(settings.uploads),
        Offer(Models(settings.models), read_providers(settings.providers)),
        keys.pepper(settings.data),
        moderator(settings.moderation, os.environ.get("YOZORA_MODERATION_KEY", "")),
        Rules(on=settings.fetch, bytes=FIELD),
    )
    return app


async def openapi(_request: Request) -> Response:
    """The OpenAPI document of all routes."""
    return Response(shown.encoded(written()), media_type="application/json")


@lru_cache(maxsize=1)
def written() -> document.Schema:
    """The document, written once."""
    return document.write(ROUTES)


class Named:
    """Gives each request an id, which its answer tells."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its id is ``scope["request_id"]``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = scope["request_id"] = f"req_{random.getrandbits(128):032x}"  # told apart, not secret

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                there = {key for key, _ in headers}
                said = [(b"x-request-id", name.encode()), *ALWAYS]
                headers.extend(pair for pair in said if pair[0] not in there)
            await send(message)

        await self.app(scope, receive, named)
