"""Anything in any order: whatever happens to videos, prices, limits and deposits, the money agrees with a plain model.

LEDGER_STEPS says how many steps are taken (300).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update
from tests.service.tenants import AT, Tenant, tenant, video, with_key

from yozora.service import ledger, limits, prices, usage
from yozora.service.database import Database
from yozora.service.limits import LimitReached
from yozora.service.schema import metadata, postings, videos

STEPS = int(os.environ.get("LEDGER_STEPS", "300"))
MODELS = ("nano", "large")
LIMITS = [
    ("spend", "day"),
    ("spend", "month"),
    ("spend", "lifetime"),
    ("videos", "day"),
    ("concurrent", "now"),
]


@dataclass
class Video:
    """What the model knows of a video."""

    id: str
    of: Tenant
    amount: int
    at: int
    state: str = "open"
    attempts: int = 0
    charged: int = 0


@dataclass
class Model:
    """The same money, kept as simply as can be."""

    videos: list[Video] = field(default_factory=list)
    prices: list[tuple[str, int, int]] = field(default_factory=list)  # model, a second, a video
    limits: dict[tuple[str, str, str], int] = field(default_factory=dict)
    deposits: dict[str, int] = field(default_factory=dict)

    def price(self, model: str, seconds: int) -> int:
        for wanted in (model, "*"):
            for name, per_second, per_video in reversed(self.prices):
                if name == wanted:
                    return per_second * seconds + per_video
        return 0

    def used(self, scope: str, measure: str, period: str, at: int) -> int:
        mine = [v for v in self.videos if scope in v.of.scopes]
        if period in ("day", "month"):
            mine = [v for v in mine if begun(v.at, period) == begun(at, period)]
        if measure == "spend":
            return sum(v.amount if v.state == "open" else v.charged for v in mine)
        return len([v for v in mine if measure == "videos" or v.state == "open"])

    def allows(self, of: Tenant, amount: int, at: int) -> bool:
        return all(
            self.used(scope, measure, period, at) + more <= most
            for (scope, measure, period), most in self.limits.items()
            if scope in of.scopes and (more := amount if measure == "spend" else 1) > 0
        )

    def balance(self, org_id: str) -> int:
        mine = [v for v in self.videos if v.of.org_id == org_id]
        gone = sum(v.amount if v.state == "open" else v.charged for v in mine)
        return self.deposits.get(org_id, 0) - gone


def begun(at: int, period: str) -> tuple[int, ...]:
    when = datetime.fromtimestamp(at / 1000, UTC)
    return (when.year, when.month) + ((when.day,) if period == "day" else ())


class Money(RuleBasedStateMachine):
    """Customers, workers and the operator, each doing what they do in a transaction of its own."""

    database: Database
    steps = 0
    known = Bundle("known")

    @initialize()
    def begin(self) -> None:
        self.at, self.model = AT, Model()
        with self.database.write() as tx:
            for table in reversed(metadata.sorted_tables):
                tx.execute(table.delete())
            first, other = tenant(tx, "first"), tenant(tx, "other")
            self.tenants = [first, with_key(tx, first.org_id), other]

    @rule(hours=st.integers(0, 40))
    def wait(self, hours: int) -> None:
        self.at += hours * 3600 * 1000

    @rule(model=st.sampled_from((*MODELS, "*")), second=st.integers(0, 9), each=st.integers(0, 20))
    def change_price(self, model: str, second: int, each: int) -> None:
        with self.database.write() as tx:
            prices.set_price(
                tx, model=model, per_second=second, per_video=each, by="test", at=self.at
            )
        self.model.prices.append((model, second, each))

    @rule(
        who=st.integers(0, 2),
        scope=st.integers(0, 2),
        limit=st.sampled_from(LIMITS),
        amount=st.none() | st.integers(0, 120),
    )
    def set_limit(self, who: int, scope: int, limit: tuple[str, str], amount: int | None) -> None:
        of = self.tenants[who]
        measure, period = limit
        if amount is not None and measure != "spend":
            amount //= 10
        key = (of.scopes[scope], measure, period)
        with self.database.write() as tx:
            limits.set_limit(
                tx,
                org_id=of.org_id,
                scope=key[0],
                measure=measure,
                period=period,
                amount=amount,
                by="test",
                at=self.at,
            )
        self.model.limits.pop(key, None)
        if amount is not None:
            self.model.limits[key] = amount

    @rule(who=st.integers(0, 2), amount=st.integers(-50, 200).filter(bool))
    def deposit(self, who: int, amount: int) -> None:
        org_id = self.tenants[who].org_id
        with self.database.write() as tx:
            ledger.deposit(tx, org_id=org_id, amount=amount, by="test", at=self.at)
        self.model.deposits[org_id] = self.model.deposits.get(org_id, 0) + amount

    @rule(
        target=known,
        who=st.integers(0, 2),
        model=st.sampled_from(MODELS),
        seconds=st.integers(1, 8),
    )
    def create(self, who: int, model: str, seconds: int) -> Video | None:
        of = self.tenants[who]
        expected = self.model.price(model, seconds)
        allowed = self.model.allows(of, expected, self.at)
        try:
            with self.database.write() as tx:
                amount, version = prices.price(tx, model, "112x64", str(seconds), self.at)
                video_id = video(tx, of, model, self.at)
                ledger.reserve(
                    tx,
                    video_id=video_id,
                    scopes=of.scopes,
                    org_id=of.org_id,
                    amount=amount,
                    price_version=version,
                    at=self.at,
                )
        except LimitReached:
            assert not allowed
            return None
        assert allowed
        assert amount == expected
        made = Video(video_id, of, amount, self.at)
        self.model.videos.append(made)
        return made

    @rule(made=known)
    def claim(self, made: Video | None) -> None:
        """A worker takes it: for the first time, or because the one before lost its lease in a crash."""
        if made and made.state == "open":
            self.change(made, status="in_progress", attempt=videos.c.attempt + 1)
            made.attempts += 1

    @rule(made=known, behind=st.integers(0, 1), part=st.integers(0, 100))
    def finish(self, made: Video | None, behind: int, part: int) -> None:
        """A worker is done, perhaps one whose lease was lost: only the last attempt settles."""
        if not made:
            return
        amount = made.amount * part // 100
        with self.database.write() as tx:
            mine = tx.execute(
                update(videos)
                .where(
                    videos.c.id == made.id,
                    videos.c.status == "in_progress",
                    videos.c.attempt == made.attempts - behind,
                )
                .values(status="completed")
            ).rowcount
            settled = bool(mine) and ledger.settle(tx, video_id=made.id, amount=amount, at=self.at)
        assert settled == (made.state == "open" and made.attempts > 0 and behind == 0)
        if settled:
            made.state, made.charged = "settled", amount

    @rule(made=known, why=st.sampled_from(["cancelled", "expired", "too_many_attempts"]))
    def fail(self, made: Video | None, why: str) -> None:
        if not made:
            return
        with self.database.write() as tx:
            released = ledger.release(tx, video_id=made.id, at=self.at)
            if released:
                tx.execute(
                    update(videos)
                    .where(videos.c.id == made.id)
                    .values(status="failed", error_code=why)
                )
        assert released == (made.state == "open")
        if released:
            made.state = "released"

    @rule(made=known)
    def refund(self, made: Video | None) -> None:
        if not made:
            return
        with self.database.write() as tx:
            done = ledger.refund(tx, org_id=made.of.org_id, video_id=made.id, by="test", at=self.at)
        assert done == (made.state == "settled")
        if done:
            made.state, made.charged = "refunded", 0

    def change(self, made: Video, **values: Any) -> None:
        with self.database.write() as tx:
            tx.execute(update(videos).where(videos.c.id == made.id).values(**values))

    @invariant()
    def money_agrees(self) -> None:
        type(self).steps += 1
        with self.database.read() as tx:
            assert ledger.check(tx) == []
            for of in self.tenants[::2]:
                assert ledger.balance(tx, of.org_id) == self.model.balance(of.org_id)
                for scope in of.scopes:
                    for limit in limits.of(tx, org_id=of.org_id, scope=scope, at=self.at):
                        key = (scope, limit.measure, limit.period)
                        assert limit.amount == self.model.limits[key]
                        assert limit.used == self.model.used(*key, at=self.at)

    def teardown(self) -> None:
        if not hasattr(self, "at"):
            return
        with self.database.read() as tx:
            for of in self.tenants[::2]:
                found = usage.statement(tx, of.org_id, usage.moment(self.at)[:7])
                assert (
                    found.opening + found.deposits - found.charged + found.refunded == found.closing
                )
                assert found.closing == self.model.balance(of.org_id) + found.held
                whole = usage.lines(tx, of.org_id, since=0, until=self.at + 1)
                mine = [v for v in self.model.videos if v.of.org_id == of.org_id]
                assert sum(line.net for line in whole) == sum(v.charged for v in mine)
            assert set(tx.scalars(select(postings.c.kind).distinct())) <= {
                "reserve",
                "settle",
                "release",
                "refund",
                "deposit",
            }


def test_whatever_happens_the_money_agrees(database: Database) -> None:
    class Here(Money):
        pass

    Here.database = database
    while Here.steps < STEPS:
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=max(1, (STEPS - Here.steps) // 40),
                stateful_step_count=50,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"{Here.steps} steps")
