"""Cutting a stream of frames into windows, in one pass and with one window in memory."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Frame = TypeVar("Frame")

STEP = 4  # the codec takes 1 + 4n frames


def clip_length(frames: float) -> int:
    """The number of frames nearest to `frames` that is 1 + 4n, at least 1."""
    return 1 + STEP * max(0, round((frames - 1) / STEP))


class Windows(Generic[Frame]):
    """Windows of `length` frames that start `stride` frames apart, out of frames that are pushed one by one.

    The last window is moved back to end with the last frame, so that with stride <= length every frame is in a
    window. A stream shorter than `length` gives its first 1 + 4n frames.
    """

    def __init__(self, length: int, stride: int) -> None:
        self._length, self._stride = length, stride
        self._held: deque[Frame] = deque(maxlen=length)
        self._count = self._due = self._covered = (
            0  # frames seen; where the next window starts; where the last ended
        )

    def push(self, frame: Frame) -> list[Frame] | None:
        """Take the next frame; the window that it completes, if it does."""
        self._held.append(frame)
        self._count += 1
        if self._count != self._due + self._length:
            return None
        self._covered, self._due = self._count, self._due + self._stride
        return list(self._held)

    def rest(self) -> list[Frame] | None:
        """The last window, when no frame comes after; None where another one holds the last frame."""
        if 0 < self._count < self._length:
            return list(self._held)[: 1 + (self._count - 1) // STEP * STEP]
        return list(self._held) if self._count > max(self._due, self._covered) else None
