"""Videos as work: who makes which next, for how long it is theirs, and how it ends, each with its money.

A worker holds a job by a lease and by the number of the attempt. Whatever it writes is written only while both are
its own, so that one that was taken for dead, and comes back, changes nothing: neither the video nor the bill.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)

from yozora.artifact import json_hash
from yozora.service import ids, ledger, webhooks
from yozora.service.artifacts import named
from yozora.service.failpoints import reach
from yozora.service.keys import Identity
from yozora.service.schema import events, holds, orgs, videos, workers
from yozora.service.wishes import Wish, worded

OPEN = ("queued", "in_progress")
QUEUED: ColumnElement[str] = literal_column(
    "'queued'"
)  # as it stands in the condition of indexes, which a parameter would not be
GIVEN = ("image", "video")  # parameters that name frames to start from
CLAIMING = 0x6A6F6273  # the advisory lock of whoever claims jobs from PostgreSQL
SILENT = 60_000  # milliseconds after which a worker that says nothing is taken to be gone
State = Literal["on", "cancelled", "lost"]


@dataclass(frozen=True)
class Job:
    """A video that a worker is to make. ``attempt`` is the fencing token of its lease."""

    id: str
    attempt: int
    org_id: str
    model: str
    prompt: str
    seconds: str
    size: str
    params: Mapping[str, Any]
    batch: str | None  # jobs with the same one can be denoised together; None: alone

    @property
    def words(self) -> str:
        """All that a model is told."""
        return worded(self.prompt, self.params.get("style"))

    @property
    def follows(self) -> bool:
        """Whether it keeps the frames of a file that was sent, and so is as long as that has it."""
        source, kept = self.params.get("video") or {}, ("extend", "fill")
        return "file" in source and any(self.params.get(name) is not None for name in kept)

    @property
    def artifact(self) -> str:
        """What the files of this attempt are called."""
        return named(self.id, self.attempt)


# --- what a client does ----------------------------------------------------------------------------


def create(
    tx: Connection,
    *,
    identity: Identity,
    wish: Wish,
    price: tuple[int, int | None],
    at: int,
    expires_at: int | None = None,
) -> str:
    """Queue a video and set its price (amount, version of the price) aside; returns its id.

    Raises:
        LimitReached: a budget does not allow it; the transaction is then to be undone.
    """
    video = ids.new("video")
    amount, version = price
    row = {
        "id": video,
        "org_id": identity.org_id,
        "project_id": identity.project_id,
        "key_id": identity.key_id,
        "model": wish.model,
        "prompt": wish.prompt,
        "seconds": wish.seconds,
        "size": wish.size,
        "params": wish.params,
        "batch": company(wish),
        "remixed_from": wish.remixed_from,
        "status": "queued",
        "priority": wish.priority,
        "created_at": at,
        "expires_at": expires_at,
    }
    tx.execute(insert(videos), row)
    ledger.reserve(
        tx,
        video_id=video,
        scopes=identity.limited_by,
        org_id=identity.org_id,
        amount=amount,
        price_version=version,
        at=at,
    )
    reach("after-reserve")
    tell(tx, video, "queued", at, status="queued", progress=0)
    return video


def company(wish: Wish) -> str | None:
    """What jobs that are denoised together have in common: all but the words and the noise."""
    if any(wish.params.get(name) is not None for name in GIVEN):
        return None
    apart = ("seed", "style", "task")
    same = {name: value for name, value in wish.params.items() if name not in apart}
    return json_hash([wish.model, wish.size, float(wish.seconds), same])


def cancel(tx: Connection, video_id: str, *, at: int) -> bool:
    """Cancel a video: at once when it is queued, between two steps when it is in progress.

    Returns:
        Whether it was still open.
    """
    row = tx.execute(
        select(videos.c.status).where(videos.c.id == video_id).with_for_update()
    ).first()
    if row is None or row.status not in OPEN:
        return False
    if row.status == "queued":
        return fail(tx, video_id, code="cancelled", message=CANCELLED, at=at)
    tx.execute(update(videos).where(videos.c.id == video_id).values(cancel_requested=True))
    return True


def delete(tx: Connection, video_id: str, *, at: int) -> bool:
    """Delete a video that has ended, and what was asked for; its files go with the next `expire`.

    Returns whether there was one.
    """
    ended = and_(
        videos.c.id == video_id, videos.c.status.not_in(OPEN), videos.c.deleted_at.is_(None)
    )
    return tx.execute(update(videos).where(ended).values(erased(at))).rowcount == 1


def erased(at: int) -> dict[str, Any]:
    """The columns of a video that is deleted: what it was asked to show is nobody's any more."""
    return {"deleted_at": at, "prompt": "", "params": {}}


# --- what a worker does ----------------------------------------------------------------------------


def claim(
    tx: Connection, *, worker: str, models: Sequence[str], at: int, lease: int, most: int = 1
) -> list[Job]:
    """Take the next job, and up to ``most`` - 1 others that can be denoised with it.

    Next is the one of the highest priority; among equals that of the organisation with the fewest in progress, then
    the oldest. No organisation has more in progress than it may.
    """
    if tx.dialect.name == "postgresql":  # else two workers would count the same jobs in progress
        tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIMING})
    taken: list[Job] = []
    while len(taken) < most:
        row = tx.execute(following(models, taken[0].batch if taken else None)).first()
        if row is None:
            break
        taken.append(take(tx, row, worker, at, at + lease))
        if taken[0].batch is None:
            break
    return taken


def following(models: Sequence[str], batch: str | None) -> Select[Any]:
    """The query for the job that is next, locked; with ``batch``, among those of this batch.

    Each organisation's first is found in the index of the queue, so that long queues are not read.
    """
    queue, running = videos.alias("queue"), videos.alias("running")
    mine = [queue.c.org_id == orgs.c.id, queue.c.status == QUEUED, queue.c.model.in_(models)]
    if batch is not None:
        mine.append(queue.c.batch == batch)
    first = (
        select(queue.c.id)
        .where(*mine)
        .order_by(queue.c.priority.desc(), queue.c.created_at, queue.c.id)
        .limit(1)
        .scalar_subquery()
    )
    busy = (
        select(func.count())
        .where(running.c.org_id == orgs.c.id, running.c.status == "in_progress")
        .scalar_subquery()
    )
    return (
        select(videos)
        .select_from(orgs.join(videos, videos.c.id == first))
        .where(videos.c.status == QUEUED, busy < orgs.c.concurrency)
        .order_by(videos.c.priority.desc(), busy, videos.c.created_at, videos.c.id)
        .limit(1)
        .with_for_update(of=videos, skip_locked=True)
    )


def take(tx: Connection, row: Row[Any], worker: str, at: int, until: int) -> Job:
    """Give a queued job to a worker."""
    attempt = row.attempt + 1
    tx.execute(
        update(videos)
        .where(videos.c.id == row.id)
        .values(
            status="in_progress",
            attempt=attempt,
            worker=worker,
            lease_until=until,
            progress=0,
            started_at=func.coalesce(videos.c.started_at, at),
        )
    )
    tell(tx, row.id, "started", at, status="in_progress", progress=0)
    return Job(
        row.id, attempt, row.org_id, row.model, row.prompt, row.seconds, row.size, row.params,
        row.batch,
    )  # fmt: skip


def waiting(tx: Connection, models: Sequence[str]) -> bool:
    """Whether any job is queued for one of these models."""
    queued = select(videos.c.id).where(videos.c.status == QUEUED, videos.c.model.in_(models))
    return tx.execute(queued.limit(1)).first() is not None


def look(tx: Connection, batch: Sequence[Job], *, at: int) -> dict[str, State]:
    """How jobs stand that a worker has; nothing is written."""
    mine = select(videos.c.id, videos.c.cancel_requested).where(all_held(batch, at))
    return stands(batch, tx.execute(mine))


def beat_all(
    tx: Connection,
    batch: Sequence[Job],
    *,
    at: int,
    lease: int,
    progress: int | None = None,
    previews: Mapping[str, bytes] | None = None,
) -> dict[str, State]:
    """Say that a batch is being worked on, which renews the lease.

    ``progress`` (0 to 100): how far it is, where that is news. ``previews``: for ids of jobs, a WebP of how they look
    by now.
    """
    values = {"lease_until": at + lease} | ({} if progress is None else {"progress": progress})
    mine = update(videos).where(all_held(batch, at)).values(values)
    states = stands(batch, tx.execute(mine.returning(videos.c.id, videos.c.cancel_requested)))
    seen = []
    for video in [one for one, state in states.items() if state != "lost"]:
        said = {"video_id": video, "kind": "progress", "at": at}
        if progress is not None:
            seen.append(said | {"data": {"status": "in_progress", "progress": progress}})
        if previews and video in previews:
            image = base64.b64encode(previews[video]).decode("ascii")
            data = {"progress": progress, "type": "image/webp", "image": image}
            seen.append(said | {"kind": "preview", "data": data})
    if seen:
        tx.execute(insert(events), seen)
    return states


def finish(
    tx: Connection,
    job: Job,
    *,
    file: str,
    bytes: int,
    sha256: str,
    taken: float,
    at: int,
    seconds: str | None = None,
) -> bool:
    """Complete a job whose ``file`` is on disk, and charge for it. ``seconds``: its length, where only that shows it.

    Returns:
        False when it is not this worker's any more, or was cancelled: nothing is charged, and the file is nobody's.
        True also when this attempt has completed it before, as a transaction may be kept and nobody hear of it.
    """
    done = (
        update(videos)
        .where(held(job, at), ~videos.c.cancel_requested)
        .values(
            status="completed",
            progress=100,
            file=file,
            bytes=bytes,
            sha256=sha256,
            seconds_taken=taken,
            seconds=videos.c.seconds if seconds is None else seconds,
            completed_at=at,
            worker=None,
            lease_until=None,
        )
    )
    if tx.execute(done).rowcount != 1:
        if fail(tx, job, code="cancelled", message=CANCELLED, at=at):
            return False
        kept = select(videos.c.file).where(videos.c.id == job.id, videos.c.status == "completed")
        return bool(tx.scalar(kept) == file)
    reach("before-settle")
    price = tx.execute(select(holds.c.amount).where(holds.c.video_id == job.id)).scalar_one()
    ledger.settle(tx, video_id=job.id, amount=price, at=at)
    reach("after-settle")
    tell(tx, job.id, "completed", at, status="completed", progress=100)
    return True


def fail(tx: Connection, job: Job | str, *, code: str, message: str, at: int) -> bool:
    """End a job without a video, and give its money back; by a worker only while the job is its own.

    Returns:
        Whether it was still open.
    """
    video_id = job if isinstance(job, str) else job.id
    mine = videos.c.id == job if isinstance(job, str) else held(job, at)
    ended = (
        update(videos)
        .where(mine, videos.c.status.in_(OPEN))
        .values(
            status="failed",
            error_code=code,
            error_message=message,
            completed_at=at,
            worker=None,
            lease_until=None,
        )
    )
    if tx.execute(ended).rowcount != 1:
        return False
    ledger.release(tx, video_id=video_id, at=at)
    tell(tx, video_id, "failed", at, status="failed", error={"code": code, "message": message})
    return True


def hand_back(tx: Connection, job: Job, *, at: int, alone: bool = False) -> bool:
    """Queue a job again; ``alone``: without the company in which it went wrong. Returns whether it was one's own."""
    values: dict[str, Any] = {"status": "queued", "worker": None, "lease_until": None}
    values |= {"progress": 0} | ({"batch": None} if alone else {})
    if tx.execute(update(videos).where(held(job, at)).values(values)).rowcount != 1:
        return False
    tell(tx, job.id, "queued", at, status="queued", progress=0)
    return True


def all_held(batch: Sequence[Job], at: int) -> ColumnElement[bool]:
    """Which jobs of a batch are still those of the worker they were given to."""
    return and_(
        tuple_(videos.c.id, videos.c.attempt).in_([(job.id, job.attempt) for job in batch]),
        videos.c.status == "in_progress",
        videos.c.lease_until > at,
    )


def stands(batch: Sequence[Job], rows: Iterable[Row[Any]]) -> dict[str, State]:
    """The states of jobs, of which ``rows`` are still the worker's."""
    states: dict[str, State] = dict.fromkeys((job.id for job in batch), "lost")
    for row in rows:
        states[row.id] = "cancelled" if row.cancel_requested else "on"
    return states


def held(job: Job, at: int) -> ColumnElement[bool]:
    """Whether a job is still that of the worker it was given to."""
    return and_(
        videos.c.id == job.id,
        videos.c.status == "in_progress",
        videos.c.attempt == job.attempt,
        videos.c.lease_until > at,
    )


def sign(tx: Connection, *, worker: str, models: Sequence[str], at: int) -> None:
    """Note that a worker is there, and which models it has."""
    seen = update(workers).where(workers.c.name == worker).values(models=list(models), seen_at=at)
    if tx.execute(seen).rowcount == 0:
        row = {"name": worker, "models": list(models), "started_at": at, "seen_at": at}
        tx.execute(insert(workers).values(row))


def leave(tx: Connection, *, worker: str) -> None:
    """Note that a worker has ended."""
    tx.execute(workers.delete().where(workers.c.name == worker))


def present(tx: Connection, *, at: int) -> Sequence[Row[Any]]:
    """The workers that were there lately."""
    return tx.execute(select(workers).where(workers.c.seen_at > at - SILENT)).all()


# --- what has to be tidied up ----------------------------------------------------------------------


def reap(tx: Connection, *, at: int, losses: int = 3, worker: str | None = None) -> list[str]:
    """Take back the jobs whose lease has run out, and all jobs of a ``worker`` that is known to be dead.

    They are queued again, each alone in case it was the company that was too much, and given up when so many workers
    were lost over them; but never while a provider may be making them, who has to be asked first.

    Returns:
        The names of the artifacts that those attempts may have left. One hold is closed in a transaction at most (see
        the ledger's locks): whoever calls goes on until nothing is left.
    """
    dead = videos.c.lease_until <= at
    if worker is not None:
        dead = or_(dead, videos.c.worker == worker)
        leave(tx, worker=worker)
    rows = tx.execute(
        select(videos)
        .where(videos.c.status == "in_progress", dead)
        .order_by(videos.c.id)
        .with_for_update(skip_locked=True)
    ).all()

    def hopeless(row: Row[Any]) -> bool:
        return bool(row.cancel_requested or (row.lost + 1 >= losses and not row.upstream))

    ended = [row for row in rows if hopeless(row)][:1]
    again = [row for row in rows if not hopeless(row)]
    for row in ended:
        tx.execute(update(videos).where(videos.c.id == row.id).values(lost=row.lost + 1))
        if row.cancel_requested:
            fail(tx, row.id, code="cancelled", message=CANCELLED, at=at)
        else:
            message = f"It was given up after {row.lost + 1} workers had ended over it; nothing was charged."
            fail(tx, row.id, code="worker_lost", message=message, at=at)
    for row in again:
        free = {"status": "queued", "worker": None, "lease_until": None, "progress": 0}
        anew = free | {"batch": None, "lost": row.lost + 1}
        tx.execute(update(videos).where(videos.c.id == row.id).values(anew))
        tell(tx, row.id, "queued", at, status="queued", progress=0)
    return [named(row.id, row.attempt) for row in (*ended, *again)]


def expire(tx: Connection, *, at: int) -> list[tuple[str, str]]:
    """Delete the videos whose time is up; returns (id, artifact) of all deleted ones that still have files.

    Once those are gone, say so with `forget`: what is interrupted in between is returned again.
    """
    over = and_(videos.c.expires_at <= at, videos.c.status.not_in(OPEN))
    tx.execute(update(videos).where(over, videos.c.deleted_at.is_(None)).values(erased(at)))
    left = select(videos.c.id, videos.c.file).where(
        videos.c.file.is_not(None), videos.c.deleted_at.is_not(None)
    )
    return [(row.id, str(row.file)) for row in tx.execute(left)]


def forget(tx: Connection, video_ids: Sequence[str]) -> None:
    """Note that the files of deleted videos are gone, and drop what was seen of them on the way."""
    tx.execute(update(videos).where(videos.c.id.in_(video_ids)).values(file=None))
    seen = and_(events.c.video_id.in_(video_ids), events.c.kind == "preview")
    tx.execute(events.delete().where(seen))


CANCELLED = "It was cancelled; nothing was charged."


def tell(tx: Connection, video_id: str, kind: str, at: int, **data: Any) -> None:
    """Write down what happened to a video, and for those who asked to be told when it is over."""
    tx.execute(insert(events), {"video_id": video_id, "kind": kind, "data": data, "at": at})
    if kind in ("completed", "failed"):
        reach("before-webhook")
        owner = tx.execute(select(videos.c.org_id).where(videos.c.id == video_id)).scalar_one()
        webhooks.enqueue(tx, owner, f"video.{kind}", {"id": video_id}, at)
