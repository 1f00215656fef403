"""Leaves out footage that looks like another file's: copies that were cropped, mirrored, coded again or written on.

The perceptual hash of ingest finds copies that are whole; this finds those too that are not (see likeness.py). Clips of
one file are never compared, since neighbours of a quiet film are alike and yet each its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from yozora.corpus.catalogue import Corpus
from yozora.corpus.likeness import SOME, alike
from yozora.corpus.looks import fill, read_looks

RULE = "similarity"
USUAL = 0.9  # of 1: nothing but copies was above it; the journal has the figures

Progress = Callable[[str, int, int], None]  # what is being done, done, total


@dataclass(frozen=True)
class Copy:
    """A clip that looks like one that came before it."""

    clip: str
    source: str
    like: str
    similarity: float

    @property
    def reason(self) -> str:
        """Why it is left out."""
        return f"Its clip {self.clip} looks like the clip {self.like} (similarity {self.similarity:.2f})."

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON types."""
        return asdict(self)


def dedup(
    corpus: Corpus,
    *,
    similarity: float = USUAL,
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> list[Copy]:
    """Leaves out each clip of footage that looks like a clip of another file which came before it and stays.

    What is left out is noted with its reason, and stays out when its file is taken in again; states that were tagged
    keep it. With ``dry_run`` nothing is left out. Compares all pairs: seconds for a thousand clips, half an hour for a
    hundred thousand. Raises YozoraError when a clip has lost its file, or others take clips back meanwhile.
    """
    fill(corpus, lambda done, total: progress("looking", done, total))
    found = copies(corpus, similarity, progress)
    if found and not dry_run:
        corpus.leave_out({one.clip: one.reason for one in found}, RULE)
    return found


def copies(corpus: Corpus, similarity: float, progress: Progress) -> list[Copy]:
    """The clips that are to be left out, in the catalogue's order, then the masters of which no rendition stays."""
    ids, looks = read_looks(corpus)
    at = {clip: place for place, clip in enumerate(ids)}
    table = corpus.table(["source", "master"], kind="footage").to_pylist()
    rows = [row for row in table if row["id"] in at]
    vectors = looks[[at[row["id"]] for row in rows]]
    del looks
    sources = np.unique([row["source"] for row in rows], return_inverse=True)[1]
    stays = np.ones(len(rows), bool)
    found: list[Copy] = []
    for start in range(0, len(rows), SOME):
        progress("comparing", start, len(rows))
        end = min(start + SOME, len(rows))
        fits = alike(vectors[start:end], vectors[:end])
        for place in range(start, end):
            before = fits[place - start, :place]
            before = np.where(stays[:place] & (sources[:place] != sources[place]), before, -1)
            if len(before) and before.max() >= similarity:
                stays[place], like = False, int(before.argmax())
                row, fit = rows[place], round(float(before[like]), 4)
                found.append(Copy(row["id"], row["source"], rows[like]["id"], fit))
    left = {one.clip: one for one in found}
    staying = {row["master"] for row in rows if row["id"] not in left}
    first = {row["master"]: left[row["id"]] for row in reversed(rows) if row["id"] in left}
    masters = [row["id"] for row in table if row["id"] == row["master"]]
    gone = [clip for clip in masters if clip in first and clip not in staying]
    return found + [replace(first[clip], clip=clip) for clip in gone]
