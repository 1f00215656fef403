"""What is seen of each request: a count and a time, a line of the log, a span. Never what it says."""

from __future__ import annotations

import logging
import time

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yozora.service import metrics, tracing
from yozora.service.api.service import of

METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
)  # any other is the client's word
log = logging.getLogger("yozora.requests")


class Observed:
    """Counts requests by the route that answers them; an address that leads nowhere is no route of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and take note of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500
        method = scope["method"] if scope["method"] in METHODS else "other"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with tracing.span("request", method=method, request=scope.get("request_id", "")):
                await self.app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "none")
            scope["app"].state.metrics.answered(route, method, status, seconds)
            if log.isEnabledFor(logging.INFO):
                log.info(
                    "%s %s %d", method, route, status,
                    extra={"request": scope.get("request_id"), "ms": round(1000 * seconds, 2)},
                )  # fmt: skip


async def figures(request: Request) -> Response:
    """GET /metrics: for Prometheus, with a key that has the scope admin."""
    service = of(request)
    await service.identify(request, "admin")
    found: metrics.Metrics = request.app.state.metrics
    return Response(await to_thread.run_sync(found.text), media_type=metrics.KIND)
