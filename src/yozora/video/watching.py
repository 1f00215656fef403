"""One decoding pass for everything that wants frames: small views to measure, pictures to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation

from yozora.video.canvas import Canvas
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
    longer side as many pixels as were asked for, or the source's if that is less, but 160 at least.
    """

    luma: Frames
    rgb: Frames


class Picture(NamedTuple):
    """A frame on a canvas, and how often a film at the canvas' rate shows it; None and 0 where it does not."""

    pixels: Frames | None
    shown: int


@dataclass(frozen=True, eq=False)
class View:
    """A decoded frame, small, upright and with square pixels.

    time: when it is shown, in seconds from the first frame. luma: uint8 [h, w], 0 black and 255 white, the longer side
    64 pixels, areas averaged. sample: every half second. pictures: one for each canvas that was asked for. thumb: uint8
    [h, w, 3], sRGB, of exactly the size that was asked for, whatever the film's shape; else None.
    """

    time: float
    luma: Frames
    sample: Sample | None
    pictures: tuple[Picture, ...] = ()
    thumb: Frames | None = None


def watch(
    path: str | Path,
    canvases: Sequence[Canvas] = (),
    *,
    colour: int = COLOUR,
    thumb: Size | None = None,
) -> Iterator[View]:
    """Every frame of a file, decoded once, in order of display, and its pictures on these canvases.

    Repeating each view's picture `shown` times gives what `stream` gives at that rate and size; where a canvas is not
    exact, as I420. A still is one view. One frame is held back, whatever the length. colour: pixels on the longer side
    of the samples' RGB. thumb: (width, height) of a picture of every frame.
    Raises YozoraError when the file cannot be opened, no frame decodes, or its timestamps break off; damaged frames
    are left out, and what was decoded before an error has been handed out.
    """
    for canvas in canvases:
        check_window(canvas.fps, 0.0, None)
        check_size(canvas.size)
    with opened(path) as source:
        source.video.codec_context.thread_count = THREADS
        measure = Measurer(source, colour, thumb)
        developers = [Developer(source, canvas.size, exact=canvas.exact) for canvas in canvases]
        empty = True
        for timed, times in shown_frames(source, [canvas.fps for canvas in canvases]):
            empty = False
            with converting(source):
                luma, sample, small = measure(timed)
                pictures = tuple(
                    Picture(develop(timed.frame) if shown else None, shown)
                    for develop, shown in zip(developers, times, strict=True)
                )
            yield View(timed.time, luma, sample, pictures, small)
        if empty:
            raise undecodable(source)


def shown_frames(source: Source, rates: Sequence[float]) -> Iterator[tuple[Timed, list[int]]]:
    """Each frame and how often it is shown at each constant rate; a still once."""
    if source.still:
        once = [1] * len(rates)
        return ((Timed(0.0, 0.0, frame), once) for frame in islice(source.frames(), 1))
    return instants(source.timed(0.0), rates, source.rate, 0.0, source.path)


class Measurer:
    """Makes the small pictures of frames; their sizes are decided by the first one."""

    def __init__(self, source: Source, colour: int, thumb: Size | None) -> None:
        self._source = source
        self._longer, self._thumb = colour, thumb
        self._orientation: Orientation | None = None
        self._shown: Size = (0, 0)
        self._luma, self._detail = ToLuma(), ToLuma()
        self._colour, self._small = ToRGB(Interpolation.AREA), ToRGB(Interpolation.AREA)
        self._due = 0.0

    def __call__(self, timed: Timed) -> tuple[Frames, Sample | None, Frames | None]:
        """A frame's luma, its sample where one is due, and its thumb if there are any."""
        frame = timed.frame
        if self._orientation is None:
            self._orientation = Orientation(display_matrix(frame))
            self._shown = display_size(self._source, frame, self._orientation)
        luma = self._upright(self._luma, frame, scaled(self._shown, LUMA))
        thumb = self._upright(self._small, frame, self._thumb) if self._thumb else None
        if timed.time < self._due:
            return luma, None, thumb
        self._due = timed.time + SAMPLE_GAP - 1e-6
        longest = max(self._shown)
        detail = self._upright(self._detail, frame, scaled(self._shown, min(DETAIL, longest)))
        longer = max(COLOUR, min(self._longer, longest))
        colour = self._upright(self._colour, frame, scaled(self._shown, longer))
        return luma, Sample(detail, colour), thumb

    def _upright(self, convert: ToLuma | ToRGB, frame: av.VideoFrame, size: Size) -> Frames:
        """The frame at exactly this size, turned as it is to be seen."""
        assert self._orientation is not None
        turned = self._orientation.turned(size)
        return np.ascontiguousarray(self._orientation.apply(convert(frame, turned)))


def scaled(size: Size, longer: int) -> Size:
    """The size of the same shape whose longer side is `longer`; no side is below 8."""
    scale = longer / max(size)
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))
