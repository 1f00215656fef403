"""A film into clips within its shots, each with its measures, in one decoding pass.

A shot is cut into stretches of at most a minute. A stretch gives its master, the whole of it on the large canvas, and
its renditions, the windows on small ones that models are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from yozora.errors import YozoraError
from yozora.footage.survey import Measures, Seen, Survey, Totals
from yozora.footage.taps.faces import Veil, brought
from yozora.footage.taps.learned import COLOUR, DETECTORS, USUAL, Look, Taps, look, looks_of
from yozora.footage.taps.sound import sound_of
from yozora.footage.windows import Windows, clip_length
from yozora.video import Canvas, View, soundtrack, watch
from yozora.video.clip import Frames

NANO = Canvas(112, 64, 8.0)
LISTENED = 600.0  # seconds at the end of a clip that are listened to; only masters are longer


@dataclass(frozen=True)
class Format:
    """How a film is cut.

    renditions: canvases of windows of `seconds` (rounded to 1 + 4n frames) that begin `stride` apart. canvas: of the
    masters; None keeps none. max_seconds: of a stretch. aspect_buckets: each canvas gives way to the one of its area
    that is nearest to the film's aspect.
    """

    renditions: tuple[Canvas, ...] = (NANO,)
    seconds: float = 17 / 8
    stride: float = 17 / 8
    canvas: Canvas | None = None
    max_seconds: float = 60.0
    aspect_buckets: bool = False

    @property
    def canvases(self) -> tuple[Canvas, ...]:
        """All of them, the masters' first."""
        return (*([self.canvas] if self.canvas else []), *self.renditions)

    def length(self, canvas: Canvas) -> int:
        """Frames of a window."""
        return clip_length(self.seconds * canvas.fps)

    def step(self, canvas: Canvas) -> int:
        """Frames from one window's start to the next one's."""
        same = self.stride == self.seconds
        return self.length(canvas) if same else max(1, round(self.stride * canvas.fps))

    def of(self, source: tuple[float, float]) -> Format:
        """How a film of this aspect is cut."""
        if not self.aspect_buckets:
            return self
        renditions = sorted({canvas.nearest(source) for canvas in self.renditions})
        return replace(
            self, renditions=tuple(renditions), canvas=self.canvas and self.canvas.nearest(source)
        )

    @property
    def may_give(self) -> frozenset[str]:
        """The names of the canvases that films may be cut for, whatever their aspect."""
        buckets = (
            canvas.buckets() if self.aspect_buckets else [canvas] for canvas in self.canvases
        )
        return frozenset(str(canvas) for some in buckets for canvas in some)


class Sink(Protocol):
    """What takes a master's pictures as they come."""

    def write(self, picture: Frames) -> None:
        """Take the next one."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A clip of so many frames, the first one's number in the film at the canvas' rate, the shot it is of, and what was
    measured of it at the film's own rate. Its pictures, as the canvas lays them out; or the sink that has taken them,
    for a master, which comes after its renditions."""

    canvas: Canvas
    first: int
    count: int
    shot: int
    measures: Measures
    pictures: list[Frames]
    sink: Sink | None = None

    @property
    def start(self) -> float:
        """Seconds."""
        return self.first / self.canvas.fps

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.count / self.canvas.fps


class Frame(NamedTuple):
    """A film's frame on one of the canvases. part: its shot and which stretch of that. before, after: the taps' sums at
    the canvas' frame before, and at this one. looks: what models saw in between."""

    place: int
    number: int
    part: tuple[int | None, int]
    picture: Frames
    before: Totals | None
    after: Totals | None
    looks: tuple[Look, ...]


def cuts(
    path: Path, format: Format, begin: Callable[[Canvas], Sink], taps: Taps = USUAL
) -> Iterator[Cut]:
    """The clips of a film within its shots; what lies between shots is left out. ``begin`` opens a master. taps: what
    else is measured, and whether faces are blurred.

    No more is held than a window for each rendition, and what waits for its shot to be certain.
    Raises YozoraError where the film cannot be read on, after everything that was good before.
    """
    errors: list[YozoraError] = []
    thumb = DETECTORS[taps.shots].thumb
    colour = COLOUR if taps.looking else 0  # as few pixels as there may be, where nobody looks
    views = until_error(watch(path, format.canvases, colour=colour, thumb=thumb), errors)
    held = LISTENED + 1 / min(canvas.fps for canvas in format.canvases)
    survey = Survey(taps, every=format.seconds / taps.samples)
    with ExitStack() as stack:
        ear = stack.enter_context(soundtrack(path)) if "speech" in taps.models else None
        frames = shown(survey.follow(views), format)
        for (shot, _), stretch in groupby(frames, attrgetter("part")):
            if shot is None:
                continue
            if taps.blur_faces:
                stretch = veiled(stretch, format.canvases)
            for cut in stretch_cuts(shot, stretch, format, begin, taps.looking):
                measures = replace(cut.measures, borders=survey.borders)
                if ear is not None and not ear.still:
                    end = cut.start + cut.seconds
                    ear.forget(end - held)
                    heard = sound_of(ear.between(max(cut.start, end - LISTENED), end))
                    measures = replace(measures, sound=heard)
                yield replace(cut, measures=measures)
    if errors:
        raise errors[0]


def veiled(frames: Iterable[Frame], canvases: Sequence[Canvas]) -> Iterator[Frame]:
    """The frames of one stretch with no face to be made out."""
    veils = [Veil[Frame](exact=canvas.exact) for canvas in canvases]
    for frame in frames:
        for hidden, picture in veils[frame.place].push(frame, frame.picture):
            yield hidden._replace(picture=picture)
    for veil in veils:
        for hidden, picture in veil.rest():
            yield hidden._replace(picture=picture)


def stretch_cuts(
    shot: int,
    frames: Iterable[Frame],
    format: Format,
    begin: Callable[[Canvas], Sink],
    models: Sequence[str],
) -> Iterator[Cut]:
    """The clips of one stretch of a shot, its master last. models: those that look."""
    canvases = format.canvases
    windows = [Windows[Frame](format.length(canvas), format.step(canvas)) for canvas in canvases]
    first: Frame | None = None
    looks: list[Look] = []  # of the master
    for frame in frames:
        if frame.place or not format.canvas:
            if window := windows[frame.place].push(frame):
                yield windowed(window, canvases[frame.place], shot, models)
            continue
        if first is None:
            first, sink = frame, begin(format.canvas)
        sink.write(frame.picture)
        looks += frame.looks
        last = frame
    for place in range(1 if format.canvas else 0, len(canvases)):
        if window := windows[place].rest():
            yield windowed(window, canvases[place], shot, models)
    if first is not None:
        count = last.number - first.number + 1
        looks = looks or own_look(last, canvases[0], models)
        yield Cut(canvases[0], first.number, count, shot, measured(first, last, looks), [], sink)


def windowed(window: list[Frame], canvas: Canvas, shot: int, models: Sequence[str]) -> Cut:
    """The clip of a window."""
    first, last = window[0], window[-1]
    pictures = [frame.picture for frame in window]
    looks = [look for frame in window for look in frame.looks]
    looks = looks or own_look(window[len(window) // 2], canvas, models)
    return Cut(canvas, first.number, len(window), shot, measured(first, last, looks), pictures)


def own_look(frame: Frame, canvas: Canvas, models: Sequence[str]) -> list[Look]:
    """What models see in one of a clip's own pictures, where no sample fell into it: what nobody looks at would pass
    every threshold."""
    return [look(brought(frame.picture, exact=canvas.exact), models)] if models else []


def measured(first: Frame, last: Frame, looks: Sequence[Look]) -> Measures:
    """What was measured from one frame of a shot to another."""
    assert first.before is not None
    assert last.after is not None
    return replace(last.after.since(first.before), looks=looks_of(looks))


def until_error(views: Iterable[View], errors: list[YozoraError]) -> Iterator[View]:
    """The views before an error, which is put aside: what is held back is to be handed on first."""
    try:
        yield from views
    except YozoraError as error:
        errors.append(error)


def shown(views: Iterable[Seen], format: Format) -> Iterator[Frame]:
    """The frames of a film on each canvas, in order of time. Views between two of them are measured with the later one.

    Stretches are counted in frames of the first canvas, so that no master is longer than it may be.
    """
    rates = [canvas.fps for canvas in format.canvases]
    longest = max(1, int(format.max_seconds * rates[0] + 1e-6))
    numbers, before = [0] * len(rates), list[Totals | None]()
    looks: list[tuple[Look, ...]] = [()] * len(rates)
    part: tuple[int | None, int] = (None, 0)
    began = 0  # the frame of the first canvas that the stretch began with
    for seen in views:
        if seen.shot != part[0] or not before:
            part, began, before = (seen.shot, 0), numbers[0], [seen.before] * len(rates)
            looks = [()] * len(rates)
        if seen.look is not None:
            looks = [(*some, seen.look) for some in looks]
        times = [picture.shown for picture in seen.view.pictures]
        due = [
            ((numbers[place] + k) / rate, place)
            for place, rate in enumerate(rates)
            for k in range(times[place])
        ]
        for time, place in sorted(due):
            if time * rates[0] - began > longest - 1e-6:
                part, began = (part[0], part[1] + 1), numbers[0]
            picture = seen.view.pictures[place].pixels
            assert picture is not None
            yield Frame(
                place, numbers[place], part, picture, before[place], seen.after, looks[place]
            )
            numbers[place] += 1
            before[place], looks[place] = seen.after, ()
