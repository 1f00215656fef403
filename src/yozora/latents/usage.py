"""What a recipe makes of a corpus: how many clips fit its shapes, why others do not, and which seconds it leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from yozora.corpus.report import Bucket
from yozora.corpus.schema import SPLITS, Row
from yozora.latents.buckets import Shape, grouped


@dataclass(frozen=True)
class LeftOut:
    """Clips that fit no shape for one reason."""

    reason: str
    train: int
    validation: int
    heldout: int


@dataclass(frozen=True)
class Usage:
    """shapes: how many clips each of the recipe's shapes takes. seconds: of all films; seconds_behind: of those that
    lie behind what a shape takes of a film; seconds_left_out: those of films that fit no shape."""

    recipe: str
    shapes: list[Bucket]
    left_out: list[LeftOut]
    seconds: float
    seconds_behind: float
    seconds_left_out: float
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)

    def __rich__(self) -> Group:
        """The report as tables for a terminal."""
        title = f"recipe {self.recipe}"
        shapes = Table("frames", "height", "width", "fps", *SPLITS, title=title)
        for shape in self.shapes:
            shapes.add_row(*(f"{value:g}" for value in astuple(shape)))
        parts: list[Any] = [shapes]
        if self.left_out:
            table = Table("left out", *SPLITS)
            for part in self.left_out:
                table.add_row(*(Text(str(value)) for value in astuple(part)))
            parts.append(table)
        return Group(*parts, Text(self.sentence()), *map(Text, self.problems))

    def sentence(self) -> str:
        """How much of the films is not trained on."""
        unused = self.seconds_behind + self.seconds_left_out
        return (
            f"Of {self.seconds:.1f} s of film, {self.recipe} leaves {unused:.1f} s unused: "
            f"{self.seconds_behind:.1f} s behind the frames that it takes of a clip, "
            f"{self.seconds_left_out:.1f} s in clips that are left out."
        )


def usage(recipe: str, shapes: Sequence[Shape], rows: Sequence[Row]) -> Usage:
    """What training with these shapes would take of ``rows``; ``recipe`` is the name they are known by."""
    fitting, left_out = grouped(rows, shapes)
    unfit = sorted(left_out.items(), key=lambda item: -len(item[1]))
    behind = [
        max(0.0, row.seconds - shape.frames / shape.fps)
        for shape, members in fitting.items()
        for row in films(members)
    ]
    return Usage(
        recipe=recipe,
        shapes=[
            Bucket(s.frames, s.height, s.width, s.fps, *by_split(fitting.get(s, ())))
            for s in shapes
        ],
        left_out=[LeftOut(reason, *by_split(members)) for reason, members in unfit],
        seconds=duration(rows),
        seconds_behind=round(sum(behind), 3),
        seconds_left_out=duration([row for members in left_out.values() for row in members]),
        problems=problems(recipe, fitting, rows),
    )


def by_split(rows: Sequence[Row]) -> tuple[int, int, int]:
    """How many rows are for training, validation and held out."""
    count = Counter(row.split for row in rows)
    return count["train"], count["validation"], count["heldout"]


def films(rows: Sequence[Row]) -> list[Row]:
    """Without the stills, which have no playing time worth a word."""
    return [row for row in rows if row.frames > 1]


def duration(rows: Sequence[Row]) -> float:
    """Seconds of the films."""
    return round(sum(row.seconds for row in films(rows)), 3)


def problems(recipe: str, fitting: dict[Shape, list[Row]], rows: Sequence[Row]) -> list[str]:
    """A sentence for each split that has clips, none of which fits."""
    there = {row.split for row in rows}
    fit = {row.split for members in fitting.values() for row in members}
    lacks = {"train": "it has 0 batches", "validation": "a run has no validation loss"}
    return [
        f"No clip of the split '{split}' fits recipe '{recipe}', so {lack}."
        for split, lack in lacks.items()
        if split in there - fit
    ]
