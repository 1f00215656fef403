"""Many threads and processes on one budget: it is spent to the last micro-unit, and never passed."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import func, select
from tests.service.tenants import AT, Tenant, reserved, tenant, with_key

from yozora.service import jobs, ledger, limits
from yozora.service.database import Database
from yozora.service.limits import LimitReached
from yozora.service.schema import holds, videos

THREADS, PROCESSES, EACH = 64, 16, 6
BUDGET = 1000


def customer(database: Database, of: Tenant, seed: int) -> Counter[str]:
    """Reserve, then settle, release or leave open, as chance has it; what became of it."""
    chance, seen = random.Random(seed), Counter[str]()
    for _ in range(EACH):
        amount = chance.randint(1, 20)
        try:
            with database.write() as tx:
                video_id = reserved(tx, of, amount)
        except LimitReached:
            seen["refused"] += 1
            continue
        fate = chance.choice(["settle", "release", "leave", "both"])
        if fate in ("settle", "both"):
            with database.write() as tx:
                seen["settled"] += ledger.settle(
                    tx, video_id=video_id, amount=chance.randint(0, amount), at=AT
                )
        if fate in ("release", "both"):
            with database.write() as tx:
                seen["released"] += ledger.release(tx, video_id=video_id, at=AT)
        seen["left"] += fate == "leave"
    return seen


def at_once(work: list[Callable[[], None]]) -> None:
    """Run them in as many threads, and raise what the first one raised."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def two_keys(database: Database) -> tuple[Tenant, Tenant]:
    """Two keys of one organisation with a budget."""
    with database.write() as tx:
        first = tenant(tx)
        second = with_key(tx, first.org_id)
        limits.set_limit(
            tx,
            org_id=first.org_id,
            scope=first.org_id,
            measure="spend",
            period="day",
            amount=BUDGET,
            by="test",
            at=AT,
        )
    return first, second


def agree(database: Database, of: Tenant, seen: Counter[str]) -> None:
    """What the customers saw is what is in the database, and it is within the budget."""
    with database.read() as tx:
        assert ledger.check(tx) == []
        states = dict(
            tx.execute(select(holds.c.state, func.count()).group_by(holds.c.state)).all()  # type: ignore[arg-type]
        )
        (limit,) = limits.of(tx, org_id=of.org_id, scope=of.org_id, at=AT)
    assert states == {
        "settled": seen["settled"],
        "released": seen["released"],
        "open": seen["left"],
    }
    assert limit.used <= BUDGET
    assert limit.used > BUDGET - 20  # the budget was short, so the race was one
    assert seen["refused"] > 0


def test_threads_race_on_one_budget(database: Database) -> None:
    keys = two_keys(database)
    results: list[Counter[str]] = []

    def run(number: int) -> Callable[[], None]:
        return lambda: results.append(customer(database, keys[number % 2], number))

    at_once([run(number) for number in range(THREADS)])
    agree(database, keys[0], sum(results, Counter()))


def process(
    address: str, of: Tenant, number: int, start: Barrier, seen: Queue[Counter[str]]
) -> None:
    """What one of the processes does, with connections of its own."""
    database = Database(address)
    start.wait()
    found: Counter[str] = Counter()
    for seed in range(4):
        found += customer(database, of, 4 * number + seed)
    database.close()
    seen.put(found)


def test_processes_race_on_one_budget(database: Database, address: str) -> None:
    keys = two_keys(database)
    context = multiprocessing.get_context("forkserver")  # copies of one that has imported all
    context.set_forkserver_preload([__name__])
    start, queue = context.Barrier(PROCESSES), context.Queue()
    children = [
        context.Process(target=process, args=(address, keys[number % 2], number, start, queue))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    seen = sum((queue.get(timeout=120) for _ in children), Counter[str]())
    for child in children:
        child.join()
    agree(database, keys[0], seen)


@pytest.mark.parametrize("way", ["settle", "release", "refund"])
def test_of_many_who_close_one_hold_one_does(database: Database, way: str) -> None:
    with database.write() as tx:
        acme = tenant(tx)
        video_id = reserved(tx, acme, 30)
        if way == "refund":
            ledger.settle(tx, video_id=video_id, amount=30, at=AT)
    done: list[bool] = []

    def close(number: int) -> None:
        with database.write() as tx:
            if way == "refund":
                did = ledger.refund(
                    tx, org_id=acme.org_id, video_id=video_id, by=str(number), at=AT
                )
            elif way == "settle" or number % 2:
                did = ledger.settle(tx, video_id=video_id, amount=number, at=AT)
            else:
                did = ledger.release(tx, video_id=video_id, at=AT)
        done.append(did)

    at_once([lambda n=n: close(n) for n in range(16)])  # type: ignore[misc]
    assert sorted(done) == [False] * 15 + [True]
    with database.read() as tx:
        assert ledger.check(tx) == []


def test_what_ends_many_videos_waits_for_nobody_for_ever(database: Database) -> None:
    """Workers that finish, and reapers who take back what others of two organisations had: no deadlock."""
    with database.write() as tx:
        tenants = [tenant(tx, name) for name in ("a", "b")]
    for round_ in range(4):
        with database.write() as tx:
            made = [reserved(tx, tenants[n % 2], 1) for n in range(16)]
            row = {"status": "in_progress", "worker": "dead", "lease_until": AT, "attempt": 1}
            tx.execute(videos.update().where(videos.c.id.in_(made)).values(row | {"lost": 9}))

        def reap() -> None:
            left = [""]
            while left:
                with database.write() as tx:
                    left = jobs.reap(tx, at=AT)

        def end(video: str) -> None:
            with database.write() as tx:
                jobs.fail(tx, video, code="x", message="x", at=AT)

        some = random.Random(round_).sample(made, 6)
        at_once([reap] * 4 + [partial(end, video) for video in some])
    with database.read() as tx:
        assert ledger.check(tx) == []
        assert set(tx.scalars(select(holds.c.state))) == {"released"}


def test_new_keys_of_a_new_organisation_find_no_deadlock(database: Database) -> None:
    with database.write() as tx:
        org = tenant(tx).org_id
        tenants = [with_key(tx, org) for _ in range(24)]

    def begin(of: Tenant, day: int) -> Callable[[], None]:
        def run() -> None:
            with database.write() as tx:
                reserved(tx, of, 1, at=AT + day * 24 * 3600 * 1000)

        return run

    at_once([begin(of, number % 3) for number, of in enumerate(tenants)])
    with database.read() as tx:
        assert ledger.check(tx) == []
