"""How much a key, a project and an organisation may spend, run at once and ask for.

A limit belongs to one scope, the id of a key, a project or an organisation, and each of them holds by itself.
Spending, videos a day and videos at once are counted in rows of ``usage``, which the ledger moves together with the
money; requests a minute are counted in ``rates``. Days and months are those of UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, case, delete, select, union
from sqlalchemy.dialects import postgresql, sqlite

from yozora.errors import YozoraError
from yozora.service import audit
from yozora.service.schema import keys, limits, projects, rates, usage

MEASURES = {
    "spend": ("day", "month", "lifetime"),  # micro-units, charged or set aside
    "videos": ("day",),  # videos begun, whatever became of them
    "concurrent": ("now",),  # videos queued or in progress
    "requests": ("minute",),  # requests that change something
}
CODES = {
    "spend": "budget_exceeded",
    "videos": "quota_exceeded",
    "concurrent": "too_many_videos",
    "requests": "rate_limit_exceeded",
}
MOST = 10**15  # the largest limit; sums of such amounts stay within 64 bits
MINUTE = 60_000


class LimitReached(YozoraError):  # noqa: N818
    """A limit does not allow what was asked for; nothing was written.

    ``scope`` is the id of the key, project or organisation whose limit it is; ``wait`` is how many milliseconds to
    wait until the same request may be let through, where that is known.
    """

    def __init__(self, scope: str, measure: str, period: str, wait: int | None = None) -> None:
        self.scope, self.measure, self.period, self.wait = scope, measure, period, wait
        self.code = CODES[measure]
        super().__init__(message(scope, measure, period))


def message(scope: str, measure: str, period: str) -> str:
    """What to tell the one whose request passes a limit."""
    whose = {"key": "this API key", "proj": "this project", "org": "this organisation"}
    owner = whose.get(scope.partition("_")[0], scope)
    if measure == "spend":
        span = "" if period == "lifetime" else f" for the {period}"
        return f"The budget of {owner}{span} does not allow this video: ask for its limit to be raised."
    if measure == "concurrent":
        return f"As many videos of {owner} as may be are queued or in progress: wait until one is finished."
    if measure == "videos":
        return f"The videos that {owner} may begin in a day are used up: try again tomorrow."
    return f"The requests that {owner} may send in a minute are used up: wait a moment."


@dataclass(frozen=True)
class Limit:
    """A limit of a scope, and how much of it is used at present."""

    measure: str
    period: str
    amount: int
    used: int


def starts(at: int) -> dict[str, str]:
    """Where the periods around a time begin, as ``usage.start`` has them."""
    day = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%d")
    return {"day": day, "month": day[:7], "lifetime": "", "now": ""}


def set_limit(
    tx: Connection,
    *,
    org_id: str,
    scope: str,
    measure: str,
    period: str,
    amount: int | None,
    by: str,
    at: int,
) -> None:
    """Set a limit of the organisation or of one of its projects and keys; None takes it away.

    A limit may be set below what is used already: then nothing more is let through until enough is given back or the
    period ends.

    Raises:
        YozoraError: there is no such limit, its amount is out of range, or the scope is not the organisation's.
    """
    if period not in MEASURES.get(measure, ()):
        known = ", ".join(f"{name} a {span}" for name, spans in MEASURES.items() for span in spans)
        raise YozoraError(f"There is no limit of {measure} a {period}: there are {known}.")
    if amount is not None and not 0 <= amount <= MOST:
        raise YozoraError(f"A limit of {amount} is out of range: give 0 to {MOST}.")
    require_scope(tx, org_id, scope)
    used = tx.scalar(  # locked, so that no reservation meets two limits on its way
        select(usage.c.held + usage.c.spent)
        .where(
            usage.c.scope == scope,
            usage.c.measure == measure,
            usage.c.start == starts(at).get(period),
            usage.c.period == period,
        )
        .with_for_update()
    )
    mine = (limits.c.scope == scope, limits.c.measure == measure, limits.c.period == period)
    before = tx.scalar(select(limits.c.amount).where(*mine))
    tx.execute(delete(limits).where(*mine))
    if amount is not None:
        row = {"scope": scope, "measure": measure, "period": period, "amount": amount}
        tx.execute(limits.insert().values(row | {"set_at": at, "used": used or 0}))
    detail = {"measure": measure, "period": period, "from": before, "to": amount}
    audit.note(tx, org_id=org_id, actor=by, action="limit.set", target=scope, at=at, detail=detail)


def of(tx: Connection, *, org_id: str, scope: str, at: int) -> list[Limit]:
    """The limits of the organisation or of one of its projects and keys, with what is used of them at ``at``.

    Raises:
        YozoraError: the scope is not the organisation's.
    """
    require_scope(tx, org_id, scope)
    rows = tx.execute(select(limits).where(limits.c.scope == scope).order_by(*limits.primary_key))
    used = {
        (row.measure, row.period): row.held + row.spent
        for row in tx.execute(
            select(usage).where(usage.c.scope == scope, usage.c.start.in_(starts(at).values()))
        )
    }
    minute = tx.execute(select(rates).where(rates.c.name == scope)).first()
    if minute is not None and minute.window == at // MINUTE:
        used["requests", "minute"] = minute.count
    return [
        Limit(row.measure, row.period, row.amount, used.get((row.measure, row.period), 0))
        for row in rows
    ]


def require_scope(tx: Connection, org_id: str, scope: str) -> None:
    """Raises YozoraError when a scope is neither the organisation nor one of its projects and keys."""
    mine = union(
        select(projects.c.id).where(projects.c.id == scope, projects.c.org_id == org_id),
        select(keys.c.id).where(keys.c.id == scope, keys.c.org_id == org_id),
    )
    if scope != org_id and tx.scalar(mine) is None:
        raise YozoraError(f"There is no key, project or organisation {scope} here.")


REQUESTS = (  # built once, so that SQLAlchemy need not compile it again
    select(limits.c.scope, limits.c.amount)
    .where(limits.c.scope.in_(bindparam("scopes", expanding=True)), limits.c.measure == "requests")
    .order_by(limits.c.scope)
)


def count_request(tx: Connection, *, scopes: Sequence[str], at: int) -> None:
    """Count a request against the limits of requests a minute.

    Raises:
        LimitReached: one of them is used up.
    """
    for scope, amount in tx.execute(REQUESTS, {"scopes": list(scopes)}).all():
        wait = count(tx, scope, most=amount, window=MINUTE, at=at)
        if wait:
            raise LimitReached(scope, "requests", "minute", wait)


def count(tx: Connection, name: str, *, most: int, window: int, at: int) -> int:
    """Count something that may happen ``most`` times in ``window`` milliseconds.

    The window slides: of the one before, as much is counted as still lies within ``window`` of now, as if what
    happened then had been spread evenly over it. One row a name, changed by one statement.

    Returns:
        0 when it was counted; otherwise how many milliseconds to wait, at least, before it may happen again.
    """
    number, since = divmod(at, window)
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    same = rates.c.window >= number  # later: another process's clock is ahead of ours
    before = case((same, rates.c.before), (rates.c.window == number - 1, rates.c.count), else_=0)
    now = case((same, rates.c.count), else_=0)
    over = (number + 2) * window
    counted = insert(rates).values(name=name, window=number, count=1, before=0, over=over)
    counted = counted.on_conflict_do_update(
        index_elements=[rates.c.name],
        set_={
            "window": case((same, rates.c.window), else_=number),
            "count": now + 1,
            "before": before,
            "over": case((same, rates.c.over), else_=over),
        },
        where=(now + 1) * window + before * (window - since) <= most * window,
    )
    if most > 0 and tx.execute(counted.returning(rates.c.name)).first():
        return 0
    return window - since
