"""The true frame rate: how many of a film's frames are new, where 24 a second were padded to 30 or drawn on twos."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames

SECONDS = 1.0  # that are judged together
MOVING = 0.25  # levels of mean change that count as motion
SAME = 0.1  # share of the usual change below which a frame repeats the one before
LONGEST = 5  # frames that one picture is held for at most; longer, the film itself stands still


@dataclass(frozen=True)
class Cadence:
    """duplicates: the share of frames that repeat the one before, where things move; None where nothing ever did.

    declared: frames per second by their times. rate: of the frames that are new; as declared where nothing moves.
    """

    declared: float
    duplicates: float | None

    @property
    def rate(self) -> float:
        """True frames per second."""
        return self.declared * (1 - (self.duplicates or 0.0))

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return {**asdict(self), "rate": self.rate}


class CadenceTap:
    """Judges a second at a time: frames that hardly change among frames that do are repetitions.

    A second in which one picture stands for longer than a few frames says nothing, since a film may stand still.
    """

    def __init__(self) -> None:
        self._before: Frames | None = None
        self._changes: deque[float] = deque()
        self._first = self._last = self._began = 0.0
        self._frames = 0
        self.totals = np.zeros(2)  # frames judged, and those of them that repeat

    def see(self, luma: Frames, time: float) -> None:
        """Take the next frame, luma uint8 [h, w], shown at `time` seconds."""
        self._frames += 1
        if self._before is None:
            self._first = self._began = time
        else:
            self._changes.append(cv2.norm(self._before, luma, cv2.NORM_L1) / luma.size)
        self._before, self._last = luma, time
        if time - self._began >= SECONDS:
            self._judge()
            self._began = time

    def result(self) -> Cadence:
        """The rates of what was seen."""
        if len(self._changes) > 2 * LONGEST:
            self._judge()
        seconds = self._last - self._first
        declared = float((self._frames - 1) / seconds) if seconds > 0 else 0.0
        return Cadence(declared, repeats_of(self.totals))

    def _judge(self) -> None:
        """Count the repetitions of this second, if it shows any motion."""
        changes = np.array(self._changes)
        self._changes.clear()
        usual = float(np.percentile(changes, 90))
        if usual < MOVING:
            return
        repeats = changes < SAME * usual
        if longest_run(repeats) >= LONGEST:
            return
        self.totals = self.totals + np.array([len(repeats), repeats.sum()])


def repeats_of(totals: NDArray[np.float64]) -> float | None:
    """The share of repeated frames in a stretch by what was added to a tap's totals in it; None if none was judged."""
    judged, repeats = map(float, totals)
    return repeats / judged if judged else None


def longest_run(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """The number of flags in the longest unbroken row of them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
