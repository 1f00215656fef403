"""Lists of footage: a CSV, JSONL or Parquet file with a row for each film, and what is known of it in columns."""

from __future__ import annotations

import csv
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


def read_manifest(path: Path) -> list[Item]:
    """The files of a manifest, each with what its row says. Paths are relative to the manifest's folder.

    Raises YozoraError when it cannot be read, has no column for the files, or has a column that nobody would read.
    """
    try:
        rows = list(rows_of(path))
    except (OSError, ValueError, csv.Error) as error:
        raise YozoraError(f"{path} cannot be read as a manifest: {error}.") from error
    names = columns(path, dict.fromkeys(name for row in rows for name in row))
    return [
        item(path.parent, {ours: row.get(theirs) for ours, theirs in names.items()}, path, number)
        for number, row in enumerate(rows, 1)
    ]


def rows_of(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a manifest by their columns' names."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        yield from parquet.read_table(path).to_pylist()
        return
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix in (".csv", ".tsv"):
        lines = text.splitlines()
        delimiter = max(",;\t", key=(lines or [""])[0].count)
        yield from csv.DictReader(lines, delimiter=delimiter)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def columns(path: Path, found: Mapping[str, None]) -> dict[str, str]:
    """Our names of the columns that a manifest has, with the names it has for them."""
    ours = {alias: name for name, aliases in COLUMNS.items() for alias in aliases}
    known = {theirs: ours.get(str(theirs).strip().lower()) for theirs in found}
    listed = ", ".join(COLUMNS)
    if strange := [str(theirs) for theirs, name in known.items() if name is None]:
        raise YozoraError(
            f"{path} has a column '{strange[0]}' that is not known: use {listed}, or leave it out."
        )
    names = {name: theirs for theirs, name in known.items() if name}
    if "path" not in names:
        raise YozoraError(f"{path} has no column 'path' for the files: columns may be {listed}.")
    return names


def item(folder: Path, row: Mapping[str, Any], manifest: Path, number: int) -> Item:
    """One row's file and what is said of it."""
    where = as_text(row.get("path"))
    if not where:
        raise YozoraError(f"{manifest}: row {number} names no file.")
    captions = row.get("caption")
    spoken = captions if isinstance(captions, list) else [captions]
    title, description, tags = (as_text(row.get(n)) for n in ("title", "description", "tags"))
    told = [*map(as_text, spoken), description, title, tags]
    facts: dict[str, Any] = {name: as_text(row.get(name)) for name in SAID}
    facts |= {name: neighbour(manifest, as_text(row.get(name))) for name in FILES}
    said = Sidecar(captions=tuple(dict.fromkeys(filter(None, told))), origin="manifest")
    return local(folder, where, manifest, number), replace(said, **facts)


def as_text(value: Any) -> str:
    """A cell as text on one line; lists are joined."""
    if value is None:
        return ""
    return tidy(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def local(folder: Path, where: str, manifest: Path, number: int) -> Path:
    """A path or the address of a local file. Raises YozoraError for an address elsewhere: nothing is downloaded."""
    address = urlsplit(where)
    if address.scheme == "file":
        return Path(unquote(address.path))
    if address.scheme in ("http", "https", "s3", "gs", "ftp"):
        raise YozoraError(
            f"{manifest}: row {number} names {where}, and nothing is downloaded: fetch it, and name the file."
        )
    return folder / where
