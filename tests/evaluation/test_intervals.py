from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.evaluation.intervals import bootstrap
from yozora.evaluation.page import _number

floats = st.floats(-1e3, 1e3, allow_nan=False)


@given(st.lists(floats, min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_intervals_contain_the_mean_and_stay_within_the_data(values: list[float]) -> None:
    found = bootstrap(values)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    if set(values) not in ({0.0}, {1.0}):
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_certainty_is_never_claimed_from_few_trials() -> None:
    assert bootstrap([0.0] * 10).high == pytest.approx(0.3085, abs=1e-3)  # Clopper and Pearson
    assert bootstrap([1.0] * 10).low == pytest.approx(0.6915, abs=1e-3)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = [
        i.low <= 0.7 <= i.high
        for i in (bootstrap((rng.random(100) < 0.7).tolist()) for _ in range(150))
    ]
    assert np.mean(hits) > 0.88


def test_more_values_narrow_the_interval() -> None:
    few, many = (bootstrap([0.0, 1.0] * n) for n in (10, 1000))
    assert many.high - many.low < (few.high - few.low) / 5


@given(st.lists(floats, min_size=2, max_size=20), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_copies_of_what_was_seen_are_no_further_observations(
    values: list[float], copies: int
) -> None:
    once = bootstrap(values)
    often = bootstrap(values * copies, groups=[*range(len(values))] * copies)
    assert often.n == copies * once.n
    for end in ("value", "low", "high"):
        assert getattr(often, end) == pytest.approx(getattr(once, end), rel=1e-9, abs=1e-9)


def test_one_group_has_a_mean_and_no_interval() -> None:
    found = bootstrap([1.0, 2.0, math.nan], groups=["film"] * 3)
    assert (found.value, found.n) == (1.5, 2)
    assert found.to_json()["low"] is found.to_json()["high"] is None
    assert _number(found, "dB") == "1.5 dB <small>no interval</small>"


def test_missing_values_are_left_out_and_none_is_no_number() -> None:
    assert bootstrap([1.0, math.nan, 3.0]).n == 2
    empty = bootstrap([])
    assert empty.n == 0
    assert empty.to_json()["value"] is None
