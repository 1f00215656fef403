"""What is kept for a time only, besides videos: uploads, and traces of what is long over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import Connection, delete, select, update

from yozora.service import idempotency
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.schema import (
    batch_lines,
    batches,
    events,
    files,
    outbox,
    rates,
    requests,
    sessions,
    videos,
    workers,
)
from yozora.service.settings import DAY

HOUR = 3_600_000
SEEN = ("progress", "preview")  # events that nobody asks for once a video has ended
FOLLOWED = HOUR  # how long a stream may be away and still read on where it was
TOLD = DAY  # how long a video that has ended says how it went
DELIVERED = 7 * DAY  # how long a delivery can be replayed
LISTED = (
    7 * DAY
)  # how long a batch that has ended counts its lines, which hold prompts; its files live longer
STRAY = DAY  # how long something in a store may be nobody's, as it is being made
PART = 500  # rows that are asked for at once


def sweep(tx: Connection, *, at: int) -> list[str]:
    """Delete what is over; returns the uploads whose files are to be deleted, each for a day.

    Once they are, say so with `gone`. Money, the audit log and the videos' own rows stay.
    """
    tx.execute(delete(requests).where(requests.c.created_at < at - idempotency.NAMED))
    tx.execute(delete(sessions).where(sessions.c.expires_at <= at))
    tx.execute(delete(events).where(events.c.at < at - FOLLOWED, events.c.kind.in_(SEEN)))
    ended = select(videos.c.id).where(
        videos.c.id == events.c.video_id, videos.c.completed_at < at - TOLD
    )
    tx.execute(delete(events).where(events.c.at < at - TOLD, ended.exists()))
    tx.execute(delete(workers).where(workers.c.seen_at < at - DAY))
    tx.execute(delete(rates).where(rates.c.over <= at))
    over = outbox.c.next_at.is_(None) & (outbox.c.created_at < at - DELIVERED)
    tx.execute(delete(outbox).where(over))
    done = select(batches.c.id).where(batches.c.ended_at < at - LISTED)
    tx.execute(delete(batch_lines).where(batch_lines.c.batch_id.in_(done)))
    expired = (files.c.expires_at <= at) & files.c.deleted_at.is_(None)
    tx.execute(update(files).where(expired).values(deleted_at=at))
    return list(tx.scalars(select(files.c.id).where(files.c.deleted_at.is_not(None))))


def gone(tx: Connection, *, at: int) -> None:
    """Forget the uploads that were deleted a day ago: until then lists may be read on after them."""
    tx.execute(delete(files).where(files.c.deleted_at < at - DAY))


def clean(database: Database, uploads: Artifacts, at: int) -> None:
    """Sweep, and delete the files that are left over."""
    with database.write() as tx:
        names = sweep(tx, at=at)
    for name in names:
        uploads.delete(name)
    if names:
        with database.write() as tx:
            gone(tx, at=at)


def clear(database: Database, artifacts: Artifacts, uploads: Artifacts, at: int) -> None:
    """Delete what lies in the stores and is nobody's: left by processes that were killed at the wrong moment."""
    before = (at - STRAY) / 1000
    for store in (artifacts, uploads):
        store.clear(before)
    for names in parts(uploads.old(before)):
        with database.read() as tx:
            known = set(tx.scalars(select(files.c.id).where(files.c.id.in_(names))))
        for name in set(names) - known:
            uploads.delete(name)
    for names in parts(artifacts.old(before)):
        ours = {name.rpartition("-")[0] for name in names}
        with database.read() as tx:
            known = set(tx.scalars(select(videos.c.file).where(videos.c.id.in_(ours))))
        for name in set(names) - known:
            artifacts.delete(name)


def parts(names: Iterable[str]) -> Iterator[list[str]]:
    """A few hundred at a time."""
    rest = iter(names)
    while part := list(islice(rest, PART)):
        yield part
