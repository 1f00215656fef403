"""Members of an organisation, their roles, and what was changed by whom."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select
from starlette.responses import Response

from yozora.errors import YozoraError
from yozora.service import accounts, audit, ids
from yozora.service import keys as service
from yozora.service.pages.web import Form, Pages, Visit, go, slowly, text
from yozora.service.schema import ROLES, keys, users

ROWS = 50  # of the audit log on one page
SAYS = {
    "owner": "everything, and who else is owner",
    "admin": "members, limits, webhooks, all keys, the audit log",
    "member": "makes keys and videos",
    "viewer": "looks",
}
pages = Pages()


@pages.get("/members")
async def members(visit: Visit) -> Response:
    """Who is in the organisation, and as what; and whose keys are still taken though they have left."""

    def work(tx: Connection) -> tuple[Any, Any, dict[str, str]]:
        left = service.left_behind(tx, visit.org, ids.now()) if visit.may("keys:all") else {}
        named = select(users.c.id, users.c.name).where(users.c.id.in_(left))
        return (
            accounts.members_of(tx, visit.org),
            left,
            {one.id: one.name for one in tx.execute(named)},
        )

    rows, left, names = await visit.service.read(work)
    return visit.show(
        "members.html", members=rows, left=left, names=names, roles=grantable(visit), says=SAYS
    )


def grantable(visit: Visit) -> tuple[str, ...]:
    """The roles one may give: an owner is made by owners alone."""
    return ROLES if visit.may("owners:write") else ROLES[1:]


@pages.post("/members", "members:write", back=members)
async def add(visit: Visit, given: Form) -> Response:
    """Makes a user and shows their first password, this once."""
    name, role = text(given, "name"), text(given, "role")
    allow(visit, None, role)
    word = accounts.first_password()
    kept = await slowly(lambda: accounts.hashed(word))

    def work(tx: Connection) -> None:
        at, by = ids.now(), visit.session.user_id
        user = accounts.create_user(tx, name=name, password_hash=kept, by=by, at=at)
        accounts.set_role(tx, org_id=visit.org, user_id=user, role=role, by=by, at=at)

    await visit.service.write(work)
    return visit.show("member_new.html", name=name, password=word, what="The first password")


@pages.post("/members/{user}/role", "members:write", back=members)
async def change(visit: Visit, given: Form) -> Response:
    """Gives a member another role, or takes them out (no role)."""
    user, role = visit.request.path_params["user"], text(given, "role") or None

    def work(tx: Connection) -> None:
        allow(visit, member(tx, visit, user).role, role)
        by = visit.session.user_id
        accounts.set_role(tx, org_id=visit.org, user_id=user, role=role, by=by, at=ids.now())

    await visit.service.write(work)
    return go("/members", "member")


@pages.post("/members/{user}/password", "members:write", back=members)
async def another_password(visit: Visit, _given: Form) -> Response:
    """Gives a member a new first password and shows it, this once: for whoever has forgotten theirs."""
    user, word = visit.request.path_params["user"], accounts.first_password()

    def allowed(tx: Connection) -> Any:
        found = member(tx, visit, user)
        allow(visit, found.role, None)
        if found.operator or len(accounts.orgs_of(tx, user)) > 1:
            visit.require("operator")  # it opens more than this organisation
        return found

    await visit.service.read(allowed)
    kept = await slowly(lambda: accounts.hashed(word))

    def work(tx: Connection) -> str:
        found, by = allowed(tx), visit.session.user_id
        accounts.change_password(tx, user_id=user, password_hash=kept, by=by, at=ids.now())
        return str(found.name)

    name = await visit.service.write(work)
    return visit.show("member_new.html", name=name, password=word, what="The new password")


@pages.post("/members/{user}/keys/revoke", "keys:all", back=members)
async def revoke_all(visit: Visit, _given: Form) -> Response:
    """Takes back all keys of somebody who is not in the organisation any more."""

    def work(tx: Connection) -> None:
        at, user = ids.now(), visit.request.path_params["user"]
        for key in service.left_behind(tx, visit.org, at).get(user, []):
            service.revoke(tx, org_id=visit.org, key_id=key.id, by=visit.session.user_id, at=at)

    await visit.service.write(work)
    return go("/members", "all-revoked")


def member(tx: Connection, visit: Visit, user: str) -> Any:
    """A member of the organisation. Raises YozoraError when there is none."""
    for one in accounts.members_of(tx, visit.org):
        if one.user_id == user:
            return one
    raise YozoraError("There is no such member.")


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
