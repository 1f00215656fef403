"""Whether the service lives, and whether it can make videos now: for whatever watches over it."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from yozora.service import ids, jobs
from yozora.service.api.service import of


async def alive(_request: Request) -> Response:
    """GET /healthz: this process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """GET /readyz: 200 when the database answers and, where workers belong to the service, one is there."""
    service = of(request)

    def workers(tx: Connection) -> int:
        return len(jobs.present(tx, at=ids.now()))

    try:
        there = await service.read(workers)
    except SQLAlchemyError:
        return JSONResponse({"status": "no database"}, 503)
    if not there and service.settings.workers:
        return JSONResponse({"status": "no worker", "workers": 0}, 503)
    return JSONResponse({"status": "ready", "workers": there})
