"""Black bars around the picture (letterbox, pillarbox), found over a whole source."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames
from yozora.video.geometry import Rect

BLACK = 24  # levels: bars are coded as 0 and ring a little beside the picture
SPECKS = 0.02  # share of a bar's row that may be brighter, for the noise of coding
STRAIGHT = (
    0.6  # share of the picture's first rows that was bright at some time, or there is no edge
)
RIM = 0.02  # of the height or width: how soon inside the edge the picture must be so bright


@dataclass(frozen=True)
class Borders:
    """Where the picture lies inside the frame: left, top, right, bottom, as shares of width and height from 0 to 1.

    (0, 0, 1, 1) where there are no bars.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def share(self) -> float:
        """The share of the frame's area that is bars."""
        return 1 - (self.right - self.left) * (self.bottom - self.top)

    def within(self, rect: Rect) -> Rect:
        """Where the picture lies when the whole frame is put into a rectangle (x, y, width, height) of pixels; of a row
        that is half picture, nothing."""
        x, y, width, height = rect
        left, top = ceil(self.left * width), ceil(self.top * height)
        right = max(left + 1, floor(self.right * width))
        bottom = max(top + 1, floor(self.bottom * height))
        return x + left, y + top, right - left, bottom - top

    def to_json(self) -> dict[str, Any]:
        """The rectangle as JSON types."""
        return {"rectangle": [self.left, self.top, self.right, self.bottom]}


NO_BORDERS = Borders(0, 0, 1, 1)


class BordersTap:
    """Remembers the brightest that each pixel has been; bars are what never lit up, with a straight edge.

    A dark scene is no bar, as long as the picture is bright at its rim in some other scene; a bright thing in the
    black of space has a black rim, but no straight one.
    """

    def __init__(self) -> None:
        self._brightest: Frames | None = None

    def see(self, luma: Frames, time: float) -> None:
        """Take a frame, luma uint8 [h, w], of one size throughout."""
        if self._brightest is None:
            self._brightest = luma.copy()
        np.maximum(self._brightest, luma, out=self._brightest)

    def result(self) -> Borders:
        """The picture's rectangle."""
        if self._brightest is None:
            return NO_BORDERS
        lit = self._brightest > BLACK
        height, width = lit.shape
        columns = slice(*inside(lit.T, slice(None)))
        top, bottom = inside(lit, columns)
        left, right = inside(lit.T, slice(top, bottom))
        return Borders(left / width, top / height, right / width, bottom / height)


def inside(lit: NDArray[np.bool_], columns: slice) -> tuple[int, int]:
    """The first row of the picture and the one after its last, judged by these columns [H, W]."""
    shares = lit[:, columns].mean(1)
    count = len(shares)
    bright = np.flatnonzero(shares > SPECKS)
    if not len(bright):
        return 0, count
    first, last = int(bright[0]), int(bright[-1]) + 1
    rim = max(2, round(RIM * count))
    first = first if shares[first : first + rim].max() >= STRAIGHT else 0
    last = last if shares[max(0, last - rim) : last].max() >= STRAIGHT else count
    return first, last
