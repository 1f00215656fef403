"""Creating a video once, however often it is asked for.

A client may name a request (Idempotency-Key). The SDK does not, and sends a request again when no answer came: such a
second sending says that it is one, and is known by its key and by what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from yozora.errors import YozoraError
from yozora.service.schema import requests

NAMED, RETRIED = 24 * 3600 * 1000, 10 * 60 * 1000  # ms for which a request is remembered


class OtherRequest(YozoraError):  # noqa: N818
    """An Idempotency-Key that was used for something else."""


@dataclass(frozen=True)
class Sending:
    """One sending of a request: by ``name`` when it has one; ``again`` when the client has sent it before."""

    key_id: str
    body: str  # SHA-256 of what is asked for
    name: str | None = None
    again: bool = False

    @property
    def token(self) -> str:
        """What it is remembered by."""
        return (
            f"body:{self.body}"
            if self.name is None
            else f"name:{sha256(self.name.encode()).hexdigest()}"
        )


def first(tx: Connection, sending: Sending, at: int) -> str | None:
    """None when this is to be done, otherwise the id of the video that was made of it before.

    What is to be done is remembered, and `done` has to follow in the same transaction. Two sendings at once wait for
    each other here.

    Raises:
        OtherRequest: the name was used for another request.
    """
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    row: dict[str, Any] = {"key_id": sending.key_id, "token": sending.token, "body": sending.body}
    row |= {"video_id": "", "created_at": at}
    age = NAMED if sending.name is not None else RETRIED
    forgotten = requests.c.created_at < at - age
    anew = sending.name is None and not sending.again  # a new wish, though like one before
    statement = insert(requests).values(row)
    statement = statement.on_conflict_do_update(
        index_elements=[requests.c.key_id, requests.c.token],
        set_={"body": sending.body, "video_id": "", "created_at": at},
        where=None if anew else forgotten,
    )
    if tx.execute(statement.returning(requests.c.token)).first() is not None:
        return None
    kept = tx.execute(select(requests).where(*same(sending))).one()
    if kept.body != sending.body:
        raise OtherRequest(
            "This Idempotency-Key was used for another request: each request has its own."
        )
    return str(kept.video_id)


def done(tx: Connection, sending: Sending, video_id: str) -> None:
    """Remember which video was made."""
    tx.execute(update(requests).where(*same(sending)).values(video_id=video_id))


def same(sending: Sending) -> tuple[ColumnElement[bool], ...]:
    """The conditions for the row of a request."""
    return requests.c.key_id == sending.key_id, requests.c.token == sending.token
