"""What is kept for a time only, besides videos: uploads, and traces of what is long over."""

from __future__ import annotations

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
)

HOUR, DAY = 3_600_000, 86_400_000
SEEN = ("progress", "preview")  # events that nobody asks for once a video has ended
FOLLOWED = HOUR  # how long a stream may be away and still read on where it was
DELIVERED = 7 * DAY  # how long a delivery can be replayed
TOLD = (
    7 * DAY
)  # how long a batch that has ended counts its lines, which hold prompts; its files live longer


def sweep(tx: Connection, *, at: int) -> list[str]:
    """Delete what is over; returns the uploads whose files are to be deleted.

    Once they are, say so with `gone`: what is interrupted in between is returned again. Money, the audit log and the
    videos' own rows stay.
    """
    tx.execute(delete(requests).where(requests.c.created_at < at - idempotency.NAMED))
    tx.execute(delete(sessions).where(sessions.c.expires_at <= at))
    tx.execute(delete(events).where(events.c.kind.in_(SEEN), events.c.at < at - FOLLOWED))
    tx.execute(delete(rates).where(rates.c.over <= at))
    over = outbox.c.next_at.is_(None) & (outbox.c.created_at < at - DELIVERED)
    tx.execute(delete(outbox).where(over))
    ended = select(batches.c.id).where(batches.c.ended_at < at - TOLD)
    tx.execute(delete(batch_lines).where(batch_lines.c.batch_id.in_(ended)))
    expired = (files.c.expires_at <= at) & files.c.deleted_at.is_(None)
    tx.execute(update(files).where(expired).values(deleted_at=at))
    return list(
        tx.scalars(select(files.c.id).where(files.c.deleted_at.is_not(None), files.c.bytes > 0))
    )


def gone(tx: Connection, names: list[str]) -> None:
    """Note that the files of these uploads are deleted."""
    tx.execute(update(files).where(files.c.id.in_(names)).values(bytes=0))


def clean(database: Database, uploads: Artifacts, at: int) -> None:
    """Sweep, and delete the files that are left over."""
    with database.write() as tx:
        names = sweep(tx, at=at)
    for name in names:
        uploads.delete(name)
    if names:
        with database.write() as tx:
            gone(tx, names)
