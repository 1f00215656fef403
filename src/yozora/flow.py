"""The noise convention, stated once: x_sigma = (1 - sigma) x0 + sigma noise, velocity = noise - x0.

sigma = 1 is noise, sigma = 0 is known. Rectified flow (arXiv 2209.03003), as in the ecosystem's flow-matching
schedulers. Every function takes a noise level per token, [B, t, h, w], beside latents [B, Z, t, h, w].
"""

from __future__ import annotations

import torch
from torch import Tensor


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x_sigma [B, Z, t, h, w] of latents ``x0`` and ``noise`` at levels ``sigma`` [B, t, h, w]."""
    s = sigma.unsqueeze(1)
    return (1 - s) * x0 + s * noise


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """The derivative of x_sigma by sigma, what the network learns to predict."""
    return noise - x0


def clean(x: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
    """The x0 that a velocity ``v`` predicted at ``x`` stands for."""
    return x - sigma.unsqueeze(1) * v


def shift(sigma: Tensor, amount: float) -> Tensor:
    """Moves noise levels towards 1: amount * s / (1 + (amount - 1) * s) (arXiv 2403.03206, eq. 23)."""
    return amount * sigma / (1 + (amount - 1) * sigma)


def schedule(steps: int, amount: float) -> Tensor:
    """The noise levels a solver visits: steps + 1 values falling from 1 to 0, shifted by ``amount``."""
    return shift(torch.linspace(1, 0, steps + 1), amount)


def draw_sigma(
    count: int, generator: torch.Generator, *, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """Logit-normal noise levels [count] for training (arXiv 2403.03206).

    They are stratified: each draw has its own equal share of the distribution, which makes a batch's loss less noisy.
    """
    order = torch.randperm(count, generator=generator)
    u = (order + torch.rand(count, generator=generator)) / count
    normal = torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4))
    return torch.sigmoid(mean + std * normal)


def loss(predicted: Tensor, x0: Tensor, noise: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of the velocity over the tokens in ``wanted`` [B, t, h, w], per clip: [B].

    Known tokens teach nothing and are left out; a clip without wanted tokens counts 0.
    """
    error = (predicted.float() - velocity(x0, noise)).square().mean(1)
    weight = wanted.to(error.dtype)
    return (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)
