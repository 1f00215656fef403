"""A perceptual hash, so that near-duplicates are found without looking at frames again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames

SIDE = 32  # pixels that frames are hashed at
BITS = 8  # frequencies each way
GAP = 0.5  # seconds between frames that vote


@dataclass(frozen=True)
class Hash:
    """64 bits that stay about the same when a film is coded again, resized or brightened."""

    bits: int

    def to_json(self) -> dict[str, Any]:
        """The hash as 16 hexadecimal digits."""
        return {"hash": f"{self.bits:016x}"}


class HashTap:
    """Frames half a second apart vote on each bit."""

    def __init__(self) -> None:
        self.totals = np.zeros(BITS * BITS)  # votes for each bit, less those against it
        self._due = -np.inf

    def see(self, luma: Frames, time: float) -> None:
        """Take the next frame, luma uint8 [h, w], shown at `time` seconds."""
        if time < self._due:
            return
        self._due = time + GAP
        self.totals = self.totals + np.where(signs(luma), 1, -1)

    def result(self) -> Hash | None:
        """The majority's hash; None for no frame."""
        return hash_of(self.totals)


def hash_of(totals: NDArray[np.float64]) -> Hash | None:
    """The hash of a stretch by what was added to a tap's totals in it; None if no frame of it voted."""
    return (
        None if not totals.any() else Hash(int.from_bytes(np.packbits(totals > 0).tobytes(), "big"))
    )


def signs(luma: Frames) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the frequencies 1 to 8 each way lie above their median: bool [64]."""
    small = cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[1 : BITS + 1, 1 : BITS + 1].ravel()
    above: np.ndarray[tuple[int], np.dtype[np.bool_]] = lowest > np.median(lowest)
    return above


def distance(a: int, b: int) -> int:
    """In how many of their 64 bits two hashes differ; unrelated pictures differ in about 32."""
    return (a ^ b).bit_count()
