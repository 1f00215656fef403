from __future__ import annotations

import re
import shutil
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, select, text
from sqlalchemy.exc import StatementError

from yozora.errors import YozoraError
from yozora.service.database import Database
from yozora.service.schema import metadata, orgs

ORG = {"id": "org_1", "name": "default", "created_at": 1}


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with suppress(ZeroDivisionError), database.write() as tx:
        tx.execute(orgs.insert(), ORG)
        raise ZeroDivisionError
    with database.write() as tx:
        assert tx.execute(select(orgs)).all() == []


def test_a_reader_changes_nothing_and_sees_one_state(database: Database) -> None:
    with database.read() as tx:
        assert tx.execute(select(orgs)).all() == []
        with database.write() as other:
            other.execute(orgs.insert(), ORG)
        assert tx.execute(select(orgs)).all() == []
    with database.read() as tx:
        tx.execute(orgs.update().values(name="mine"))
    with database.read() as tx:
        assert tx.scalar(select(orgs.c.name)) == "default"


def test_the_steps_lead_to_the_tables_of_the_code(database: Database) -> None:
    with database.write() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []


def test_the_steps_lead_to_the_same_constraints(tmp_path: Path) -> None:
    made, upgraded = (Database(f"sqlite:///{tmp_path}/{name}") for name in ("made", "upgraded"))
    metadata.create_all(made.engine)
    upgraded.upgrade()
    found = text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'")

    def tables(database: Database) -> dict[str, list[str]]:
        with database.read() as tx:  # the same words, in whatever order constraints come
            return {
                name: sorted(re.split(r"[\s,()]+", sql or "")) for name, sql in tx.execute(found)
            }

    assert tables(made) == tables(upgraded)


def test_many_may_upgrade_at_once(database: Database) -> None:
    with database.write() as tx:
        others = MetaData()
        others.reflect(tx)
        others.drop_all(tx)
    failures = []

    def start() -> None:
        own = Database(database.url.render_as_string(hide_password=False))
        try:
            own.upgrade()
        except Exception as error:
            failures.append(error)
        own.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(metadata.tables) < set(inspect(database.engine).get_table_names())


STEP = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None


def upgrade():
    with op.batch_alter_table("orgs") as table:
        table.add_column(sa.Column("motto", sa.Text, nullable=False, server_default="none"))
"""


def test_an_older_database_is_brought_to_the_present_with_all_that_is_in_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    from yozora.service import database as module

    with database.write() as tx:
        tx.execute(orgs.insert(), ORG)
    migrations = tmp_path / "migrations"
    shutil.copytree(Path(module.__file__).with_name("migrations"), migrations)
    (migrations / "versions" / "0002.py").write_text(STEP)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "database.py"))
    database.upgrade()
    database.upgrade()
    with database.read() as tx:
        assert tx.execute(text("SELECT id, name, motto FROM orgs")).all() == [
            ("org_1", "default", "none")
        ]

    monkeypatch.undo()
    with pytest.raises(YozoraError, match="newer version of yozora"):
        database.upgrade()


@pytest.mark.parametrize("url", ["mysql://a/b", "sqlite://", "nonsense", "sqlite:///:memory:"])
def test_what_is_no_database_is_said(url: str) -> None:
    with pytest.raises(YozoraError, match=r"sqlite:///FILE"):
        Database(url)


def test_a_server_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(YozoraError, match="cannot be used") as caught:
        Database("postgresql://me:hush@127.0.0.1:1/none").upgrade()
    assert "hush" not in str(caught.value)


def test_errors_do_not_repeat_what_people_wrote(database: Database) -> None:
    words = "nobody is to read these words"
    with pytest.raises(StatementError) as caught, database.write() as tx:
        tx.execute(
            text("INSERT INTO orgs (id, name) VALUES (:id, :name)"), {"id": "o", "name": words}
        )
    shown = "".join(traceback.format_exception(caught.value))
    assert words not in shown
    assert "orgs" in shown
