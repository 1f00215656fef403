"""One database for jobs and money: SQLite for one machine, PostgreSQL for several.

Everything that has to hold together is written in one ``write`` transaction. SQLite takes its write lock when one
begins, so that what was read in it stays true until the end; PostgreSQL locks the rows that a statement changes, and
code that reads before it writes says ``with_for_update()``, which SQLite leaves out.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yozora.errors import YozoraError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import ExceptionContext

try:
    from sqlalchemy import Connection, create_engine, event, text
    from sqlalchemy.engine import URL, Engine, make_url
    from sqlalchemy.exc import (
        ArgumentError,
        InterfaceError,
        InternalError,
        OperationalError,
    )
    from sqlalchemy.exc import TimeoutError as PoolTimeout
except ImportError as error:
    raise YozoraError(
        f"The service needs the package {error.name}: pip install 'yozora[service]'."
    ) from error

BUSY = 30.0  # seconds that a writer waits for another one
QUIET: dict[str, Any] = {
    "hide_parameters": True
}  # errors are logged, and values are people's words
IDLE = 20.0  # seconds after which PostgreSQL ends a transaction that says nothing: it holds locks
# What is raised where the database does not answer, or not in time: worth trying again. PostgreSQL's end of an idle
# transaction is an InternalError, a pool without a free connection a TimeoutError.
AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
UPGRADING = 0x796F7A6F  # the advisory lock of whoever upgrades a PostgreSQL database


class Database:
    """Transactions on the database at ``url``: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.

    ``data``: where that lies which is not in the database, if not where `folder` says.
    """

    def __init__(self, url: str, data: Path | None = None) -> None:
        self.url = parsed(url)
        self.data = data
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = sqlite(self.url) if self.sqlite else postgresql(self.url)
        self._writing = self.engine.execution_options(yozora_begin="BEGIN IMMEDIATE")
        self._reading = self.engine.execution_options(
            **{} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        )
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._reading.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises."""
        with self._in_turn(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One of this process's threads after the other, where SQLite would let them poll for its lock."""
        if self.sqlite and not self._turn.acquire(timeout=BUSY):
            locked = sqlite3.OperationalError("database is locked")
            raise OperationalError("BEGIN IMMEDIATE", None, locked)  # as SQLite itself says it
        try:
            yield
        finally:
            if self.sqlite:
                self._turn.release()

    def upgrade(self, to: str = "head") -> None:
        """Bring a new or an older database to the tables of this version; one process does, others wait for it.

        Args:
            to: the revision to stop at, for an older version's tables.

        Raises:
            YozoraError: the database was written by a newer version, or cannot be used.
        """
        from alembic import command
        from alembic.util import CommandError

        try:
            with self.write() as tx:
                self.unhurried(tx)
                if not self.sqlite:
                    tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADING})
                command.upgrade(alembic(tx), to)
        except CommandError as error:
            raise YozoraError(
                f"The database {self.url.render_as_string()} was written by a newer version of yozora: "
                "install that one."
            ) from error
        except OperationalError as error:
            raise unavailable(error, self.url) from error

    def unhurried(self, tx: Connection) -> None:
        """Let a transaction wait and pause for as long as it likes, as upgrades and backups may."""
        if not self.sqlite:
            for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
                tx.execute(text(f"SET LOCAL {name} = 0"))

    def ahead(self) -> float:
        """Seconds that this machine's clock is ahead of the database's, about; 0 where the database is a file here."""
        if self.sqlite:
            return 0.0
        with self.read() as tx:
            theirs = tx.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        return time.time() - float(theirs)

    @property
    def folder(self) -> Path:
        """Where that lies which is not in the database: beside its file, or in the user's data folder."""
        if self.data is not None:
            return self.data
        return Path(str(self.url.database)).absolute().parent if self.sqlite else home()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def home() -> Path:
    """The user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("yozora")


def located(data: Path | None, url: str | None) -> tuple[Path, str]:
    """The data folder and the address of the database, as far as they are given; one follows from the other."""
    if data is None:
        data = Database(url).folder if url else home()
    return data.absolute(), url or f"sqlite:///{data.absolute() / 'service.sqlite'}"


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
    """An engine on a file of SQLite; it is made when it is missing, for nobody else to read."""
    file = Path(str(url.database)).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    engine = create_engine(url, connect_args={"timeout": BUSY, "check_same_thread": False}, **QUIET)

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


def postgresql(url: URL) -> Engine:
    """An engine on a PostgreSQL server, which lets go of what a client holds that has stopped or is cut off.

    Its errors say what is wrong, and not with which values.
    """
    limits = f"-c idle_in_transaction_session_timeout={IDLE * 1000:.0f} -c lock_timeout={BUSY * 1000:.0f}"
    arguments = {
        "options": f"{url.query.get('options', '')} {limits}".strip(),
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    engine = create_engine(url, pool_pre_ping=True, connect_args=arguments, **QUIET)

    @event.listens_for(engine, "handle_error")
    def quieten(context: ExceptionContext) -> None:
        said = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
        if said and context.sqlalchemy_exception is not None:
            context.original_exception.args = context.sqlalchemy_exception.args = (said,)

    return engine


def why(error: Exception) -> str:
    """What a database said, without the statement and the words in it."""
    return str(getattr(error, "orig", error))


def unavailable(error: OperationalError, url: URL) -> YozoraError:
    """What to tell a user whose database does not answer; its password is not shown."""
    return YozoraError(f"The database {url.render_as_string()} cannot be used: {error.orig}.")


def alembic(tx: Connection) -> Config:
    """How alembic finds the steps of ``migrations``, and works within a transaction of ours."""
    from alembic.config import Config

    settings = Config()
    folder = Path(__file__).with_name("migrations")
    settings.set_main_option("script_location", str(folder).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = tx
    return settings


def revision(tx: Connection) -> str:
    """Which step of ``migrations`` the database is at."""
    from alembic.migration import MigrationContext

    return str(MigrationContext.configure(tx).get_current_revision())
