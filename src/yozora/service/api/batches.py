"""/v1/batches: many videos asked for by one file of JSON lines, made when nothing more urgent waits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, case, func, insert, select, update
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from yozora.service import ids, wishes
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import ApiError, missing
from yozora.service.api.files import own
from yozora.service.api.forms import FIELD, as_json, body
from yozora.service.api.once import once
from yozora.service.api.pages import Page
from yozora.service.api.service import named, of
from yozora.service.artifacts import CONTENT
from yozora.service.schema import batch_lines as lines
from yozora.service.schema import batches, videos
from yozora.service.wishes import WishError

ENDPOINT, WINDOW = "/v1/videos", 24 * 3600 * 1000
LINES = 1000  # in a file
routes = Routes("batches")


# --- the routes --------------------------------------------------------------------------------------


@routes.add("POST", "/v1/batches", **says(document.Batch, 408, 413, 415, 422, body=document.BATCH))
async def create(request: Request) -> Response:
    """Ask for the videos of a file, one line each: {"custom_id", "method": "POST", "url": "/v1/videos", "body"}."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.NewBatch, fields)
    file = await service.read(lambda tx: own(tx, who, asked.input_file_id, "input_file_id"))
    if file.purpose != "batch" or file.bytes > FIELD:
        raise WishError(
            f"A batch is a file of purpose batch and at most {FIELD // 2**20} MiB.", "input_file_id"
        )
    path = service.uploads.path(file.id, CONTENT)
    found, wrong = await run_in_threadpool(lambda: read_lines(path.read_bytes()))

    def make(tx: Connection, at: int) -> str:
        batch = ids.new("batch")
        row = {"id": batch, "org_id": who.org_id, "key_id": who.key_id, "input_file_id": file.id}
        row |= {"status": "failed" if wrong else "in_progress", "notes": asked.metadata or {}}
        times = {"created_at": at, "expires_at": at + WINDOW, "ended_at": at if wrong else None}
        tx.execute(insert(batches), row | times | {"errors": wrong})
        if not wrong:
            tx.execute(insert(lines), [line | {"batch_id": batch} for line in found])
        return batch

    batch, _ = await once(
        service, request, who, asked, make, lambda tx, batch: shown_one(tx, who.org_id, batch)
    )
    return shown.answer(batch)


@routes.add("GET", "/v1/batches", **says(document.Batches, query=document.PAGE))
async def listing(request: Request) -> Response:
    """One's batches, the newest first."""
    service = of(request)
    who = await service.identify(request, "videos:read")
    page = Page.of(request)
    mine = batches.c.org_id == who.org_id

    def work(tx: Connection) -> dict[str, Any]:
        rows, more = page.rows(tx, select(batches).where(mine), batches, mine)
        return shown.page([told(tx, row) for row in rows], more)

    return shown.answer(await service.read(work))


@routes.add("GET", "/v1/batches/{batch_id}", **says(document.Batch, 404))
async def retrieve(request: Request) -> Response:
    """How far a batch is, and where its results are."""
    service, batch = of(request), named(request, "batch_id")
    who = await service.identify(request, "videos:read")
    return shown.answer(await service.read(lambda tx: shown_one(tx, who.org_id, batch)))


@routes.add("POST", "/v1/batches/{batch_id}/cancel", **says(document.Batch, 404, 409))
async def cancel(request: Request) -> Response:
    """Begin nothing more, and stop what is in progress; what is finished is kept, and can be had."""
    service, batch = of(request), named(request, "batch_id")
    who = await service.identify(request, "videos:write")

    def work(tx: Connection) -> dict[str, Any]:
        before = shown_one(tx, who.org_id, batch)
        going = (batches.c.id == batch, batches.c.status == "in_progress")
        values = {"status": "cancelling", "cancelling_at": ids.now()}
        stopped = tx.execute(update(batches).where(*going).values(values)).rowcount
        if not stopped and before["status"] not in ("cancelling", "cancelled"):
            raise ApiError(409, f"The batch is {before['status']} already.", "batch_finished")
        return shown_one(tx, who.org_id, batch)

    return shown.answer(await service.write(work))


# --- what a file says --------------------------------------------------------------------------------


def read_lines(data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines of a batch's file, and what is wrong with it: one of both is empty."""
    found: list[dict[str, Any]] = []
    wrong: list[dict[str, Any]] = []
    seen: set[str] = set()
    texts = [(n, text) for n, text in enumerate(data.splitlines(), 1) if text.strip()]
    if not 0 < len(texts) <= LINES:
        return [], [problem(None, f"A file has 1 to {LINES} lines.")]
    for number, text in texts:
        try:
            line = wishes.read(wishes.Line, as_json(text))
            if line.custom_id in seen:
                raise WishError(f"'{line.custom_id}' is there twice.", "custom_id")
            seen.add(line.custom_id)
            found.append({"line": number, "custom_id": line.custom_id, "body": line.body})
        except WishError as error:
            wrong.append(problem(number, str(error), error.param))
        except (ValueError, RecursionError):
            wrong.append(problem(number, "This is no JSON."))
    return ([], wrong[:100]) if wrong else (found, [])


def problem(line: int | None, message: str, param: str | None = None) -> dict[str, Any]:
    """An error of a file."""
    return {"code": "invalid_line", "line": line, "message": message, "param": param}


# --- how they are shown ----------------------------------------------------------------------------------


def shown_one(tx: Connection, org: str, batch: str) -> dict[str, Any]:
    """An organisation's batch. Raises ApiError when there is none."""
    row = tx.execute(select(batches).where(batches.c.id == batch, batches.c.org_id == org)).first()
    if row is None:
        raise missing("batch")
    return told(tx, row)


def told(tx: Connection, row: Any) -> dict[str, Any]:
    """A batch as the SDK reads it."""
    done = func.coalesce(func.sum(case((videos.c.status == "completed", 1), else_=0)), 0)
    lost = (videos.c.status == "failed") | lines.c.status.is_not(None)
    failed = func.coalesce(func.sum(case((lost, 1), else_=0)), 0)
    counts = select(func.count(), done, failed).select_from(lines)
    counts = counts.outerjoin(videos, videos.c.id == lines.c.video_id)
    total, completed, broken = tx.execute(counts.where(lines.c.batch_id == row.id)).one()
    ended = {row.status: shown.whole(row.ended_at)}
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "input_file_id": row.input_file_id,
        "completion_window": "24h",
        "status": row.status,
        "errors": {"object": "list", "data": row.errors} if row.errors else None,
        "output_file_id": row.output_file_id,
        "error_file_id": row.error_file_id,
        "created_at": shown.whole(row.created_at),
        "in_progress_at": None if row.errors else shown.whole(row.created_at),
        "expires_at": shown.whole(row.expires_at),
        "completed_at": ended.get("completed"),
        "failed_at": ended.get("failed"),
        "expired_at": ended.get("expired"),
        "cancelling_at": shown.whole(row.cancelling_at),
        "cancelled_at": ended.get("cancelled"),
        "request_counts": {"total": total, "completed": completed, "failed": broken},
        "metadata": row.notes or None,
    }
