"""What a recipe makes of a corpus: how many clips fit its shapes, why others do not, and which seconds it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from yozora.corpus.report import Bucket, Stock, clips_of
from yozora.latents.buckets import Shape, grouped
from yozora.video import SPLITS


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


def usage(recipe: str, shapes: Sequence[Shape], held: Sequence[Stock]) -> Usage:
    """What training with these shapes would take of a corpus; ``recipe`` is the name they are known by."""
    fitting, left_out = grouped(held, shapes)
    unfit = sorted(left_out.items(), key=lambda item: -sum(part.clips for part in item[1]))
    behind = [
        max(0.0, part.seconds - shape.frames / shape.fps) * part.clips
        for shape, members in fitting.items()
        for part in films(members)
    ]
    return Usage(
        recipe=recipe,
        shapes=[
            Bucket(s.frames, s.height, s.width, s.fps, *by_split(fitting.get(s, ())))
            for s in shapes
        ],
        left_out=[LeftOut(reason, *by_split(members)) for reason, members in unfit],
        seconds=duration(held),
        seconds_behind=round(sum(behind), 3),
        seconds_left_out=duration([part for members in left_out.values() for part in members]),
        problems=problems(recipe, fitting, held),
    )


def by_split(held: Sequence[Stock]) -> tuple[int, int, int]:
    """How many clips are for training, validation and held out."""
    train, validation, heldout = (clips_of(held, split) for split in SPLITS)
    return train, validation, heldout


def films(held: Sequence[Stock]) -> list[Stock]:
    """Without the stills, which have no playing time worth a word."""
    return [part for part in held if part.frames > 1]


def duration(held: Sequence[Stock]) -> float:
    """Seconds of the films."""
    return round(sum(part.seconds * part.clips for part in films(held)), 3)


def problems(recipe: str, fitting: dict[Shape, list[Stock]], held: Sequence[Stock]) -> list[str]:
    """A sentence for each split that has clips, none of which fits."""
    there = {part.split for part in held}
    fit = {part.split for members in fitting.values() for part in members}
    lacks = {"train": "it has 0 batches", "validation": "a run has no validation loss"}
    return [
        f"No clip of the split '{split}' fits recipe '{recipe}', so {lack}."
        for split, lack in lacks.items()
        if split in there - fit
    ]
