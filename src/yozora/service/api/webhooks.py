"""/v1/webhooks: who is told what happens to videos, and what they were told; as `yozora.service.webhooks` has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, func, select
from starlette.requests import Request
from starlette.responses import Response

from yozora.service import audit, ids, wishes
from yozora.service import webhooks as service
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import ApiError, missing
from yozora.service.api.forms import body
from yozora.service.api.once import once
from yozora.service.api.pages import Page
from yozora.service.api.service import Service, named, of
from yozora.service.fetch import FetchError
from yozora.service.schema import outbox, webhooks
from yozora.service.wishes import WishError

SCOPE = "webhooks:write"
MOST = 20  # receivers of an organisation that are told something: each adds a row to every video that ends
routes = Routes("webhooks")


# --- what the pages do too -----------------------------------------------------------------------------


def make(
    by: Service, tx: Connection, *, org: str, actor: str, url: str, kinds: Sequence[str], at: int
) -> str:
    """Name a receiver; its id. Raises WishError when it cannot be one, or there are too many."""
    live = webhooks.c.disabled_at.is_(None) & (webhooks.c.org_id == org)
    if int(tx.scalar(select(func.count()).where(live)) or 0) >= MOST:
        raise WishError(f"An organisation has at most {MOST} webhooks: disable one.", "url")
    rules = replace(service.RULES, also=by.settings.reach)
    try:
        webhook, _ = service.create(
            tx, by.pepper, org_id=org, url=url, at=at, kinds=kinds, rules=rules
        )
    except FetchError as error:
        raise WishError(str(error), "url", error.code) from None
    audit.note(
        tx, org_id=org, actor=actor, action="webhook.create", target=webhook, at=at,
        detail={"url": url, "kinds": sorted(kinds)},
    )  # fmt: skip
    return webhook


def secret(by: Service, row: Row[Any]) -> str:
    """What a receiver checks signatures with, to be shown when it is made."""
    return service.unseal(by.pepper, row.id, row.secret)


def stop(tx: Connection, *, org: str, actor: str, webhook: str, at: int) -> Row[Any]:
    """Tell a receiver nothing more. Raises ApiError when the organisation has no such one."""
    if service.disable(tx, webhook, at=at, org_id=org):
        audit.note(tx, org_id=org, actor=actor, action="webhook.disable", target=webhook, at=at)
    return get(tx, org, webhook)


def again(tx: Connection, *, org: str, webhook: str, delivery: str, at: int) -> Row[Any]:
    """Send something again. Raises ApiError when there is no such thing, or its receiver is disabled."""
    receiver = get(tx, org, webhook)
    mine = select(outbox).where(outbox.c.id == delivery, outbox.c.webhook_id == webhook)
    if tx.execute(mine).first() is None:
        raise missing("delivery")
    if receiver.disabled_at is not None:
        raise ApiError(409, "This webhook is disabled: make another one.", "webhook_disabled")
    service.replay(tx, delivery, org_id=org, at=at)
    return tx.execute(mine).one()


def get(tx: Connection, org: str, webhook: str) -> Row[Any]:
    """An organisation's receiver. Raises ApiError when there is none."""
    mine = select(webhooks).where(webhooks.c.id == webhook, webhooks.c.org_id == org)
    row = tx.execute(mine).first()
    if row is None:
        raise missing("webhook")
    return row


def state(row: Row[Any]) -> str:
    """What has become of a delivery."""
    if row.delivered_at is not None:
        return "delivered"
    return "waiting" if row.next_at is not None else "given_up"


# --- the routes ----------------------------------------------------------------------------------------


@routes.add("GET", "/v1/webhooks", **says(document.Webhooks, query=document.PAGE))
async def listing(request: Request) -> Response:
    """The receivers of one's organisation, the newest first; those that are told nothing more have ``disabled_at``."""
    by = of(request)
    who = await by.identify(request, SCOPE)
    page, mine = Page.of(request), webhooks.c.org_id == who.org_id
    rows, more = await by.read(
        lambda tx: page.rows(tx, select(webhooks).where(mine), webhooks, mine)
    )
    return shown.answer(shown.page([described(row) for row in rows], more))


@routes.add(
    "POST",
    "/v1/webhooks",
    **says(document.MadeWebhook, 408, 410, 413, 415, 422, body=document.WEBHOOK),
)
async def create(request: Request) -> Response:
    """Name an address to be told when videos are completed or have failed. Its secret is shown this once."""
    by = of(request)
    who = await by.identify(request, SCOPE)
    async with body(request) as fields:
        asked = wishes.read(wishes.NewWebhook, fields)

    def work(tx: Connection, at: int) -> str:
        return make(
            by, tx, org=who.org_id, actor=who.key_id, url=asked.url, kinds=asked.events, at=at
        )

    row, _ = await once(by, request, who, asked, work, lambda tx, made: get(tx, who.org_id, made))
    return shown.answer(described(row) | {"secret": secret(by, row)})


@routes.add("DELETE", "/v1/webhooks/{webhook_id}", **says(document.Webhook, 404))
async def disable(request: Request) -> Response:
    """Tell a receiver nothing more. What it was told can still be looked at."""
    by, webhook = of(request), named(request, "webhook_id")
    who = await by.identify(request, SCOPE)
    row = await by.write(
        lambda tx: stop(tx, org=who.org_id, actor=who.key_id, webhook=webhook, at=ids.now())
    )
    return shown.answer(described(row))


@routes.add(
    "GET",
    "/v1/webhooks/{webhook_id}/deliveries",
    **says(document.Deliveries, 404, query=document.PAGE),
)
async def deliveries(request: Request) -> Response:
    """What a receiver was told, and what it answered, the newest first; for a week after it was taken."""
    by, webhook = of(request), named(request, "webhook_id")
    who = await by.identify(request, SCOPE)
    page, mine = Page.of(request), outbox.c.webhook_id == webhook

    def work(tx: Connection) -> tuple[Sequence[Any], bool]:
        get(tx, who.org_id, webhook)
        return page.rows(tx, select(outbox).where(mine), outbox, mine)

    rows, more = await by.read(work)
    return shown.answer(shown.page([told(row) for row in rows], more))


@routes.add(
    "POST",
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    **says(document.Delivery, 404, 409),
)
async def replay(request: Request) -> Response:
    """Send something again, whether it was taken or given up."""
    by, webhook, delivery = of(request), named(request, "webhook_id"), named(request, "delivery_id")
    who = await by.identify(request, SCOPE)
    row = await by.write(
        lambda tx: again(tx, org=who.org_id, webhook=webhook, delivery=delivery, at=ids.now())
    )
    return shown.answer(told(row))


def described(row: Row[Any]) -> dict[str, Any]:
    """A receiver, without its secret."""
    return {
        "id": row.id,
        "object": "webhook",
        "url": row.url,
        "events": row.kinds,
        "created_at": shown.whole(row.created_at),
        "disabled_at": shown.whole(row.disabled_at),
    }


def told(row: Row[Any]) -> dict[str, Any]:
    """A delivery."""
    event = json.loads(row.body)
    return {
        "id": row.id,
        "object": "webhook.delivery",
        "webhook_id": row.webhook_id,
        "type": event["type"],
        "data": event["data"],
        "status": state(row),
        "attempts": row.attempts,
        "answer": row.answer,
        "created_at": shown.whole(row.created_at),
        "next_attempt_at": shown.whole(row.next_at),
        "delivered_at": shown.whole(row.delivered_at),
    }
