"""Creating a video, a file or a batch once, however often it is asked for.

A client may name a request (Idempotency-Key). The SDK does not, and sends a request again when no answer came: such a
second sending says that it is one, and is known by its key and by what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from yozora.errors import YozoraError
from yozora.service.schema import requests

NAMED, RETRIED = 24 * 3600 * 1000, 10 * 60 * 1000  # ms for which a request is remembered
FUTURE = 2**62  # all that is remembered is from before it


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
    """None when this is to be done, otherwise the id of what was made of it before.

    What is to be done is remembered, and `done` has to follow in the same transaction. Two sendings at once wait for
    each other here.

    Raises:
        OtherRequest: the name was used for another request.
    """
    row: dict[str, Any] = {"key_id": sending.key_id, "token": sending.token, "body": sending.body}
    row |= {"made": "", "created_at": at}
    age = NAMED if sending.name is not None else RETRIED
    anew = sending.name is None and not sending.again  # a new wish, though like one before
    before = FUTURE if anew else at - age
    if tx.execute(remember(tx.dialect.name), row | {"before": before}).first() is not None:
        return None
    kept = tx.execute(KEPT, {"key": sending.key_id, "name": sending.token}).one()
    if kept.body != sending.body:
        raise OtherRequest(
            "This Idempotency-Key was used for another request: each request has its own."
        )
    return str(kept.made)


def done(tx: Connection, sending: Sending, made: str) -> None:
    """Remember the id of what was made."""
    tx.execute(MADE, {"key": sending.key_id, "name": sending.token, "id": made})


# --- the statements, built once so that SQLAlchemy need not compile them again -----------------------

SAME = (requests.c.key_id == bindparam("key")) & (requests.c.token == bindparam("name"))
KEPT = select(requests).where(SAME)
MADE = update(requests).where(SAME).values(made=bindparam("id"))


@cache
def remember(dialect: str) -> Any:
    """Writes a request down, also where one of that name from before a time is there; returns a row if it did."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    made = insert(requests)
    anew = {name: made.excluded[name] for name in ("body", "made", "created_at")}
    made = made.on_conflict_do_update(
        index_elements=[requests.c.key_id, requests.c.token],
        set_=anew,
        where=requests.c.created_at < bindparam("before"),
    )
    return made.returning(requests.c.token)
