"""A film's sound, stretch by stretch, beside the pass over its pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from yozora.video.reading import FAILURES, Source, opened
from yozora.video.timing import MAX_GAP

SOUND_RATE = 16_000  # samples a second
JITTER = 0.1  # seconds that a timestamp may be off without a gap being heard

Samples = NDArray[np.float32]


class Soundtrack:
    """The first audio track as mono samples; silence where it has none or is damaged. still: whether there is but one
    picture beside it."""

    def __init__(self, source: Source) -> None:
        video = source.video
        self._coming = chunks(source, float((video.start_time or 0) * (video.time_base or 0)))
        self._held: deque[tuple[int, Samples]] = deque()  # with the number of the first sample
        self._from = 0  # the number of the first sample that may be asked for
        self._end = 0  # the number of the first sample that has not come
        self.still = source.still

    def between(self, start: float, end: float) -> Samples:
        """The samples of a stretch, float32 [(end - start) · SOUND_RATE] from -1 to 1, in seconds from the first
        frame. What was forgotten is silent."""
        first, last = round(start * SOUND_RATE), round(end * SOUND_RATE)
        while self._end < last and (chunk := next(self._coming, None)):
            at, samples = chunk
            if self._end and abs(at - self._end) < JITTER * SOUND_RATE:
                at = self._end
            self._end = at + len(samples)
            if self._end > self._from:
                self._held.append((at, samples))
        stretch = np.zeros(last - first, np.float32)
        for at, samples in self._held:
            there = samples[max(0, first - at) : max(0, last - at)]
            place = max(0, at - first)
            stretch[place : place + len(there)] = there
        return stretch

    def forget(self, before: float) -> None:
        """Nothing before this time, in seconds, is asked for any more."""
        self._from = max(self._from, round(before * SOUND_RATE))
        while self._held and len(self._held[0][1]) + self._held[0][0] <= self._from:
            self._held.popleft()


@contextmanager
def soundtrack(path: str | Path) -> Iterator[Soundtrack]:
    """Open a film to listen to it. Raises YozoraError when it cannot be opened or has no pictures."""
    with opened(path) as source:
        yield Soundtrack(source)


def chunks(source: Source, origin: float) -> Iterator[tuple[int, Samples]]:
    """Decoded samples with the first one's number, counted from `origin` seconds; ends where the track breaks off."""
    if not source.container.streams.audio:
        return
    resampler = av.AudioResampler("flt", "mono", SOUND_RATE)
    last = 0.0
    try:
        for frame in source.container.decode(source.container.streams.audio[0]):
            time = last if frame.time is None else frame.time - origin
            if abs(time - last) > MAX_GAP:
                return
            for part in resampler.resample(frame):
                yield round(time * SOUND_RATE), part.to_ndarray()[0]
            last = time + frame.samples / max(1, frame.sample_rate)
    except FAILURES:
        return
