"""Finding clips: by words of their captions, or by their likeness to another clip.

Both read the columns they need once and no index, so there is nothing beside the catalogue that could be stale, or has
to be cleared when a clip is taken back.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from yozora.corpus.catalogue import Corpus
from yozora.corpus.likeness import SOME, Vectors, alike
from yozora.corpus.looks import read_looks
from yozora.corpus.schema import HASH, Row
from yozora.errors import YozoraError


@dataclass(frozen=True)
class Found:
    """A clip and how well it fits: the share of the words it has, or of the hash's 64 bits that are the same."""

    row: Row
    fit: float


def by_words(corpus: Corpus, query: str, limit: int = 20) -> list[Found]:
    """The clips whose captions or source have most of the query's words, best first; case does not count, and a word
    is found inside another. Raises YozoraError for a query without words."""
    words = list(dict.fromkeys(query.casefold().split()))
    if not words:
        raise YozoraError("There is nothing to search for: give words, or a clip with --like.")

    def fits() -> Iterator[tuple[str, float]]:
        for batch in corpus.batches(["id", "captions", "source"]):
            spoken = pc.binary_join(batch["captions"], " ")
            text = pc.binary_join_element_wise(spoken, batch["source"], " ")
            has = [pc.match_substring(text, word, ignore_case=True) for word in words]
            counts = np.sum([np.asarray(one) for one in has], axis=0)
            some = counts > 0
            yield from zip(
                batch["id"].filter(pa.array(some)).to_pylist(),
                counts[some] / len(words),
                strict=True,
            )

    return best(corpus, fits(), limit)


def by_likeness(corpus: Corpus, bits: int, limit: int = 20) -> list[Found]:
    """The footage whose perceptual hash is nearest to ``bits``, best first."""

    def fits() -> Iterator[tuple[str, float]]:
        for batch in corpus.batches(["id", "labels"], kind="footage"):
            found = pc.struct_field(pc.extract_regex(batch["labels"], HASH), "hash")
            known = found.is_valid()
            digits = "".join(found.filter(known).to_pylist())
            apart = np.bitwise_count(np.frombuffer(bytes.fromhex(digits), ">u8") ^ np.uint64(bits))
            yield from zip(batch["id"].filter(known).to_pylist(), 1 - apart / 64, strict=True)

    return best(corpus, fits(), limit)


def by_look(corpus: Corpus, looks: Sequence[Vectors], limit: int = 20) -> list[Found]:
    """The clips that look most like any of these (see likeness.py), best first; of those that were looked at."""
    ids, vectors = read_looks(corpus)
    fits = np.full(len(ids), -1, np.float32)
    for start in range(0, len(looks), SOME):  # a film has very many
        some = np.stack(looks[start : start + SOME])
        fits = np.maximum(fits, alike(some, vectors).max(0))
    there = set(corpus.ids())
    found = ((clip, float(fit)) for clip, fit in zip(ids, fits, strict=True) if clip in there)
    return best(corpus, found, limit)


def by_id(corpus: Corpus, start: str) -> Row:
    """The clip whose id begins so. Raises YozoraError unless there is one and only one."""
    ids = [
        clip
        for batch in corpus.batches(["id"])
        for clip in batch["id"].filter(pc.starts_with(batch["id"], start)).to_pylist()
    ]
    if len(set(ids)) != 1:
        count = "no clip" if not ids else f"{len(set(ids))} clips"
        raise YozoraError(
            f"{corpus.path} has {count} whose id begins with '{start}': `yozora corpus show` lists ids."
        )
    return corpus.pick(ids)[ids[0]]


def best(corpus: Corpus, fits: Iterator[tuple[str, float]], limit: int) -> list[Found]:
    """The rows of the best fits; of equal ones, the first."""
    first = heapq.nlargest(limit, ((fit, -number, clip) for number, (clip, fit) in enumerate(fits)))
    rows = corpus.pick([clip for _, _, clip in first])
    return [Found(rows[clip], fit) for fit, _, clip in first]
