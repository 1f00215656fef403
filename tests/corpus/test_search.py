from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.corpus.catalogue import Corpus
from yozora.corpus.search import by_id, by_likeness, by_words
from yozora.errors import YozoraError
from yozora.video import Clip, Record

CAPTIONS = (
    ("A red tram crosses a bridge.", "A tram."),
    ("A blue boat under a bridge.",),
    ("RAIN on a window",),
    ("Ein Boot fährt über den Fluß.",),
)


def clip(number: int) -> Clip:
    return Clip(np.full((1, 16, 24, 3), 10 * number, np.uint8), 8)


def record(number: int, captions: tuple[str, ...], bits: int | None = None) -> Record:
    labels = {} if bits is None else {"measures": {"hash": f"{bits:016x}"}, "file": str(number)}
    return Record(captions, f"film{number}.mp4", "MIT", split="train", labels=labels)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    corpus = Corpus.create(tmp_path_factory.mktemp("search") / "c")
    corpus.add((clip(n), record(n, said)) for n, said in enumerate(CAPTIONS))
    return corpus


def sources(corpus: Corpus, query: str, limit: int = 20) -> list[tuple[str, float]]:
    return [(one.row.source, one.fit) for one in by_words(corpus, query, limit)]


def test_clips_with_most_of_the_words_come_first(corpus: Corpus) -> None:
    assert sources(corpus, "boat bridge") == [("film1.mp4", 1.0), ("film0.mp4", 0.5)]
    assert sources(corpus, "bridge", limit=1) == [("film0.mp4", 1.0)]
    assert sources(corpus, "rain") == sources(corpus, "Rain RAIN") == [("film2.mp4", 1.0)]
    assert sources(corpus, "film3") == [("film3.mp4", 1.0)]
    assert sources(corpus, "fährt") == [("film3.mp4", 1.0)]
    assert sources(corpus, "volcano") == []
    with pytest.raises(YozoraError, match="nothing to search for"):
        by_words(corpus, "  ")


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_query_is_too_odd(corpus: Corpus, query: str) -> None:
    if query.split():
        assert all(0 < one.fit <= 1 for one in by_words(corpus, query))


def test_the_likest_clips_come_first(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    assert by_likeness(corpus, 0) == []
    hashes = (0xFF, None, 0xFFFF, 2**64 - 1)
    corpus.add((clip(n), record(n, ("it",), bits)) for n, bits in enumerate(hashes))
    found = by_likeness(corpus, 0xFFF)
    assert [one.row.source for one in found] == ["film0.mp4", "film2.mp4", "film3.mp4"]
    assert [round(64 * (1 - one.fit)) for one in found] == [4, 4, 52]
    assert len(by_likeness(corpus, 0, limit=1)) == 1


def test_a_clip_is_found_by_the_beginning_of_its_id(corpus: Corpus) -> None:
    row = corpus.rows()[2]
    assert by_id(corpus, row.id[:10]) == row
    for start in ("", "nobody", "%"):
        with pytest.raises(YozoraError, match="whose id begins with"):
            by_id(corpus, start)
