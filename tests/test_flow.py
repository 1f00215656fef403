from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora import flow

quick = settings(deadline=None, max_examples=30)
SHAPE = (3, 4, 2, 3, 5)  # B, Z, t, h, w


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0, noise = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    return x0, noise, torch.rand(3, 2, 3, 5, generator=generator, dtype=torch.float64)


@quick
@given(st.integers(0, 2**31))
def test_a_true_velocity_leads_back_to_the_clean_latents_and_to_the_noise(seed: int) -> None:
    x0, noise, sigma = drawn(seed)
    x, v = flow.add_noise(x0, noise, sigma), flow.velocity(x0, noise)
    torch.testing.assert_close(flow.clean(x, v, sigma), x0)
    torch.testing.assert_close(x + (1 - sigma).unsqueeze(1) * v, noise)


@quick
@given(st.integers(0, 2**31))
def test_the_velocity_is_the_derivative_of_the_path(seed: int) -> None:
    x0, noise, sigma = drawn(seed)
    step = 1e-3
    moved = flow.add_noise(x0, noise, sigma + step) - flow.add_noise(x0, noise, sigma)
    torch.testing.assert_close(moved / step, flow.velocity(x0, noise), rtol=1e-6, atol=1e-6)


def test_noise_levels_are_each_tokens_own() -> None:
    x0, noise, sigma = drawn(1)
    sigma[:] = 0
    sigma[1, 0, 2, 3] = 1
    x = flow.add_noise(x0, noise, sigma)
    expected = x0.clone()
    expected[1, :, 0, 2, 3] = noise[1, :, 0, 2, 3]
    assert torch.equal(x, expected)


@quick
@given(st.floats(0.2, 10), st.integers(1, 60))
def test_a_schedule_falls_from_one_to_zero(amount: float, steps: int) -> None:
    levels = flow.schedule(steps, amount)
    assert levels.shape == (steps + 1,)
    assert levels[0].item() == pytest.approx(1, abs=1e-6)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()


@quick
@given(st.floats(0.2, 10), st.floats(0.2, 10), st.floats(0, 1))
def test_shifts_multiply(first: float, second: float, level: float) -> None:
    sigma = torch.tensor(level, dtype=torch.float64)
    twice = flow.shift(flow.shift(sigma, first), second)
    torch.testing.assert_close(twice, flow.shift(sigma, first * second))
    assert (flow.shift(sigma, 3.0) >= sigma).all()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.5)])
def test_drawn_levels_are_logit_normal_and_stratified(mean: float, std: float) -> None:
    count = 1000
    sigma = flow.draw_sigma(count, torch.Generator().manual_seed(3), mean=mean, std=std)
    logits = torch.logit(sigma.double())
    assert logits.mean().item() == pytest.approx(mean, abs=0.01 * std + 0.002)
    assert logits.std().item() == pytest.approx(std, rel=0.02)
    share = 0.5 * (1 + torch.erf((logits - mean) / (std * math.sqrt(2))))
    each = (share * count).floor().clamp(0, count - 1).long().bincount(minlength=count)
    assert (each <= 2).all()  # one draw in each equal share; rounding may carry one across a border
    assert (each == 1).float().mean() > 0.98


def test_draws_come_from_the_generator_alone_and_in_random_order() -> None:
    one, two = (flow.draw_sigma(64, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, flow.draw_sigma(64, torch.Generator().manual_seed(6)))
    assert (one.diff() < 0).any()
    assert (one.diff() > 0).any()


@quick
@given(st.integers(0, 2**31))
def test_the_loss_is_zero_for_the_truth_and_looks_at_wanted_tokens_only(seed: int) -> None:
    x0, noise, sigma = drawn(seed)
    wanted = sigma > 0.4
    wanted[2] = False
    truth = flow.velocity(x0, noise)
    assert flow.loss(truth, x0, noise, wanted).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    wrong = torch.where(wanted.unsqueeze(1), truth + 2, truth + 100)
    off = flow.loss(wrong, x0, noise, wanted)
    assert off[2] == 0  # nothing is wanted of this clip
    assert off[:2].tolist() == pytest.approx([4, 4], rel=1e-5)
