"""One file that holds a whole service: tables, finished videos, uploads and secrets; and a service made of it again.

The tables are JSON lines, so that a backup of SQLite can be restored into PostgreSQL and the other way round: this is
also how a service moves when one machine is not enough. The file holds the secrets that keys are checked with; keep it
as safe as the service.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import JSON, Connection, MetaData, Table, func, insert, inspect, select, text

import yozora
from yozora.artifact import sync
from yozora.errors import YozoraError
from yozora.service.database import Database, revision
from yozora.service.schema import metadata
from yozora.service.settings import Settings

FACTS = "backup.json"
TABLES, FILES = "tables", "data"
ROWS = 500  # written to a database at once
PASSING = (
    "service.sqlite",
    "service.sqlite-wal",
    "service.sqlite-shm",
)  # of the data folder: the tables hold it
Say = Callable[[str, int], None]  # what was done, and how many of it


def back_up(settings: Settings, file: Path, say: Say = lambda what, count: None) -> dict[str, int]:
    """Write a service to a file, while it runs; returns how many rows of each table and files there were.

    The tables are of one moment. A video that is deleted meanwhile is left out, one that is finished meanwhile is in
    progress in the backup and made again after a restore. The file is whole or not there, for its owner's eyes only.

    Raises:
        YozoraError: the file exists, or something cannot be read or written.
    """
    if file.exists():
        raise YozoraError(f"{file} exists: name another file, a backup overwrites none.")
    part = file.with_name(f".{file.name}.part")
    counts: dict[str, int] = {}
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w") as archive:
            database = Database(settings.database)
            with database.read() as tx:
                database.unhurried(tx)
                facts = {"yozora": yozora.__version__, "revision": revision(tx)}
                add(archive, FACTS, json.dumps(facts).encode())
                for table in metadata.sorted_tables:
                    lines = [json.dumps(dict(row._mapping)) for row in tx.execute(select(table))]
                    add(archive, f"{TABLES}/{table.name}.jsonl", "\n".join(lines).encode())
                    counts[table.name] = len(lines)
                    say(table.name, len(lines))
            database.close()
            counts["files"] = 0
            for path in stored(settings.data):
                try:
                    archive.add(path, f"{FILES}/{path.relative_to(settings.data)}", recursive=False)
                except FileNotFoundError:  # deleted just now, as its time was up
                    continue
                counts["files"] += 1
                say("files", counts["files"])
        sync(part)
        part.replace(file)
        sync(file.absolute().parent)
    except OSError as error:
        raise YozoraError(f"The backup {file} cannot be written: {error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return counts


def stored(data: Path) -> Iterator[Path]:
    """The files of a service's folder that are whole; what is being built is hidden, and left out."""
    for path in sorted(data.rglob("*")):
        inside = path.relative_to(data)
        if any(part.startswith(".") for part in inside.parts) or inside.name in PASSING:
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file of the backup."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, io.BytesIO(content))


def restore(settings: Settings, file: Path, say: Say = lambda what, count: None) -> dict[str, int]:
    """Make a service of a backup, in an empty folder and an empty database of either kind.

    A backup of an older version is brought to the present.

    Raises:
        YozoraError: the file is no backup, is damaged or of a newer version, or there is a service here already.
    """
    if settings.data.exists() and any(settings.data.iterdir()):
        raise YozoraError(f"{settings.data} is not empty: a backup is restored into a new folder.")
    database = Database(settings.database)
    try:
        with tarfile.open(file) as archive:
            facts = json.loads(content(archive, FACTS))
            counts = fill(database, archive, str(facts["revision"]), say)
            counts["files"] = unpack(archive, settings.data, say)
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise YozoraError(
            f"{file} cannot be restored ({error}): it is no whole backup. What was written so far is in "
            f"{settings.data} and the database; remove both before you try again."
        ) from error
    finally:
        database.close()
    return counts


def fill(database: Database, archive: tarfile.TarFile, of: str, say: Say) -> dict[str, int]:
    """Make the tables as they were, fill them, and bring them to the present."""
    with database.read() as tx:
        if inspect(tx).get_table_names():
            raise YozoraError(
                "The database has tables already: a backup is restored into an empty one."
            )
    database.upgrade(of)
    counts = {}
    with database.write() as tx:
        database.unhurried(tx)
        then = MetaData()
        then.reflect(tx)
        for table in then.sorted_tables:
            if f"{TABLES}/{table.name}.jsonl" not in archive.getnames():
                continue
            lines = content(archive, f"{TABLES}/{table.name}.jsonl").splitlines()
            for column in table.columns:
                if isinstance(column.type, JSON):
                    column.type.none_as_null = True
            for start in range(0, len(lines), ROWS):
                tx.execute(
                    insert(table), [json.loads(line) for line in lines[start : start + ROWS]]
                )
            count_on(tx, table)
            counts[table.name] = len(lines)
            say(table.name, len(lines))
    database.upgrade()
    return counts


def count_on(tx: Connection, table: Table) -> None:
    """Has PostgreSQL number new rows after those that came with their numbers; SQLite does so by itself."""
    numbered = [
        column
        for column in table.primary_key
        if column.autoincrement is True or column.name in ("id", "version")
    ]
    if tx.dialect.name != "postgresql" or len(numbered) != 1:
        return
    (column,) = numbered
    sequence = tx.scalar(
        text("SELECT pg_get_serial_sequence(:table, :column)"),
        {"table": table.name, "column": column.name},
    )
    if sequence:
        last = tx.scalar(select(func.max(column)))
        tx.execute(
            text("SELECT setval(:sequence, :last, :used)"),
            {"sequence": sequence, "last": last or 1, "used": last is not None},
        )


def content(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of the backup. Raises KeyError when it is not there."""
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def unpack(archive: tarfile.TarFile, data: Path, say: Say) -> int:
    """Put the files back where they were. Raises YozoraError when one would lie elsewhere."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    count = 0
    for member in archive:
        inside = PurePosixPath(member.name)
        if inside.parts[:1] != (FILES,) or not member.isfile():
            continue
        target = data.joinpath(*inside.parts[1:])
        if ".." in inside.parts or inside.is_absolute():
            raise YozoraError(
                f"The backup has a file '{member.name}', which is no place of a service."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if member.mode & 0o077 == 0 else 0o644
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            source: Any = archive.extractfile(member)
            while chunk := source.read(1 << 20):
                out.write(chunk)
        count += 1
        say("files", count)
    return count
