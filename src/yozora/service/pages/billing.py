"""What videos cost, how much may be spent, and what was: prices, limits, statements and tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from yozora.errors import YozoraError
from yozora.service import accounts, ids, ledger, limits, prices, usage
from yozora.service.amounts import parse_count, parse_money
from yozora.service.pages.web import Form, Pages, Visit, go, text
from yozora.service.settings import DAY

MONTHS = 12  # to choose a statement from
pages = Pages()


# --- prices ------------------------------------------------------------------------------------------


@pages.get("/prices")
async def price_table(visit: Visit) -> Response:
    """The prices that hold, those to come, and those that were; who runs the service finds the form."""
    at = ids.now()
    rows = await visit.service.read(prices.listing)
    first: dict[tuple[str, str], prices.Price] = {}
    for row in sorted(rows, key=lambda row: (row.valid_from, row.version), reverse=True):
        if row.valid_from <= at:
            first.setdefault((row.model, row.size), row)
    now = [row for row in rows if row in first.values()]
    coming = [row for row in rows if row.valid_from > at]
    past = [row for row in rows if row not in now and row not in coming]
    models = {name: visit.service.models.describe(name) for name in visit.service.models.names}
    return visit.show("prices.html", now=now, coming=coming, past=past, models=models)


@pages.post("/prices", "operator", back=price_table)
async def set_price(visit: Visit, given: Form) -> Response:
    """Adds a price; it holds for what is asked for from then on."""
    model, size = text(given, "model") or prices.ANY, text(given, "size") or prices.ANY
    if model not in (prices.ANY, *visit.service.models.names):
        raise YozoraError(f"There is no model '{model}' here.")
    per_second, per_video = (
        amount(text(given, name) or "0") for name in ("per_second", "per_video")
    )
    begins = moment(text(given, "valid_from"))

    def work(tx: Connection) -> None:
        prices.set_price(
            tx, model=model, size=size, per_second=per_second, per_video=per_video, valid_from=begins,
            by=visit.session.user_id, at=ids.now(),
        )  # fmt: skip

    await visit.service.write(work)
    return go("/prices", "price")


def amount(written: str) -> int:
    """Micro-units, from an amount as people write it. Raises YozoraError when it is none."""
    try:
        return parse_money(written.replace(",", "."))
    except ValueError:
        raise YozoraError(f"'{written[:20]}' is no amount: write one such as 0.05.") from None


def moment(written: str) -> int | None:
    """Milliseconds, from 2026-11-23T14:05 in UTC; None when nothing is written. Raises YozoraError."""
    if not written:
        return None
    try:
        return int(datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise YozoraError(
            f"'{written[:20]}' is no time: write one such as 2026-11-23T14:05."
        ) from None


# --- limits ------------------------------------------------------------------------------------------


@pages.get("/limits")
async def limit_table(visit: Visit) -> Response:
    """The limits of the organisation and of its projects, with what is used of them."""
    at = ids.now()

    def work(tx: Connection) -> list[tuple[str, str, list[limits.Limit]]]:
        named = [(visit.org, "The whole organisation")]
        named += [(row.id, f"Project {row.name}") for row in accounts.projects_of(tx, visit.org)]
        return [
            (scope, name, limits.of(tx, org_id=visit.org, scope=scope, at=at))
            for scope, name in named
        ]

    return visit.show(
        "limits.html", scopes=await visit.service.read(work), measures=limits.MEASURES
    )


@pages.post("/limits", "limits:write", back=limit_table)
async def set_limit(visit: Visit, given: Form) -> Response:
    """Sets a limit of the organisation, a project or a key; with an empty amount it is taken away."""
    scope, written = text(given, "scope"), text(given, "amount")
    measure, _, period = text(given, "what").partition("/")
    most = None
    if written:
        most = amount(written)
        most = most if measure == "spend" else whole(most, written)

    def work(tx: Connection) -> None:
        limits.set_limit(
            tx, org_id=visit.org, scope=scope, measure=measure, period=period, amount=most,
            by=visit.session.user_id, at=ids.now(),
        )  # fmt: skip

    await visit.service.write(work)
    return go(f"/keys/{scope}" if scope.startswith("key_") else "/limits", "limit")


def whole(micro: int, written: str) -> int:
    """A whole number. Raises YozoraError when it is none."""
    try:
        return parse_count(micro)
    except ValueError:
        raise YozoraError(f"'{written[:20]}' is no whole number.") from None


# --- what was used -----------------------------------------------------------------------------------


@pages.get("/statement", "usage:read")
async def statement(visit: Visit) -> Response:
    """A month's bill, which prints as a page of its own."""
    at = ids.now()
    month = visit.query("month") or usage.moment(at)[:7]

    def work(tx: Connection) -> tuple[Any, int]:
        return usage.statement(tx, visit.org, month), ledger.balance(tx, visit.org)

    found, balance = await visit.count(work)
    return visit.show("statement.html", bill=found, balance=balance, months=recent(at), at=at)


def recent(at: int) -> list[str]:
    """This month and those before it."""
    day = datetime.fromtimestamp(at / 1000, UTC)
    number = day.year * 12 + day.month - 1
    return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(number, number - MONTHS, -1)]


@pages.get("/usage.csv", "usage:read")
async def table(visit: Visit) -> Response:
    """What was used, a line for each key, model and day: of a month, or of the last days."""
    at = ids.now()
    if visit.query("month"):
        since, until = usage.span(visit.query("month"))
        name = visit.query("month")
    else:
        days = int(visit.query("days")) if visit.query("days") in ("1", "7", "30") else 30
        since, until, name = at - days * DAY, at + 1, f"{days}-days"
    found = await visit.count(lambda tx: usage.lines(tx, visit.org, since=since, until=until))
    headers = {"content-disposition": f'attachment; filename="yozora-usage-{name}.csv"'}
    return Response(usage.to_csv(found), media_type="text/csv; charset=utf-8", headers=headers)
