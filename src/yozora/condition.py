"""What is known of a video before it is made, as a map over its latent tokens.

Text-to-video knows nothing, image-to-video the first latent frame, extension a prefix or a suffix, filling both
ends; keyframes, regions and random patches are the rest. Training draws such maps, sampling and the interfaces
take them from the user; the network sees them as noise levels alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yozora.errors import YozoraError

Grid = tuple[int, int, int]  # latent frames, height, width
Known = NDArray[np.bool_]  # [t, h, w], True where the latents are given

TASKS = ("text", "image", "prefix", "suffix", "ends", "keyframes", "patches", "region")


@dataclass(frozen=True)
class Mix:
    """How often training poses each task, and how much noise known tokens get.

    Weights of tasks grow from ``text`` alone to the whole mix over the first ``ramp`` share of a run. Known tokens get
    noise up to the level ``drift``, so that sampling forgives errors in what it is given and a film that is extended
    many times does not drift. Raises YozoraError for unknown tasks and for weights that say nothing.
    """

    weights: Mapping[str, float]
    ramp: float = 0.1
    drift: float = 0.15

    def __post_init__(self) -> None:
        if unknown := set(self.weights) - set(TASKS):
            raise _unknown(min(unknown))
        weights = list(self.weights.values())
        if not all(np.isfinite(w) and w >= 0 for w in weights) or not sum(weights) > 0:
            raise YozoraError(
                f"The mix's weights {dict(self.weights)} are no shares: none may be negative, one has to be above 0."
            )

    def draw(self, rng: np.random.Generator, progress: float) -> str:
        """A task's name; ``progress`` in [0, 1] is how far the run has come."""
        names = list(self.weights)
        ramp = min(1.0, progress / self.ramp) if self.ramp else 1.0
        weights = np.array([self.weights[n] * (1.0 if n == "text" else ramp) for n in names])
        if not weights.any():  # the ramp starts at text, which this mix does not have
            weights = np.array([self.weights[n] for n in names])
        return str(rng.choice(names, p=weights / weights.sum()))


def nothing(grid: Grid) -> Known:
    """The map of text-to-video."""
    return np.zeros(grid, dtype=bool)


def frames(grid: Grid, known: list[int]) -> Known:
    """The given latent frames; negative numbers count from the end."""
    mask = nothing(grid)
    mask[known] = True
    return mask


def draw(task: str, grid: Grid, rng: np.random.Generator) -> Known:
    """A random map of ``task`` with at least one token left to make.

    Tasks that need several latent frames give text's map (nothing known) on a grid of one. Raises YozoraError for an
    unknown task.
    """
    if task not in TASKS:
        raise _unknown(task)
    t = grid[0]
    if task == "patches":
        mask: Known = rng.random(grid) < rng.uniform(0.1, 0.7)
        return mask if not mask.all() else nothing(grid)
    if task == "region":
        return _region(grid, rng)
    if task == "text" or t == 1:
        return nothing(grid)
    if task == "image":
        return frames(grid, [0])
    length = int(rng.integers(1, t))
    if task == "prefix":
        return frames(grid, list(range(length)))
    if task == "suffix":
        return frames(grid, list(range(t - length, t)))
    if task == "ends":
        if t == 2:
            return frames(grid, [0])
        head = int(rng.integers(1, t - 1))
        tail = int(rng.integers(1, t - head))
        return frames(grid, [*range(head), *range(t - tail, t)])
    return frames(grid, [int(i) for i in rng.choice(t, length, replace=False)])  # keyframes


def _unknown(task: str) -> YozoraError:
    return YozoraError(f"There is no task '{task}'; tasks are {', '.join(TASKS)}.")


def _region(grid: Grid, rng: np.random.Generator) -> Known:
    """A box in space through all time is made anew (inpainting) or kept (outpainting)."""
    _, h, w = grid
    height, width = int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1))
    top, left = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
    box = nothing(grid)
    box[:, top : top + height, left : left + width] = True
    known = box if rng.random() < 0.5 else ~box
    return known if not known.all() else nothing(grid)


def noise_levels(known: Tensor, sigma: Tensor, drift: Tensor | float = 0.0) -> Tensor:
    """Noise levels [B, t, h, w]: ``sigma`` [B] where ``known`` [B, t, h, w] is False, ``drift`` where it is True.

    ``drift`` is a number or one a clip [B]; it never exceeds sigma.
    """
    made = sigma.view(-1, 1, 1, 1).expand(known.shape)
    given = torch.as_tensor(drift, dtype=sigma.dtype, device=sigma.device).view(-1, 1, 1, 1)
    return torch.where(known, torch.minimum(given, made), made)
