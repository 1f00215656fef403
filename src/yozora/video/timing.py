"""Constant frame rate out of variable: which source frame is on display at each instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av

from yozora.errors import YozoraError

# Containers round timestamps and cameras jitter, so a frame may come late by this share of an
# interval. Not by half: an instant midway between two frames, a common case, has to be decided
# the same way every time.
LATE = 0.45
MAX_GAP = 300.0  # seconds without a frame; more is a broken timestamp, not a slow film


@dataclass(frozen=True)
class Timed:
    """A decoded frame, when it is shown and for how long (seconds)."""

    time: float
    duration: float
    frame: av.VideoFrame


def constant_rate(
    frames: Iterator[Timed],
    fps: float,
    source_fps: float,
    start: float,
    count: int | None,
    path: Path,
) -> Iterator[av.VideoFrame]:
    """The frame on display at start + k / fps, for k = 0 … until the last frame's end; see `instants`."""
    shown = instants(frames, [fps], source_fps, start, path)
    return islice((held.frame for held, (times,) in shown for _ in range(times)), count)


def instants(
    frames: Iterator[Timed], rates: Sequence[float], source_fps: float, start: float, path: Path
) -> Iterator[tuple[Timed, list[int]]]:
    """Each frame with, for each rate, the number of instants start + k / rate, k = 0 …, at which it is on display; it
    may be 0.

    A frame that comes LATE intervals late still counts as on time; the interval is the shortest of
    its own gap, the source's and the result's. Frames that go back in time are left out.
    """
    clocks = [Clock(1 / rate, start) for rate in rates]
    shown: Timed | None = None
    for coming in frames:
        if shown is not None:
            gap = coming.time - shown.time
            if gap <= 0:
                continue
            if gap > MAX_GAP:
                raise YozoraError(
                    f"{path} jumps from {shown.time:.1f} s to {coming.time:.1f} s: "
                    "its timestamps are broken; remux it or read the part before."
                )
            late = min(gap, 1 / source_fps)
            yield (
                shown,
                [clock.due(coming.time - LATE * min(late, clock.step)) for clock in clocks],
            )
        shown = coming
    if shown is None:
        return
    lasts = shown.duration if 0 < shown.duration <= MAX_GAP else 1 / source_fps
    end = shown.time + lasts
    yield shown, [clock.due(end - min(clock.step, lasts) / 4) for clock in clocks]


class Clock:
    """Counts the instants start + k · step for k = 0, 1, 2 and so on."""

    def __init__(self, step: float, start: float) -> None:
        self.step, self._start, self._k = step, start, 0

    def due(self, until: float) -> int:
        """How many instants come before `until`, after those that were counted."""
        before = self._k
        while self._start + self._k * self.step < until:
            self._k += 1
        return self._k - before
