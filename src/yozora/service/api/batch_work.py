"""Open batches go on: each line becomes a video of low priority as soon as the limits of the key allow one more.

Every process of the interface looks after all open batches; a batch is in the hands of one of them at a time.
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

from sqlalchemy import Connection, Row, func, select, update
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from yozora.service import ids, jobs, keys, limits, wishes
from yozora.service.api import shown
from yozora.service.api.errors import ApiError, described
from yozora.service.api.files import keep, own, stored
from yozora.service.api.orders import create as order
from yozora.service.api.service import SHOWN, Service
from yozora.service.database import AWAY, why
from yozora.service.keys import Identity
from yozora.service.limits import LimitReached
from yozora.service.lookup import Lookup
from yozora.service.moderation import Moderator, Unjudged
from yozora.service.schema import batch_lines as lines
from yozora.service.schema import batches, videos
from yozora.service.schema import keys as keys_made
from yozora.service.schema import limits as limits_set
from yozora.service.wishes import Create, Upload, Wish, WishError

PART = 20  # videos of a key's batches that are open at once
JUDGED = 10 * PART  # prompts that are known to be let through, while their lines wait for a limit
PAUSE = 1.0  # seconds between two looks at the open batches
PRIORITY = -1  # below what people wait for
OPEN = ("in_progress", "cancelling")
PASSING = ("concurrent", "requests")  # limits that allow more after a while
log = logging.getLogger(__name__)


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
            judge(asked.words)
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
    at = ids.now()
    key = key_of(tx, row)
    who, taken = keys.identity(key, at), keys.taken(key, at)
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


def key_of(tx: Connection, batch: Row[Any]) -> Row[Any]:
    """The key that asked for a batch."""
    return tx.execute(select(keys_made).where(keys_made.c.id == batch.key_id)).one()


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
            who = keys.identity(key_of(tx, row), at)
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


def unbegun() -> Any:
    """The condition for lines of which nothing has become yet."""
    return lines.c.video_id.is_(None) & lines.c.status.is_(None)


def waiting(batch: str) -> Any:
    """The query for the lines that are to be begun next."""
    mine = select(lines).where(lines.c.batch_id == batch, unbegun())
    return mine.order_by(lines.c.line).limit(PART)
