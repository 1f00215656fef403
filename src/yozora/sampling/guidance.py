"""Classifier-free guidance (arXiv 2207.12598), limited to an interval of noise levels (arXiv 2404.07724)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yozora import condition
from yozora.models.dit import DiT, Text
from yozora.models.precision import autocast


@dataclass(frozen=True)
class Guidance:
    """``scale`` 1 means none; guidance acts where low <= sigma <= high."""

    scale: float = 4.0
    low: float = 0.65
    high: float = 1.0

    def active(self, sigma: float) -> bool:
        """Whether to guide at this noise level."""
        return self.scale != 1.0 and self.low <= sigma <= self.high


@dataclass(frozen=True)
class Guided:
    """The network as a velocity field at one noise level for all tokens that are to be made.

    ``known`` [B, t, h, w] marks given tokens; they enter with their own ``given`` latents [B, Z, t, h, w] at noise
    level 0.
    """

    network: DiT
    text: Text
    empty: Text
    facts: Tensor
    known: Tensor
    given: Tensor
    guidance: Guidance

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The velocity at ``x`` [B, Z, t, h, w], shaped as it."""
        x = torch.where(self.known.unsqueeze(1), self.given, x)
        levels = condition.noise_levels(self.known, x.new_full((len(x),), sigma))
        if not self.guidance.active(sigma):
            return self._velocity(x, levels, self.text, self.facts)
        both = Text(
            torch.cat([self.text.states, self.empty.states]),
            torch.cat([self.text.mask, self.empty.mask]),
        )
        twice = (torch.cat([part, part]) for part in (x, levels, self.facts))
        x, levels, facts = twice
        with_text, without = self._velocity(x, levels, both, facts).chunk(2)
        return without + self.guidance.scale * (with_text - without)

    def _velocity(self, x: Tensor, levels: Tensor, text: Text, facts: Tensor) -> Tensor:
        with autocast(x.device):
            velocity: Tensor = self.network(x, levels, text, facts)[0]
        return velocity.float()
