"""Who changed what, and when: rows that are only ever added, in the transaction of the change itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from yozora.service.schema import audit


def note(
    tx: Connection,
    *,
    org_id: str | None,
    actor: str,
    action: str,
    target: str,
    at: int,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down a change.

    Args:
        tx: the write transaction of the change.
        org_id: whose it is; None for what concerns all, such as a price.
        actor: the id of a user or a key, or the name of a command.
        action: what was done, as thing.verb: key.create.
        target: the id of what it was done to.
        at: milliseconds.
        detail: what else has to be known; never a secret.
    """
    row = {"org_id": org_id, "actor": actor, "action": action, "target": target, "at": at}
    tx.execute(audit.insert(), row | {"detail": dict(detail or {})})


def listing(
    tx: Connection, org_id: str, *, limit: int = 100, before: int | None = None
) -> Sequence[Row[Any]]:
    """The latest changes in an organisation, the last first; ``before`` the id of a row, for the next page."""
    found = select(audit).where(audit.c.org_id == org_id)
    if before is not None:
        found = found.where(audit.c.id < before)
    return tx.execute(found.order_by(audit.c.id.desc()).limit(limit)).all()
