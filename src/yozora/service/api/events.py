"""GET /v1/videos/{id}/events: what happens to a video, as server-sent events (WHATWG HTML, section 9.2).

Events are rows of the database, so that a client that comes back with Last-Event-ID misses nothing, whichever process
it comes to. One look at the newest row is shared by all streams of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import bindparam, func, select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import missing
from yozora.service.api.service import Service, named, of
from yozora.service.lookup import Lookup
from yozora.service.schema import events
from yozora.service.wishes import WishError

INTERVAL = 0.2  # seconds between two looks
PATIENCE = 10  # looks without news after which a stream says that it is still there
LONGEST = 300.0  # seconds of a stream; the client then comes again, and its key is looked at anew
PART = 100  # events read at once
LAST = ("completed", "failed")
routes = Routes("videos")


class Tail:
    """New events, looked for once for all who wait."""

    def __init__(self, service: Service) -> None:
        self.service = service
        newest = select(func.coalesce(func.max(events.c.id), 0).label("id"))
        mine = (events.c.video_id == bindparam("video")) & (events.c.id > bindparam("after"))
        columns = (events.c.id, events.c.kind, events.c.data, events.c.at)
        following = select(*columns).where(mine).order_by(events.c.id).limit(PART)
        self._newest = Lookup(service.database, newest)
        self._following = Lookup(service.database, following)
        self._look: asyncio.Task[int] | None = None

    async def following(self, video: str, after: int) -> list[Any]:
        """The next events of a video."""
        return await self.service.ask(self._following, video=video, after=after)

    async def newest(self) -> int:
        """The id of the newest event of all, a moment later."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._wait())
        return await asyncio.shield(self._look)

    async def _wait(self) -> int:
        await asyncio.sleep(INTERVAL)
        return int((await self.service.ask(self._newest))[0].id)


@routes.add(
    "GET",
    "/v1/videos/{video_id}/events",
    **says(None, 404, query=document.SINCE, content=document.STREAM, empty=True),
)
async def stream(request: Request) -> Response:
    """Progress, previews and the end of a video, as they happen; with Last-Event-ID, those after it.

    204, which tells a browser not to come again, when the video has ended and nothing is left to say.
    """
    video, tail = named(request, "video_id"), tail_of(request)
    _, row = await of(request).identify_with(request, video)
    if row.video_id is None:
        raise missing()
    last = whole(request.headers.get("last-event-id", "0"))
    if row.video_status in LAST and not await tail.following(video, last):
        return Response(status_code=204)
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(told(tail, video, last), 200, headers, "text/event-stream")


async def told(tail: Tail, video: str, last: int) -> AsyncIterator[bytes]:
    """The text of a stream: ends with the video, or when it is time to ask again."""
    yield b"retry: 1000\n\n"
    until, silent, newest = asyncio.get_running_loop().time() + LONGEST, 0, 0
    while asyncio.get_running_loop().time() < until:
        for row in await tail.following(video, last):
            last, silent = row.id, 0
            data = shown.encoded({"id": video, "at": row.at, **row.data})
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (row.id, row.kind.encode(), data)
            if row.kind in LAST:
                return
        before = newest
        while newest == before and silent < PATIENCE:
            newest, silent = await tail.newest(), silent + 1
        if (
            silent >= PATIENCE
        ):  # an event may have been written late by another transaction: look again
            silent = 0
            yield b": still here\n\n"


def tail_of(request: Request) -> Tail:
    """The process's tail."""
    state = request.app.state
    if not hasattr(state, "tail"):
        state.tail = Tail(state.service)
    tail: Tail = state.tail
    return tail


def whole(text: str) -> int:
    """The id of an event. Raises WishError when it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise WishError("An event's id is a whole number.", "last-event-id")
    return int(text)
