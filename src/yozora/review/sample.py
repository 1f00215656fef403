"""A stratified sample of a corpus for people to look at: the same seed draws the same clips.

Clips are handed to the strata one by one, each to the stratum whose clips drawn so far stand for the most others
(Adams' method of apportionment): every stratum has one as long as they last, and from then on each its share. Within a
stratum chance decides. A clip's weight says how many clips of the corpus it stands for.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from yozora.corpus.report import origin
from yozora.corpus.schema import Row
from yozora.errors import YozoraError

BY = ("source", "kind", "split", "country", "language", "domain")
USUAL = ("kind", "split", "country", "language", "domain")
UNSAID = "not said"


@dataclass(frozen=True)
class Drawn:
    """A clip of a sample. stratum: what it has of each field the sample is drawn by. weight: clips it stands for."""

    clip: str
    stratum: tuple[str, ...]
    weight: float


@dataclass(frozen=True)
class Sample:
    """Clips that were drawn ``by`` these fields."""

    by: tuple[str, ...]
    clips: tuple[Drawn, ...]

    def to_json(self) -> dict[str, Any]:
        """The sample as JSON types."""
        return asdict(self)

    def __rich__(self) -> Table:
        """Its strata for a terminal."""
        drawn = Counter(one.stratum for one in self.clips)
        stand = {one.stratum: one.weight * drawn[one.stratum] for one in self.clips}
        table = Table(*self.by, "in the corpus", "drawn")
        for stratum in sorted(drawn):
            counts = (f"{stand[stratum]:.0f}", str(drawn[stratum]))
            table.add_row(*map(Text, stratum), *counts)
        return table


def draw(rows: Iterable[Row], clips: int, *, by: Sequence[str] = USUAL, seed: int = 0) -> Sample:
    """At most so many clips, stratified by these fields of BY, in an order that says nothing.

    Raises YozoraError when there are no rows, or a field is none.
    """
    if unknown := [name for name in by if name not in BY]:
        raise YozoraError(
            f"A sample cannot be drawn by '{unknown[0]}': choose from {', '.join(BY)}."
        )
    strata: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        strata.setdefault(tuple(value(row, name) for name in by), []).append(row.id)
    if not strata:
        raise YozoraError("There are no such clips, so no sample can be drawn of them.")
    drawn = [
        Drawn(clip, stratum, len(strata[stratum]) / number)
        for stratum, number in shares(strata, clips, seed).items()
        for clip in sorted(strata[stratum], key=lambda clip: chance(seed, clip))[:number]
    ]
    return Sample(tuple(by), tuple(sorted(drawn, key=lambda one: chance(seed, one.clip))))


def shares(
    strata: dict[tuple[str, ...], list[str]], clips: int, seed: int
) -> dict[tuple[str, ...], int]:
    """How many clips are drawn of each stratum; those without any are left out."""
    room = min(clips, sum(map(len, strata.values())))
    first = sorted(strata, key=lambda stratum: chance(seed, *stratum))[:room]
    given = dict.fromkeys(first, 1)
    queue = [(-float(len(strata[stratum])), order) for order, stratum in enumerate(first)]
    heapq.heapify(queue)
    for _ in range(room - len(first)):
        _, order = queue[0]
        stratum = first[order]
        given[stratum] += 1
        heapq.heapreplace(queue, (-len(strata[stratum]) / given[stratum], order))
    return given


def value(row: Row, name: str) -> str:
    """What a row says of a field of BY."""
    if name == "source":
        return origin(row)
    if name in ("kind", "split"):
        return str(getattr(row, name))
    return str(row.labels.get(name) or UNSAID)


def chance(seed: int | str, *parts: str) -> bytes:
    """Something to sort by that is random, and the same on every computer."""
    return hashlib.sha256("\0".join((str(seed), *parts)).encode()).digest()
