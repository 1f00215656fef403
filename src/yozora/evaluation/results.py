"""Scores with their intervals and with what they are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yozora.evaluation.intervals import Interval


@dataclass(frozen=True)
class Score:
    """One figure: its interval, its unit, and the same figure for something else.

    beside: name -> interval, "floor" (the parser on true clips of the same scenes), "truth", "pca",
    "linear" …; unit: "%" for shares in [0, 1], else what follows the number.
    """

    name: str
    interval: Interval
    unit: str = "%"
    beside: Mapping[str, Interval] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """value, low, high, n, unit, and one such dict per comparison."""
        return {
            **self.interval.to_json(),
            "unit": self.unit,
            **{name: interval.to_json() for name, interval in self.beside.items()},
        }


@dataclass(frozen=True)
class Table:
    """Scores under one heading; note says in a sentence how to read them."""

    title: str
    note: str
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        """Score name -> score."""
        return {s.name: s.to_json() for s in self.scores}


@dataclass(frozen=True)
class Suite:
    """What one suite found. confusion: wanted -> seen -> how often, for the report's matrices."""

    name: str
    tables: tuple[Table, ...]
    confusion: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Table title -> table, and the confusion counts where there are some."""
        tables: dict[str, Any] = {t.title: t.to_json() for t in self.tables}
        return {**tables, "confusion": self.confusion} if self.confusion else tables
