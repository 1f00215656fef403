from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.test_catalogue import clip, record

from yozora import cli_review
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.review.sample import BY, USUAL, draw


def row(number: int, **labels: str) -> Row:
    split = ("train", "validation", "heldout")[number % 3]
    facts = ("MIT", "", "", 5, 16, 28, 8.0, json.dumps(labels))
    return Row(f"{number:064x}", "", (), split, "footage", f"{number % 7}.mp4", *facts)


COUNTRIES = st.lists(st.sampled_from(["PT", "KE", "JP", "PE", ""]), min_size=1, max_size=60)


def test_help_says_what_the_room_knows() -> None:
    assert (cli_review.BY, cli_review.USUAL) == (BY, USUAL)


@given(COUNTRIES, st.integers(1, 70), st.integers(0, 9))
def test_a_draw_is_stratified(countries: list[str], clips: int, seed: int) -> None:
    rows = [row(i, **({"country": c} if c else {})) for i, c in enumerate(countries)]
    sample = draw(rows, clips, by=["country"], seed=seed)
    ids = [one.clip for one in sample.clips]
    assert len(set(ids)) == len(ids) == min(clips, len(rows))
    there = Counter(c or "not said" for c in countries)
    drawn = Counter(one.stratum[0] for one in sample.clips)
    if clips >= len(there):
        assert drawn.keys() == there.keys()
        # Adams' method: no stratum could give a clip to another one that stands for more
        largest = max(there[name] / drawn[name] for name in there)
        assert all(there[n] / (drawn[n] - 1) >= largest - 1e-9 for n in there if drawn[n] > 1)
        assert sum(one.weight for one in sample.clips) == pytest.approx(len(rows))
    assert all(one.weight == there[one.stratum[0]] / drawn[one.stratum[0]] for one in sample.clips)
    by_id = {r.id: r for r in rows}
    assert all(
        (by_id[o.clip].labels.get("country") or "not said",) == o.stratum for o in sample.clips
    )


@given(COUNTRIES, st.integers(1, 70), st.randoms())
def test_the_same_seed_draws_the_same_clips(
    countries: list[str], clips: int, random: object
) -> None:
    rows = [row(i, country=c) for i, c in enumerate(countries)]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw(rows, clips, seed=4) == draw(shuffled, clips, seed=4)


def test_another_seed_draws_others() -> None:
    rows = [row(i) for i in range(60)]
    one, other = ({o.clip for o in draw(rows, 20, seed=seed).clips} for seed in (0, 1))
    assert one != other


def test_every_field_can_be_drawn_by(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    said = {"country": "PT", "language": "pt", "domain": "street"}
    corpus.add([(clip(i), record(i, source=f"{i}.mp4", labels=said)) for i in range(2)])
    before = sorted(path for path in corpus.path.rglob("*"))
    sample = draw(corpus.rows(), 9, by=BY)
    assert {one.stratum[1:] for one in sample.clips} == {("footage", "train", "PT", "pt", "street")}
    assert sorted(one.stratum[0] for one in sample.clips) == ["0.mp4", "1.mp4"]
    assert sorted(path for path in corpus.path.rglob("*")) == before


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(YozoraError, match="by 'colour': choose from source"):
        draw([row(0)], 1, by=["colour"])
    with pytest.raises(YozoraError, match="no such clips"):
        draw([], 1)
