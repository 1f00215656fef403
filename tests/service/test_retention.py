from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from tests.service.queues import Queue

from yozora.service import accounts, jobs, limits, retention
from yozora.service.artifacts import CONTENT, Artifacts
from yozora.service.database import Database
from yozora.service.retention import HOUR
from yozora.service.schema import (
    batch_lines,
    batches,
    events,
    files,
    keys,
    rates,
    requests,
    workers,
)
from yozora.service.settings import DAY

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
    retention.clean(database, uploads, NOW + DAY + 1)
    with database.read() as tx:  # of what was deleted a day ago nothing is left
        assert set(tx.scalars(select(files.c.id))) == {"file_new"}
    assert list(uploads.names()) == []


def test_an_upload_of_nothing_goes_like_any_other(database: Database, uploads: Artifacts) -> None:
    with database.write() as tx:
        tx.execute(files.update().values(bytes=0))
    retention.clean(database, uploads, NOW)
    assert list(uploads.names()) == ["file_new"]


def test_what_videos_that_ended_said_goes_and_that_of_open_ones_stays(database: Database) -> None:
    queue = Queue(database, NOW)
    open_, ended = queue.ask(), queue.ask(priority=1)
    queue.finish(*queue.claim())
    with database.write() as tx:
        retention.sweep(tx, at=NOW + DAY)
    assert queue.kinds(ended) == ["queued", "started", "completed"]
    with database.write() as tx:
        retention.sweep(tx, at=NOW + 2 * DAY)
    assert (queue.kinds(ended), queue.kinds(open_)) == ([], ["queued"])


def test_workers_that_nobody_has_seen_for_a_day_go(database: Database) -> None:
    with database.write() as tx:
        for name, seen in (("old", NOW - 2 * DAY), ("new", NOW)):
            jobs.sign(tx, worker=name, models=["nano"], at=seen)
        retention.sweep(tx, at=NOW)
        assert list(tx.scalars(select(workers.c.name))) == ["new"]


def test_what_is_nobodys_goes_from_the_stores_after_a_day(
    database: Database, uploads: Artifacts, tmp_path: Path
) -> None:
    queue, made = Queue(database, NOW), Artifacts(tmp_path / "made")
    video = queue.ask()
    queue.finish(*queue.claim())
    old = (NOW - 2 * DAY) / 1000
    for store, names in (
        (uploads, ["file_stray"]),
        (made, [f"{video}-1", f"{video}-2", "video_x-1"]),
    ):
        for name in names:
            with store.adding(name):
                pass
        half = store.path(names[0]).parent.with_name(f".{names[0]}.building-elsewhere-1-2")
        half.mkdir()
        for path in (half, *(store.path(name).parent for name in store.names())):
            os.utime(path, (old, old))
    with made.adding("video_y-1"):  # just now, and not in the database yet
        pass
    retention.clear(database, made, uploads, NOW)
    assert set(uploads.names()) == {"file_old", "file_new"}
    assert set(made.names()) == {f"{video}-1", "video_y-1"}
    assert not list(tmp_path.glob("**/.*.building-*"))


def test_what_was_interrupted_is_done_the_next_time(database: Database, uploads: Artifacts) -> None:
    with database.write() as tx:
        assert retention.sweep(tx, at=NOW) == ["file_old"]
    assert "file_old" in set(uploads.names())  # killed before the file went
    retention.clean(database, uploads, NOW)
    assert list(uploads.names()) == ["file_new"]


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
