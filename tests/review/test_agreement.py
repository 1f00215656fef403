from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.review.test_sample import row

from yozora.review.agreement import LEAST, agree, alpha, wilson
from yozora.review.answers import Answer, Review
from yozora.review.sample import Drawn, Sample

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), sections C to E: four observers, twelve units,
# five values; the coefficients are those printed there.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
PUBLISHED = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
COUNTS = np.array([[[o[u] for o in OBSERVERS].count(v) for v in range(1, 6)] for u in range(12)])


@pytest.mark.parametrize("level", PUBLISHED)
def test_alpha_is_the_published_one(level: str) -> None:
    assert alpha(COUNTS, level, np.arange(1.0, 6)) == pytest.approx(PUBLISHED[level], abs=5e-4)


def test_nominal_alpha_by_hand() -> None:
    """1 - (n - 1) (n - sum of o_cc) / (n² - sum of n_c²), of the coincidences o of that example."""
    pairs = COUNTS[COUNTS.sum(1) > 1]
    m = pairs.sum(1, keepdims=True)
    agreeing = (pairs * (pairs - 1) / (m - 1)).sum()
    n, n_c = pairs.sum(), pairs.sum(0)
    assert (n, list(n_c)) == (40, [9, 13, 10, 5, 3])
    by_hand = 1 - (n - 1) * (n - agreeing) / (n**2 - (n_c**2).sum())
    assert alpha(COUNTS, "nominal", np.arange(5.0)) == pytest.approx(by_hand)


def test_where_all_say_the_same_alpha_says_nothing() -> None:
    assert math.isnan(alpha(np.array([[2, 0], [2, 0], [0, 1]]), "nominal", np.arange(2.0)))


@given(st.floats(0, 1), st.floats(1, 1e4))
def test_wilson_holds_the_share(share: float, n: float) -> None:
    low, high = wilson(share, n)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    assert low < high


def test_wilson_is_the_published_one() -> None:
    """Newcombe (1998, Statistics in Medicine 17), table I: 81 of 263 and 0 of 20."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)


def answer(clip: str, reviewer: str, **said: str) -> Answer:
    rest = {"region": ["europe"], "writing": ["none"], "problems": ["none"], "quality": ["3"]}
    known = {key.replace("_", "-"): [value] for key, value in said.items()}
    return Answer(clip, reviewer, {"people": ["0"]} | rest | known)


@pytest.fixture
def review(tmp_path: Path) -> Review:
    """16 clips that stand for different numbers of others."""
    drawn = (Drawn(f"{n:064x}", ("PT",), 1.0 + n % 3) for n in range(16))
    return Review.create(tmp_path, "first", Sample(("country",), tuple(drawn)))


def rows_of(review: Review) -> list[object]:
    return [row(int(one.clip, 16), language="pt") for one in review.sample().clips]


def test_too_few_answers_are_said_and_nothing_is_made_up(review: Review) -> None:
    empty = agree(review, rows_of(review))  # type: ignore[arg-type]
    assert (empty.coverage.labelled, empty.coverage.by_two) == (0, 0)
    assert all(one.alpha is None for one in empty.agreement)
    clip = review.sample().clips[0].clip
    for name in ("Ann", "Bob"):
        review.add(answer(clip, name))
    report = agree(review, rows_of(review))  # type: ignore[arg-type]
    assert (report.coverage.labelled, report.coverage.by_two) == (1, 1)
    page = shown(report)
    assert f"alpha needs at least two reviewers on {LEAST} clips: 1 have them" in page
    assert "tone: nobody has said anything about it yet" in page
    assert json.loads(json.dumps(report.to_json()))["coverage"]["reviewers"] == {"Ann": 1, "Bob": 1}


def test_agreement_and_representation(review: Review) -> None:
    clips = [one.clip for one in review.sample().clips]
    for number, clip in enumerate(clips):
        tone = str(number % 10 + 1)
        near = str(min(10, number % 10 + 2))
        for name, seen in (("Ann", tone), ("Bob", near)):
            person = {
                "tone_1": seen,
                "role_1": "expert" if number % 2 else "helped",
                "gender_1": "unclear",
            }
            region = "europe" if number % 4 else "oceania"
            quality = "3" if name == "Ann" else str(number % 5 + 1)
            review.add(answer(clip, name, people="1", region=region, quality=quality, **person))
    report = agree(review, rows_of(review))  # type: ignore[arg-type]
    found = {one.question: one for one in report.agreement}
    assert (found["role"].alpha, found["role"].clips) == (1.0, 16)
    assert found["region"].alpha == 1.0
    tone = found["tone"]
    assert tone.alpha is not None
    assert tone.low is not None
    assert tone.high is not None
    assert tone.low <= tone.alpha <= tone.high
    assert tone.alpha > 0.8
    assert found["quality"].alpha is not None
    assert found["quality"].alpha < 0.3
    assert found["gender"].unclear == 1.0
    assert found["gender"].alpha is None
    assert (found["people"].alpha, found["people"].why) == (None, "all say the same")
    assert found["problems: nudity"].why == "all say the same"

    parts = {one.question: one for one in report.representation}
    weights = {one.clip: one.weight for one in review.sample().clips}
    expert = sum(weights[clip] for n, clip in enumerate(clips) if n % 2) / sum(weights.values())
    shares = {share.value: share for share in parts["role"].shares}
    assert shares["Professional work"].share == pytest.approx(expert)
    assert shares["Professional work"].low < expert < shares["Professional work"].high
    assert sum(share.share for share in parts["tone"].shares) == pytest.approx(1)
    assert parts["gender"].shares == []
    (language,) = parts["language, as declared"].shares
    assert (language.value, language.share) == ("pt", pytest.approx(1.0))
    assert "Professional work" in shown(report)


def test_where_reviewers_differ_each_has_an_equal_part(review: Review) -> None:
    clip = review.sample().clips[0].clip
    for name, region in (("Ann", "europe"), ("Bob", "oceania"), ("Eve", "unclear")):
        review.add(answer(clip, name, region=region))
    (region,) = [one for one in agree(review, []).representation if one.question == "region"]
    shares = {share.value: share.share for share in region.shares if share.share}
    assert shares == {"Europe": 0.5, "Oceania": 0.5}


def shown(report: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(report)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
