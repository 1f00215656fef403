"""Exposure, contrast and sharpness."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames

LEVELS = np.arange(256, dtype=np.float64)
DARK, BRIGHT = 5, 250  # levels at and beyond which detail is lost


@dataclass(frozen=True)
class Light:
    """Means over the frames seen; of sharpness, whose scale is one of ratios, the geometric mean.

    brightness and contrast (mean and standard deviation of luma): 0 to 1. dark, bright: shares of the pixels with next
    to no level and with next to the highest. sharpness: the variance of the Laplacian in squared levels; it grows with
    the size of what is looked at, so only lumas of one size compare.
    """

    brightness: float
    contrast: float
    dark: float
    bright: float
    sharpness: float

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return asdict(self)


class LightTap:
    """Measures single frames; samples every half second are enough."""

    def __init__(self) -> None:
        self.totals = np.zeros(
            6
        )  # the measures in their order, of sharpness the logarithm; samples

    def see(self, luma: Frames, time: float) -> None:
        """Take a frame, luma uint8 [h, w]."""
        levels = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel() / luma.size
        mean = float(levels @ LEVELS)
        deviation = max(0.0, float(levels @ LEVELS**2) - mean**2) ** 0.5
        dark, bright = levels[: DARK + 1].sum(), levels[BRIGHT:].sum()
        sharp = np.log1p(sharpness(luma))
        self.totals = self.totals + np.array([mean / 255, deviation / 255, dark, bright, sharp, 1])

    def result(self) -> Light | None:
        """The measures of what was seen; None if that was nothing."""
        return light_of(self.totals)


def light_of(totals: NDArray[np.float64]) -> Light | None:
    """The measures of a stretch by what was added to a tap's totals in it; None if no sample fell into it."""
    count = totals[-1]
    if not count:
        return None
    brightness, contrast, dark, bright, sharp = map(float, totals[:-1] / count)
    return Light(brightness, contrast, dark, bright, float(np.expm1(sharp)))


def sharpness(luma: Frames) -> float:
    """The variance of the Laplacian (Pech-Pacheco et al. 2000) of a luma uint8 [h, w], in squared levels."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S, ksize=1))
    return float(deviation[0, 0]) ** 2
