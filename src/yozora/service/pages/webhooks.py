"""Webhooks: who is told what happens to videos, what they were told, and what they answered."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select
from starlette.responses import Response

from yozora.service import ids
from yozora.service import webhooks as service
from yozora.service.api import webhooks as api
from yozora.service.api.service import ID
from yozora.service.pages.web import Form, Pages, Visit, go, several, text
from yozora.service.schema import outbox

LAST = 50  # deliveries that are shown
pages = Pages()


@pages.get("/webhooks", api.SCOPE)
async def listing(visit: Visit) -> Response:
    """The receivers of the organisation, and the form for another."""
    rows = await visit.service.read(lambda tx: service.listed(tx, visit.org))
    return visit.show("webhooks.html", rows=rows, kinds=service.KINDS)


@pages.post("/webhooks", api.SCOPE, back=listing)
async def create(visit: Visit, given: Form) -> Response:
    """Names a receiver and shows its secret, this once."""
    by, kinds = visit.service, several(given, "kinds") or service.KINDS

    def work(tx: Connection) -> Row[Any]:
        made = api.make(
            by, tx, org=visit.org, actor=visit.session.user_id, url=text(given, "url"), kinds=kinds, at=ids.now()
        )  # fmt: skip
        return api.get(tx, visit.org, made)

    row = await by.write(work)
    return visit.show("webhook_new.html", row=row, secret=api.secret(by, row))


@pages.get("/webhooks/{webhook}", api.SCOPE)
async def one(visit: Visit) -> Response:
    """A receiver, and what it was told last."""

    def work(tx: Connection) -> tuple[Row[Any], list[dict[str, Any]]]:
        row = api.get(tx, visit.org, part(visit, "webhook"))
        told = select(outbox).where(outbox.c.webhook_id == row.id)
        last = tx.execute(told.order_by(outbox.c.created_at.desc(), outbox.c.id).limit(LAST))
        return row, [
            {"row": each, "event": json.loads(each.body), "state": api.state(each)} for each in last
        ]

    row, deliveries = await visit.service.read(work)
    return visit.show("webhook.html", row=row, deliveries=deliveries, last=LAST)


@pages.post("/webhooks/{webhook}/disable", api.SCOPE)
async def disable(visit: Visit, _given: Form) -> Response:
    """Tells a receiver nothing more."""
    webhook, by = part(visit, "webhook"), visit.session.user_id
    await visit.service.write(
        lambda tx: api.stop(tx, org=visit.org, actor=by, webhook=webhook, at=ids.now())
    )
    return go("/webhooks", "disabled")


@pages.post("/webhooks/{webhook}/deliveries/{delivery}/replay", api.SCOPE)
async def replay(visit: Visit, _given: Form) -> Response:
    """Sends something again."""
    webhook, delivery = part(visit, "webhook"), part(visit, "delivery")
    await visit.service.write(
        lambda tx: api.again(tx, org=visit.org, webhook=webhook, delivery=delivery, at=ids.now())
    )
    return go(f"/webhooks/{webhook}", "replayed")


def part(visit: Visit, name: str) -> str:
    """An id of the address; what cannot be one is that of nothing."""
    given = str(visit.request.path_params[name])
    return given if ID.fullmatch(given) else ""
