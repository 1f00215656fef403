"""The application: routes, and what befalls every request before and after them."""

from __future__ import annotations

import secrets

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yozora.service import keys
from yozora.service.api import document, errors, videos
from yozora.service.api.service import Service
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.registry import Models
from yozora.service.settings import Settings

ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


def create_app(settings: Settings, database: Database, artifacts: Artifacts) -> FastAPI:
    """The HTTP interface over a database whose tables are there. Raises YozoraError when a model is missing."""
    app = FastAPI(
        title="yozora",
        summary="Videos from words, by models of one's own: compatible with the OpenAI Videos API.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # redirects are made of the Host header, which is the client's
        exception_handlers=dict.fromkeys(
            (HTTPException, Exception, *errors.EXPECTED), errors.handle
        ),
    )
    app.state.service = Service(
        settings,
        database,
        artifacts,
        Artifacts(settings.uploads),
        Models(settings.models),
        keys.pepper(settings.pepper.parent),
    )
    app.include_router(videos.router)
    app.openapi = lambda: document.write(app)  # type: ignore[method-assign]
    app.add_middleware(Named)
    return app


class Named:
    """Gives each request an id, which its answer tells."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its id is ``scope["request_id"]``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = scope["request_id"] = f"req_{secrets.token_hex(16)}"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                there = {key for key, _ in headers}
                headers.append((b"x-request-id", name.encode()))
                headers.extend(pair for pair in ALWAYS if pair[0] not in there)
            await send(message)

        await self.app(scope, receive, named)
