from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from yozora.service import accounts, limits, retention
from yozora.service.artifacts import CONTENT, Artifacts
from yozora.service.database import Database
from yozora.service.retention import DAY, HOUR
from yozora.service.schema import batch_lines, batches, events, files, keys, rates, requests

NOW = 1_790_000_000_000


@pytest.fixture
def uploads(tmp_path: Path, database: Database) -> Artifacts:
    """Two uploads, one of which expires now, and traces of two ages."""
    store = Artifacts(tmp_path)
    with database.write() as tx:
        accounts.ensure_default(tx, by="test", at=1)
        org = accounts.find_org(tx, "default").id
        for name, until in (("file_old", NOW), ("file_new", NOW + 1)):
            row = {"id": name, "org_id": org, "name": "a.png", "purpose": "vision", "bytes": 3}
            row |= {"sha256": "0" * 64, "created_at": 1, "expires_at": until}
            tx.execute(insert(files).values(row))
            with store.adding(name) as folder:
                (folder / CONTENT).write_bytes(b"abc")
        for age in (HOUR // 2, 2 * HOUR):
            for kind in ("progress", "preview", "completed"):
                row = {"video_id": "video_1", "kind": kind, "data": {}, "at": NOW - age}
                tx.execute(insert(events).values(row))
        for number, age in enumerate((HOUR, 2 * DAY)):
            row = {"key_id": "key_1", "token": str(number), "body": "", "made": "video_1"}
            tx.execute(insert(requests).values(row | {"created_at": NOW - age}))
    return store


def counts(database: Database) -> tuple[int, ...]:
    with database.read() as tx:
        return tuple(
            int(tx.scalar(select(func.count()).select_from(t))) for t in (events, requests)
        )


def test_what_is_over_goes_and_the_rest_stays(database: Database, uploads: Artifacts) -> None:
    assert counts(database) == (6, 2)
    retention.clean(database, uploads, NOW)
    assert counts(database) == (4, 1)
    assert list(uploads.names()) == ["file_new"]
    with database.read() as tx:
        (left,) = tx.scalars(select(files.c.id).where(files.c.deleted_at.is_(None)))
    assert left == "file_new"


def test_what_was_interrupted_is_done_the_next_time(database: Database, uploads: Artifacts) -> None:
    with database.write() as tx:
        assert retention.sweep(tx, at=NOW) == ["file_old"]
    assert "file_old" in set(uploads.names())  # killed before the file went
    retention.clean(database, uploads, NOW)
    assert list(uploads.names()) == ["file_new"]
    with database.write() as tx:
        assert retention.sweep(tx, at=NOW) == []


def test_rates_are_forgotten_when_they_count_no_more(database: Database) -> None:
    with database.write() as tx:
        for name in ("a", "b", "b"):
            assert limits.count(tx, name, most=5, window=1_000, at=NOW + 1_000 * (name == "b")) == 0
        retention.sweep(tx, at=NOW + 2_000)
        assert list(tx.scalars(select(rates.c.name))) == ["b"]
        assert (
            limits.count(tx, "b", most=2, window=1_000, at=NOW + 2_000) > 0
        )  # the window before counts still


def test_the_lines_of_old_batches_go(database: Database) -> None:
    times = {"recent": NOW - DAY, "old": NOW - 8 * DAY, "open": None}
    with database.write() as tx:
        accounts.ensure_default(tx, by="test", at=1)
        org = accounts.find_org(tx, "default")
        project = accounts.find_project(tx, org.id)
        key = {"id": "key_1", "project_id": project.id, "org_id": org.id, "name": "x", "digest": ""}
        tx.execute(insert(keys).values(key | {"scopes": [], "created_at": 1}))
        for name, ended in times.items():
            row = {"id": name, "org_id": org.id, "key_id": "key_1", "input_file_id": "file_1"}
            row |= {"status": "x", "notes": {}, "errors": [], "created_at": 1, "expires_at": 2}
            tx.execute(insert(batches).values(row | {"ended_at": ended}))
            line = {"batch_id": name, "line": 1, "custom_id": "a", "body": {"prompt": "secret"}}
            tx.execute(insert(batch_lines).values(line))
        retention.sweep(tx, at=NOW)
        assert set(tx.scalars(select(batch_lines.c.batch_id))) == {"recent", "open"}
