"""What is done with one file once it may be used: a pure function from a job to clips in their place."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError
from yozora.footage.caption import captions_of
from yozora.footage.cut import Cut, Format, cuts
from yozora.footage.sidecar import Sidecar
from yozora.footage.sieve import Sieve
from yozora.video import Clip, Record, probe
from yozora.video.geometry import content_rect

FACTS = ("country", "language", "domain")  # that a row keeps of what is said of its file
VERSION = 1  # to be raised when the same film gives other clips or measures
AHEAD = 2  # clips that are being encoded while the film is read on


@dataclass(frozen=True)
class Job:
    """A file that may be used: its SHA-256, what is said of it, whose it is, its split, and how it is to be cut."""

    path: Path
    digest: str
    sidecar: Sidecar
    licence: str
    holder: str
    url: str
    split: str
    format: Format
    sieve: Sieve

    @property
    def source(self) -> str:
        """The file's name as rows have it."""
        return shown(self.path)

    @property
    def key(self) -> str:
        """The same for a job that would give the same clips and rows."""
        return hashlib.sha256(f"{VERSION} {self!r}".encode()).hexdigest()


@dataclass(frozen=True)
class Left:
    """A clip that was left out: its source, the second it starts at, the threshold it missed, the reason."""

    source: str
    start: float
    rule: str
    reason: str


@dataclass
class Taken:
    """What came of a job: rows of the clips that are in their place, clips that were left out, and a sentence if the
    file could not be read to its end."""

    rows: list[Any] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def take(store: Callable[[Clip, Record], Any], job: Job) -> Taken:
    """Cuts, measures and sieves a film in one pass; ``store`` puts each clip in its place and returns its row."""
    taken = Taken()
    storing: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1) as encoder:
        try:
            for clip, record in kept(job, taken.left):
                storing.append(encoder.submit(store, clip, record))
                if len(storing) > AHEAD:
                    taken.rows.append(storing.popleft().result())
        except Exception as error:  # whatever a damaged film brings down, the others are to go on
            taken.errors.append(sentence(job.source, error))
        for stored in storing:
            try:
                taken.rows.append(stored.result())
            except Exception as error:
                taken.errors.append(sentence(job.source, error))
    return taken


def sentence(source: str, error: Exception) -> str:
    """An error in words: its own where they are for users."""
    if isinstance(error, YozoraError):
        return readable(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{source} cannot be read: {error.strerror}."
    return f"{source} cannot be read: {type(error).__name__}: {readable(str(error))}."


def kept(job: Job, left: list[Left]) -> Iterator[tuple[Clip, Record]]:
    """The clips that pass the sieve, with their records; what does not is added to ``left``."""
    info = probe(job.path)
    content = list(content_rect((info.width, info.height), job.format.size))
    for cut in cuts(job.path, job.format):
        clip = Clip(cut.frames, job.format.fps)
        start = cut.first / clip.fps
        missed = job.sieve.missed(cut.measures, clip.seconds if len(clip) > 1 else 0.0)
        if missed is not None:
            left.append(Left(job.source, start, *missed))
            continue
        captions, origin = captions_of(
            job.path, job.sidecar, info.tags, start, start + clip.seconds
        )
        yield (
            clip,
            Record(
                captions=tuple(readable(text) for text in captions),
                source=job.source,
                licence=job.licence,
                holder=job.holder,
                url=job.url,
                split=job.split,
                labels={"content": content, "start": start, "caption": origin, **facts(job, cut)},
            ),
        )


def facts(job: Job, cut: Cut) -> dict[str, Any]:
    """What is known of a clip besides its place and words."""
    said = {name: value for name in FACTS if (value := readable(getattr(job.sidecar, name)))}
    measures = rounded(cut.measures.to_json())
    return {"shot": cut.shot, "file": job.digest, "measures": measures, **said}


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
