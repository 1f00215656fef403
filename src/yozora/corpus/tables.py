"""Lance tables out of which rows are taken for good: with all earlier versions, in which they would live on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

import lance

from yozora.errors import YozoraError

CATALOGUE, LOOKS = "catalogue.lance", "looks"
AT_ONCE = 256  # rows


def tables(corpus: Path) -> list[Path]:
    """All tables of a corpus whose rows belong to clips."""
    return [corpus / CATALOGUE, *sorted((corpus / LOOKS).glob("*.lance"))]


def delete(table: Path, clips: Collection[str]) -> None:
    """Deletes rows by their ids; earlier versions keep them. Raises YozoraError when the table cannot be rewritten."""
    wanted = list(clips)
    dataset = lance.dataset(str(table))
    try:
        for start in range(0, len(wanted), AT_ONCE):
            some = ", ".join(f"'{clip}'" for clip in wanted[start : start + AT_ONCE])
            dataset.delete(f"id IN ({some})")
    except (OSError, RuntimeError, ValueError) as error:
        raise YozoraError(f"{table} could not be rewritten: {error}.") from error


def purge(table: Path, clips: Collection[str]) -> None:
    """Deletes rows by their ids, all earlier versions, and the tags on them. Raises as `delete`."""
    delete(table, clips)
    dataset = lance.dataset(str(table))
    try:
        dataset.optimize.compact_files(
            materialize_deletions=True, materialize_deletions_threshold=0.0
        )
        for tag in dataset.tags.list():
            dataset.tags.delete(tag)
        dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise YozoraError(f"{table} could not be rewritten: {error}.") from error


def remains(table: Path, clips: Collection[str]) -> Iterator[str]:
    """What a table still holds of purged rows, a sentence each: rows, versions, files of neither."""
    dataset = lance.dataset(str(table))
    ids = dataset.to_table(columns=["id"])["id"].to_pylist()
    yield from (f"{table} has {clip}" for clip in ids if clip in clips)
    if len(dataset.versions()) > 1 or dataset.tags.list():
        yield f"{table} has earlier versions"
    mine = {Path(file.path).name for part in dataset.get_fragments() for file in part.data_files()}
    for path in (table / "data").glob("*"):
        if path.name not in mine:
            yield f"{path} belongs to no row"
