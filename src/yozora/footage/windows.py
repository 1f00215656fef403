"""Cutting a stream of frames into windows, in one pass and with one window in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")

STEP = 4  # the codec takes 1 + 4n frames


def clip_length(frames: float) -> int:
    """The number of frames nearest to `frames` that is 1 + 4n, at least 1."""
    return 1 + STEP * max(0, round((frames - 1) / STEP))


def windows(frames: Iterable[Frame], length: int, stride: int) -> Iterator[tuple[int, list[Frame]]]:
    """Windows of `length` frames that start `stride` frames apart, each with its first frame's number.

    The last window is moved back to end with the last frame, so that with stride <= length every frame is in a
    window. A stream shorter than `length` gives its first 1 + 4n frames.
    """
    held: deque[Frame] = deque(maxlen=length)
    count = due = covered = 0  # frames seen; where the next window starts; where the last one ended
    for frame in frames:
        held.append(frame)
        count += 1
        if count == due + length:
            yield due, list(held)
            covered, due = count, due + stride
    if 0 < count < length:
        yield 0, list(held)[: 1 + (count - 1) // STEP * STEP]
    elif count > max(due, covered):
        yield count - length, list(held)
