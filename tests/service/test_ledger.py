from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from tests.service.tenants import AT, DAY, Tenant, reserved, tenant, video, with_key

from yozora.errors import YozoraError
from yozora.service import ledger, limits
from yozora.service.database import Database
from yozora.service.limits import LimitReached
from yozora.service.schema import holds, postings, usage


@pytest.fixture
def acme(database: Database) -> Tenant:
    with database.write() as tx:
        return tenant(tx)


def limit(
    database: Database, of: Tenant, scope: str, measure: str, period: str, amount: int | None
) -> None:
    with database.write() as tx:
        limits.set_limit(
            tx,
            org_id=of.org_id,
            scope=scope,
            measure=measure,
            period=period,
            amount=amount,
            by="test",
            at=AT,
        )


def used(database: Database, scope: str, measure: str, start: str) -> tuple[int, int]:
    with database.read() as tx:
        row = tx.execute(
            select(usage.c.held, usage.c.spent).where(
                usage.c.scope == scope, usage.c.measure == measure, usage.c.start == start
            )
        ).one()
    return row.held, row.spent


def violations(database: Database) -> list[str]:
    with database.read() as tx:
        return ledger.check(tx)


def balances(database: Database) -> dict[str, int]:
    found: dict[str, int] = {}
    with database.read() as tx:
        for account, amount in tx.execute(select(postings.c.account, postings.c.amount)):
            name = account.partition(":")[0]
            found[name] = found.get(name, 0) + amount
    return found


def test_money_is_set_aside_then_taken_and_the_rest_given_back(
    database: Database, acme: Tenant
) -> None:
    with database.write() as tx:
        ledger.deposit(tx, org_id=acme.org_id, amount=100, by="test", at=AT)
        video_id = reserved(tx, acme, 30)
    assert balances(database) == {"bank": -100, "org": 70, "held": 30}
    for scope in acme.scopes:
        assert used(database, scope, "spend", "2026-11") == (30, 0)
        assert used(database, scope, "concurrent", "") == (1, 0)
    with database.write() as tx:
        assert ledger.settle(tx, video_id=video_id, amount=20, at=AT + 5)
    assert balances(database) == {"bank": -100, "org": 80, "held": 0, "revenue": 20}
    for scope in acme.scopes:
        assert used(database, scope, "spend", "2026-11-23") == (0, 20)
        assert used(database, scope, "concurrent", "") == (0, 0)
        assert used(database, scope, "videos", "2026-11-23") == (0, 1)
    with database.write() as tx:
        assert ledger.refund(tx, org_id=acme.org_id, video_id=video_id, by="test", at=AT + 9)
        assert ledger.balance(tx, acme.org_id) == 100
    assert used(database, acme.org_id, "spend", "") == (0, 0)
    assert violations(database) == []


def test_a_hold_is_closed_once(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        settled, released = reserved(tx, acme, 30), reserved(tx, acme, 30)
        assert ledger.settle(tx, video_id=settled, amount=30, at=AT)
        assert ledger.release(tx, video_id=released, at=AT)
        for video_id in (settled, released):
            assert not ledger.settle(tx, video_id=video_id, amount=30, at=AT)
            assert not ledger.release(tx, video_id=video_id, at=AT)
        assert not ledger.refund(tx, org_id=acme.org_id, video_id=released, by="test", at=AT)
        assert ledger.refund(tx, org_id=acme.org_id, video_id=settled, by="test", at=AT)
        assert not ledger.refund(tx, org_id=acme.org_id, video_id=settled, by="test", at=AT)
        assert not ledger.settle(tx, video_id=settled, amount=30, at=AT)
    assert balances(database) == {"org": 0, "held": 0, "revenue": 0}
    assert violations(database) == []


def test_a_video_has_one_hold(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        video_id = reserved(tx, acme, 30)
    with pytest.raises(IntegrityError), database.write() as tx:
        ledger.reserve(
            tx,
            video_id=video_id,
            scopes=acme.scopes,
            org_id=acme.org_id,
            amount=1,
            price_version=None,
            at=AT,
        )
    assert balances(database) == {"org": -30, "held": 30}
    assert violations(database) == []


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("period", ["day", "month", "lifetime"])
def test_each_limit_of_each_scope_holds_to_the_last_micro_unit(
    database: Database, acme: Tenant, position: int, period: str
) -> None:
    limit(database, acme, acme.scopes[position], "spend", period, 100)
    with database.write() as tx:
        first = reserved(tx, acme, 60)
        reserved(tx, acme, 40)
        reserved(tx, acme, 0)  # what is free may be had still
        with pytest.raises(LimitReached) as caught:
            reserved(tx, acme, 1)
    error = caught.value
    assert (error.scope, error.measure, error.period) == (acme.scopes[position], "spend", period)
    assert error.code == "budget_exceeded"
    with database.write() as tx:  # a part that was not needed may be spent again
        ledger.settle(tx, video_id=first, amount=50, at=AT)
        reserved(tx, acme, 10)
        with pytest.raises(LimitReached):
            reserved(tx, acme, 1)
    assert violations(database) == []


def test_what_is_refused_writes_nothing(database: Database, acme: Tenant) -> None:
    limit(database, acme, acme.org_id, "spend", "day", 10)
    with database.write() as tx:
        reserved(tx, acme, 10)
        before = tx.execute(select(usage).order_by(*usage.primary_key)).all()
        with pytest.raises(LimitReached):
            reserved(tx, acme, 1)
        assert tx.execute(select(usage).order_by(*usage.primary_key)).all() == before
        assert len(tx.execute(select(holds)).all()) == 1
    assert violations(database) == []


def test_the_first_scope_that_refuses_is_named(database: Database, acme: Tenant) -> None:
    for scope in acme.scopes:
        limit(database, acme, scope, "spend", "day", 5)
    with database.write() as tx, pytest.raises(LimitReached) as caught:
        reserved(tx, acme, 6)
    assert caught.value.scope == acme.key_id
    assert "this API key" in str(caught.value)


def test_a_day_begins_anew_and_what_was_held_before_stays_in_its_day(
    database: Database, acme: Tenant
) -> None:
    limit(database, acme, acme.org_id, "spend", "day", 10)
    with database.write() as tx:
        late = reserved(tx, acme, 10, at=AT + DAY - 1)
        reserved(tx, acme, 10, at=AT + DAY)
        ledger.settle(tx, video_id=late, amount=10, at=AT + DAY + 5)
        with pytest.raises(LimitReached):
            reserved(tx, acme, 1, at=AT + 2 * DAY - 1)
    assert used(database, acme.org_id, "spend", "2026-11-23") == (0, 10)
    assert used(database, acme.org_id, "spend", "2026-11-24") == (10, 0)
    assert violations(database) == []


def test_videos_at_once_and_videos_a_day_are_limited(database: Database, acme: Tenant) -> None:
    limit(database, acme, acme.project_id, "concurrent", "now", 2)
    limit(database, acme, acme.key_id, "videos", "day", 3)
    with database.write() as tx:
        first = reserved(tx, acme, 0)
        reserved(tx, acme, 0)
        with pytest.raises(LimitReached) as caught:
            reserved(tx, acme, 0)
        assert caught.value.code == "too_many_videos"
        ledger.release(tx, video_id=first, at=AT)
        third = reserved(tx, acme, 0)
        ledger.release(tx, video_id=third, at=AT)
        with pytest.raises(LimitReached) as caught:
            reserved(tx, acme, 0)
        assert caught.value.code == "quota_exceeded"
        reserved(tx, acme, 0, at=AT + DAY)
    assert violations(database) == []


def test_a_limit_below_what_is_used_lets_nothing_more_through_and_is_no_violation(
    database: Database, acme: Tenant
) -> None:
    with database.write() as tx:
        reserved(tx, acme, 80)
        second = reserved(tx, acme, 20)
    limit(database, acme, acme.org_id, "spend", "month", 50)
    assert violations(database) == []
    with database.write() as tx, pytest.raises(LimitReached):
        reserved(tx, acme, 1)
    with database.write() as tx:
        ledger.release(tx, video_id=second, at=AT)
    limit(database, acme, acme.org_id, "spend", "month", 90)
    with database.write() as tx:
        reserved(tx, acme, 10)
    assert violations(database) == []


def test_a_limit_does_not_hold_for_days_that_are_over(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        reserved(tx, acme, 80, at=AT - DAY)
    limit(database, acme, acme.org_id, "spend", "day", 50)
    assert violations(database) == []
    with database.write() as tx:
        reserved(tx, acme, 50)
        with pytest.raises(LimitReached):
            reserved(tx, acme, 1, at=AT + DAY - 1)
    assert violations(database) == []


def test_one_key_spends_its_organisations_budget_and_not_anothers(
    database: Database, acme: Tenant
) -> None:
    with database.write() as tx:
        second = with_key(tx, acme.org_id)
        other = tenant(tx, "other")
    limit(database, acme, acme.org_id, "spend", "lifetime", 10)
    with database.write() as tx:
        reserved(tx, acme, 10)
        with pytest.raises(LimitReached):
            reserved(tx, second, 1)
        reserved(tx, other, 1000)
    assert violations(database) == []


@pytest.mark.parametrize("amount", [31, -1, 10**30])
def test_no_more_is_taken_than_was_set_aside(database: Database, acme: Tenant, amount: int) -> None:
    with database.write() as tx:
        video_id = reserved(tx, acme, 30)
        with pytest.raises(YozoraError, match="cannot be taken"):
            ledger.settle(tx, video_id=video_id, amount=amount, at=AT)
        assert ledger.settle(tx, video_id=video_id, amount=30, at=AT)


def test_what_cannot_be_is_said(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        other = tenant(tx, "other")
        theirs = reserved(tx, other, 5)
        ledger.settle(tx, video_id=theirs, amount=5, at=AT)
        for amount in (-1, ledger.MOST + 1):
            with pytest.raises(YozoraError, match="cannot cost"):
                reserved(tx, acme, amount)
        for close in (ledger.release, lambda *a, **k: ledger.settle(*a, **k, amount=0)):
            with pytest.raises(YozoraError, match="No money was ever set aside"):
                close(tx, video_id=video(tx, acme), at=AT)
        with pytest.raises(YozoraError, match="No money was ever set aside"):
            ledger.refund(tx, org_id=acme.org_id, video_id=theirs, by="test", at=AT)
        for amount in (0, ledger.MOST + 1):
            with pytest.raises(YozoraError, match="out of range"):
                ledger.deposit(tx, org_id=acme.org_id, amount=amount, by="test", at=AT)
        with pytest.raises(YozoraError, match="no organisation"):
            ledger.deposit(tx, org_id="org_none", amount=1, by="test", at=AT)


def test_a_database_that_was_changed_by_hand_is_found_out(database: Database, acme: Tenant) -> None:
    limit(database, acme, acme.org_id, "spend", "day", 100)
    with database.write() as tx:
        video_id = reserved(tx, acme, 30)
        reserved(tx, acme, 5)
    one = select(postings.c.id).where(postings.c.kind == "reserve").limit(1).scalar_subquery()
    org_day = (usage.c.scope == acme.org_id) & (usage.c.start == "2026-11-23")
    mischief = {
        "sums to": delete(postings).where(postings.c.id == one),
        "in the book, and the holds say": update(holds)
        .where(holds.c.video_id == video_id)
        .values(amount=3),
        "and the holds say 35 and 0": update(usage)
        .where(org_day, usage.c.measure == "spend")
        .values(spent=7),
        "100 are allowed, and 135 are used": update(usage)
        .where(org_day, usage.c.measure == "spend")
        .values(spent=100),
        "no row, and holds count in it": delete(usage).where(usage.c.scope == acme.key_id),
    }
    for said, change in mischief.items():
        with database.engine.connect() as tx:
            tx.execute(change)
            assert any(said in line for line in ledger.check(tx)), said
            tx.rollback()
    assert violations(database) == []
