"""API keys: yz_PUBLIC_SECRET, of which only an HMAC is kept.

The secret is 256 random bits, so a plain HMAC-SHA-256 is enough where a password would need a slow hash. The HMAC's key
is the pepper, which lies beside the database and not in it: who steals the one alone can neither use nor forge a key.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, case, or_, select, update

from yozora.errors import YozoraError
from yozora.service import accounts, audit, ids
from yozora.service.schema import keys, members, projects, users

SCOPES = ("videos:read", "videos:write", "models:read", "webhooks:write", "admin")
USUAL = ("videos:read", "videos:write", "models:read")
FORM = re.compile(rf"yz_([{ids.ALPHABET}]{{26}})_[{ids.ALPHABET}]{{52}}")
GRACE = 24 * 3600 * 1000  # milliseconds for which a rotated key is taken as it was
MINUTE = 60_000


class Unauthorised(YozoraError):  # noqa: N818
    """A key that is not taken. Whoever sent it is not told why: unknown, wrong, expired and revoked look the same."""

    def __init__(self) -> None:
        super().__init__("The API key is not valid: check it, or make another one.")


@dataclass(frozen=True)
class Identity:
    """Who sends a request, and what the key allows."""

    key_id: str
    org_id: str
    project_id: str
    scopes: frozenset[str]
    models: frozenset[str] | None  # None: all of them
    used: bool  # within the last minute; otherwise the caller has to `touch` it

    def may(self, scope: str) -> bool:
        """Whether the key allows something of ``SCOPES``; admin allows all."""
        return scope in self.scopes or "admin" in self.scopes

    def may_use(self, model: str) -> bool:
        """Whether the key allows a model."""
        return self.models is None or model in self.models

    @property
    def limited_by(self) -> tuple[str, str, str]:
        """The scopes of its limits: key, project, organisation."""
        return self.key_id, self.project_id, self.org_id


def pepper(folder: Path) -> bytes:
    """The pepper: from the environment's YOZORA_PEPPER, else from a file in ``folder`` that is made when it is missing.

    Raises:
        YozoraError: it is too short, or others can read the file.
    """
    if given := os.environ.get("YOZORA_PEPPER"):
        if len(given) < 32:
            raise YozoraError("YOZORA_PEPPER is too short: give 32 random characters or more.")
        return given.encode()
    file = folder / "pepper"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".{ids.new('pepper')}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_hex(32))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # somebody else was first
            os.link(new, file)
        new.unlink()
    if file.stat().st_mode & 0o077:
        raise YozoraError(f"Others than you can read {file}: chmod 600 {file}")
    return file.read_bytes()


def digest(pepper: bytes, key: str) -> str:
    """What of a key is kept: HMAC-SHA-256 in hex."""
    return hmac.digest(pepper, key.encode(), "sha256").hex()


def fresh(key_id: str) -> str:
    """A key of that id with a new secret."""
    return f"yz_{key_id.removeprefix('key_')}_{ids.letters(52)}"  # 260 bits


def create(
    tx: Connection,
    pepper: bytes,
    *,
    org_id: str,
    project_id: str,
    name: str,
    scopes: Sequence[str] = USUAL,
    models: Sequence[str] | None = None,
    expires_at: int | None = None,
    created_by: str,
    at: int,
) -> tuple[Row[Any], str]:
    """Make a key: its row, and the key itself, which is shown once and kept nowhere.

    Raises:
        YozoraError: there is no such project, a scope is none, or the key would have expired already.
    """
    if unknown := set(scopes) - set(SCOPES):
        raise YozoraError(f"'{min(unknown)}' is no scope: there are {', '.join(SCOPES)}.")
    name = accounts.named(name)
    if models is not None and not models:
        raise YozoraError("A key without any model is of no use: name one, or leave all open.")
    if expires_at is not None and expires_at <= at:
        raise YozoraError("A key cannot expire in the past: give a later time.")
    mine = select(projects.c.id).where(projects.c.id == project_id, projects.c.org_id == org_id)
    if tx.scalar(mine) is None:
        raise YozoraError(f"There is no project {project_id} in this organisation.")
    key_id = ids.new("key")
    key = fresh(key_id)
    row: dict[str, Any] = {
        "id": key_id,
        "org_id": org_id,
        "project_id": project_id,
        "name": name,
    }
    row |= {
        "scopes": sorted(set(scopes)),
        "models": None if models is None else sorted(set(models)),
    }
    row |= {"created_by": created_by, "created_at": at, "expires_at": expires_at}
    tx.execute(keys.insert().values(row | {"digest": digest(pepper, key)}))
    audit.note(
        tx,
        org_id=org_id,
        actor=created_by,
        action="key.create",
        target=key_id,
        at=at,
        detail={"name": name, "scopes": row["scopes"], "models": row["models"]},
    )
    return get(tx, org_id, key_id), key


def verify(tx: Connection, pepper: bytes, presented: str, at: int) -> Identity:
    """Who a key belongs to. A read transaction is enough.

    Raises:
        Unauthorised: it is no key, or one that is wrong, expired or revoked.
    """
    row = tx.execute(select(keys).where(keys.c.id == named(presented))).first()
    return judged(row, pepper, presented, at)


def named(presented: str) -> str:
    """The id of a key, or one that no key has when this is none."""
    form = FORM.fullmatch(presented)
    return f"key_{form[1]}" if form else "key_"


def judged(row: Row[Any] | None, pepper: bytes, presented: str, at: int) -> Identity:
    """Who a key belongs to, by the row of ``keys`` that has its id, for those who look that up among other things.

    The same work is done whatever is presented: one HMAC is made, and two are compared without regard to where they
    differ.

    Raises:
        Unauthorised: as `verify`.
    """
    given = digest(pepper, presented if FORM.fullmatch(presented) else "")
    digests = (row.digest, row.previous_digest or "") if row else ("", "")
    now, before = (hmac.compare_digest(given, kept.ljust(64)) for kept in digests)
    if row is None or not (now or (before and at < row.previous_until)):
        raise Unauthorised
    if not taken(row, at):
        raise Unauthorised
    return identity(row, at)


def taken(row: Row[Any], at: int) -> bool:
    """Whether a key is neither revoked nor expired."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > at)


def identity(row: Row[Any], at: int) -> Identity:
    """Whom a key of the table belongs to, whether it is taken or not."""
    return Identity(
        key_id=row.id,
        org_id=row.org_id,
        project_id=row.project_id,
        scopes=frozenset(row.scopes),
        models=None if row.models is None else frozenset(row.models),
        used=row.last_used_at is not None and at - row.last_used_at < MINUTE,
    )


def touch(tx: Connection, key_id: str, at: int) -> None:
    """Note when a key was last used, to the minute: the caller asks `Identity.used` before it opens a transaction."""
    stale = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= at - MINUTE)
    tx.execute(update(keys).where(keys.c.id == key_id, stale).values(last_used_at=at))


def rotate(
    tx: Connection,
    pepper: bytes,
    *,
    org_id: str,
    key_id: str,
    grace: int = GRACE,
    by: str,
    at: int,
) -> tuple[Row[Any], str]:
    """Give a key a new secret; the old one is taken for ``grace`` milliseconds more.

    The id stays, and with it the key's limits and what it has used of them. Of several rotations within the grace
    period only the last two secrets are taken.

    Raises:
        YozoraError: there is no such key in the organisation, it is revoked, or the grace is negative.
    """
    row = get(tx, org_id, key_id)
    if row.revoked_at is not None:
        raise YozoraError(f"The key {key_id} is revoked: make another one.")
    if grace < 0:
        raise YozoraError("A grace period cannot be negative.")
    key = fresh(key_id)
    tx.execute(
        update(keys)
        .where(keys.c.id == key_id)
        .values(
            previous_digest=keys.c.digest, previous_until=at + grace, digest=digest(pepper, key)
        )
    )
    detail = {"grace_ms": grace}
    audit.note(
        tx, org_id=org_id, actor=by, action="key.rotate", target=key_id, at=at, detail=detail
    )
    return get(tx, org_id, key_id), key


def revoke(tx: Connection, *, org_id: str, key_id: str, by: str, at: int) -> bool:
    """Take a key back, at once and for ever; False when it was revoked before.

    Raises:
        YozoraError: there is no such key in the organisation.
    """
    get(tx, org_id, key_id)
    gone = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
    if not tx.execute(gone.values(revoked_at=at)).rowcount:
        return False
    audit.note(tx, org_id=org_id, actor=by, action="key.revoke", target=key_id, at=at)
    return True


def left_behind(tx: Connection, org_id: str, at: int) -> dict[str, list[Row[Any]]]:
    """The live keys of users who are not in the organisation any more, by the users' ids."""
    inside = select(members.c.user_id).where(members.c.org_id == org_id)
    theirs = shown().where(
        keys.c.org_id == org_id,
        keys.c.created_by.in_(select(users.c.id)),
        keys.c.created_by.not_in(inside),
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > at),
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in tx.execute(theirs.order_by(keys.c.created_at)):
        found.setdefault(row.created_by, []).append(row)
    return found


def get(tx: Connection, org_id: str, key_id: str) -> Row[Any]:
    """A key of the organisation, without its digests. Raises YozoraError when there is none."""
    row = tx.execute(shown().where(keys.c.org_id == org_id, keys.c.id == key_id)).first()
    if row is None:
        raise YozoraError(f"There is no key {key_id} in this organisation.")
    return row


def listing(tx: Connection, org_id: str) -> Sequence[Row[Any]]:
    """The keys of an organisation, the newest first; those that are revoked come last."""
    revoked = case((keys.c.revoked_at.is_(None), 0), else_=1)
    mine = shown().where(keys.c.org_id == org_id)
    return tx.execute(mine.order_by(revoked, keys.c.created_at.desc(), keys.c.id)).all()


def shown() -> Any:
    """All columns of a key but its digests."""
    return select(*(column for column in keys.c if "digest" not in column.name))
