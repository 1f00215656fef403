from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from yozora.service import accounts, retention
from yozora.service.artifacts import CONTENT, Artifacts
from yozora.service.database import Database
from yozora.service.retention import DAY, HOUR
from yozora.service.schema import events, files, requests

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
            row = {"key_id": "key_1", "token": str(number), "body": "", "video_id": "video_1"}
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
