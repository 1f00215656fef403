from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora import condition
from yozora.condition import TASKS, Grid, Mix
from yozora.errors import YozoraError

quick = settings(deadline=None, max_examples=60)
GRIDS = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5))
SEEDS = st.integers(0, 2**32)


@quick
@given(st.sampled_from(TASKS), GRIDS, SEEDS)
def test_every_map_leaves_something_to_make_and_is_its_seeds(
    task: str, grid: Grid, seed: int
) -> None:
    known = condition.draw(task, grid, np.random.default_rng(seed))
    assert known.shape == grid
    assert known.dtype == bool
    assert not known.all()
    assert np.array_equal(known, condition.draw(task, grid, np.random.default_rng(seed)))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 1, 1), (1, 1, 2)])
def test_the_smallest_grids_leave_something_to_make_too(task: str, grid: Grid) -> None:
    maps = [condition.draw(task, grid, np.random.default_rng(seed)) for seed in range(40)]
    assert not any(known.all() for known in maps)


@quick
@given(st.sampled_from(["image", "prefix", "suffix", "ends", "keyframes"]), GRIDS, SEEDS)
def test_tasks_over_time_know_whole_latent_frames(task: str, grid: Grid, seed: int) -> None:
    known = condition.draw(task, grid, np.random.default_rng(seed))
    frames = known.all((1, 2))
    assert np.array_equal(known, np.broadcast_to(frames[:, None, None], grid))
    if grid[0] == 1:
        assert not known.any()
        return
    count = int(frames.sum())
    assert 1 <= count < grid[0]
    match task:
        case "image":
            assert frames.tolist() == [True] + [False] * (grid[0] - 1)
        case "prefix":
            assert frames[:count].all()
        case "suffix":
            assert frames[-count:].all()
        case "ends":
            assert frames[0]
            assert frames[-1] == (grid[0] > 2)
            assert np.abs(np.diff(frames.astype(int))).sum() == 1 + (grid[0] > 2)  # one gap


@quick
@given(GRIDS, SEEDS)
def test_a_region_is_a_box_through_all_time_or_all_around_one(grid: Grid, seed: int) -> None:
    known = condition.draw("region", grid, np.random.default_rng(seed))
    assert (known == known[:1]).all()
    picture = known[0]
    assert any(_is_box(side) for side in (picture, ~picture)) or not picture.any()


def _is_box(picture: np.ndarray) -> bool:
    rows, columns = np.nonzero(picture.any(1))[0], np.nonzero(picture.any(0))[0]
    if len(rows) == 0:
        return False
    return bool(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


def test_every_length_and_both_kinds_of_region_occur() -> None:
    rng = np.random.default_rng(0)
    grid = (5, 4, 7)
    for task in ("prefix", "suffix", "keyframes"):
        lengths = {int(condition.draw(task, grid, rng).all((1, 2)).sum()) for _ in range(100)}
        assert lengths == {1, 2, 3, 4}
    shares = [condition.draw("patches", grid, rng).mean() for _ in range(200)]
    assert 0.05 < np.quantile(shares, 0.02) < 0.2
    assert 0.6 < np.quantile(shares, 0.98) < 0.75
    corners = {bool(condition.draw("region", grid, rng)[0, 1, 3]) for _ in range(50)}
    assert corners == {True, False}


def test_text_knows_nothing_and_frames_count_from_both_ends() -> None:
    assert not condition.draw("text", (3, 2, 2), np.random.default_rng(0)).any()
    known = condition.frames((4, 2, 3), [0, -1])
    assert known.all((1, 2)).tolist() == [True, False, False, True]
    assert known.sum() == 12
    assert not condition.frames((4, 2, 3), []).any()


@pytest.mark.parametrize("grid", [(1, 2, 2), (3, 2, 2)])
def test_unknown_tasks_are_told(grid: Grid) -> None:
    with pytest.raises(YozoraError, match="no task 'sufix'; tasks are text, image"):
        condition.draw("sufix", grid, np.random.default_rng(0))
    with pytest.raises(YozoraError, match="no task 'sufix'"):
        Mix({"text": 1.0, "sufix": 1.0})


@pytest.mark.parametrize(
    "weights", [{}, {"text": 0.0}, {"text": 1.0, "image": -0.1}, {"text": float("nan")}]
)
def test_weights_that_say_nothing_are_told(weights: dict[str, float]) -> None:
    with pytest.raises(YozoraError, match="no shares"):
        Mix(weights)


def test_the_mix_ramps_up_from_text_alone() -> None:
    mix = Mix({"text": 0.5, "image": 0.3, "prefix": 0.2}, ramp=0.2)
    count = 4000

    def shares(progress: float) -> dict[str, float]:
        rng = np.random.default_rng(1)
        drawn = Counter(mix.draw(rng, progress) for _ in range(count))
        return {task: drawn[task] / count for task in mix.weights}

    assert shares(0.0) == {"text": 1, "image": 0, "prefix": 0}
    assert shares(0.1) == pytest.approx({"text": 2 / 3, "image": 0.2, "prefix": 2 / 15}, abs=0.03)
    for late in (0.2, 1.0):
        assert shares(late) == pytest.approx(dict(mix.weights), abs=0.03)


def test_a_mix_without_text_or_ramp_is_whole_from_the_start() -> None:
    rng = np.random.default_rng(0)
    mixes = (Mix({"image": 0.5, "prefix": 0.5}), Mix({"text": 0.01, "image": 1.0}, ramp=0.0))
    for mix in mixes:
        assert "image" in {mix.draw(rng, 0.0) for _ in range(50)}


@quick
@given(st.integers(1, 4), GRIDS, SEEDS)
def test_noise_is_sigma_where_made_and_drift_but_never_more_where_known(
    batch: int, grid: Grid, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    known = torch.rand(batch, *grid, generator=generator) < 0.5
    sigma = torch.rand(batch, generator=generator)
    for drift in (0.0, 0.3, torch.rand(batch, generator=generator)):
        levels = condition.noise_levels(known, sigma, drift)
        assert levels.shape == known.shape
        for b in range(batch):
            own = float(drift[b]) if isinstance(drift, torch.Tensor) else drift
            assert (levels[b][~known[b]] == sigma[b]).all()
            given_levels = levels[b][known[b]]
            torch.testing.assert_close(
                given_levels, torch.full_like(given_levels, min(own, float(sigma[b])))
            )
