"""A film into clips within its shots, each with its measures, in one decoding pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yozora.errors import YozoraError
from yozora.footage.survey import Measures, Seen, Survey, Totals
from yozora.footage.windows import windows
from yozora.video import View, watch
from yozora.video.clip import Frames


@dataclass(frozen=True)
class Format:
    """How a film is cut. size: (width, height) of the canvas in pixels. frames: of a clip, at ``fps``. stride: frames
    from one clip's start to the next one's."""

    size: tuple[int, int] = (112, 64)
    fps: float = 8.0
    frames: int = 17
    stride: int = 17


@dataclass(frozen=True, eq=False)
class Cut:
    """A clip's frames, uint8 [T, H, W, 3], the first one's number in the film at the clip's rate, the shot it is of,
    and what was measured of it at the film's own rate."""

    first: int
    frames: Frames
    shot: int
    measures: Measures


class Frame(NamedTuple):
    """A frame of the film at the clips' rate. before, after: the taps' sums at the frame before, and at this one."""

    number: int
    shot: int | None
    picture: Frames | None
    before: Totals | None
    after: Totals | None


def cuts(path: Path, format: Format) -> Iterator[Cut]:
    """The windows of a film within its shots; what lies between shots is left out.

    Raises YozoraError where the film cannot be read on, after everything that was good before.
    """
    errors: list[YozoraError] = []
    views = until_error(watch(path, fps=format.fps, canvas=format.size), errors)
    for shot, frames in groupby(shown(Survey().follow(views)), attrgetter("shot")):
        if shot is None:
            continue
        for _, window in windows(frames, format.frames, format.stride):
            pictures = np.stack([frame.picture for frame in window if frame.picture is not None])
            before, after = window[0].before, window[-1].after
            assert before is not None
            assert after is not None
            yield Cut(window[0].number, pictures, shot, after.since(before))
    if errors:
        raise errors[0]


def until_error(views: Iterable[View], errors: list[YozoraError]) -> Iterator[View]:
    """The views before an error, which is put aside: what is held back is to be handed on first."""
    try:
        yield from views
    except YozoraError as error:
        errors.append(error)


def shown(views: Iterable[Seen]) -> Iterator[Frame]:
    """The frames of a film at the rate it was watched at. Views between two of them are measured with the later one."""
    number, shot, before = 0, None, None
    for seen in views:
        if seen.shot != shot or before is None:
            shot, before = seen.shot, seen.before
        for _ in range(seen.view.shown):
            yield Frame(number, seen.shot, seen.view.picture, before, seen.after)
            number, before = number + 1, seen.after
