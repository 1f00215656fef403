from __future__ import annotations

import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yozora.latents.augment import Augment
from yozora.training.frames import augmented, busy_crop, prefetch, spread, whole


def running() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("prefetch")]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 6))
def test_items_come_in_order(first: int, count: int, depth: int) -> None:
    steps = range(first, first + count)
    assert list(prefetch(lambda step: step * step, steps, depth)) == [s * s for s in steps]


def test_only_a_few_are_made_ahead() -> None:
    made: list[int] = []
    with closing(prefetch(made.append, range(100), depth=3)) as items:
        for _ in range(5):
            next(items)
        time.sleep(0.05)
        assert len(made) <= 5 + 3


def test_its_thread_computes_alone_and_leaves_the_others_their_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        items = prefetch(
            lambda step: (torch.rand(300, 300).half().float().sum(), torch.get_num_threads())[1],
            range(5),
        )
        assert list(items) == [1] * 5
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_exception_comes_after_what_was_made_before_it() -> None:
    def make(step: int) -> int:
        if step == 3:
            raise OSError("clip 3 is gone")
        return step

    got: list[int] = []
    with pytest.raises(OSError, match="clip 3"):
        got.extend(prefetch(make, range(9)))
    assert got == [0, 1, 2]
    assert not running()


def test_leaving_early_stops_the_thread() -> None:
    made: list[int] = []
    items = prefetch(made.append, range(10**9), depth=2)
    next(items)
    assert running()
    items.close()
    assert not running()
    assert len(made) <= 4


FRAMES = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), dtype=np.uint8)


def test_whole_frames_keep_their_values() -> None:
    x = whole(FRAMES, (60, 40))
    assert x.shape == (3, 5, 40, 60)
    back = ((x + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()
    assert (back == FRAMES).all()
    assert whole(FRAMES, (30, 20)).shape == (3, 5, 20, 30)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2]))
def test_augmented_frames_stay_in_range_and_depend_on_their_numbers(
    seed: int, noise: float
) -> None:
    x = augmented(FRAMES, (30, 20), np.random.default_rng(seed), Augment(noise=noise))
    assert x.shape == (3, 5, 20, 30)
    assert x.abs().max() <= 1
    again = augmented(FRAMES, (30, 20), np.random.default_rng(seed), Augment(noise=noise))
    assert torch.equal(x, again)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_a_crop_is_a_part_of_the_clip_on_the_grid(seed: int, side: int) -> None:
    h, w = 3, 5
    x = torch.arange(h * w).view(1, 1, h, w).repeat_interleave(4, 2).repeat_interleave(4, 3).float()
    crop = busy_crop(x, side, 4, np.random.default_rng(seed))
    rows, columns = min(side, h), min(side, w)
    assert crop.shape == (1, 1, 4 * rows, 4 * columns)
    numbers = crop[0, 0, ::4, ::4]
    assert numbers[-1, -1] - numbers[0, 0] == (rows - 1) * w + columns - 1
    assert torch.equal(crop[0, 0], numbers.repeat_interleave(4, 0).repeat_interleave(4, 1))


def test_crops_lie_where_something_happens() -> None:
    x = torch.zeros(3, 5, 64, 64)
    x[:, :, 48:, 48:] = torch.rand(3, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    crops = [busy_crop(x, 1, 16, np.random.default_rng(seed)) for seed in range(40)]
    assert sum(bool(crop.any()) for crop in crops) >= 20  # of 16 places


@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 1000))
def test_indices_repeat_only_when_they_must(count: int, amount: int, seed: int) -> None:
    drawn = spread(count, amount, np.random.default_rng(seed))
    assert len(drawn) == amount
    assert set(drawn) <= set(range(count))
    if amount <= count:
        assert len(set(drawn)) == amount
