"""Members of an organisation, their roles, and what was changed by whom."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from yozora.errors import YozoraError
from yozora.service import accounts, audit, ids
from yozora.service.pages.web import Form, Pages, Visit, go, text
from yozora.service.schema import ROLES, keys, users

ROWS = 50  # of the audit log on one page
SAYS = {
    "owner": "everything, and who else is owner",
    "admin": "members, limits, all keys, the audit log",
    "member": "makes keys and videos",
    "viewer": "looks",
}
pages = Pages()


@pages.get("/members")
async def members(visit: Visit) -> Response:
    """Who is in the organisation, and as what."""
    rows = await visit.service.read(lambda tx: accounts.members_of(tx, visit.org))
    return visit.show("members.html", members=rows, roles=grantable(visit), says=SAYS)


def grantable(visit: Visit) -> tuple[str, ...]:
    """The roles one may give: an owner is made by owners alone."""
    return ROLES if visit.may("owners:write") else ROLES[1:]


@pages.post("/members", "members:write", back=members)
async def add(visit: Visit, given: Form) -> Response:
    """Makes a user and shows their first password, this once."""
    name, role = text(given, "name"), text(given, "role")
    allow(visit, None, role)
    word = ids.letters(20)  # 100 bits
    kept = await run_in_threadpool(accounts.hashed, word)

    def work(tx: Connection) -> None:
        at, by = ids.now(), visit.session.user_id
        user = accounts.create_user(tx, name=name, password_hash=kept, by=by, at=at)
        accounts.set_role(tx, org_id=visit.org, user_id=user, role=role, by=by, at=at)

    await visit.service.write(work)
    return visit.show("member_new.html", name=name, password=word)


@pages.post("/members/{user}/role", "members:write", back=members)
async def change(visit: Visit, given: Form) -> Response:
    """Gives a member another role, or takes them out (no role)."""
    user, role = visit.request.path_params["user"], text(given, "role") or None

    def work(tx: Connection) -> None:
        before = {one.user_id: one.role for one in accounts.members_of(tx, visit.org)}
        if user not in before:
            raise YozoraError("There is no such member.")
        allow(visit, before[user], role)
        by = visit.session.user_id
        accounts.set_role(tx, org_id=visit.org, user_id=user, role=role, by=by, at=ids.now())

    await visit.service.write(work)
    return go("/members", "member")


def allow(visit: Visit, before: str | None, after: str | None) -> None:
    """Raises Refused when a role is or was owner, and one is none; YozoraError for a role that is none."""
    if after is not None and after not in ROLES:
        raise YozoraError(f"There is no role '{after}'.")
    if "owner" in (before, after):
        visit.require("owners:write")


@pages.get("/audit", "audit:read")
async def log(visit: Visit) -> Response:
    """What was changed, the last first."""
    before = visit.query("before")
    number = int(before) if before.isdecimal() and len(before) < 18 else None

    def work(tx: Connection) -> tuple[Any, dict[str, str]]:
        rows = audit.listing(tx, visit.org, limit=ROWS + 1, before=number)
        seen = {name for row in rows for name in (row.actor, row.target)}
        names = {
            row.id: row.name
            for row in tx.execute(select(users.c.id, users.c.name).where(users.c.id.in_(seen)))
        }
        named = select(keys.c.id, keys.c.name).where(
            keys.c.id.in_(seen), keys.c.org_id == visit.org
        )
        return rows, names | {row.id: row.name for row in tx.execute(named)}

    rows, names = await visit.service.read(work)
    return visit.show("audit.html", rows=rows[:ROWS], more=len(rows) > ROWS, names=names)
