from __future__ import annotations

import html
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.test_catalogue import clip, record

from yozora.corpus.catalogue import Corpus
from yozora.corpus.page import clock, effective, page


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_the_effective_number_is_between_one_and_all(counts: list[int]) -> None:
    assert 1 - 1e-9 <= effective(counts) <= len(counts) + 1e-9
    assert effective([7] * len(counts)) == pytest.approx(len(counts))
    assert effective([*counts, 0]) == pytest.approx(effective(counts))
    assert effective([c * 3 for c in counts]) == pytest.approx(effective(counts))


def test_a_page_shows_what_there_is_and_escapes_it(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    said = {"country": "PT", "domain": "<street>"}
    corpus.add(
        [(clip(i), record(i, source=f"{i}.mp4", labels=said if i else {})) for i in range(4)]
    )
    corpus.drop("bad & worse.mp4", "It is <empty>.")
    text = page(corpus)
    for shown in ("PT", "75.0%", "&lt;street&gt;", "bad &amp; worse.mp4", "It is &lt;empty&gt;."):
        assert shown in text
    assert "<street>" not in text
    assert html.escape("4 clips may not be trained on") in text
    assert "effective number 1.8 of 2" in text  # three of PT, one of nowhere
    assert text.count("data:image/png;base64,") == 1


def test_an_empty_corpus_has_a_page_too(tmp_path: Path) -> None:
    assert "The corpus is empty" in page(Corpus.create(tmp_path / "c"))


def test_hours_and_minutes() -> None:
    assert (clock(59.6), clock(4000)) == ("1 min 00 s", "1 h 06 min")
