"""Solvers of dx = v dsigma from noise (sigma = 1) to data (sigma = 0). A solver is f(velocity, x, sigmas) -> x.

``velocity(x, sigma)`` is the guided network at one noise level (a float) for the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """A step that was taken: ``done`` of ``total``. ``clean`` [B, Z, t, h, w] is what the data look like by now, the
    point that the velocity of this step aims at."""

    done: int
    total: int
    clean: Tensor


Velocity = Callable[[Tensor, float], Tensor]
Watch = Callable[[Step], None]  # may raise, which ends the sampling
Solver = Callable[[Velocity, Tensor, Tensor, Watch], Tensor]


def silent(step: Step) -> None:
    """Steps that nobody watches."""


def euler(velocity: Velocity, x: Tensor, sigmas: Tensor, watch: Watch = silent) -> Tensor:
    """First order, one evaluation a step."""
    levels = sigmas.tolist()
    for k, (now, after) in enumerate(pairwise(levels)):
        v = velocity(x, now)
        watch(Step(k + 1, len(levels) - 1, x - now * v))
        x = x + (after - now) * v
    return x


def multistep(velocity: Velocity, x: Tensor, sigmas: Tensor, watch: Watch = silent) -> Tensor:
    """Second order at one evaluation a step: the velocity is extrapolated linearly from the step before
    (Adams-Bashforth with steps of unequal length; Hairer, Norsett, Wanner, Solving ODEs I, III.5)."""
    levels = sigmas.tolist()
    before: Tensor | None = None
    for k, (now, after) in enumerate(pairwise(levels)):
        v = velocity(x, now)
        watch(Step(k + 1, len(levels) - 1, x - now * v))
        step = after - now
        if before is None:
            x = x + step * v
        else:
            ratio = step / (2 * (now - levels[k - 1]))
            x = x + step * ((1 + ratio) * v - ratio * before)
        before = v
    return x


SOLVERS: dict[str, Solver] = {"euler": euler, "multistep": multistep}
