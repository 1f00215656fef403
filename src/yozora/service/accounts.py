"""Who there is: organisations with their projects, users with their roles in them, and browser sessions.

A password is kept as argon2id makes of it, a session's cookie as its SHA-256. What a browser may do is asked anew with
each request, so that a role that is taken away is gone at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from yozora.errors import YozoraError
from yozora.service import audit, ids
from yozora.service.database import Database
from yozora.service.limits import count
from yozora.service.schema import ROLES, keys, members, orgs, projects, sessions, users
from yozora.service.settings import DAY

if TYPE_CHECKING:
    from argon2 import PasswordHasher

VIEW = frozenset({"videos:read", "models:read", "usage:read"})
MEMBER = VIEW | {"videos:write", "keys:own"}  # make keys, and rotate and revoke one's own
ADMIN = MEMBER | {"keys:all", "members:write", "limits:write", "webhooks:write", "audit:read"}
OWNER = ADMIN | {"owners:write"}
MAY = {"viewer": VIEW, "member": MEMBER, "admin": ADMIN, "owner": OWNER}

DEFAULT = "default"
SESSION = 14 * DAY  # milliseconds that a browser stays signed in
ATTEMPTS = {"name": 10, "address": 50}  # of signing in, in a quarter of an hour
QUARTER = 15 * 60 * 1000
SHORTEST = 12  # characters of a password
PLAYGROUND = "playground"  # the name of keys that browsers make for themselves ...
PLAYED = DAY // 2  # ... and milliseconds for which they are valid; others are for a day at least


class TooManyAttempts(YozoraError):  # noqa: N818
    """Somebody tried to sign in too often; ``wait`` is how many milliseconds to wait at least."""

    def __init__(self, wait: int) -> None:
        self.wait = wait
        super().__init__("Too many attempts to sign in: wait a quarter of an hour.")


# --- organisations and projects ----------------------------------------------------------------------


def create_org(tx: Connection, *, name: str, by: str, at: int) -> str:
    """Make an organisation with a project "default", and return its id. Raises YozoraError when the name is taken."""
    name = named(name)
    org_id = add_org(tx, name, by, at)
    if org_id is None:
        raise YozoraError(f"There is an organisation '{name}' already: choose another name.")
    return org_id


def add_org(tx: Connection, name: str, by: str, at: int) -> str | None:
    """Make an organisation and its project; None when there is one of that name."""
    org_id = ids.new("org")
    if not added(tx, orgs, {"id": org_id, "name": name, "created_at": at}):
        return None
    detail = {"name": name}
    audit.note(
        tx, org_id=org_id, actor=by, action="org.create", target=org_id, at=at, detail=detail
    )
    create_project(tx, org_id=org_id, name=DEFAULT, by=by, at=at)
    return org_id


def create_project(tx: Connection, *, org_id: str, name: str, by: str, at: int) -> str:
    """Make a project of an organisation, and return its id. Raises YozoraError when the name is taken."""
    project_id = ids.new("proj")
    row = {"id": project_id, "org_id": org_id, "name": named(name), "created_at": at}
    if not added(tx, projects, row):
        raise YozoraError(f"There is a project '{row['name']}' already: choose another name.")
    detail = {"name": row["name"]}
    audit.note(
        tx,
        org_id=org_id,
        actor=by,
        action="project.create",
        target=project_id,
        at=at,
        detail=detail,
    )
    return project_id


def find_org(tx: Connection, name: str) -> Row[Any]:
    """The organisation of that name or id. Raises YozoraError when there is none."""
    found = tx.execute(select(orgs).where(or_(orgs.c.name == name, orgs.c.id == name))).first()
    if found is None:
        raise YozoraError(f"There is no organisation '{name}': `yozora orgs list` shows them.")
    return found


def find_project(tx: Connection, org_id: str, name: str = DEFAULT) -> Row[Any]:
    """The project of that name or id in an organisation. Raises YozoraError when there is none."""
    either = or_(projects.c.name == name, projects.c.id == name)
    found = tx.execute(select(projects).where(projects.c.org_id == org_id, either)).first()
    if found is None:
        raise YozoraError(f"There is no project '{name}' in this organisation.")
    return found


def set_concurrency(tx: Connection, *, org_id: str, count: int, by: str, at: int) -> None:
    """Set how many videos of an organisation are made at once; the others wait in the queue.

    Raises:
        YozoraError: the number is not positive.
    """
    if count < 1:
        raise YozoraError(f"{count} videos cannot be made at once: give 1 or more.")
    tx.execute(update(orgs).where(orgs.c.id == org_id).values(concurrency=count))
    detail = {"to": count}
    audit.note(
        tx, org_id=org_id, actor=by, action="org.concurrency", target=org_id, at=at, detail=detail
    )


def all_orgs(tx: Connection) -> Sequence[Row[Any]]:
    """Every organisation, for whoever runs the service."""
    return tx.execute(select(orgs).order_by(orgs.c.name)).all()


def projects_of(tx: Connection, org_id: str) -> Sequence[Row[Any]]:
    """The projects of an organisation."""
    return tx.execute(
        select(projects).where(projects.c.org_id == org_id).order_by(projects.c.name)
    ).all()


def named(name: str) -> str:
    """A name without blanks around it. Raises YozoraError when nothing is left, too much, or what cannot be shown."""
    name = name.strip()
    if not (0 < len(name) <= 80 and name.isprintable()):
        raise YozoraError("A name has 1 to 80 characters that can be shown.")
    return name


def added(tx: Connection, table: Any, row: dict[str, Any]) -> bool:
    """Add a row unless one like it is there, and say whether it was added."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    new = insert(table).values(row).on_conflict_do_nothing().returning(table.c.id)
    return tx.scalar(new) is not None


# --- users and members -------------------------------------------------------------------------------


@cache
def hasher() -> PasswordHasher:
    """Argon2id with the parameters of RFC 9106, section 4, for memory that is not plentiful."""
    from argon2 import PasswordHasher, profiles

    return PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)


@cache
def nobody() -> str:
    """The hash of a password that nobody knows: compared with where there is no such user, for the same work."""
    return hasher().hash(secrets.token_hex())


def hashed(password: str) -> str:
    """What is kept of a password. It takes some 50 ms: call it outside of a write transaction.

    Raises:
        YozoraError: the password is too short or too long.
    """
    if not SHORTEST <= len(password) <= 1000:
        raise YozoraError(f"A password has {SHORTEST} to 1000 characters.")
    return hasher().hash(as_bytes(password))


def first_password() -> str:
    """A password to hand over, of 100 random bits."""
    return ids.letters(20)


def as_bytes(password: str) -> bytes:
    """A password as argon2 takes it, whatever a client sent."""
    return password.encode("utf-8", "surrogatepass")


def create_user(
    tx: Connection, *, name: str, password_hash: str, operator: bool = False, by: str, at: int
) -> str:
    """Make a user, and return its id. ``operator``: runs the service, and sets prices.

    Raises:
        YozoraError: the name is taken.
    """
    user_id = ids.new("user")
    row = {"id": user_id, "name": named(name), "password_hash": password_hash}
    if not added(tx, users, row | {"operator": operator, "created_at": at}):
        raise YozoraError(f"There is a user '{row['name']}' already: choose another name.")
    detail = {"name": row["name"], "operator": operator}
    audit.note(
        tx, org_id=None, actor=by, action="user.create", target=user_id, at=at, detail=detail
    )
    return user_id


def change_password(tx: Connection, *, user_id: str, password_hash: str, by: str, at: int) -> None:
    """Give a user another password, and sign them out everywhere."""
    tx.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))
    sign_out_everywhere(tx, user_id)
    for org in orgs_of(tx, user_id):
        forget_playground(tx, org_id=org.id, user_id=user_id, by=by, at=at)
    audit.note(tx, org_id=None, actor=by, action="user.password", target=user_id, at=at)


def set_role(
    tx: Connection, *, org_id: str, user_id: str, role: str | None, by: str, at: int
) -> None:
    """Make a user a member of an organisation, change their role, or take them out of it with None.

    Who may do so is asked by the caller: ``members:write``, and ``owners:write`` where the role is or was owner. The
    keys that their browsers have made for themselves are revoked; those that programs may use stay.

    Raises:
        YozoraError: there is no such role or user, or the organisation would be left without an owner.
    """
    if role is not None and role not in ROLES:
        raise YozoraError(f"There is no role '{role}': there are {', '.join(ROLES)}.")
    if tx.scalar(select(users.c.id).where(users.c.id == user_id)) is None:
        raise YozoraError(f"There is no user {user_id}.")
    tx.execute(select(orgs.c.id).where(orgs.c.id == org_id).with_for_update())  # one change at once
    mine = (members.c.org_id == org_id, members.c.user_id == user_id)
    before = tx.scalar(select(members.c.role).where(*mine))
    owners = select(func.count()).where(members.c.org_id == org_id, members.c.role == "owner")
    if before == "owner" and role != "owner" and tx.scalar(owners) == 1:
        raise YozoraError("An organisation has at least one owner: make somebody else one first.")
    tx.execute(delete(members).where(*mine))
    forget_playground(tx, org_id=org_id, user_id=user_id, by=by, at=at)
    if role is None:
        tx.execute(
            delete(sessions).where(sessions.c.user_id == user_id, sessions.c.org_id == org_id)
        )
    else:
        row = {"org_id": org_id, "user_id": user_id, "role": role, "created_at": at}
        tx.execute(members.insert().values(row))
    detail = {"from": before, "to": role}
    audit.note(
        tx, org_id=org_id, actor=by, action="member.role", target=user_id, at=at, detail=detail
    )


def members_of(tx: Connection, org_id: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """The members of an organisation: user_id, name, operator, role, created_at, last_seen_at."""
    columns = (members.c.user_id, users.c.name, users.c.operator, members.c.role)
    found = select(*columns, members.c.created_at, users.c.last_seen_at).join(
        users, users.c.id == members.c.user_id
    )
    return tx.execute(found.where(members.c.org_id == org_id).order_by(users.c.name)).all()


def find_user(tx: Connection, name: str) -> Row[Any]:
    """The user of that name. Raises YozoraError when there is none."""
    found = tx.execute(select(users).where(users.c.name == name)).first()
    if found is None:
        raise YozoraError(f"There is no user '{name}': `yozora users list` shows them.")
    return found


def all_users(tx: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Every user, for whoever runs the service: id, name, operator, created_at, last_seen_at."""
    columns = (users.c.id, users.c.name, users.c.operator, users.c.created_at)
    return tx.execute(select(*columns, users.c.last_seen_at).order_by(users.c.name)).all()


def orgs_of(tx: Connection, user_id: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """The organisations that a user is a member of: id, name, role."""
    found = select(orgs.c.id, orgs.c.name, members.c.role).join(
        members, members.c.org_id == orgs.c.id
    )
    return tx.execute(found.where(members.c.user_id == user_id).order_by(orgs.c.name)).all()


# --- sessions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """Who uses a browser, in which organisation, and as what."""

    user_id: str
    user: str
    operator: bool
    org_id: str
    org: str
    role: str
    csrf: str  # to be sent back with every request that changes something
    expires_at: int

    def may(self, what: str) -> bool:
        """Whether the role allows something of ``MAY``."""
        return what in MAY[self.role]


def sign_in(
    database: Database, *, name: str, password: str, address: str, at: int
) -> tuple[str, Session] | None:
    """Check a password and begin a session: the cookie's value, and the session. None when it is wrong.

    Attempts are counted by name and by address before the password is looked at, in a transaction of their own; the
    password is compared outside of any, because that is slow on purpose. It is as slow for a name that nobody has.

    Raises:
        TooManyAttempts: by that name or from that address.
    """
    from argon2.exceptions import Argon2Error, InvalidHashError

    name = name.strip()[:80]
    if not name.isprintable():
        name = ""  # nobody's
    with database.write() as tx:
        tried = {"name": name, "address": network(address)}
        waits = [
            count(
                tx, f"sign-in:{what}:{digest(who)[:48]}", most=ATTEMPTS[what], window=QUARTER, at=at
            )
            for what, who in sorted(tried.items())
        ]
        user = tx.execute(select(users).where(users.c.name == name)).first()
    if any(waits):
        raise TooManyAttempts(max(waits))
    try:
        hasher().verify(user.password_hash if user else nobody(), as_bytes(password[:1000]))
    except (Argon2Error, InvalidHashError):
        return None
    if user is None:
        return None
    with database.write() as tx:
        own = orgs_of(tx, user.id)
        if not own:
            raise YozoraError(
                f"{user.name} is in no organisation: ask an owner to be made a member."
            )
        tx.execute(update(users).where(users.c.id == user.id).values(last_seen_at=at))
        tx.execute(delete(sessions).where(sessions.c.expires_at <= at))
        cookie = begin(tx, user.id, own[0].id, at)
        return cookie, require_session(tx, cookie, at)


def network(address: str) -> str:
    """What attempts from an address are counted by: of IPv6 the /64, all of which one subscriber has."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address) or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", found))
    return str(ip_network((found, 64), strict=False))


def begin(tx: Connection, user_id: str, org_id: str, at: int) -> str:
    """Begin a session, and return its cookie's value: 256 random bits, of which only the digest is kept."""
    cookie = secrets.token_urlsafe(32)
    row = {"digest": digest(cookie), "user_id": user_id, "org_id": org_id, "created_at": at}
    row |= {"csrf": secrets.token_urlsafe(32), "expires_at": at + SESSION}
    tx.execute(sessions.insert().values(row))
    return cookie


def session(tx: Connection, cookie: str, at: int) -> Session | None:
    """The session of a cookie, with the role that the user has now; None when there is none, or it is over."""
    columns = (users.c.id.label("user_id"), users.c.name.label("user"), users.c.operator)
    found = tx.execute(
        select(
            *columns,
            sessions.c.org_id,
            orgs.c.name.label("org"),
            members.c.role,
            sessions.c.csrf,
            sessions.c.expires_at,
        )
        .join(users, users.c.id == sessions.c.user_id)
        .join(orgs, orgs.c.id == sessions.c.org_id)
        .join(
            members,
            (members.c.org_id == sessions.c.org_id) & (members.c.user_id == sessions.c.user_id),
        )
        .where(sessions.c.digest == digest(cookie), sessions.c.expires_at > at)
    ).first()
    return None if found is None else Session(**found._mapping)


def require_session(tx: Connection, cookie: str, at: int) -> Session:
    """The session of a cookie. Raises YozoraError when there is none."""
    found = session(tx, cookie, at)
    if found is None:
        raise YozoraError("You are not signed in any more: sign in again.")
    return found


def enter(tx: Connection, cookie: str, org_id: str, at: int) -> Session:
    """Go to another organisation that the session's user is a member of.

    Raises:
        YozoraError: the user is not, or is not signed in.
    """
    now = require_session(tx, cookie, at)
    if org_id not in {org.id for org in orgs_of(tx, now.user_id)}:
        raise YozoraError(f"There is no organisation {org_id} here.")
    forget_playground(tx, org_id=now.org_id, user_id=now.user_id, by=now.user_id, at=at)
    tx.execute(update(sessions).where(sessions.c.digest == digest(cookie)).values(org_id=org_id))
    return require_session(tx, cookie, at)


def genuine(session: Session, csrf: str) -> bool:
    """Whether a request comes from our own pages: it brings the session's token."""
    return secrets.compare_digest(session.csrf.encode(), csrf.encode())


def sign_out(tx: Connection, cookie: str, at: int) -> None:
    """End a session; the keys that the user's browsers have made for themselves end with it."""
    if (over := session(tx, cookie, at)) is not None:
        forget_playground(tx, org_id=over.org_id, user_id=over.user_id, by=over.user_id, at=at)
    tx.execute(delete(sessions).where(sessions.c.digest == digest(cookie)))


def sign_out_everywhere(tx: Connection, user_id: str) -> int:
    """End all sessions of a user; how many there were."""
    return tx.execute(delete(sessions).where(sessions.c.user_id == user_id)).rowcount


def digest(text: str) -> str:
    """SHA-256 in hex: enough for what is random by itself."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- keys that browsers make for themselves ----------------------------------------------------------


def of_browser(key: Row[Any]) -> bool:
    """Whether a key is one that the playground has made for a browser."""
    life = None if key.expires_at is None else key.expires_at - key.created_at
    return key.name == PLAYGROUND and life is not None and life <= PLAYED


def forget_playground(tx: Connection, *, org_id: str, user_id: str, by: str, at: int) -> None:
    """Revoke what a user's browsers may still have in an organisation."""
    live = (keys.c.revoked_at.is_(None), keys.c.expires_at > at)
    mine = (keys.c.org_id == org_id, keys.c.created_by == user_id, keys.c.name == PLAYGROUND)
    for key in tx.execute(select(keys).where(*live, *mine)).all():
        if of_browser(key):
            tx.execute(update(keys).where(keys.c.id == key.id).values(revoked_at=at))
            audit.note(tx, org_id=org_id, actor=by, action="key.revoke", target=key.id, at=at)


# --- the first start ---------------------------------------------------------------------------------


def ensure_default(tx: Connection, *, by: str, at: int) -> None:
    """Make the organisation "default" with its project "default" where there is no organisation yet."""
    if tx.scalar(select(orgs.c.id).limit(1)) is None:
        add_org(tx, DEFAULT, by, at)


def bootstrap(tx: Connection, *, by: str = "first start", at: int) -> str | None:
    """On the first start: the default organisation, and a user "admin" who owns it and runs the service.

    Returns:
        the user's password, to be shown once; None when there are users already.
    """
    ensure_default(tx, by=by, at=at)
    first = select(orgs.c.id).order_by(orgs.c.created_at, orgs.c.id).limit(1)
    org_id = tx.execute(first.with_for_update()).scalar_one()  # of several processes one goes on
    if tx.scalar(select(users.c.id).limit(1)) is not None:
        return None
    password = first_password()
    user_id = create_user(
        tx, name="admin", password_hash=hashed(password), operator=True, by=by, at=at
    )
    set_role(tx, org_id=org_id, user_id=user_id, role="owner", by=by, at=at)
    return password
