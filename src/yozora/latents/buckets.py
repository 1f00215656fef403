"""Which shape a clip is trained at, or why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yozora.corpus.schema import Row

ASPECT_TOLERANCE = 1.6  # a clip's aspect may differ from its bucket's by this factor; the rest is bars


@dataclass(frozen=True, order=True)
class Shape:
    """A bucket: frames (1 + 4n), height and width in pixels (multiples of 16), frames per second."""

    frames: int
    height: int
    width: int
    fps: float

    @property
    def grid(self) -> tuple[int, int, int]:
        """Latent frames, height and width."""
        return 1 + (self.frames - 1) // 4, self.height // 16, self.width // 16


def bucket_of(row: Row, shapes: Sequence[Shape]) -> Shape | str:
    """The longest shape that ``row`` fills, of those the one nearest in aspect; or a sentence why there is none."""
    length = 1 if row.frames == 1 else int(row.seconds * max(s.fps for s in shapes) + 1e-6)
    long_enough = [s for s in shapes if (s.frames == 1) == (row.frames == 1) and s.frames <= _frames_at(row, s)]
    if not long_enough:
        shortest = min(shapes)
        return f"{length} frames at {shortest.fps:g} fps, shorter than every bucket (from {shortest.frames} frames)"
    aspect = row.width / row.height

    def distance(shape: Shape) -> float:
        ratio = aspect * shape.height / shape.width
        return max(ratio, 1 / ratio)

    best = min(long_enough, key=lambda s: (-s.frames, distance(s)))
    if distance(best) > ASPECT_TOLERANCE:
        return f"aspect {aspect:.2f} is far from every bucket's"
    return best


def _frames_at(row: Row, shape: Shape) -> int:
    return row.frames if row.frames == 1 else int(row.frames / row.fps * shape.fps + 0.5)
