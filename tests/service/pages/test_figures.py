"""What the dashboard says is what the book and the videos say."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from tests.service.pages.conftest import Service

from yozora.service import ids, ledger
from yozora.service.pages.figures import HOUR, RANGES, Times, bars, collect
from yozora.service.schema import keys, videos


def add(
    service: Service, org: str, key: str, name: str, at: int, cost: int, **more: object
) -> None:
    """A video that waited 2 s and took 4 s, and its money; ``more`` are other columns."""
    with service.database.write() as tx:
        row = tx.execute(keys.select().where(keys.c.id == key)).one()
        given = {
            "id": name,
            "org_id": row.org_id,
            "project_id": row.project_id,
            "key_id": key,
            "model": "nano",
        }
        given |= {
            "prompt": "p",
            "seconds": "2",
            "size": "112x64",
            "params": {},
            "status": "completed",
        }
        given |= {"created_at": at, "started_at": at + 2000, "completed_at": at + 6000}
        tx.execute(videos.insert(), given | more)
        scopes = [key, row.project_id, row.org_id]
        ledger.reserve(
            tx,
            video_id=name,
            scopes=scopes,
            org_id=row.org_id,
            amount=cost,
            price_version=None,
            at=at,
        )
        status = more.get("status", "completed")
        if status == "completed":
            ledger.settle(tx, video_id=name, amount=cost, at=at + 6000)
        elif status == "failed":
            ledger.release(tx, video_id=name, at=at)


def test_figures_of_a_day(service: Service) -> None:
    now = ids.now()
    mine, _ = service.key("a", name="mine")
    theirs, _ = service.key("b", name="theirs")
    add(service, "a", mine, "video_1", now - 2 * HOUR, 100_000)
    add(service, "a", mine, "video_2", now - 2 * HOUR, 50_000, completed_at=now - 2 * HOUR + 60_000)
    add(service, "a", mine, "video_3", now - HOUR, 7, status="failed", error_code="cancelled")
    add(
        service,
        "a",
        mine,
        "video_4",
        now - 60_000,
        7,
        status="queued",
        started_at=None,
        completed_at=None,
    )
    add(
        service,
        "a",
        mine,
        "video_5",
        now - 100 * HOUR,
        9,
    )
    add(service, "b", theirs, "video_6", now - HOUR, 3_000_000)
    with service.database.read() as tx:
        day = collect(tx, service.orgs["a"], name="24h", at=now)
        week = collect(tx, service.orgs["a"], name="7d", at=now)
    assert (day.total, day.videos, day.waiting, day.working) == (150_000, 4, 1, 0)
    assert {name: sum(row) for name, row in day.outcomes.items()} == {
        "completed": 2,
        "failed": 1,
        "open": 1,
    }
    assert day.errors == [("cancelled", 1)]
    assert [(videos, spent) for _, videos, spent in day.keys] == [(2, 150_000)]
    assert [one for one in day.queued if one.middle] == [Times(2.0, 2.0)]
    assert [one for one in day.generating if one.middle] == [Times(4.0, 58.0)]
    assert (week.total, week.videos) == (150_009, 5)
    for name, (whole, span) in RANGES.items():
        with service.database.read() as tx:
            found = collect(tx, service.orgs["a"], name=name, at=now)
        assert len(found.spans) == len(found.spend) == len(found.queued) == whole // span


def test_the_dashboard_and_the_table_say_the_same(service: Service) -> None:
    key, _ = service.key("a", name='=HYPERLINK("http://evil.example")')
    add(service, "a", key, "video_1", ids.now() - HOUR, 123_456)
    browser = service.browser("a-viewer")
    for name in RANGES:
        page = browser.get(f"/dashboard?range={name}").text
        assert (
            page.count("0.123456") >= 4
        )  # the sum, the plot, its table, and by key, model and day
        assert "<svg" in page
    assert browser.get("/dashboard?range=x").status_code == 200
    answer = browser.get("/usage.csv?days=1")
    assert answer.headers["content-type"].startswith("text/csv")
    (line,) = csv.DictReader(io.StringIO(answer.text))
    assert line["net"] == "123456"
    assert line["key"].startswith("'=")


def test_a_statement_adds_up(service: Service) -> None:
    now = ids.now()
    key, _ = service.key("a", name="mine")
    with service.database.write() as tx:
        ledger.deposit(tx, org_id=service.orgs["a"], amount=5_000_000, by="test", at=now)
    add(service, "a", key, "video_1", now - 10_000, 1_250_000)
    browser = service.browser("a-viewer")
    page = browser.get("/statement").text
    for amount in ("5.00", "-1.25", "3.75"):
        assert amount in page
    assert browser.get("/statement?month=1999-13").status_code == 409
    assert browser.get("/usage.csv?month=1999-13").status_code == 409
    assert "Nothing was charged" in browser.get("/statement?month=1999-12").text


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_of_durations_half_and_nearly_all_stay_below(seconds: list[float]) -> None:
    times = Times.of(seconds)
    assert times.middle is not None
    assert times.slow is not None
    assert sum(one <= times.middle for one in seconds) >= len(seconds) / 2
    assert sum(one < times.middle for one in seconds) <= len(seconds) / 2
    assert sum(one <= times.slow for one in seconds) >= 0.95 * len(seconds)
    assert times.middle <= times.slow


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=30))
def test_bars_stay_in_the_picture_and_keep_their_proportions(values: list[tuple[int, int]]) -> None:
    low, high = zip(*values, strict=True)
    said = [str(i) for i in range(len(values))]
    made = bars(said, {"low": low, "high": high}, {"low": said, "high": said})
    top = max(map(sum, values)) or 1
    for bar in made:
        i = int(bar.x)
        value = low[i] if bar.kind == "low" else high[i]
        assert abs(bar.height - 100 * value / top) < 1e-6
        assert bar.y >= -1e-6
        assert bar.y + bar.height <= 100 + 1e-6
    assert len(made) == sum(one > 0 for pair in values for one in pair)
