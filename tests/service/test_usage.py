from __future__ import annotations

import csv
import io
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.tenants import AT, DAY, PEPPER, Tenant, reserved, tenant

from yozora.errors import YozoraError
from yozora.service import accounts, keys, ledger, usage
from yozora.service.database import Database

END = AT + 7 * DAY  # the last days of November, 2026


@pytest.fixture
def acme(database: Database) -> Tenant:
    """Two days: four videos paid for and one given back, one that failed, one that is set aside; and a deposit."""
    with database.write() as tx:
        acme, other = tenant(tx), tenant(tx, "other")
        for of, amount in ((acme, 10), (other, 99)):
            for model, day, part in (
                ("nano", 0, 10),
                ("nano", 0, 7),
                ("large", 0, 10),
                ("nano", 1, 0),
            ):
                video_id = reserved(tx, of, amount, model=model)
                ledger.settle(tx, video_id=video_id, amount=part, at=AT + day * DAY)
            if of is acme:
                failed = reserved(tx, of, amount)
                ledger.release(tx, video_id=failed, at=AT)
                first = reserved(tx, of, amount)
                ledger.settle(tx, video_id=first, amount=5, at=AT)
                ledger.refund(tx, org_id=of.org_id, video_id=first, by="test", at=AT + DAY)
                reserved(tx, of, amount)
        ledger.deposit(tx, org_id=acme.org_id, amount=50, by="test", at=AT - 1)
        ledger.deposit(tx, org_id=acme.org_id, amount=20, by="test", at=AT)
    return acme


def test_what_was_paid_by_key_model_and_day(database: Database, acme: Tenant) -> None:
    with database.read() as tx:
        found = usage.lines(tx, acme.org_id, since=AT, until=END)
    assert [(line.day, line.model, line.videos, line.charged, line.refunded) for line in found] == [
        ("2026-11-23", "large", 1, 10, 0),
        ("2026-11-23", "nano", 3, 22, 0),
        ("2026-11-24", "nano", 1, 0, 5),
    ]
    assert {(line.key_id, line.project_id, line.key) for line in found} == {
        (acme.key_id, acme.project_id, "a key")
    }
    with database.read() as tx:
        assert usage.lines(tx, acme.org_id, since=AT + DAY, until=AT + DAY) == []


def test_a_statement_adds_up(database: Database, acme: Tenant) -> None:
    with database.read() as tx:
        month = usage.statement(tx, acme.org_id, "2026-11")
        after = usage.statement(tx, acme.org_id, "2026-12")
        before = usage.statement(tx, acme.org_id, "2026-10")
    assert (month.org, month.opening, month.deposits, month.charged) == ("acme", 0, 70, 32)
    assert (month.refunded, month.closing, month.held) == (5, 43, 10)
    assert (after.opening, after.closing, after.held, after.lines) == (43, 43, 10, [])
    assert (before.opening, before.closing) == (0, 0)


@pytest.mark.parametrize("month", ["", "2026-13", "2026", "November", "9999-12", "2026-11-01"])
def test_a_month_that_is_none_is_said(database: Database, acme: Tenant, month: str) -> None:
    with database.read() as tx, pytest.raises(YozoraError, match="is no month"):
        usage.statement(tx, acme.org_id, month)


def test_months_meet(database: Database) -> None:
    spans = [usage.span(f"{year}-{m:02d}") for year in (2026, 2027) for m in range(1, 13)]
    assert all(one[1] == other[0] for one, other in pairwise(spans))


def test_events_are_cloud_events_and_add_up(database: Database, acme: Tenant) -> None:
    with database.read() as tx:
        found = [json.loads(line) for line in usage.events(tx, acme.org_id, since=AT, until=END)]
    for event in found:
        assert event["specversion"] == "1.0"
        assert event["source"] == f"/orgs/{acme.org_id}"
        assert event["data"]["key_id"] == acme.key_id
    assert len({event["id"] for event in found}) == len(found) == 6
    charged = [e for e in found if e["type"] == "yozora.video.charged"]
    assert sum(e["data"]["micro_units"] for e in charged) == 32
    (refund,) = (e for e in found if e["type"] == "yozora.video.refunded")
    assert (refund["data"]["micro_units"], refund["time"]) == (5, "2026-11-24T00:00:00.000Z")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.integers(-(10**15), 10**15),
        ),
        max_size=5,
    )
)
def test_a_table_is_read_as_it_was_written_and_runs_nothing(rows: list[tuple[str, int]]) -> None:
    table = [usage.Line("2026-11-23", "proj", "key", name, "nano", 1, n, 0) for name, n in rows]
    head, *found = csv.reader(io.StringIO(usage.to_csv(table), newline=""))
    assert head[:5] == ["day", "project_id", "key_id", "key", "model"]
    assert len(found) == len(rows)
    for (name, number), cells in zip(rows, found, strict=True):
        assert cells[3] in (name, f"'{name}")
        assert not cells[3].startswith(usage.FORMULA)
        assert int(cells[-1]) == number


def test_a_formula_in_a_keys_name_is_defused(database: Database) -> None:
    with database.write() as tx:
        acme = tenant(tx)
        name = '=HYPERLINK("http://x","y")'
        row, _ = keys.create(
            tx,
            PEPPER,
            org_id=acme.org_id,
            project_id=accounts.find_project(tx, acme.org_id).id,
            name=name,
            created_by="test",
            at=AT,
        )
        evil = Tenant(acme.org_id, acme.project_id, row.id, "")
        ledger.settle(tx, video_id=reserved(tx, evil, 1), amount=1, at=AT)
        text = usage.to_csv(usage.lines(tx, acme.org_id, since=AT, until=END))
    (cells,) = list(csv.reader(io.StringIO(text)))[1:]
    assert cells[3] == f"'{name}"
