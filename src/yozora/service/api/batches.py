"""/v1/batches: many videos asked for by one file of JSON lines, made when nothing more urgent waits.

Each line becomes a video of low priority as soon as the limits of the key allow one more. Every process of the
interface looks after all open batches; a batch is in the hands of one of them at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from yozora.service import ids, jobs, limits, wishes
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import ApiError, described, missing
from yozora.service.api.files import keep, own, stored
from yozora.service.api.forms import FIELD, as_json, body
from yozora.service.api.once import once
from yozora.service.api.orders import create as order
from yozora.service.api.pages import Page
from yozora.service.api.service import SHOWN, Service, named, of
from yozora.service.artifacts import CONTENT
from yozora.service.database import AWAY, why
from yozora.service.keys import Identity
from yozora.service.limits import LimitReached
from yozora.service.lookup import Lookup
from yozora.service.moderation import Moderator, Unjudged
from yozora.service.schema import batch_lines as lines
from yozora.service.schema import batches, keys, videos
from yozora.service.schema import limits as limits_set
from yozora.service.wishes import Create, Upload, Wish, WishError

ENDPOINT, WINDOW = "/v1/videos", 24 * 3600 * 1000
LINES = 1000  # in a file
PART = 20  # videos of a key's batches that are open at once
JUDGED = 10 * PART  # prompts that are known to be let through, while their lines wait for a limit
PAUSE = 1.0  # seconds between two looks at the open batches
PRIORITY = -1  # below what people wait for
OPEN = ("in_progress", "cancelling")
PASSING = ("concurrent", "requests")  # limits that allow more after a while
routes = Routes("batches")
log = logging.getLogger(__name__)


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


# --- working on them -----------------------------------------------------------------------------------


@asynccontextmanager
async def worked_on(app: Starlette) -> AsyncIterator[None]:
    """While the application runs, its open batches go on."""
    end = asyncio.Event()
    task = asyncio.create_task(work_on(app.state.service, end))
    yield
    end.set()  # not cancelled: a thread may be at work in the database
    await task


async def work_on(service: Service, end: asyncio.Event) -> None:
    """Look after all open batches, again and again."""
    going = select(batches.c.id).where(batches.c.status.in_(OPEN)).order_by(batches.c.created_at)
    lookup = Lookup(service.database, going)
    judge = lru_cache(JUDGED)(lambda prompt: service.moderate(prompt))
    while not end.is_set():
        try:
            for row in await service.ask(lookup):
                await go_on_if_possible(service, row.id, judge)
        except AWAY as error:
            log.warning("batches wait for the database: %s", why(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), PAUSE)


async def go_on_if_possible(service: Service, batch: str, judge: Moderator) -> None:
    """As `go_on`; one batch that cannot go on does not keep others from it."""
    try:
        await go_on(service, batch, judge)
    except AWAY:
        raise
    except Exception:
        log.exception("the batch %s could not go on", batch)


async def go_on(service: Service, batch: str, judge: Moderator) -> None:
    """Begin what can be begun of a batch; write its files when nothing of it is left to do."""
    going = (batches.c.status == "in_progress") & (batches.c.expires_at > ids.now())
    unjudged = waiting(batch).join(batches, batches.c.id == lines.c.batch_id).where(going)
    rows = await service.read(lambda tx: tx.execute(unjudged).all())
    asked = await run_in_threadpool(judged, rows, judge)
    ended, unwanted = await service.write(lambda tx: begun(service, tx, batch, asked))
    for video in unwanted:  # each by itself: a transaction closes one hold at most
        await service.write(partial(jobs.cancel, video_id=video, at=ids.now()))
    if ended:
        await finish(service, batch)


Asked = Create | WishError  # what a line asks for, or why it cannot be had


def judged(rows: Sequence[Row[Any]], judge: Moderator) -> dict[int, Asked]:
    """The next lines by their numbers. When nobody can judge their words, the rest are left for another time."""
    found: dict[int, Asked] = {}
    for row in rows:
        try:
            asked = wishes.read(Create, row.body)
            judge(asked.prompt)
        except WishError as error:  # Blocked is one
            found[row.line] = error
        except Unjudged:
            break
        else:
            found[row.line] = asked
    return found


def begun(
    service: Service, tx: Connection, batch: str, asked: Mapping[int, Asked]
) -> tuple[bool, list[str]]:
    """Begin the lines of a batch that are judged, or no more of them.

    Returns whether all of it has ended, and the videos that are to be cancelled.
    """
    mine = select(batches).where(batches.c.id == batch, batches.c.status.in_(OPEN))
    row = tx.execute(mine.with_for_update(skip_locked=True)).first()
    if row is None:
        return False, []
    at, (who, taken) = ids.now(), identity(tx, row.key_id)
    going = select(videos.c.id).join(lines, lines.c.video_id == videos.c.id)
    going = going.where(lines.c.batch_id == batch, videos.c.status.in_(jobs.OPEN))
    unwanted: list[str] = []
    if row.status == "cancelling" or row.expires_at <= at or not taken:
        code = "batch_cancelled" if row.status == "cancelling" else "batch_expired"
        stop(tx, batch, code if taken else "invalid_api_key")
        unwanted = list(tx.scalars(going))
    else:
        for line in tx.execute(waiting(batch).limit(room(tx, who))).all():
            if line.line not in asked or not begin(service, tx, who, line, asked[line.line], at):
                break
    left = tx.execute(waiting(batch).limit(1)).first() or tx.execute(going.limit(1)).first()
    return left is None, unwanted


def room(tx: Connection, who: Identity) -> int:
    """How many videos a key's batches may begin now: they leave half of what limits allow to other requests."""
    mine = (limits_set.c.scope.in_(who.limited_by), limits_set.c.measure == "concurrent")
    most = tx.scalar(select(func.min(limits_set.c.amount)).where(*mine))
    theirs = (videos.c.org_id == who.org_id, videos.c.key_id == who.key_id)
    opened = (*theirs, videos.c.status.in_(jobs.OPEN), videos.c.priority == PRIORITY)
    there = tx.scalar(select(func.count()).select_from(videos).where(*opened)) or 0
    return max(0, (PART if most is None else min(PART, max(1, most // 2))) - there)


def begin(
    service: Service, tx: Connection, who: Identity, line: Row[Any], asked: Asked, at: int
) -> bool:
    """Queue the video of a line, or note why there can be none. False when it has to wait for a limit."""

    def build(_tx: Connection) -> Wish:
        if isinstance(asked, WishError):
            raise asked
        image = asked.input_reference
        if image is not None and image.file_id is None:
            raise WishError("In a batch, pictures are named by file_id.", "input_reference")
        file = own(tx, who, str(image.file_id), "input_reference.file_id").id if image else None
        return wishes.create(asked, service.offered(who), file)

    here = update(lines).where(lines.c.batch_id == line.batch_id, lines.c.line == line.line)
    try:
        with tx.begin_nested():
            limits.count_request(tx, scopes=who.limited_by, at=at)
            video = order(service, tx, who, build, None, at, PRIORITY)
    except LimitReached as error:
        if error.measure in PASSING:
            return False
        values = refused(error)
    except (WishError, ApiError) as error:
        values = refused(error)
    else:
        values = {"video_id": video}
    tx.execute(here.values(values))
    return True


def refused(error: Exception) -> dict[str, Any]:
    """The columns of a line that cannot be had."""
    said = described(error)
    return {
        "error": {"code": said.code, "message": str(said), "param": said.param},
        "status": said.status,
    }


def stop(tx: Connection, batch: str, code: str) -> None:
    """Begin no more lines of a batch."""
    error = {"code": code, "message": "It was not begun any more.", "param": None}
    tx.execute(
        update(lines).where(lines.c.batch_id == batch, unbegun()).values(error=error, status=409)
    )


def identity(tx: Connection, key: str) -> tuple[Identity, bool]:
    """What a key allows, and whether it is taken now."""
    row = tx.execute(select(keys).where(keys.c.id == key)).one()
    over = row.revoked_at is not None or (
        row.expires_at is not None and row.expires_at <= ids.now()
    )
    who = Identity(
        key_id=row.id, org_id=row.org_id, project_id=row.project_id, scopes=frozenset(row.scopes),
        models=None if row.models is None else frozenset(row.models), used=True,
    )  # fmt: skip
    return who, not over


async def finish(service: Service, batch: str) -> None:
    """Write the files of a batch of which nothing is left to do, and close it; once."""
    row, good, bad = await service.read(lambda tx: results(tx, batch))
    async with stored(service, written(good)) as output, stored(service, written(bad)) as errors:

        def work(tx: Connection) -> bool:
            at = ids.now()
            ended = "expired" if row.expires_at <= at else "completed"
            values = {
                "status": "cancelled" if row.status == "cancelling" else ended,
                "ended_at": at,
            }
            values |= {
                "output_file_id": output and output.id,
                "error_file_id": errors and errors.id,
            }
            same = (batches.c.id == batch, batches.c.status == row.status)
            if tx.execute(update(batches).where(*same).values(values)).rowcount != 1:
                return False
            who, _ = identity(tx, row.key_id)
            for file in filter(None, (output, errors)):
                keep(tx, who, file, "batch_output", at, at + service.settings.retention)
            return True

        closed = await service.write(work)
    if not closed:  # another process did
        for file in filter(None, (output, errors)):
            await run_in_threadpool(service.uploads.delete, file.id)


def results(
    tx: Connection, batch: str
) -> tuple[Row[Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """A batch, the lines of its output and those of its errors."""
    row = tx.execute(select(batches).where(batches.c.id == batch)).one()
    columns = [column.label(f"made_{column.name}") for column in SHOWN]
    found = select(lines, *columns).outerjoin(videos, videos.c.id == lines.c.video_id)
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for line in tx.execute(found.where(lines.c.batch_id == batch).order_by(lines.c.line)):
        said = {"id": f"{batch}_{line.line}", "custom_id": line.custom_id}
        if line.video_id is None:
            answer = {
                "status_code": line.status,
                "request_id": batch,
                "body": {"error": line.error},
            }
            bad.append(said | {"response": answer, "error": line.error})
            continue
        made = shown.video(line, "made_")
        answer = {"status_code": 200, "request_id": batch, "body": made}
        (good if made["status"] == "completed" else bad).append(
            said | {"response": answer, "error": made["error"]}
        )
    return row, good, bad


def written(results: Sequence[dict[str, Any]]) -> Upload | None:
    """A file of JSON lines, or none where there is nothing to write."""
    if not results:
        return None
    data = b"".join(shown.encoded(one) + b"\n" for one in results)
    return Upload(io.BytesIO(data), "results.jsonl", len(data), hashlib.sha256(data).hexdigest())


# --- how they are shown ----------------------------------------------------------------------------------


def unbegun() -> Any:
    """The condition for lines of which nothing has become yet."""
    return lines.c.video_id.is_(None) & lines.c.status.is_(None)


def waiting(batch: str) -> Any:
    """The query for the lines that are to be begun next."""
    mine = select(lines).where(lines.c.batch_id == batch, unbegun())
    return mine.order_by(lines.c.line).limit(PART)


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
