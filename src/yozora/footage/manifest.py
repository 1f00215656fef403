"""Lists of footage: a CSV, JSONL or Parquet file with a row for each film, and what is known of it in columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from yozora.errors import YozoraError
from yozora.footage.sidecar import Sidecar, neighbour, tidy

MANIFESTS = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"}
# What a column may be called, the first name being ours.
COLUMNS = {
    "path": ("path", "file", "filename", "file_url"),
    "caption": ("caption", "captions", "text"),
    "title": ("title", "name"),
    "description": ("description", "summary"),
    "tags": ("tags", "keywords", "subject"),
    "licence": ("licence", "license", "spdx"),
    "holder": ("holder", "rights_holder", "creator", "author"),
    "url": ("url", "source", "source_url"),
    "split": ("split",),
    "country": ("country",),
    "language": ("language",),
    "domain": ("domain", "category"),
    "consent": ("consent",),
    "terms": ("terms",),
}
SAID = ("licence", "holder", "url", "split", "country", "language", "domain")
FILES = ("consent", "terms")

Item = tuple[Path, Sidecar]
Refused = tuple[Path, str]


def read_manifest(path: Path) -> tuple[list[Item], list[Refused]]:
    """The files of a manifest, each with what its row says, and the rows that cannot be used, with the reason.

    Paths are relative to the manifest's folder. Raises YozoraError when it cannot be read, has no column for the files,
    or has a column that nobody would read.
    """
    try:
        rows = list(rows_of(path))
    except (
        OSError,
        ValueError,
        ArithmeticError,
        NotImplementedError,
        RecursionError,
        csv.Error,
    ) as error:
        raise YozoraError(f"{path} cannot be read as a manifest: {error}.") from error
    ours = columns(path, dict.fromkeys(name for row in rows for name in row))
    items, refused = [], []
    for number, row in enumerate(rows, 1):
        try:
            items.append(item(path, row, ours))
        except ValueError as error:
            refused.append((path, f"Row {number}: {error}"))
    return items, refused


def rows_of(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a manifest by their columns' names. Raises ValueError for what is no table."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow.parquet as parquet

        yield from parquet.read_table(path).to_pylist()
        return
    text = path.read_text(encoding="utf-8-sig")
    if suffix in (".csv", ".tsv"):
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        for number, row in enumerate(
            csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter), 1
        ):
            if None in row:
                raise ValueError(f"row {number} has more cells than there are columns")
            yield row
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def columns(path: Path, found: Mapping[str, None]) -> dict[str, str]:
    """The manifest's names of columns, each with ours."""
    aliases = {alias: name for name, known in COLUMNS.items() for alias in known}
    ours = {theirs: aliases.get(theirs.strip().lower(), "") for theirs in found}
    listed = ", ".join(COLUMNS)
    if strange := [theirs for theirs, name in ours.items() if not name]:
        raise YozoraError(
            f"{path} has a column '{strange[0]}' that is not known: use {listed}, or leave it out."
        )
    if "path" not in ours.values():
        raise YozoraError(f"{path} has no column 'path' for the files: columns may be {listed}.")
    return ours


def item(manifest: Path, row: Mapping[str, Any], ours: Mapping[str, str]) -> Item:
    """One row's file and what is said of it. Raises ValueError when it names none, or says two things of one kind."""
    cells: dict[str, Any] = {}
    for theirs, value in row.items():
        name = ours[theirs]
        if as_text(value) and as_text(cells.setdefault(name, value)) != as_text(value):
            raise ValueError(f"it has two columns for '{name}' that say different things.")
    where = cells.get("path")
    if not isinstance(where, str) or not where.strip():
        raise ValueError("it names no file.")
    captions = cells.get("caption")
    spoken = captions if isinstance(captions, list) else [captions]
    title, description, tags = (as_text(cells.get(n)) for n in ("title", "description", "tags"))
    told = [*map(as_text, spoken), description, title, tags]
    facts: dict[str, Any] = {name: as_text(cells.get(name)) for name in SAID}
    facts |= {name: neighbour(manifest, as_text(cells.get(name))) for name in FILES}
    said = Sidecar(captions=tuple(dict.fromkeys(filter(None, told))), origin="manifest")
    return local(manifest.parent, where), replace(said, **facts)


def as_text(value: Any) -> str:
    """A cell as text on one line; lists are joined, what is missing is empty."""
    if value is None or value != value:  # a table's NaN
        return ""
    return tidy(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def local(folder: Path, where: str) -> Path:
    """A path or the address of a local file. Raises ValueError for an address elsewhere: nothing is downloaded."""
    address = urlsplit(where)
    if address.scheme == "file":
        return Path(unquote(address.path))
    if address.scheme in ("http", "https", "s3", "gs", "ftp"):
        raise ValueError(
            f"{where} is elsewhere, and nothing is downloaded: fetch it, and name the file."
        )
    return folder / where
