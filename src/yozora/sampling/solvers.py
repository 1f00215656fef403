"""Solvers of dx = v dsigma from noise (sigma = 1) to data (sigma = 0). A solver is f(velocity, x, sigmas) -> x.

``velocity(x, sigma)`` is the guided network at one noise level (a float) for the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
Progress = Callable[[int, int], None]
Solver = Callable[[Velocity, Tensor, Tensor, Progress], Tensor]


def euler(
    velocity: Velocity, x: Tensor, sigmas: Tensor, progress: Progress = lambda done, total: None
) -> Tensor:
    """First order, one evaluation a step."""
    levels = sigmas.tolist()
    for k, (now, after) in enumerate(pairwise(levels)):
        x = x + (after - now) * velocity(x, now)
        progress(k + 1, len(levels) - 1)
    return x


def multistep(
    velocity: Velocity, x: Tensor, sigmas: Tensor, progress: Progress = lambda done, total: None
) -> Tensor:
    """Second order at one evaluation a step: the velocity is extrapolated linearly from the step before
    (Adams-Bashforth with steps of unequal length; Hairer, Norsett, Wanner, Solving ODEs I, III.5)."""
    levels = sigmas.tolist()
    before: Tensor | None = None
    for k, (now, after) in enumerate(pairwise(levels)):
        v = velocity(x, now)
        step = after - now
        if before is None:
            x = x + step * v
        else:
            ratio = step / (2 * (now - levels[k - 1]))
            x = x + step * ((1 + ratio) * v - ratio * before)
        before = v
        progress(k + 1, len(levels) - 1)
    return x


SOLVERS: dict[str, Solver] = {"euler": euler, "multistep": multistep}
