"""One pass over a film: all taps at once, and each frame handed on with the shot it is of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yozora.footage.taps.borders import NO_BORDERS, Borders, BordersTap
from yozora.footage.taps.cadence import Cadence, CadenceTap, repeats_of
from yozora.footage.taps.learned import DETECTORS, USUAL, Look, Looks, Taps, look
from yozora.footage.taps.light import Light, LightTap, light_of
from yozora.footage.taps.likeness import Hash, HashTap, hash_of
from yozora.footage.taps.motion import Motion, MotionTap, motion_of
from yozora.footage.taps.shots import Transition
from yozora.footage.taps.sound import Sound
from yozora.video import View, watch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """What was measured of a stretch of one shot; light and hash are None where no sample fell into it.

    repeats: the share of frames that repeat the one before; None where nothing moved. borders: the bars around the
    film, by all that was seen of it up to then. looks, sound: by models; None where they were not asked.
    """

    motion: Motion
    light: Light | None
    hash: Hash | None
    repeats: float | None = None
    borders: Borders = NO_BORDERS
    looks: Looks = field(default_factory=Looks)
    sound: Sound | None = None

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return {
            "motion": self.motion.to_json(),
            "light": self.light.to_json() if self.light else None,
            **(self.hash.to_json() if self.hash else {}),
            "repeats": self.repeats,
            "borders": self.borders.to_json()["rectangle"],
            **self.looks.to_json(),
            **({"sound": self.sound.to_json()} if self.sound else {}),
        }


class Totals(NamedTuple):
    """The taps' sums from a shot's beginning on; what was added in a stretch tells of that stretch."""

    motion: Floats
    light: Floats
    hash: Floats
    cadence: Floats

    def since(self, before: Totals) -> Measures:
        """What was measured after ``before``, in the same shot."""
        motion, light, likeness, cadence = (
            now - then for now, then in zip(self, before, strict=True)
        )
        return Measures(motion_of(motion), light_of(light), hash_of(likeness), repeats_of(cadence))


class Seen(NamedTuple):
    """A view with the number of its shot, from 0, and the sums before and after it; None in a dissolve, a fade or among
    blank frames. look: what models see in its sample, where one was due."""

    shot: int | None
    view: View
    before: Totals | None
    after: Totals | None
    look: Look | None = None


@dataclass(frozen=True)
class Shot:
    """The frames with start <= time < end, in seconds, and what was measured of them."""

    start: float
    end: float
    measures: Measures

    def to_json(self) -> dict[str, Any]:
        """The shot as JSON types."""
        return {"start": self.start, "end": self.end, **self.measures.to_json()}


@dataclass(frozen=True)
class Findings:
    """What one pass has found in a film."""

    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...]
    borders: Borders
    cadence: Cadence

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON types."""
        return {
            "shots": [shot.to_json() for shot in self.shots],
            "transitions": [asdict(transition) for transition in self.transitions],
            "borders": self.borders.to_json(),
            "cadence": self.cadence.to_json(),
        }


class Survey:
    """Measures a film while its views pass through; takes one film.

    Views are held back until their shot is certain, two and a half seconds as a rule and seven with transnet; no more
    is kept, however long the film is. taps: what is measured besides the usual. every: seconds between the samples of a
    shot that models look at.
    """

    def __init__(self, taps: Taps = USUAL, every: float = 0.0) -> None:
        self._taps, self._every = taps, every
        self._shots = DETECTORS[taps.shots]()
        self._borders, self._cadence = BordersTap(), CadenceTap()
        self._held: deque[View] = deque()
        self._open: OpenShot | None = None
        self._done: list[Shot] = []
        self._findings: Findings | None = None

    def follow(self, views: Iterable[View]) -> Iterator[Seen]:
        """Each view with its shot and what has been measured of that.

        Shots' numbers rise, and may leave one out. If the views break off with an error, `findings` still tells of what
        came before.
        """
        for view in views:
            self._shots.see(view.luma if view.thumb is None else view.thumb, view.time)
            self._cadence.see(view.luma, view.time)
            if view.sample is not None:
                self._borders.see(view.sample.luma, view.time)
            self._held.append(view)
            yield from self._settled(self._shots.settled)
        self._shots.result()
        yield from self._settled(float("inf"))

    @property
    def borders(self) -> Borders:
        """The bars around the film, by what was seen of it until now."""
        return self._borders.result()

    def findings(self) -> Findings:
        """What was found in the views that were handed on or held; the same again when asked again."""
        if self._findings is None:
            found = self._shots.result()
            for _ in self._settled(float("inf")):
                pass
            if self._open is not None:
                self._done.append(self._open.closed(found.end))
            self._findings = Findings(
                shots=tuple(self._done),
                transitions=found.transitions,
                borders=self._borders.result(),
                cadence=self._cadence.result(),
            )
        return self._findings

    def _settled(self, before: float) -> Iterator[Seen]:
        """Hand on the views held from before this time."""
        while self._held and self._held[0].time < before:
            view = self._held.popleft()
            number = self._shots.number(view.time)
            if self._open is not None and self._open.number != number:
                self._done.append(self._open.closed(view.time))
                self._open = None
            if number is None:
                yield Seen(None, view, None, None)
                continue
            self._open = self._open or OpenShot(number, view.time)
            sums = self._open.totals
            self._open.see(view)
            seen = self._look(self._open, view)
            yield Seen(number, view, sums, self._open.totals, seen)

    def _look(self, shot: OpenShot, view: View) -> Look | None:
        """What models see in a view's sample: the first of its shot, and one every so many seconds."""
        if not self._taps.looking or view.sample is None or view.time < shot.due:
            return None
        shot.due = view.time + self._every
        return look(view.sample.rgb, self._taps.looking)


class OpenShot:
    """The shot whose frames are passing, with the taps that measure it."""

    def __init__(self, number: int, start: float) -> None:
        self.number = number
        self._start = start
        self.due = start  # when models are to look at it
        self._motion, self._light, self._hash = MotionTap(), LightTap(), HashTap()
        self._cadence = CadenceTap()

    def see(self, view: View) -> None:
        """Take its next frame."""
        self._motion.see(view.luma, view.time)
        self._hash.see(view.luma, view.time)
        self._cadence.see(view.luma, view.time)
        if view.sample is not None:
            self._light.see(view.sample.luma, view.time)

    @property
    def totals(self) -> Totals:
        """The taps' sums so far."""
        return Totals(
            self._motion.totals, self._light.totals, self._hash.totals, self._cadence.totals
        )

    def closed(self, end: float) -> Shot:
        """What was measured, once it has ended."""
        measures = Measures(
            self._motion.result(),
            self._light.result(),
            self._hash.result(),
            repeats_of(self._cadence.totals),
        )
        return Shot(self._start, end, measures)


def hash_of_film(path: Path) -> Hash:
    """The perceptual hash of a whole file. Raises YozoraError when it cannot be read."""
    tap = HashTap()
    for view in watch(path):
        tap.see(view.luma, view.time)
    return tap.result() or Hash(0)
