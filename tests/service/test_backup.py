from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from yozora.errors import YozoraError
from yozora.service import accounts, audit, keys, ledger, prices
from yozora.service.artifacts import VIDEO, Artifacts
from yozora.service.backup import back_up, restore
from yozora.service.database import Database
from yozora.service.schema import metadata
from yozora.service.settings import Settings

AT = 1_790_000_000_000
KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=[(a, b) for a in KINDS for b in KINDS], ids="-".join)
def two(
    request: pytest.FixtureRequest, tmp_path: Path, empty_postgresql: Callable[[], str]
) -> tuple[Settings, Settings]:
    """A service with something in it, and settings for one that is not there yet."""
    before, after = request.param
    new = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/{before}-new.sqlite",
        "postgresql": empty_postgresql,
    }
    first = Settings(tmp_path / "one", str(request.getfixturevalue(f"new_{before}")()))
    fill(first)
    return first, Settings(tmp_path / "two", new[after]())


def fill(settings: Settings) -> None:
    pepper = keys.pepper(settings.data)
    database = Database(settings.database)
    with database.write() as tx:
        accounts.ensure_default(tx, by="test", at=AT)
        org = accounts.find_org(tx, "default").id
        project = accounts.find_project(tx, org).id
        keys.create(
            tx, pepper, org_id=org, project_id=project, name="a", scopes=["videos:read"], models=None,
            expires_at=None, created_by="test", at=AT,
        )  # fmt: skip
        prices.set_price(tx, per_second=5, by="test", at=AT)
        ledger.deposit(tx, org_id=org, amount=1_000_000, by="test", at=AT)
    database.close()
    with Artifacts(settings.artifacts).adding("video_abc-1") as folder:
        (folder / VIDEO).write_bytes(b"\0film" * 1000)
    (settings.artifacts / "aa").mkdir(exist_ok=True)
    (settings.artifacts / "aa" / ".half-built").write_bytes(b"x")


def rows(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    database = Database(settings.database)
    with database.read() as tx:
        found = {
            t.name: sorted((tuple(row) for row in tx.execute(select(t))), key=repr)
            for t in metadata.sorted_tables
        }
    database.close()
    return found


def test_a_service_comes_back_as_it_was_in_a_database_of_either_kind(
    two: tuple[Settings, Settings], tmp_path: Path
) -> None:
    first, second = two
    done = back_up(first, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    restored = restore(second, tmp_path / "b.tar")
    assert rows(second) == rows(first)
    assert restored == done
    assert done["files"] == 2  # the film and the pepper
    assert Artifacts(second.artifacts).path("video_abc-1").read_bytes() == b"\0film" * 1000
    assert keys.pepper(second.data) == keys.pepper(first.data)
    database = Database(second.database)
    with database.write() as tx:  # numbers go on where they were
        org = accounts.find_org(tx, "default").id
        audit.note(tx, org_id=org, actor="me", action="a.b", target="c", at=AT)
        prices.set_price(tx, per_second=6, by="test", at=AT + 1)
        ledger.deposit(tx, org_id=org, amount=5, by="test", at=AT)
        assert ledger.check(tx) == []
    database.close()


def test_nothing_is_overwritten(tmp_path: Path, new_sqlite: Callable[[], str]) -> None:
    first = Settings(tmp_path / "one", new_sqlite())
    fill(first)
    back_up(first, tmp_path / "b.tar")
    before = (tmp_path / "b.tar").read_bytes()
    with pytest.raises(YozoraError, match="exists"):
        back_up(first, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == before
    with pytest.raises(YozoraError, match="not empty"):
        restore(first, tmp_path / "b.tar")
    with pytest.raises(YozoraError, match="tables already"):
        restore(Settings(tmp_path / "new", first.db), tmp_path / "b.tar")


@pytest.mark.parametrize("damage", ["cut", "foreign", "text"])
def test_what_is_no_whole_backup_is_refused(
    damage: str, tmp_path: Path, new_sqlite: Callable[[], str]
) -> None:
    first = Settings(tmp_path / "one", new_sqlite())
    fill(first)
    file = tmp_path / "b.tar"
    back_up(first, file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:3000])
    elif damage == "text":
        file.write_text("no archive")
    else:
        with tarfile.open(file, "w") as archive:
            archive.add(__file__, "other.py")
    with pytest.raises(YozoraError, match="cannot be restored"):
        restore(Settings(tmp_path / "two"), file)


def test_a_file_never_lands_elsewhere(tmp_path: Path, new_sqlite: Callable[[], str]) -> None:
    first = Settings(tmp_path / "one", new_sqlite())
    fill(first)
    file = tmp_path / "b.tar"
    back_up(first, file)
    with tarfile.open(file, "a") as archive:
        archive.add(__file__, "data/../../escaped.py")
    with pytest.raises(YozoraError, match="no place"):
        restore(Settings(tmp_path / "two"), file)
    assert not (tmp_path.parent / "escaped.py").exists()
    assert not (tmp_path / "escaped.py").exists()
