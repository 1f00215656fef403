"""The exponential moving average of a network's weights: what is shipped and sampled from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages the floating-point parameters of ``module``; early steps use a shorter horizon, so that the
    average does not remember the initialisation (decay = min(decay, (1 + step) / (10 + step)))."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        ours = list(self.weights.values())
        theirs: list[Tensor] = [p for _, p in module.named_parameters()]
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.weights[name].copy_(tensor)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """``module`` has the averaged weights for the length of a ``with`` block."""
        trained = {name: p.detach().clone() for name, p in module.named_parameters()}
        module.load_state_dict(self.weights, strict=False)
        try:
            yield
        finally:
            module.load_state_dict(trained, strict=False)
