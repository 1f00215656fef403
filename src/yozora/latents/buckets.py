"""Which shape a clip is trained at, or why it is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from yozora.errors import YozoraError
from yozora.models.vae import PATCH, PATCH_TIME

ASPECT_TOLERANCE = (
    1.6  # a clip's aspect may differ from its bucket's by this factor; the rest is bars
)


@dataclass(frozen=True, order=True)
class Shape:
    """A bucket: frames (1 + 4n), height and width in pixels (multiples of 16), frames per second.

    Raises YozoraError for a shape that the codec cannot cut into patches.
    """

    frames: int
    height: int
    width: int
    fps: float

    def __post_init__(self) -> None:
        whole = self.frames % PATCH_TIME == 1 and not (self.height % PATCH or self.width % PATCH)
        if not (whole and min(self.frames, self.height, self.width) > 0 and self.fps > 0):
            raise YozoraError(
                f"No codec takes {self.frames} frames of {self.width}x{self.height} at {self.fps:g} fps: choose "
                f"1 + {PATCH_TIME}n frames and a height and width that are multiples of {PATCH}."
            )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Latent frames, height and width."""
        return 1 + (self.frames - 1) // PATCH_TIME, self.height // PATCH, self.width // PATCH


class Sized(Protocol):
    """What is looked at of a clip."""

    @property
    def frames(self) -> int:
        """How many there are."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def seconds(self) -> float:
        """Playing time."""

    @property
    def role(self) -> str:
        """What it is to others (see `Row.role`)."""


Clip = TypeVar("Clip", bound=Sized)


def bucket_of(row: Sized, shapes: Sequence[Shape]) -> Shape | str:
    """The longest shape that ``row`` fills and is near to in aspect (of several, the nearest); or why there is none.

    A master is not trained on: its renditions are.
    """
    if row.role == "master":
        return "a master, whose renditions are there to be trained on"
    still = row.frames == 1
    same_kind = [s for s in shapes if (s.frames == 1) == still]
    if not same_kind:
        return (
            "a still, and no bucket takes stills"
            if still
            else "a film, and every bucket takes stills"
        )
    long_enough = [s for s in same_kind if s.frames <= _frames_at(row, s.fps)]
    if not long_enough:
        shortest = min(same_kind)
        return (
            f"{_frames_at(row, shortest.fps)} frames at {shortest.fps:g} fps, "
            f"shorter than every bucket (from {shortest.frames} frames)"
        )
    aspect = row.width / row.height

    def distance(shape: Shape) -> float:
        ratio = aspect * shape.height / shape.width
        return max(ratio, 1 / ratio)

    near = [s for s in long_enough if distance(s) <= ASPECT_TOLERANCE]
    if not near:
        return f"aspect {aspect:.2f} is far from every bucket's"
    return min(near, key=lambda s: (-s.frames, distance(s)))


def grouped(
    rows: Iterable[Clip], shapes: Sequence[Shape]
) -> tuple[dict[Shape, list[Clip]], dict[str, list[Clip]]]:
    """The rows that each shape takes, and those that none takes under the reason why."""
    fitting: dict[Shape, list[Clip]] = {}
    left_out: dict[str, list[Clip]] = {}
    for row in rows:
        place = bucket_of(row, shapes)
        if isinstance(place, Shape):
            fitting.setdefault(place, []).append(row)
        else:
            left_out.setdefault(place, []).append(row)
    return fitting, left_out


def _frames_at(row: Sized, fps: float) -> int:
    """How many frames a clip has at another rate, to the nearest one."""
    return row.frames if row.frames == 1 else int(row.seconds * fps + 0.5)
