from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from yozora import flow
from yozora.sampling.solvers import SOLVERS, Solver, silent


def field(x: Tensor, sigma: float) -> Tensor:
    """dx / dsigma = x cos(sigma), whose solution is x(1) exp(sin(sigma) - sin(1))."""
    return x * math.cos(sigma)


def error(solver: Solver, steps: int, shift: float) -> float:
    x = solver(field, torch.ones(1, dtype=torch.float64), flow.schedule(steps, shift), silent)
    return abs(x.item() - math.exp(-math.sin(1.0)))


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("multistep", 2)])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_error_falls_with_the_solvers_order(name: str, order: int, shift: float) -> None:
    coarse, fine = (error(SOLVERS[name], steps, shift) for steps in (40, 160))
    assert math.log(coarse / fine, 4) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_straight_path_takes_one_step(name: str) -> None:
    clean, noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    for steps in (1, 2, 7):
        x = SOLVERS[name](
            lambda x, sigma: flow.velocity(clean, noise),
            noise,
            flow.schedule(steps, 2.0),
            lambda step: seen.append(step.clean),
        )
        assert torch.allclose(x, clean, atol=1e-5)
    assert all(torch.allclose(estimate, clean, atol=1e-5) for estimate in seen)
    assert len(seen) == 1 + 2 + 7


@pytest.mark.parametrize("name", SOLVERS)
def test_progress_counts_steps_and_each_costs_one_evaluation(name: str) -> None:
    told: list[tuple[int, int]] = []
    levels: list[float] = []

    def velocity(x: Tensor, sigma: float) -> Tensor:
        levels.append(sigma)
        return x

    schedule = flow.schedule(5, 1.5)
    SOLVERS[name](
        velocity, torch.ones(1), schedule, lambda step: told.append((step.done, step.total))
    )
    assert told == [(k, 5) for k in range(1, 6)]
    assert levels == schedule[:-1].tolist()
