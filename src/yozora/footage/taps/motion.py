"""How much moves: the camera, what is before it, and how unsteadily the camera is held."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames

Floats = NDArray[np.float32]

GAP = 0.08  # seconds between compared frames: the same measure whatever the frame rate
WIDTH = 32  # pixels on the longer side that frames are compared at
SOFT = 1.0  # pixels of blur, so that a shift by parts of a pixel leaves nothing behind
RIM = 2  # pixels at the rim that are not judged: what a pan brings in comes from nowhere
CALM = 1.5  # times the mean change: pixels that change more may move by themselves
PLAIN = 1.0  # levels a pixel of gradient that are noise; added, so that plain walls do not move


@dataclass(frozen=True)
class Motion:
    """Mean speeds in longer sides of the frame a second: 1 crosses a wide frame in a second.

    camera: of the frame as a whole (pan, tilt, zoom). local: of what moves otherwise, averaged over all pixels.
    shake: how much the camera's velocity changes from one comparison (0.08 s) to the next.
    """

    camera: float
    local: float
    shake: float

    @property
    def speed(self) -> float:
        """All that moves: the camera and what is before it."""
        return self.camera + self.local

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """Motion from one frame to another in pixels: the camera's shift (x, y), its zoom at a typical distance from the
    centre (outwards), and the mean of what moves otherwise."""

    x: float
    y: float
    zoom: float
    rest: float


class MotionTap:
    """Compares frames about a twelfth of a second apart."""

    def __init__(self) -> None:
        self._compare: Comparison | None = None
        self._before: tuple[float, Floats] | None = None
        self._velocity: NDArray[np.float64] | None = None
        self.totals = np.zeros(5)  # camera, local, shake; comparisons, and pairs of them

    def see(self, luma: Frames, time: float) -> None:
        """Take the next frame of the same shot, luma uint8 [h, w], shown at `time` seconds."""
        if self._before is not None and time - self._before[0] < GAP - 1e-6:
            return
        if self._compare is None:
            self._compare = Comparison(luma.shape[1], luma.shape[0])
        small = self._compare.reduced(luma)
        if self._before is not None:
            began, first = self._before
            step = self._compare(first, small)
            self._add(step, 1 / (max(small.shape) * (time - began)))
        self._before = (time, small)

    def _add(self, step: Step, scale: float) -> None:
        """Count a step; `scale` makes it a speed."""
        velocity = np.array([step.x, step.y, step.zoom]) * scale
        turn = np.zeros(3) if self._velocity is None else velocity - self._velocity
        added = (
            np.sqrt(velocity @ velocity),
            step.rest * scale,
            np.sqrt(turn @ turn),
            1,
            self._velocity is not None,
        )
        self.totals = self.totals + np.array(added)
        self._velocity = velocity

    def result(self) -> Motion:
        """The mean speeds of what was seen; 0 where there was no second frame."""
        return motion_of(self.totals)


def motion_of(totals: NDArray[np.float64]) -> Motion:
    """The mean speeds over a stretch by what was added to a tap's totals in it."""
    camera, local, shake, count, turns = map(float, totals)
    return Motion(camera / max(1, count), local / max(1, count), shake / max(1, turns))


class Comparison:
    """Finds the motion between two frames of one size.

    Phase correlation (Kuglin and Hines 1975) finds the shift, one step of least squares on brightness constancy (Lucas
    and Kanade 1981) over the calmer pixels mends it and adds a zoom. What is left is read as normal flow: change by
    gradient.
    """

    def __init__(self, width: int, height: int) -> None:
        shrink = WIDTH / max(width, height)
        self._size = max(8, round(width * shrink)), max(8, round(height * shrink))
        self._window = cv2.createHanningWindow(self._size, cv2.CV_32F)
        width, height = self._size
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        spread = float(np.hypot(width, height)) / np.sqrt(
            12
        )  # root mean square distance from the centre
        self._across = inner((columns - (width - 1) / 2) / spread)
        self._down = inner((rows - (height - 1) / 2) / spread)

    def reduced(self, luma: Frames) -> Floats:
        """A luma uint8 [h, w] at the size that is compared, float32."""
        small = cv2.resize(luma, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.GaussianBlur(small.astype(np.float32), (5, 5), SOFT), np.float32)

    def __call__(self, a: Floats, b: Floats) -> Step:
        """The motion from frame a to frame b, as `reduced` makes them."""
        x, y, moved = self._shift(a, b)
        left = inner(moved - b)
        slope_x = inner(cv2.Sobel(b, cv2.CV_32F, 1, 0)) / 8
        slope_y = inner(cv2.Sobel(b, cv2.CV_32F, 0, 1)) / 8
        outwards = self._across * slope_x + self._down * slope_y
        fields = np.stack([slope_x, slope_y, outwards]).reshape(3, -1)
        size = np.abs(left)
        mean = float(size.mean())
        calm = fields * (size.ravel() <= CALM * mean)
        system = calm @ fields.T + np.eye(3, dtype=np.float32)
        dx, dy, zoom = np.linalg.solve(system, calm @ left.ravel())
        rest = float(np.abs(left.ravel() - np.array([dx, dy, zoom]) @ fields).mean())
        steepness = float(np.hypot(slope_x, slope_y).mean()) + PLAIN
        return Step(x + float(dx), y + float(dy), float(zoom), min(rest, mean) / steepness)

    def _shift(self, a: Floats, b: Floats) -> tuple[float, float, Floats]:
        """The shift in pixels from a to b, 0 where none helps, and a so shifted."""
        # OpenCV multiplies a window into its arguments, so they are windowed here.
        (x, y), _ = cv2.phaseCorrelate(a * self._window, b * self._window)
        if max(abs(x), abs(y)) > 0.4 * min(self._size):
            return 0.0, 0.0, a
        move = np.array([[1, 0, x], [0, 1, y]], np.float32)
        moved = cv2.warpAffine(a, move, self._size, borderMode=cv2.BORDER_REPLICATE)
        if cv2.norm(moved, b, cv2.NORM_L1) > cv2.norm(a, b, cv2.NORM_L1):
            return 0.0, 0.0, a
        return x, y, np.asarray(moved, np.float32)


def inner(field: Any) -> Floats:
    """A field [h, w] without its rim."""
    return np.asarray(field[RIM:-RIM, RIM:-RIM], np.float32)
