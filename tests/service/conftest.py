"""Databases to test on: each test that asks for one runs on SQLite and on a real PostgreSQL.

The server is Debian's, started once for all tests in a folder of its own, and reached through a socket in that folder.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from yozora.service.database import Database

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
NUMBERS = itertools.count()
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 -c listen_addresses="


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a server's first database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    binaries = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="yozora-pg-"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:  # the server refuses to run as root
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*user, str(binaries / program), "-D", str(folder / "data"), *arguments]
        with open(folder / "server.log", "a") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=folder)

    try:
        run("initdb", "-A", "trust", "-U", "yozora", "-N", "-E", "UTF8", "--locale=C")
        run("pg_ctl", "start", "-w", "-o", f"-k {folder} {FAST}")
        try:
            yield f"postgresql://yozora@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_postgresql(postgresql: str) -> Iterator[Callable[[], str]]:
    """Makes a database with today's tables, and gives its address."""
    server = Database(postgresql)
    server.engine = server.engine.execution_options(isolation_level="AUTOCOMMIT")

    def create(name: str, template: str) -> str:
        with server.engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return postgresql.replace("/postgres?", f"/{name}?")

    model = Database(create("model", "template0"))
    model.upgrade()
    model.close()
    yield lambda: create(f"test_{next(NUMBERS)}", "model")
    server.close()


@pytest.fixture(scope="session")
def empty_postgresql(postgresql: str) -> Iterator[Callable[[], str]]:
    """Makes a database without tables, and gives its address."""
    server = Database(postgresql)
    server.engine = server.engine.execution_options(isolation_level="AUTOCOMMIT")

    def create() -> str:
        name = f"empty_{next(NUMBERS)}"
        with server.engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
        return postgresql.replace("/postgres?", f"/{name}?")

    yield create
    server.close()


@pytest.fixture(scope="session")
def new_sqlite() -> Iterator[Callable[[], str]]:
    """Makes a file with today's tables, and gives its address; in memory where that is, as each commit is synced."""
    folder = Path(tempfile.mkdtemp(prefix="yozora-", dir=MEMORY))
    model = Database(f"sqlite:///{folder}/model.sqlite")
    model.upgrade()
    model.close()

    def create() -> str:
        file = shutil.copy(folder / "model.sqlite", folder / f"{next(NUMBERS)}.sqlite")
        return f"sqlite:///{file}"

    yield create
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    """The address of a database with today's tables and nothing in it."""
    return str(request.getfixturevalue(f"new_{request.param}")())


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """A database with today's tables and nothing in it."""
    database = Database(address)
    yield database
    database.close()
