"""One ingest under way: which files are still to be read, which of their clips are new, and what is noted of each file.

All of it is decided in the order of the files, whatever engine reads them and however far it is ahead.

What an ingest notes of a clip that it left out is taken back by the next one that cuts the file so and lets it in. What
it cannot judge stays: clips on other canvases, what a model kept out that does not look this time, and what was left
out once all was in, for its likeness. A file that cannot be read, or only in part, takes nothing back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from yozora.footage.sieve import NEEDS, Hashes
from yozora.footage.store import Drop, Store, Stored
from yozora.footage.work import Job, Left, Taken

LATER = "similarity"  # the rule by which clips are left out once all is in; only a revocation takes it back
REVOKED = "revoked"  # the rule of files with clips that were taken back
WHOLE = (None, "", "")  # the place of what is said of a file and not of a clip

Read = Callable[[Iterable[Job]], Iterator[tuple[Job, Taken | None]]]
Place = tuple[
    float | None, str, str
]  # of a drop in its file: start, canvas, and its clip where that has an id


@dataclass
class Outcome:
    """What became of a file: why it cannot be used, or the job that was done, clips left out, and those that are of it
    if it was taken in to its end."""

    source: str
    error: str = ""
    job: Job | None = None
    left: list[Left] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    finished: bool = False

    def takes_back(self, drop: Drop) -> bool:
        """Whether what was noted of the file before no longer holds, now that this says nothing of it."""
        if self.error or self.job is None:
            return False
        if drop["start"] is None:
            return True
        model = NEEDS.get(drop["rule"])
        return (
            drop["rule"] != LATER
            and drop["canvas"] in self.job.format.may_give
            and (model is None or model in self.job.taps.models)
        )


class Taking:
    """Hands a corpus the clips of files, and notes what became of each file as soon as its clips are known.

    refused: files with a sentence each. left: clips that were left out. again: how many were there and not read again.
    """

    def __init__(self, corpus: Store, duplicate_bits: int) -> None:
        self.corpus, self.duplicate_bits = corpus, duplicate_bits
        self.refused: list[tuple[str, str]] = []
        self.left: list[Left] = []
        self.again = 0
        self._before: dict[str, dict[Place, Drop]] = defaultdict(dict)
        self._copies: dict[str, Drop] = {}  # clips that were left out once all was in, by their ids
        for drop in corpus.drops():
            self._before[drop["source"]][drop["start"], drop["canvas"], drop["clip"]] = drop
            if drop["rule"] == LATER:
                self._copies[drop["clip"]] = drop
        self._finished = corpus.finished()
        self._hidden: dict[str, bool] = {}  # whether the clips of a file hide faces
        self._first: dict[str, str] = {}  # clip -> the file it came from first in this ingest
        self._out: list[Stored] = []
        self._ended: list[Outcome] = []

    def rows(self, jobs: Iterable[Job], read: Read) -> Generator[Any]:
        """The rows of all clips that are kept; None for one that came before in this ingest."""
        known, hashes = set[str](), Hashes()
        for clip, bits, file, hidden in self.corpus.footage():
            known.add(clip)
            self._hidden[file] = hidden
            if bits is not None:
                hashes.add(bits, file, clip)
        for job, done in read(self._unfinished(jobs)):
            taken = done or Taken(errors=[f"{job.source}: reading it ended its reader, twice."])
            outcome = Outcome(job.source, " ".join(taken.errors), job, taken.left)
            alike = False
            for row in taken.rows:
                new = row.id not in known and row.id not in self._first
                if new and (drop := self._kept_out(job, row)):
                    outcome.left.append(left(row, drop["rule"], drop["reason"], drop["clip"]))
                    if drop["rule"] != LATER:  # the others' files may be of states that were tagged
                        self._out.append(row)
                elif new and (same := self._same(row, hashes)):
                    why = f"It looks the same as the clip {same}."
                    outcome.left.append(left(row, "duplicate_bits", why))
                    self._out.append(row)
                    alike = True
                elif self._first.get(row.id) == job.digest:
                    yield None
                else:
                    self._first.setdefault(row.id, job.digest)
                    outcome.clips.append(row.id)
                    remember(row, hashes)
                    yield row
            # What looked like another file's clip may be the only one some day, and what failed may be mended.
            outcome.finished = not alike and not taken.errors
            self._end(outcome)

    def refuse(self, source: str, reason: str) -> None:
        """Take note that a file cannot be used."""
        self._end(Outcome(source, reason))

    def note(self) -> None:
        """Enter what became of the files whose clips are known by now, and take back what was said of them before."""
        while self._ended:
            one = self._ended.pop(0)
            before = self._before[one.source]
            if one.error:
                self.corpus.drop(one.source, one.error)
            for clip in one.left:
                said = before.get(clip.place)
                if said is None or (said["rule"], said["reason"]) != (clip.rule, clip.reason):
                    self._drop(clip.source, clip.reason, clip.place, clip.rule)
            stands = {clip.place for clip in one.left}
            for place, drop in before.items():
                if place not in stands and one.takes_back(drop):
                    self._drop(one.source, "", place)
            if one.finished and one.job is not None:
                self.corpus.finish(one.job.key, one.source, one.clips)

    def close(self, revoked: Iterable[tuple[str, str]]) -> None:
        """Note the files with clips that stay out, and take away what was stored and left out after all."""
        failed = {source for source, _ in self.refused}
        for source, reason in dict.fromkeys(revoked):
            if source not in failed:
                self.refused.append((source, reason))
                self.corpus.drop(source, reason, rule=REVOKED)
        self.corpus.forget(self._out)

    def _unfinished(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that are still to be done."""
        for job in jobs:
            hides = job.taps.blur_faces
            if self._hidden.get(job.digest, hides) != hides:
                self.refuse(job.source, mixed(job))
                continue
            clips = self._finished.get(job.key)
            if clips is None:
                yield job
                continue
            before = self._before[job.source]
            if WHOLE in before and before[WHOLE]["rule"] != REVOKED:
                self.corpus.drop(job.source, "")
            self.again += len(clips)
            self.left += [
                Left(job.source, start, canvas, drop["rule"], drop["reason"], clip)
                for (start, canvas, clip), drop in before.items()
                if start is not None and canvas in job.format.may_give
            ]
            for clip in clips:
                self._first.setdefault(clip, job.digest)

    def _kept_out(self, job: Job, row: Stored) -> Drop | None:
        """Why a clip that comes again stays out: for its likeness, or for what a model saw that does not look now."""
        if row.id in self._copies:
            return self._copies[row.id]
        drop = self._before[row.source].get((row.labels["start"], str(row.canvas), ""))
        model = NEEDS.get(drop["rule"]) if drop else None
        return drop if model and model not in job.taps.models else None

    def _same(self, row: Stored, hashes: Hashes) -> str | None:
        """The clip of another file that this one looks like."""
        bits = bits_of(row)
        if bits is None:
            return None
        return hashes.same(bits, row.labels["file"], self.duplicate_bits)

    def _drop(self, source: str, reason: str, place: Place, rule: str = "") -> None:
        start, canvas, clip = place
        self.corpus.drop(source, reason, rule=rule, start=start, canvas=canvas, clip=clip)

    def _end(self, outcome: Outcome) -> None:
        self.left += outcome.left
        if outcome.error:
            self.refused.append((outcome.source, outcome.error))
        self._ended.append(outcome)


def left(row: Stored, rule: str, reason: str, clip: str = "") -> Left:
    """A stored clip that is left out after all; clip: its id where it is noted by that."""
    return Left(row.source, row.labels["start"], str(row.canvas), rule, reason, clip)


def mixed(job: Job) -> str:
    """Why a file is refused of which the corpus has clips that show faces, or hide them, the other way."""
    there, way = ("show", "without") if job.taps.blur_faces else ("hide", "with")
    return (
        f"{job.source}: the corpus has clips of it that {there} faces, and keeps a file one way: take it in {way} "
        "--blur-faces, or into another corpus."
    )


def remember(row: Stored, hashes: Hashes) -> None:
    """Adds a clip's perceptual hash, where it has one."""
    bits = bits_of(row)
    if bits is not None:
        hashes.add(bits, row.labels["file"], row.id)


def bits_of(row: Stored) -> int | None:
    """A clip's perceptual hash."""
    found = row.labels.get("measures", {}).get("hash")
    return int(found, 16) if found else None
