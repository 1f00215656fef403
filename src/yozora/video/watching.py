"""One decoding pass for everything that wants frames: small views to measure, pictures to keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from yozora.video.clip import Frames
from yozora.video.colour import ToLuma, ToRGB
from yozora.video.geometry import Orientation, Size, check_size, display_matrix
from yozora.video.reading import (
    Developer,
    Source,
    check_window,
    converting,
    display_size,
    opened,
    undecodable,
)
from yozora.video.timing import Timed, instants

LUMA, DETAIL, COLOUR = 64, 512, 160  # pixels on the longer side
SAMPLE_GAP = 0.5  # seconds between samples, at least
THREADS = 1  # for decoding: sources are read side by side, a process each, and one alone loses nothing but wall time


@dataclass(frozen=True, eq=False)
class Sample:
    """What is looked at now and then, because it costs more.

    luma: uint8 [H, W], the longer side 512 pixels or the source's if that is less. rgb: uint8 [H, W, 3], sRGB, the
    longer side 160 pixels.
    """

    luma: Frames
    rgb: Frames


@dataclass(frozen=True, eq=False)
class View:
    """A decoded frame, small, upright and with square pixels.

    time: when it is shown, in seconds from the first frame. luma: uint8 [h, w], 0 black and 255 white, the longer side
    64 pixels, areas averaged. sample: every half second. picture: the frame on the canvas that was asked for, and
    shown how often a film at the rate that was asked for shows it; None and 0 where it does not.
    """

    time: float
    luma: Frames
    sample: Sample | None
    picture: Frames | None
    shown: int


def watch(
    path: str | Path, *, fps: float | None = None, canvas: Size | None = None
) -> Iterator[View]:
    """Every frame of a file, decoded once, in order of display.

    canvas: (width, height) of the pictures; none are made without it. fps: their rate; the file's average rate if
    None. Repeating each view's picture `shown` times gives what `stream` gives at that rate and size. A still is one
    view. One frame is held back, whatever the length.
    Raises YozoraError when the file cannot be opened, no frame decodes, or its timestamps break off; damaged frames
    are left out, and what was decoded before an error has been handed out.
    """
    check_window(fps, 0.0, None)
    canvas = None if canvas is None else check_size(canvas)
    with opened(path) as source:
        source.video.codec_context.thread_count = THREADS
        measure = Measurer(source)
        develop = Developer(source, canvas) if canvas else None
        empty = True
        for timed, shown in shown_frames(source, fps):
            empty = False
            with converting(source):
                luma, sample = measure(timed)
                picture = develop(timed.frame) if develop and shown else None
            yield View(timed.time, luma, sample, picture, shown if develop else 0)
        if empty:
            raise undecodable(source)


def shown_frames(source: Source, fps: float | None) -> Iterator[tuple[Timed, int]]:
    """Each frame and how often it is shown at a constant rate; a still once."""
    if source.still:
        return ((Timed(0.0, 0.0, frame), 1) for frame in islice(source.frames(), 1))
    return instants(source.timed(0.0), fps or source.rate, source.rate, 0.0, source.path)


class Measurer:
    """Makes the small pictures of frames; their sizes are decided by the first one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._orientation: Orientation | None = None
        self._shown: Size = (0, 0)
        self._luma, self._detail = ToLuma(), ToLuma()
        self._colour = ToRGB(Interpolation.AREA)
        self._due = 0.0

    def __call__(self, timed: Timed) -> tuple[Frames, Sample | None]:
        """A frame's luma, and its sample where one is due."""
        frame = timed.frame
        if self._orientation is None:
            self._orientation = Orientation(display_matrix(frame))
            self._shown = display_size(self._source, frame, self._orientation)
        luma = self._upright(self._luma, frame, LUMA)
        if timed.time < self._due:
            return luma, None
        self._due = timed.time + SAMPLE_GAP - 1e-6
        detail = self._upright(self._detail, frame, min(DETAIL, max(self._shown)))
        return luma, Sample(detail, self._upright(self._colour, frame, COLOUR))

    def _upright(self, convert: ToLuma | ToRGB, frame: av.VideoFrame, longer: int) -> Frames:
        """The frame with `longer` pixels on its longer side, turned as it is to be seen."""
        assert self._orientation is not None
        size = self._orientation.turned(scaled(self._shown, longer))
        return np.ascontiguousarray(self._orientation.apply(convert(frame, size)))


def scaled(size: Size, longer: int) -> Size:
    """The size of the same shape whose longer side is `longer`; no side is below 8."""
    scale = longer / max(size)
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))
