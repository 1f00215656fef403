"""API keys: made and shown once, limited, rotated and revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row
from starlette.responses import JSONResponse, Response

from yozora.errors import YozoraError
from yozora.service import accounts, ids, limits
from yozora.service import keys as service
from yozora.service.accounts import PLAYED, PLAYGROUND, of_browser
from yozora.service.pages.web import Form, Pages, Refused, Visit, go, several, text

HOUR = 3_600_000
READING = ("videos:read", "models:read")  # scopes of a key that a browser makes for a viewer
DAYS = {"": "Never", "7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
GRACES = {"0": "At once", "1": "In an hour", "24": "In a day", "168": "In a week"}
pages = Pages()


@pages.get("/keys")
async def listing(visit: Visit) -> Response:
    """All keys of the organisation; who may make one finds the form."""

    def work(tx: Connection) -> tuple[Any, ...]:
        people = {one.user_id: one.name for one in accounts.members_of(tx, visit.org)}
        return service.listing(tx, visit.org), accounts.projects_of(tx, visit.org), people

    rows, projects, people = await visit.service.read(work)
    at = ids.now()
    live, over = parted([row for row in rows if not of_browser(row)], at)
    browsers, _ = parted([row for row in rows if of_browser(row)], at)
    return visit.show(
        "keys.html", keys=live, over=over, browsers=len(browsers), projects=projects, people=people,
        models=visit.service.models.names, scopes=scopes_for(visit), usual=service.USUAL, days=DAYS,
    )  # fmt: skip


def parted(rows: Sequence[Row[Any]], at: int) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """The keys that are taken, and those that are revoked or have expired."""
    gone = [row for row in rows if row.revoked_at or (row.expires_at and row.expires_at <= at)]
    return [row for row in rows if row not in gone], gone


def scopes_for(visit: Visit) -> tuple[str, ...]:
    """What a key that one makes may do: no more than oneself. ``admin`` opens what is of the whole service."""
    beyond = {"webhooks:write": "webhooks:write", "admin": "operator"}
    return tuple(one for one in service.SCOPES if visit.may(beyond.get(one, "keys:own")))


@pages.post("/keys", "keys:own", back=listing)
async def create(visit: Visit, given: Form) -> Response:
    """Makes a key and shows it, this once."""
    at, days, scopes = ids.now(), text(given, "days"), several(given, "scopes")
    if days not in DAYS:
        raise YozoraError("A key is valid for ever, or for one of the spans in the list.")
    if forbidden := set(scopes) - set(scopes_for(visit)):
        raise YozoraError(f"Your role does not allow keys with the scope {min(forbidden)}.")
    if not scopes:
        raise YozoraError("A key without a scope could do nothing: choose one at least.")

    def work(tx: Connection) -> tuple[Row[Any], str]:
        return service.create(
            tx, visit.service.pepper, org_id=visit.org, project_id=text(given, "project"),
            name=accounts.named(text(given, "name")), scopes=scopes, models=several(given, "models") or None,
            expires_at=at + int(days) * 24 * HOUR if days else None, created_by=visit.session.user_id, at=at,
        )  # fmt: skip

    row, key = await visit.service.write(work)
    return visit.show("key_new.html", key=key, row=row, rotated=False)


@pages.get("/keys/{key}")
async def one(visit: Visit) -> Response:
    """A key: what it may do, and its limits."""

    def work(tx: Connection) -> tuple[Any, ...]:
        row = own(tx, visit)
        return row, limits.of(tx, org_id=visit.org, scope=row.id, at=ids.now())

    row, found = await visit.service.read(work)
    return visit.show(
        "key.html", row=row, limits=found, scope=row.id, graces=GRACES, mine=manages(visit, row), at=ids.now(),
        measures=limits.MEASURES,
    )  # fmt: skip


def own(tx: Connection, visit: Visit) -> Row[Any]:
    """The key that the address names. Raises Refused when it is not the organisation's."""
    try:
        return service.get(tx, visit.org, visit.request.path_params["key"])
    except YozoraError as error:
        raise Refused(str(error), 404) from None


def manages(visit: Visit, row: Row[Any]) -> bool:
    """Whether one may rotate and revoke a key."""
    mine = row.created_by == visit.session.user_id and visit.may("keys:own")
    return mine or visit.may("keys:all")


def managed(tx: Connection, visit: Visit) -> Row[Any]:
    """The key that the address names. Raises Refused when one may not change it."""
    row = own(tx, visit)
    if not manages(visit, row):
        raise Refused("This key was made by somebody else: an admin may change it.", 403)
    return row


@pages.post("/keys/{key}/rotate", "keys:own", back=one)
async def rotate(visit: Visit, given: Form) -> Response:
    """Gives a key another secret and shows it, this once."""
    if (hours := text(given, "grace")) not in GRACES:
        raise YozoraError("The old secret is taken for one of the spans in the list.")

    def work(tx: Connection) -> tuple[Row[Any], str]:
        row = managed(tx, visit)
        if beyond := set(row.scopes) - set(scopes_for(visit)):
            raise Refused(f"Your role does not allow keys with the scope {min(beyond)}.", 403)
        return service.rotate(
            tx, visit.service.pepper, org_id=visit.org, key_id=row.id, grace=int(hours) * HOUR,
            by=visit.session.user_id, at=ids.now(),
        )  # fmt: skip

    row, key = await visit.service.write(work)
    return visit.show("key_new.html", key=key, row=row, rotated=True)


@pages.post("/keys/{key}/revoke", "keys:own", back=one)
async def revoke(visit: Visit, _given: Form) -> Response:
    """Takes a key back."""

    def work(tx: Connection) -> None:
        row = managed(tx, visit)
        service.revoke(tx, org_id=visit.org, key_id=row.id, by=visit.session.user_id, at=ids.now())

    await visit.service.write(work)
    return go("/keys", "revoked")


@pages.post("/playground/key")
async def for_browser(visit: Visit, _given: Form) -> Response:
    """A key for the playground in one browser, valid for some hours; the page keeps it, and nobody else."""
    at = ids.now()
    scopes = (*READING, "videos:write") if visit.may("videos:write") else READING

    def work(tx: Connection) -> str:
        project = accounts.projects_of(tx, visit.org)[0].id
        _, key = service.create(
            tx, visit.service.pepper, org_id=visit.org, project_id=project, name=PLAYGROUND,
            scopes=scopes, expires_at=at + PLAYED,
            created_by=visit.session.user_id, at=at,
        )  # fmt: skip
        return key

    return JSONResponse({"key": await visit.service.write(work), "expires_at": at + PLAYED})


@pages.post("/playground/key/forget")
async def forget(visit: Visit, _given: Form) -> Response:
    """Revokes the keys that one's browsers have here."""

    def work(tx: Connection) -> None:
        who = visit.session.user_id
        accounts.forget_playground(tx, org_id=visit.org, user_id=who, by=who, at=ids.now())

    await visit.service.write(work)
    return JSONResponse({})
