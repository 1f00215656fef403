"""What is different between two corpora, or two states of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row

COMPARED = ("captions", "split", "licence", "holder", "url", "source")
SHOWN = 20  # clips in a table


@dataclass(frozen=True)
class Diff:
    """Ids of clips that only the second or only the first has, and of those that both have what is said of them anew:
    column -> [before, after]."""

    added: list[str]
    removed: list[str]
    changed: dict[str, dict[str, list[Any]]]

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON types."""
        return asdict(self)

    def __rich__(self) -> Group:
        """The difference for a terminal."""
        counts = Text(
            f"{len(self.added)} clips added, {len(self.removed)} removed, {len(self.changed)} changed"
        )
        table = Table("clip", "what", "before", "after")
        for clip, columns in list(self.changed.items())[:SHOWN]:
            for name, (before, after) in columns.items():
                table.add_row(clip[:12], name, Text(str(before)), Text(str(after)))
        return Group(counts, *([table] if self.changed else []))


def diff(before: Corpus, after: Corpus) -> Diff:
    """How the clips of one corpus differ from those of another."""
    old, new = ({row.id: row for row in corpus.rows()} for corpus in (before, after))
    changes = {clip: change(old[clip], new[clip]) for clip in old if clip in new}
    return Diff(
        added=[clip for clip in new if clip not in old],
        removed=[clip for clip in old if clip not in new],
        changed={clip: columns for clip, columns in changes.items() if columns},
    )


def change(old: Row, new: Row) -> dict[str, list[Any]]:
    """The columns in which two rows of one clip differ."""
    pairs = {name: [plain(getattr(old, name)), plain(getattr(new, name))] for name in COMPARED}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def plain(value: Any) -> Any:
    """A column's value as a JSON type."""
    return list(value) if isinstance(value, tuple) else value
