"""Low-rank changes to the text encoder's weights (LoRA, arXiv 2106.09685): what it learns of the captions at hand.

A few thousand numbers, which stand beside the transformer that was trained on the changed states and are folded into
the encoder's own weights when it is loaded, so that they cost no time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from yozora.errors import YozoraError
from yozora.models.minilm import MiniLM

ADAPTED = ("query", "value")  # of every layer's attention


class LowRank(nn.Module):
    """W [out, in] -> W + up @ down, with up [out, rank] and down [rank, in]. At first up is 0."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, width = weight.shape
        self.down = nn.Parameter(torch.randn(rank, width) * width**-0.5)
        self.up = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


class Adapter(nn.ModuleDict):
    """The low-rank changes of a model, by the names of what they change: while it is on, they alone are learned."""

    def __init__(self, model: nn.Module, rank: int) -> None:
        super().__init__()
        if not isinstance(model, MiniLM):
            raise YozoraError("Only the built-in text encoder, minilm, can be adapted to captions.")
        for number, layer in enumerate(model.layers):
            for part in ADAPTED:
                linear = getattr(layer, part)
                self[f"{number}_{part}"] = change = LowRank(linear.weight, rank)
                parametrize.register_parametrization(linear, "weight", change)


Tensors = Mapping[str, Tensor]  # an adapter's, by name; empty: the encoder as it is published


def fingerprint(adapter: Tensors) -> str:
    """64 bits of the SHA-256 of an adapter at half precision, as it is kept, in hex."""
    digest = hashlib.sha256()
    for name in sorted(adapter):
        digest.update(name.encode() + adapter[name].half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def fold(model: nn.Module, tensors: Tensors) -> None:
    """Changes a model's weights for good as ``tensors``, an adapter's, say.

    Raises YozoraError when they are another model's.
    """
    ranks = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith("down")}
    adapter = Adapter(model, max(ranks, default=1))
    try:
        adapter.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise YozoraError(
            f"What was learned of captions does not fit this text encoder: {' '.join(str(error).split())}"
        ) from error
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
