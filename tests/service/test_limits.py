from __future__ import annotations

import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from tests.service.tenants import AT, Tenant, tenant

from yozora.errors import YozoraError
from yozora.service import limits
from yozora.service.database import Database
from yozora.service.limits import MINUTE, LimitReached
from yozora.service.schema import rates


@pytest.fixture
def acme(database: Database) -> Tenant:
    with database.write() as tx:
        return tenant(tx)


def a_minute(database: Database, of: Tenant, scope: str, amount: int | None) -> None:
    with database.write() as tx:
        limits.set_limit(
            tx,
            org_id=of.org_id,
            scope=scope,
            measure="requests",
            period="minute",
            amount=amount,
            by="test",
            at=AT,
        )


def ask(database: Database, of: Tenant, at: int) -> bool:
    try:
        with database.write() as tx:
            limits.count_request(tx, scopes=of.scopes, at=at)
    except LimitReached:
        return False
    return True


def test_requests_a_minute(database: Database, acme: Tenant) -> None:
    assert all(ask(database, acme, AT) for _ in range(9))
    a_minute(database, acme, acme.project_id, 3)
    a_minute(database, acme, acme.org_id, 5)
    assert [ask(database, acme, AT + n) for n in range(5)] == [True, True, True, False, False]
    with database.write() as tx, pytest.raises(LimitReached, match="in a minute") as caught:
        limits.count_request(tx, scopes=acme.scopes, at=AT + 9)
    assert (caught.value.code, caught.value.scope) == ("rate_limit_exceeded", acme.project_id)
    assert caught.value.wait == MINUTE - 9
    assert ask(database, acme, AT + 2 * MINUTE)
    with database.read() as tx:
        (limit,) = limits.of(tx, org_id=acme.org_id, scope=acme.project_id, at=AT + 2 * MINUTE + 5)
        assert (limit.amount, limit.used) == (3, 1)
        (limit,) = limits.of(tx, org_id=acme.org_id, scope=acme.org_id, at=AT + 9 * MINUTE)
        assert limit.used == 0
    a_minute(database, acme, acme.org_id, 0)
    assert not ask(database, acme, AT + 9 * MINUTE)
    a_minute(database, acme, acme.org_id, None)
    assert ask(database, acme, AT + 9 * MINUTE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(most=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_what_was_just_used_up_does_not_come_back_at_the_turn_of_a_minute(
    database: Database, most: int, seed: int
) -> None:
    """What is let through in two neighbouring halves of windows is no more than a window's and a half."""
    chance, at, passed = random.Random(seed), AT, []
    with database.write() as tx:
        tx.execute(delete(rates))
        for _ in range(60):
            at += chance.choice([0, 1, 500, 5000])
            wait = limits.count(tx, "x", most=most, window=MINUTE, at=at)
            assert 0 <= wait <= MINUTE
            if not wait:
                passed.append(at)
    for number in range(AT // MINUTE, at // MINUTE + 1):
        within = [t for t in passed if t // MINUTE == number]
        assert len(within) <= most
        before = [t for t in passed if t // MINUTE == number - 1]
        for count, t in enumerate(within, 1):
            assert count * MINUTE + len(before) * (MINUTE - t % MINUTE) <= most * MINUTE


def test_a_clock_that_lags_counts_in_the_later_window(database: Database) -> None:
    with database.write() as tx:
        answers = [
            limits.count(tx, "x", most=2, window=MINUTE, at=at) == 0 for at in (AT, AT - 5, AT - 5)
        ]
    assert answers == [True, True, False]


def test_many_processes_share_one_count(database: Database) -> None:
    passed: list[int] = []

    def ask_often() -> None:
        own = Database(database.url.render_as_string(hide_password=False))  # as a process has it
        for _ in range(10):
            with own.write() as tx:
                passed.append(limits.count(tx, "x", most=30, window=MINUTE, at=AT))
        own.close()

    threads = [threading.Thread(target=ask_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), passed.count(0)) == (80, 30)


def test_limits_are_set_shown_and_taken_away(database: Database, acme: Tenant) -> None:
    a_minute(database, acme, acme.key_id, 5)
    a_minute(database, acme, acme.key_id, 7)
    with database.read() as tx:
        (limit,) = limits.of(tx, org_id=acme.org_id, scope=acme.key_id, at=AT)
        assert (limit.measure, limit.period, limit.amount) == ("requests", "minute", 7)
    a_minute(database, acme, acme.key_id, None)
    with database.read() as tx:
        assert limits.of(tx, org_id=acme.org_id, scope=acme.key_id, at=AT) == []


def test_nobody_limits_or_sees_what_is_anothers(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        other = tenant(tx, "other")
    for scope in (*other.scopes, "key_none", ""):
        with pytest.raises(YozoraError, match="There is no key, project or organisation"):
            a_minute(database, acme, scope, 1)
        with database.read() as tx, pytest.raises(YozoraError, match="There is no"):
            limits.of(tx, org_id=acme.org_id, scope=scope, at=AT)


@pytest.mark.parametrize(
    ("measure", "period", "amount"),
    [
        ("requests", "day", 1),
        ("colour", "day", 1),
        ("spend", "day", -1),
        ("spend", "day", limits.MOST + 1),
    ],
)
def test_a_limit_that_cannot_be_is_said(
    database: Database, acme: Tenant, measure: str, period: str, amount: int
) -> None:
    with database.write() as tx, pytest.raises(YozoraError, match=r"no limit|out of range"):
        limits.set_limit(
            tx,
            org_id=acme.org_id,
            scope=acme.org_id,
            measure=measure,
            period=period,
            amount=amount,
            by="test",
            at=AT,
        )
