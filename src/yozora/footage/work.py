"""What is done with one file once it may be used: a pure function from a job to clips in their place."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from yozora.errors import YozoraError
from yozora.footage.caption import captions_of
from yozora.footage.cut import Cut, Format, Sink, cuts
from yozora.footage.sidecar import Sidecar
from yozora.footage.sieve import Sieve
from yozora.footage.store import Recorder, Recording, Stored
from yozora.footage.taps.learned import USUAL, Taps
from yozora.video import Canvas, Record, probe
from yozora.video.clip import Frames

FACTS = ("country", "language", "domain")  # that a row keeps of what is said of its file
VERSION = 4  # to be raised when the same film gives other clips or measures
AHEAD = 4  # clips or pictures of a master that wait to be encoded while the film is read on

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A file that may be used: its SHA-256, what is said of it, whose it is, its split, and how it is to be cut and
    measured.

    path: absolute, since whoever reads it may work in another folder. source: the file's name as rows have it.
    """

    path: Path
    source: str
    digest: str
    sidecar: Sidecar
    licence: str
    holder: str
    url: str
    split: str
    format: Format
    sieve: Sieve
    taps: Taps = USUAL

    @property
    def key(self) -> str:
        """The same for a job that would give the same clips and rows."""
        named = replace(self, path=Path(self.path.parent.name))  # words of last resort
        return hashlib.sha256(f"{VERSION} {named!r}".encode()).hexdigest()

    def sentence(self, error: Exception) -> str:
        """An error in words that name the file as its rows do."""
        return sentence(self.source, error).replace(shown(self.path), self.source)


@dataclass(frozen=True)
class Left:
    """A clip that was left out: its source, the second it starts at, its canvas, the threshold it missed, the reason,
    and its id where it is noted by that."""

    source: str
    start: float
    canvas: str
    rule: str
    reason: str
    clip: str = ""

    @property
    def place(self) -> tuple[float, str, str]:
        """Which clip of its source it is."""
        return self.start, self.canvas, self.clip


@dataclass
class Taken:
    """What came of a job: rows of the clips that are in their place, clips that were left out, and sentences if the
    file could not be read to its end or its clips not be stored."""

    rows: list[Any] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def take(recorder: Callable[[], AbstractContextManager[Recorder]], job: Job) -> Taken:
    """Cuts, measures and sieves a film in one pass; what ``recorder`` gives puts each clip in its place."""
    taken = Taken()
    with recorder() as recording, Behind() as encoder:
        shelf = Shelf(recording, encoder, job.format.canvas is not None)
        try:
            for cut, record in judged(job, shelf.begin, taken.left):
                shelf.put(cut, record)
        except Exception as error:  # whatever a damaged film brings down, the others are to go on
            taken.errors.append(job.sentence(error))
        try:
            shelf.close()
        except Exception as error:
            taken.errors.append(job.sentence(error))
        taken.rows = shelf.rows
        taken.errors = list(dict.fromkeys(taken.errors))  # what failed to be stored is said twice
    return taken


class Behind:
    """Calls functions in order in a thread of its own, at most AHEAD calls behind."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._calls: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """What the function will return. Raises what an earlier call raised."""
        while len(self._calls) >= AHEAD:
            self._calls.popleft().result()
        future = self._thread.submit(function, *arguments)
        self._calls.append(future)
        return future


class Master:
    """A master's recording, written behind the reading."""

    def __init__(self, recording: Recording, behind: Behind) -> None:
        self.recording, self._behind = recording, behind

    def write(self, picture: Frames) -> None:
        """Take the next picture."""
        self._behind.call(self.recording.write, picture)


class Shelf:
    """Puts the clips of a film in their place; a stretch's rows are made when its master, which comes last, is known.

    rows: in the order in which they came, each master before its renditions.
    """

    def __init__(self, recorder: Recorder, behind: Behind, masters: bool) -> None:
        self._recorder, self._behind, self._masters = recorder, behind, masters
        self._renditions: list[Future[Stored]] = []
        self.rows: list[Any] = []

    def begin(self, canvas: Canvas) -> Master:
        """A master whose pictures are to come."""
        return Master(self._behind.call(self._recorder.begin, canvas).result(), self._behind)

    def put(self, cut: Cut, record: Record | None) -> None:
        """Keep a clip with its record, or, without one, drop it."""
        if cut.sink is not None:
            assert isinstance(cut.sink, Master)
            recording = cut.sink.recording
            master = self._behind.call(recording.close).result()
            if record is not None:
                self.rows.append(
                    self._behind.call(recording.keep, record).result().of_master(master)
                )
            else:
                self._behind.call(recording.drop)
            self._end(master)
        elif record is not None:
            stored = self._behind.call(self._recorder.store, cut.pictures, cut.canvas, record)
            self._renditions.append(stored)
            if not self._masters and len(self._renditions) > AHEAD:
                self.rows.append(self._renditions.pop(0).result())

    def close(self) -> None:
        """No clip comes any more. Raises what kept one from being stored, after the rows of the others."""
        self._end("")

    def _end(self, master: str) -> None:
        errors = []
        while self._renditions:
            try:
                self.rows.append(self._renditions.pop(0).result().of_master(master))
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def sentence(source: str, error: Exception) -> str:
    """An error in words: its own where they are for users."""
    if isinstance(error, YozoraError):
        return readable(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{source} cannot be read: {error.strerror}."
    return f"{source} cannot be read: {type(error).__name__}: {readable(str(error))}."


def judged(
    job: Job, begin: Callable[[Canvas], Sink], left: list[Left]
) -> Iterator[tuple[Cut, Record | None]]:
    """The film's clips, with the records of those that pass the sieve; what does not is added to ``left``."""
    info = probe(job.path)
    source = info.width, info.height
    for cut in cuts(job.path, job.format.of(source), begin, job.taps):
        missed = job.sieve.missed(cut.measures, 0.0 if info.still else cut.seconds)
        if missed is not None:
            left.append(Left(job.source, cut.start, str(cut.canvas), *missed))
            yield cut, None
            continue
        words, origin = captions_of(
            job.path, job.sidecar, info.tags, cut.start, cut.start + cut.seconds
        )
        picture = cut.measures.borders.within(cut.canvas.content(source))
        content = {"content": list(picture), "start": cut.start}
        yield (
            cut,
            Record(
                captions=tuple(readable(text) for text in words),
                source=job.source,
                licence=job.licence,
                holder=job.holder,
                url=job.url,
                split=job.split,
                labels={**content, "caption": origin, "audio": info.audio, **facts(job, cut)},
            ),
        )


def facts(job: Job, cut: Cut) -> dict[str, Any]:
    """What is known of a clip besides its place and words."""
    said = {name: value for name in FACTS if (value := readable(getattr(job.sidecar, name)))}
    measures = rounded(cut.measures.to_json())
    faces = {"faces": "hidden"} if job.taps.blur_faces else {}
    return {"shot": cut.shot, "file": job.digest, "measures": measures, **faces, **said}


def rounded(measures: dict[str, Any]) -> dict[str, Any]:
    """Four digits are all that a measure is good for."""

    def one(value: Any) -> Any:
        if isinstance(value, dict):
            return rounded(value)
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return {name: one(value) for name, value in measures.items()}


def shown(path: Path) -> str:
    """A path as text that can be stored and printed, also where its name is no valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def readable(text: str) -> str:
    """Text without the lone surrogates that stand for undecodable bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")
