"""Where shots begin and end: hard cuts, dissolves and fades, from small luma alone and while the film runs.

Frames are compared by their structure: 1 - (2 cov + C) / (var + var + C), the contrast and structure terms of SSIM
(Wang et al. 2004) over the whole small frame. It is 0 for the same picture at any brightness, 1 for unrelated ones.

- A hard cut is one step that is large in itself and beside its neighbours, that no shift of the frame explains, and
  after which the old picture does not come back within a few frames, as it does after a flash.
- A dissolve is a stretch whose frames all lie near the straight line between its ends: F = (1 - a) A + a B.
- A fade goes through blank frames; it begins where contrast begins to fall and ends where it has risen.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video.clip import Frames

Floats = NDArray[np.float32]

BARS = 7  # a seventh on each side is not looked at: bars there (up to 2.39:1 in 16:9) would make all frames alike
GRID = (32, 18)  # pixels to compare at: coarse, so that motion within a shot counts little
FLAT = 58.5  # C: (0.03 · 255)²; below this variance, structure is noise

CUT = 0.2  # structure lost in one step, at least …
ABOVE, TIMES = 0.15, 1.5  # … and this much more than, and times, any neighbour's
NEIGHBOURS = 3  # frames on each side; a flash is over after as many
CERTAIN = 0.75  # structure lost that motion is not asked to explain

WINDOWS = (0.5, 0.8, 1.2, 1.7, 2.4)  # seconds in which a whole dissolve may lie
TICK = 1 / 32  # seconds; frames nearer to each other are not all kept for dissolves
STEP = 0.1  # seconds between looks for a dissolve
LIKE = 0.6  # correlation of the ends, at most: light that changes leaves it high
DIP = 0.65  # least variance, as a share of the ends' own: two pictures that have little in common blur each other
STRAY = 0.65  # distance from the line half-way, in lengths of the line
LEAP = 0.5  # of the line in one step: a cut or motion
WANDER = 1.4  # length of the way along the line
REST, SLOPE = 3, 0.6  # at both ends, so many frames go slower than this share of the fastest

BLANK = 3.0  # standard deviation in levels; more is a picture
FADE = 2.0  # seconds, at most, on each side of blank frames
LAG = 2.5  # seconds after which nothing new is found


@dataclass(frozen=True)
class Transition:
    """From one shot to the next, in seconds: frames with start <= time < end are of neither.

    kind: cut (start and end are the new shot's first frame), dissolve or fade; a fade may also open or close a film;
    gradual where these two are not told from each other.
    """

    kind: str
    start: float
    end: float


@dataclass(frozen=True)
class ShotList:
    """The shots of a film as (start, end) in seconds, end excluded, the transitions between them, and when it ends."""

    shots: tuple[tuple[float, float], ...]
    transitions: tuple[Transition, ...]
    end: float

    def to_json(self) -> dict[str, Any]:
        """The list as JSON types."""
        return {
            "shots": [list(shot) for shot in self.shots],
            "transitions": [asdict(transition) for transition in self.transitions],
            "end": self.end,
        }


def shot_at(transitions: Sequence[Transition], time: float) -> int | None:
    """Which shot, counted from 0, a time lies in; None within a transition."""
    number = len(transitions)
    while number and time < transitions[number - 1].end:
        number -= 1
        if time >= transitions[number].start:
            return None
    return number


def list_shots(
    first: float, transitions: Iterable[Transition], end: float
) -> tuple[tuple[float, float], ...]:
    """What lies between transitions, in a film from `first` to `end`."""
    edges = [first, *(t for found in transitions for t in (found.start, found.end)), end]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)


@dataclass(frozen=True, eq=False)
class Glance:
    """The middle of a frame: its luma, values on GRID, their mean and variance, structure lost since the last one."""

    time: float
    luma: Frames
    values: Floats
    mean: float
    variance: float
    lost: float = 0.0

    @property
    def blank(self) -> bool:
        """Whether there is no picture, only a shade."""
        return self.variance < BLANK**2


class Detector(Protocol):
    """What finds the shots of one film while its frames come. thumb: the (width, height) in which it is to see them in
    colour, RGB uint8 [h, w, 3]; None for luma uint8 [h, w]."""

    thumb: ClassVar[tuple[int, int] | None]

    @staticmethod
    def waiting(fps: float) -> int:
        """How many pictures at this rate wait at most until it is certain which shot they are of."""

    def see(self, picture: Frames, time: float) -> None:
        """Take the next frame, shown at `time` seconds."""

    @property
    def settled(self) -> float:
        """Before this time, in seconds, it is known which shot each frame is of."""

    def number(self, time: float) -> int | None:
        """Which shot, counted from 0, a settled time lies in; None within a transition."""

    def result(self) -> ShotList:
        """The shots of what was seen, which was the whole film: after this, everything is settled."""


class Shots:
    """Finds transitions while frames come; about two and a half seconds of small frames are kept."""

    thumb: ClassVar[tuple[int, int] | None] = None

    @staticmethod
    def waiting(fps: float) -> int:
        """As many as are shown in LAG."""
        return math.ceil(LAG * fps)

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self._first = self._last = 0.0
        self._gap = 0.0
        self._recent: deque[Glance] = deque(maxlen=2 * NEIGHBOURS + 2)
        self._line: deque[Glance] = deque()  # since the last transition
        self._looked = 0.0
        self._fade = Fade()

    def see(self, picture: Frames, time: float) -> None:
        """Take the next frame, luma uint8 [h, w], shown at `time` seconds."""
        before = self._recent[-1] if self._recent else None
        glance = glanced(picture, time, before)
        if before is None:
            self._first = time
        else:
            self._gap = time - before.time
        self._last = time
        self._recent.append(glance)
        self._extend(glance)
        if len(self._recent) > NEIGHBOURS + 1:
            self._judge_cut(len(self._recent) - 1 - NEIGHBOURS)
        faded = self._fade.see(glance)
        if faded is not None:
            self._add(faded)
        if time - self._looked >= STEP and not glance.blank:
            self._looked = time
            dissolve = find_dissolve(self._line)
            if dissolve is not None:
                self._add(dissolve)

    @property
    def settled(self) -> float:
        """Before this time, in seconds, it is known which shot each frame is of."""
        if len(self._recent) <= NEIGHBOURS:
            return self._first
        return min(self._last - LAG, self._recent[-1 - NEIGHBOURS].time)

    def number(self, time: float) -> int | None:
        """Which shot, counted from 0, a settled time lies in; None within a transition."""
        if self._fade.open and time >= self._fade.start:
            return None
        return shot_at(self.transitions, time)

    def result(self) -> ShotList:
        """The shots of what was seen, which was the whole film: after this, everything is settled."""
        for place in range(max(1, len(self._recent) - NEIGHBOURS), len(self._recent)):
            self._judge_cut(place)
        end = self._last + self._gap
        faded = self._fade.close(end)
        if faded is not None:
            self._add(faded)
        return ShotList(
            list_shots(self._first, self.transitions, end), tuple(self.transitions), end
        )

    def _extend(self, glance: Glance) -> None:
        """Keep a frame for dissolves, and no longer than they may last."""
        line = self._line
        if glance.blank:
            line.clear()
        elif not line or glance.time - line[-1].time >= TICK - 1e-6:
            line.append(glance)
            while glance.time - line[0].time > WINDOWS[-1]:
                line.popleft()

    def _judge_cut(self, place: int) -> None:
        """Note a cut before the recent frame at `place`, if there is one."""
        recent = list(self._recent)
        now = recent[place]
        if self.transitions and now.time <= self.transitions[-1].end:
            return
        if is_cut(recent, place):
            self._add(Transition("cut", now.time, now.time))

    def _add(self, found: Transition) -> None:
        """Note a transition; what lies inside it was part of it."""
        while self.transitions and self.transitions[-1].start >= found.start:
            self.transitions.pop()
        if self.transitions and self.transitions[-1].end > found.start:
            last = self.transitions.pop()
            found = Transition(found.kind, last.start, found.end)
        self.transitions.append(found)
        while self._line and self._line[0].time < found.end:
            self._line.popleft()


def glanced(luma: Frames, time: float, before: Glance | None) -> Glance:
    """A frame as the detector keeps it."""
    height, width = luma.shape
    down, across = height // BARS, width // BARS
    luma = luma[down : height - down, across : width - across]
    values = cv2.resize(luma, GRID, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    mean = float(values.mean())
    variance = float(values @ values) / values.size - mean * mean
    glance = Glance(time, luma, values, mean, variance)
    if before is None:
        return glance
    return Glance(time, luma, values, mean, variance, lost(before, glance))


def covariance(a: Glance, b: Glance) -> float:
    """In squared levels."""
    return float(a.values @ b.values) / a.values.size - a.mean * b.mean


def lost(a: Glance, b: Glance) -> float:
    """How much structure two frames do not share: 0 the same, about 1 unrelated, up to 2."""
    return 1 - (2 * covariance(a, b) + FLAT) / (a.variance + b.variance + FLAT)


def likeness(a: Glance, b: Glance) -> float:
    """The correlation of two frames, whatever their brightness and contrast."""
    return covariance(a, b) / float(np.sqrt(max(a.variance * b.variance, 1e-6)))


# --- cuts ------------------------------------------------------------------------------------


def is_cut(recent: Sequence[Glance], place: int) -> bool:
    """Whether the frame at `place` begins a shot."""
    before, now = recent[place - 1], recent[place]
    if now.lost < CUT or before.blank or now.blank:
        return False
    after = recent[place + 1 : place + 1 + NEIGHBOURS]
    around = [g.lost for g in (*recent[max(1, place - NEIGHBOURS) : place], *after)]
    local = max(around, default=0.0)
    if now.lost < max(TIMES * local, local + ABOVE):
        return False
    if any(lost(before, later) < now.lost / 2 for later in after):
        return False
    return now.lost >= CERTAIN or lost_after_shift(before, now) > now.lost / 2


def lost_after_shift(a: Glance, b: Glance) -> float:
    """What is still lost after the best shift of the whole frame."""
    first, second = a.luma.astype(np.float32), b.luma.astype(np.float32)
    height, width = first.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first * window, second * window)
    dx, dy = round(x), round(y)
    if abs(dx) > width // 2 or abs(dy) > height // 2:
        return b.lost
    kept = second[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    source = first[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
    pair = (kept - kept.mean(), source - source.mean())
    covariance = float((pair[0] * pair[1]).mean())
    variances = float((pair[0] ** 2).mean() + (pair[1] ** 2).mean())
    return 1 - (2 * covariance + FLAT) / (variances + FLAT)


# --- dissolves -------------------------------------------------------------------------------


def find_dissolve(line: Sequence[Glance]) -> Transition | None:
    """The dissolve that lies within the last seconds of `line`, if all of it does."""
    frames = list(line)
    for seconds in WINDOWS:
        part = [g for g in frames if g.time >= frames[-1].time - seconds] if frames else []
        if len(part) < 2 * REST or likeness(part[0], part[-1]) > LIKE:
            continue
        found = dissolve_in(part)
        if found is not None:
            return found
    return None


def dissolve_in(part: Sequence[Glance]) -> Transition | None:
    """The dissolve between the first and the last of these frames."""
    first, last = part[0].variance, part[-1].variance
    rise = (last - first) / (len(part) - 1)
    if all(g.variance > DIP * (first + n * rise) for n, g in enumerate(part)):
        return None  # as nearly always
    dips = np.array([g.variance for g in part]) / np.linspace(first, last, len(part))
    way = part[-1].values - part[0].values
    offsets = np.stack([g.values for g in part]) - part[0].values
    length = float(way @ way)
    shares = offsets @ way / length
    strays = np.sqrt(((offsets - shares[:, None] * way) ** 2).sum(1) / length)
    steps = np.abs(np.diff(shares))
    slopes = np.abs(shares[REST:] - shares[:-REST])
    mixed = (shares > 0.3) & (shares < 0.7)
    if (
        not mixed.any()
        or np.median(dips[mixed]) > DIP
        or np.median(strays[mixed]) > STRAY
        or steps.max() > LEAP
        or steps.sum() > WANDER
        or max(slopes[0], slopes[-1]) > SLOPE * slopes.max()
    ):
        return None
    start = int(np.flatnonzero(shares < 0.05)[-1]) + 1
    end = int(np.flatnonzero(shares < 0.95)[-1]) + 1
    return Transition("dissolve", part[start].time, part[end].time)


# --- fades -----------------------------------------------------------------------------------


@dataclass
class Fade:
    """Follows contrast down to blank frames and up again."""

    falling: deque[tuple[float, float]] = field(default_factory=deque)  # time, contrast
    open: bool = False
    start: float = 0.0
    began: float | None = None  # when the picture came back
    risen: float = 0.0  # when it last gained contrast
    highest: float = 0.0
    steady: int = 0  # frames since then

    def see(self, glance: Glance) -> Transition | None:
        """The fade that has ended with this frame, if one has."""
        contrast = float(np.sqrt(max(0.0, glance.variance)))
        if glance.blank:
            if not self.open:
                self.open, self.start = True, self._fall_began(glance.time)
            self.began = None
        elif self.open:
            return self._rise(glance.time, contrast)
        else:
            self.falling.append((glance.time, contrast))
            while glance.time - self.falling[0][0] > FADE:
                self.falling.popleft()
        return None

    def close(self, end: float) -> Transition | None:
        """The fade that is open at the film's end."""
        if not self.open:
            return None
        self.open = False
        return Transition("fade", self.start, end if self.began is None else self.risen)

    def _fall_began(self, time: float) -> float:
        """When the contrast that is gone at `time` began to fall."""
        start, later, highest = time, time, BLANK
        for moment, contrast in reversed(self.falling):
            if contrast <= 1.02 * highest:
                break
            start, later, highest = later, moment, contrast
        self.falling.clear()
        return start

    def _rise(self, time: float, contrast: float) -> Transition | None:
        """The fade, once contrast has stopped rising."""
        if self.began is None:
            self.began, self.risen, self.highest, self.steady = time, time, contrast, 0
        elif contrast > 1.02 * self.highest and time - self.began < FADE:
            self.risen, self.highest, self.steady = time, contrast, 0
        else:
            self.steady += 1
        if self.steady < NEIGHBOURS:
            return None
        self.open = False
        return Transition("fade", self.start, self.risen)
