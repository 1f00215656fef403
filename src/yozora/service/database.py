"""One database for jobs and money: SQLite for one machine, PostgreSQL for several.

Everything that has to hold together is written in one ``write`` transaction. SQLite takes its write lock when one
begins, so that what was read in it stays true until the end; PostgreSQL locks the rows that a statement changes, and
code that reads before it writes says ``with_for_update()``, which SQLite leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError

try:
    from sqlalchemy import Connection, create_engine, event
    from sqlalchemy.engine import URL, Engine, make_url
    from sqlalchemy.exc import ArgumentError, OperationalError
except ImportError as error:
    raise YozoraError(
        f"The service needs the package {error.name}: pip install 'yozora[service]'."
    ) from error

BUSY = 30.0  # seconds that a writer waits for another one


class Database:
    """Transactions on the database at ``url``: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."""

    def __init__(self, url: str) -> None:
        self.url = parsed(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            sqlite(self.url) if self.sqlite else create_engine(self.url, pool_pre_ping=True)
        )
        self._writing = self.engine.execution_options(yozora_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self.engine.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises."""
        with self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def parsed(url: str) -> URL:
    """The address of a database with the driver that we use. Raises YozoraError when it is none."""
    try:
        parts = make_url(url)
    except ArgumentError as error:
        raise YozoraError(
            f"'{url}' is no address of a database: give sqlite:///FILE or postgresql://USER@HOST/NAME."
        ) from error
    kind = parts.get_backend_name()
    if kind == "sqlite" and parts.database not in (None, "", ":memory:"):
        return parts.set(drivername="sqlite")
    if kind == "postgresql":
        return parts.set(drivername="postgresql+psycopg")
    raise YozoraError(
        f"The service keeps its data in a file of SQLite or in PostgreSQL, not in {kind}: give sqlite:///FILE or "
        "postgresql://USER@HOST/NAME."
    )


def sqlite(url: URL) -> Engine:
    """An engine on a file of SQLite, in a folder that is made when it is missing."""
    Path(str(url.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say ourselves when a transaction begins
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(
            connection.get_execution_options().get("yozora_begin", "BEGIN DEFERRED")
        )

    return engine


def unavailable(error: OperationalError, url: URL) -> YozoraError:
    """What to tell a user whose database does not answer; its password is not shown."""
    return YozoraError(f"The database {url.render_as_string()} cannot be used: {error.orig}.")
