"""Money, by double entry: set aside when a video is created, taken when it is finished, given back when it is not.

Each function works in the write transaction of its caller, so that a video and its money stand or fall together, and
takes the time from it. Every transaction of postings sums to zero. The accounts are org:ID (what an organisation has;
below zero, what it owes), held:ID (what of it is set aside), revenue:ID (what it paid) and bank (the world outside,
from which deposits come). Beside the book stand the rows of ``usage``, which make a limit one condition of one UPDATE.

Locks are taken in one order, so that PostgreSQL finds no deadlock: a hold, then its rows of usage as they are sorted.
That is an order only as long as a transaction closes one hold at most: whoever has several to close closes each in a
transaction of its own. SQLite has one writer at a time and needs none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    case,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from yozora.errors import YozoraError
from yozora.service import audit, ids
from yozora.service.limits import MEASURES, LimitReached, starts
from yozora.service.schema import holds, limits, orgs, postings, usage

MOST = 10**12  # micro-units in one posting: a million of the currency; sums stay within 64 bits
# What a reservation counts in: all but requests, which are counted where they arrive.
COUNTED = [(m, period) for m, periods in MEASURES.items() for period in periods if m != "requests"]

# --- the statements, built once so that SQLAlchemy need not compile them again -----------------------

AMOUNT: BindParameter[int] = bindparam("amount")
CHARGED: BindParameter[int] = bindparam("charged")
SCOPES: BindParameter[list[str]] = bindparam("scopes", expanding=True)
STARTS: BindParameter[list[str]] = bindparam("starts", expanding=True)
THEIRS = usage.c.scope.in_(SCOPES) & usage.c.start.in_(STARTS)
HELD = case((usage.c.measure == "spend", AMOUNT), (usage.c.measure == "concurrent", 1), else_=0)
BEGUN = case((usage.c.measure == "videos", 1), else_=0)
TAKEN = case((usage.c.measure == "spend", CHARGED), else_=0)


def limit_of(rows: FromClause) -> ColumnElement[bool]:
    """The condition that joins rows of usage with their limits."""
    return and_(*(limits.c[name] == rows.c[name] for name in ("scope", "measure", "period")))


other = usage.alias("other")
more = case((other.c.measure == "spend", AMOUNT), else_=1)
PASSED = (
    select(other.c.scope, other.c.measure, other.c.period)
    .join(limits, limit_of(other))
    .where(
        other.c.scope.in_(SCOPES),
        other.c.start.in_(STARTS),
        more > 0,  # what is free may be had when the budget is used up
        other.c.held + other.c.spent + more > limits.c.amount,
    )
)
COUNT = select(func.count()).select_from(usage).where(THEIRS)
LOCK = select(usage.c.scope).where(THEIRS).order_by(*usage.primary_key).with_for_update()
RESERVE = (
    update(usage)
    .where(THEIRS, ~exists(PASSED))
    .values(held=usage.c.held + HELD, spent=usage.c.spent + BEGUN)
)
CLOSE = update(usage).where(THEIRS).values(held=usage.c.held - HELD, spent=usage.c.spent + TAKEN)
UNSPEND = update(usage).where(THEIRS).values(spent=usage.c.spent - TAKEN)


# --- what happens to a video's money ----------------------------------------------------------------


def reserve(
    tx: Connection,
    *,
    video_id: str,
    scopes: Sequence[str],
    org_id: str,
    amount: int,
    price_version: int | None,
    at: int,
) -> None:
    """Set money aside for a video that is in the database already, and count it against all limits.

    Args:
        tx: a write transaction.
        video_id: the video's; it has no hold yet.
        scopes: the ids of its key, its project and its organisation.
        org_id: whose money it is.
        amount: micro-units, as `prices.price` gave them; 0 is counted like any other.
        price_version: which price that was.
        at: milliseconds; they decide in which day and month the video counts, now and for ever.

    Raises:
        LimitReached: a limit of a scope does not allow it, the first in the order of ``scopes``; nothing was written.
    """
    if not 0 <= amount <= MOST:
        raise YozoraError(
            f"A video cannot cost {amount} micro-units: set a price that gives 0 to {MOST}."
        )
    rows = {"scopes": list(scopes), "starts": sorted(set(starts(at).values()))}
    expected = len(scopes) * len(COUNTED)
    if tx.scalar(COUNT, rows) != expected:
        add_rows(tx, scopes, at)
    lock(tx, rows)
    touched = tx.execute(RESERVE, rows | {"amount": amount}).rowcount
    if touched != expected:
        raise reached(tx, rows | {"amount": amount})
    hold = {"video_id": video_id, "org_id": org_id, "amount": amount, "state": "open"}
    hold |= {"scopes": list(scopes), "price_version": price_version, "created_at": at}
    tx.execute(holds.insert(), hold)
    post(tx, "reserve", {f"org:{org_id}": -amount, f"held:{org_id}": amount}, video_id, at)


def settle(tx: Connection, *, video_id: str, amount: int, at: int) -> bool:
    """Take ``amount`` of what was set aside for a video, and give back the rest. Once: False when it was closed before.

    Raises:
        YozoraError: there is no hold, or it is smaller than the amount; nothing was written.
    """
    if not 0 <= amount <= MOST:
        raise YozoraError(f"{amount} micro-units cannot be taken for {video_id}: give 0 to {MOST}.")
    return close(tx, video_id, "settled", amount, at)


def release(tx: Connection, *, video_id: str, at: int) -> bool:
    """Give back all that was set aside for a video. Once: False when it was closed before.

    Raises:
        YozoraError: there is no hold.
    """
    return close(tx, video_id, "released", 0, at)


def refund(tx: Connection, *, org_id: str, video_id: str, by: str, at: int) -> bool:
    """Give back what was taken for a finished video. Once: False when nothing was taken, or it was given back before.

    Raises:
        YozoraError: the organisation has no such video.
    """
    hold = require_hold(tx, video_id)
    if hold.org_id != org_id:
        raise YozoraError(f"No money was ever set aside for {video_id}.")
    found = tx.execute(
        update(holds)
        .where(holds.c.video_id == video_id, holds.c.state == "settled")
        .values(state="refunded")
        .returning(*holds.c)
    ).first()
    if found is None:
        return False
    rows = counted_in(found)
    lock(tx, rows)
    tx.execute(UNSPEND, rows | {"charged": found.charged})
    entries = {f"revenue:{found.org_id}": -found.charged, f"org:{found.org_id}": found.charged}
    post(tx, "refund", entries, video_id, at)
    detail = {"micro_units": found.charged}
    audit.note(
        tx, org_id=org_id, actor=by, action="video.refund", target=video_id, at=at, detail=detail
    )
    return True


def deposit(tx: Connection, *, org_id: str, amount: int, by: str, at: int) -> None:
    """Note money that came in for an organisation; below zero, that went back to it.

    Raises:
        YozoraError: the amount is 0 or out of range, or there is no such organisation.
    """
    if not 0 < abs(amount) <= MOST:
        raise YozoraError(f"A deposit of {amount} micro-units is out of range: give 1 to {MOST}.")
    if tx.scalar(select(orgs.c.id).where(orgs.c.id == org_id)) is None:
        raise YozoraError(f"There is no organisation {org_id}.")
    post(tx, "deposit", {"bank": -amount, f"org:{org_id}": amount}, None, at)
    detail = {"micro_units": amount}
    audit.note(
        tx, org_id=org_id, actor=by, action="org.deposit", target=org_id, at=at, detail=detail
    )


def balance(tx: Connection, org_id: str) -> int:
    """Micro-units that an organisation has beside what is set aside; below zero, what it owes."""
    total = select(func.coalesce(func.sum(postings.c.amount), 0))
    return int(tx.scalar(total.where(postings.c.account == f"org:{org_id}")) or 0)


# --- how ---------------------------------------------------------------------------------------------


def close(tx: Connection, video_id: str, state: str, charged: int, at: int) -> bool:
    """Close an open hold: what was charged is revenue, the rest goes back."""
    found = tx.execute(
        update(holds)
        .where(holds.c.video_id == video_id, holds.c.state == "open", holds.c.amount >= charged)
        .values(state=state, charged=charged, closed_at=at)
        .returning(*holds.c)
    ).first()
    if found is None:
        hold = require_hold(tx, video_id)
        if hold.state == "open":
            raise YozoraError(
                f"{charged} micro-units cannot be taken for {video_id}: {hold.amount} are set aside."
            )
        return False
    rows = counted_in(found)
    lock(tx, rows)
    tx.execute(CLOSE, rows | {"amount": found.amount, "charged": charged})
    entries = {f"held:{found.org_id}": -found.amount}
    if state == "settled":
        entries[f"revenue:{found.org_id}"] = charged
    if charged < found.amount or state == "released":
        entries[f"org:{found.org_id}"] = found.amount - charged
    post(tx, "settle" if state == "settled" else "release", entries, video_id, at)
    return True


def require_hold(tx: Connection, video_id: str) -> Any:
    """The hold of a video. Raises YozoraError when it has none."""
    hold = tx.execute(select(holds).where(holds.c.video_id == video_id)).first()
    if hold is None:
        raise YozoraError(f"No money was ever set aside for {video_id}.")
    return hold


def counted_in(hold: Any) -> dict[str, Any]:
    """Which rows of usage a hold counts in: those of the time when it was made."""
    return {"scopes": hold.scopes, "starts": sorted(set(starts(hold.created_at).values()))}


def add_rows(tx: Connection, scopes: Sequence[str], at: int) -> None:
    """Make the rows of usage that are not there yet: in one order, so that two who do so wait for each other."""
    begin = starts(at)
    rows = [
        {"scope": scope, "measure": measure, "period": period, "start": begin[period]}
        for scope in scopes
        for measure, period in COUNTED
    ]
    rows.sort(key=lambda row: (row["scope"], row["start"], row["measure"]))
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    tx.execute(insert(usage).values(rows).on_conflict_do_nothing())


def lock(tx: Connection, rows: Mapping[str, Any]) -> None:
    """Lock rows of usage in their order, where the database has such locks."""
    if tx.dialect.name == "postgresql":
        tx.execute(LOCK, rows).all()


def reached(tx: Connection, rows: Mapping[str, Any]) -> LimitReached:
    """Which limit it was that did not allow a reservation: the first in the order of the scopes."""
    found = tx.execute(PASSED, rows).all()
    first = min(found, key=lambda row: rows["scopes"].index(row.scope))
    return LimitReached(first.scope, first.measure, first.period)


def post(
    tx: Connection, kind: str, entries: Mapping[str, int], video_id: str | None, at: int
) -> None:
    """Write a transaction into the book: account -> micro-units that it gains."""
    row = {"transaction": ids.new("txn"), "kind": kind, "video_id": video_id, "at": at}
    tx.execute(
        postings.insert(), [row | {"account": name, "amount": n} for name, n in entries.items()]
    )


# --- whether all of it agrees ------------------------------------------------------------------------


def check(tx: Connection) -> list[str]:
    """What is wrong with the money, in words: nothing, unless somebody changed the database by hand.

    ``tx`` has to see one state of the database, as that of `Database.read` does.
    """
    return [*unbalanced(tx), *miscounted(tx), *exceeded(tx)]


def unbalanced(tx: Connection) -> Iterator[str]:
    """Transactions that do not sum to zero, and accounts that are not what the holds say."""
    total = func.sum(postings.c.amount)
    for row in tx.execute(
        select(postings.c.transaction, total.label("sum"))
        .group_by(postings.c.transaction)
        .having(total != 0)
    ):
        yield f"transaction {row.transaction} sums to {row.sum}, not to 0"
    whole = tx.scalar(select(func.coalesce(total, 0)))
    if whole != 0:
        yield f"all postings sum to {whole}, not to 0"
    book = {
        account: int(n)
        for account, n in tx.execute(select(postings.c.account, total).group_by(postings.c.account))
        if account.startswith(("held:", "revenue:"))
    }
    should: dict[str, int] = defaultdict(int)
    for hold in tx.execute(select(holds)):
        if hold.state == "open":
            should[f"held:{hold.org_id}"] += hold.amount
        elif hold.state == "settled":
            should[f"revenue:{hold.org_id}"] += hold.charged
    for account in sorted(book.keys() | should.keys()):
        if book.get(account, 0) != should[account]:
            yield f"{account}: {book.get(account, 0)} in the book, and the holds say {should[account]}"


def miscounted(tx: Connection) -> Iterator[str]:
    """Rows of usage that are not what the holds say."""
    should: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for hold in tx.execute(select(holds)):
        begin = starts(hold.created_at)
        is_open, taken = hold.state == "open", hold.charged if hold.state == "settled" else 0
        counts = {
            "spend": (hold.amount if is_open else 0, taken),
            "concurrent": (int(is_open), 0),
            "videos": (0, 1),
        }
        for scope in hold.scopes:
            for measure, period in COUNTED:
                held, spent = counts[measure]
                count = should[scope, measure, period, begin[period]]
                count[0] += held
                count[1] += spent
    for row in tx.execute(select(usage)):
        held, spent = should.pop((row.scope, row.measure, row.period, row.start), (0, 0))
        if (row.held, row.spent) != (held, spent):
            yield (
                f"usage of {row.scope}, {row.measure} a {row.period} {row.start}: {row.held} held and {row.spent} "
                f"spent, and the holds say {held} and {spent}"
            )
    for scope, measure, period, start in should:
        yield f"usage of {scope}, {measure} a {period} {start}: no row, and holds count in it"


def exceeded(tx: Connection) -> Iterator[str]:
    """Limits that were passed: more is used than they allow, and than was used already when they were set."""
    used = usage.c.held + usage.c.spent
    columns = (*usage.c, limits.c.amount, limits.c.set_at, limits.c.used)
    for row in tx.execute(
        select(*columns).join(limits, limit_of(usage)).where(used > limits.c.amount)
    ):
        since = starts(row.set_at)[row.period]
        if row.start < since:
            continue  # a day or a month that was over when the limit was set
        before = row.used if row.start == since else 0
        if row.held + row.spent > max(row.amount, before):
            yield (
                f"limit of {row.scope}, {row.measure} a {row.period} {row.start}: {row.amount} are allowed, and "
                f"{row.held + row.spent} are used"
            )
