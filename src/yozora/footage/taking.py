"""One ingest under way: which files are still to be read, which of their clips are new, and what is noted of each file.

All of it is decided in the order of the files, whatever engine reads them and however far it is ahead.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from yozora.footage.sieve import Hashes
from yozora.footage.store import Drop, Store, Stored
from yozora.footage.work import Job, Left, Taken

CLIP = re.compile("[0-9a-f]{64}")  # a clip's id, in a reason

Read = Callable[[Iterable[Job]], Iterator[tuple[Job, Taken | None]]]


@dataclass
class Outcome:
    """What became of a file: clips left out, errors, and, where it was taken in to its end, its key and clips."""

    source: str
    left: list[Left] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    key: str = ""
    clips: list[str] = field(default_factory=list)


class Taking:
    """Hands a corpus the clips of files, and notes what became of each file as soon as its clips are known.

    refused: files with a sentence each. left: clips that were left out. again: how many were there and not read again.
    """

    def __init__(self, corpus: Store, duplicate_bits: int) -> None:
        self.corpus, self.duplicate_bits = corpus, duplicate_bits
        self.refused: list[tuple[str, str]] = []
        self.left: list[Left] = []
        self.again = 0
        self._before: dict[str, list[Drop]] = defaultdict(list)
        self._copies: dict[str, Drop] = {}  # clips that were left out once all was in, by their ids
        for drop in corpus.drops():
            self._before[drop["source"]].append(drop)
            if drop["rule"] == "similarity":
                clips = CLIP.findall(drop["reason"])  # each with the one that it looks like
                self._copies |= dict.fromkeys(clips[::2], drop)
        self._finished = corpus.finished()
        self._first: dict[str, str] = {}  # clip -> the file it came from first in this ingest
        self._alike: list[Stored] = []
        self._ended: list[Outcome] = []

    def rows(self, jobs: Iterable[Job], read: Read) -> Generator[Any]:
        """The rows of all clips that are kept; None for one that came before in this ingest."""
        known, hashes = set(self.corpus.ids(kind="footage")), Hashes()
        for clip, bits, file in self.corpus.hashes():
            hashes.add(bits, file, clip)
        for job, done in read(self._unfinished(jobs)):
            taken = done or Taken(errors=[f"{job.path}: reading it ended its reader, twice."])
            outcome = Outcome(job.source, taken.left, taken.errors)
            alike = False
            for row in taken.rows:
                new = row.id not in known and row.id not in self._first
                same = self._same(row, hashes) if new else None
                if new and row.id in self._copies:
                    copy = self._copies[row.id]
                    start = row.labels["start"]
                    outcome.left.append(Left(row.source, start, copy["rule"], copy["reason"]))
                elif same is not None:
                    why = f"It looks the same as the clip {same}."
                    outcome.left.append(
                        Left(row.source, row.labels["start"], "duplicate_bits", why)
                    )
                    self._alike.append(row)
                    alike = True
                elif self._first.get(row.id) == job.digest:
                    yield None
                else:
                    self._first.setdefault(row.id, job.digest)
                    outcome.clips.append(row.id)
                    remember(row, hashes)
                    yield row
            # What looked like another file's clip may be the only one some day, and what failed may be mended.
            if not alike and not taken.errors:
                outcome.key = job.key
            self._end(outcome)

    def refuse(self, source: str, reason: str) -> None:
        """Take note that a file cannot be used."""
        self._end(Outcome(source, errors=[reason]))

    def note(self) -> None:
        """Enter what became of the files whose clips are known by now, and take back what was said of them before."""
        while self._ended:
            one = self._ended.pop(0)
            before = self._before[one.source]
            said = {(drop["start"], drop["reason"]) for drop in before}
            for reason in one.errors:
                self.corpus.drop(one.source, reason)
            for left in one.left:
                if (left.start, left.reason) not in said:
                    self.corpus.drop(left.source, left.reason, rule=left.rule, start=left.start)
            stands = {left.start for left in one.left} | ({None} if one.errors else set())
            for drop in before:
                if drop["start"] not in stands:
                    self.corpus.drop(one.source, "", start=drop["start"])
            if one.key:
                self.corpus.finish(one.key, one.source, one.clips)

    def close(self, revoked: Iterable[tuple[str, str]]) -> None:
        """Note the files with clips that stay out, and take away what was stored and left out after all."""
        for source, reason in revoked:
            self.refused.append((source, reason))
            self.corpus.drop(source, reason)
        self.corpus.forget(self._alike)

    def _unfinished(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that are still to be done."""
        for job in jobs:
            clips = self._finished.get(job.key)
            if clips is None:
                yield job
                continue
            self.again += len(clips)
            self.left += [
                Left(drop["source"], drop["start"], drop["rule"], drop["reason"])
                for drop in self._before[job.source]
                if drop["start"] is not None
            ]
            for clip in clips:
                self._first.setdefault(clip, job.digest)

    def _same(self, row: Stored, hashes: Hashes) -> str | None:
        """The clip of another file that this one looks like."""
        bits = bits_of(row)
        if bits is None:
            return None
        return hashes.same(bits, row.labels["file"], self.duplicate_bits)

    def _end(self, outcome: Outcome) -> None:
        self.left += outcome.left
        self.refused += [(outcome.source, reason) for reason in outcome.errors]
        self._ended.append(outcome)


def remember(row: Stored, hashes: Hashes) -> None:
    """Adds a clip's perceptual hash, where it has one."""
    bits = bits_of(row)
    if bits is not None:
        hashes.add(bits, row.labels["file"], row.id)


def bits_of(row: Stored) -> int | None:
    """A clip's perceptual hash."""
    found = row.labels.get("measures", {}).get("hash")
    return int(found, 16) if found else None
