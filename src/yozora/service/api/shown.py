"""Rows of the database as the contract's objects: all keys are always there, times are whole seconds."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from yozora.service import ids
from yozora.service.jobs import OPEN

SOONEST, LATEST = 500, 10_000  # ms until a client had better ask again


def video(row: Any, prefix: str = "") -> dict[str, Any]:
    """A video. ``prefix`` is what its columns' names begin with."""

    def of(name: str) -> Any:
        return getattr(row, prefix + name)

    code = of("error_code")
    return {
        "id": of("id"),
        "object": "video",
        "model": of("model"),
        "status": of("status"),
        "progress": of("progress"),
        "created_at": whole(of("created_at")),
        "completed_at": whole(of("completed_at")),
        "expires_at": whole(of("expires_at")),
        "prompt": of("prompt"),
        "size": of("size"),
        "seconds": of("seconds"),
        "remixed_from_video_id": of("remixed_from"),
        "error": None if code is None else {"code": code, "message": of("error_message") or ""},
    }


def answer(content: dict[str, Any], status: int = 200, **headers: str) -> Response:
    """An object as a response."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(encoded(content), status, named, "application/json")


def video_answer(row: Any, prefix: str = "") -> Response:
    """A video as a response, which says when to ask again while it is not finished."""
    content, headers = video(row, prefix), None
    if content["status"] in OPEN:
        began = getattr(row, f"{prefix}started_at")
        after = pause(ids.now(), getattr(row, f"{prefix}created_at"), began, content["progress"])
        headers = {"openai-poll-after-ms": str(after)}
    return Response(encoded(content), 200, headers, "application/json")


def pause(now: int, created: int, began: int | None, progress: int) -> int:
    """Milliseconds until a client had better ask again for a video, from its times in milliseconds.

    Until it has got anywhere, as long as it has waited: there is still all of it to be made. Then what is left, if it
    goes on as it has, and a tenth: it is seen soon after it is there, and those who look on take little.
    """
    wanted = now - created
    if began is not None and progress:
        wanted = int(1.1 * (now - began) * (100 - progress) / progress)
    return min(LATEST, max(SOONEST, wanted))


def page(items: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": more,
    }


def whole(ms: int | None) -> int | None:
    """Milliseconds as whole seconds."""
    return None if ms is None else ms // 1000


ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encoded(content: Any) -> bytes:
    """JSON in UTF-8."""
    return ENCODER.encode(content).encode()
