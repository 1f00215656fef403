"""A pipeline that has learned nothing: the debug recipes' sizes, weights from a seed, a stand-in for the encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from yozora import recipes
from yozora.models.dit import DiT
from yozora.models.vae import Codec
from yozora.sampling.pipeline import Pipeline

SHAPE = {"frames": 17, "height": 32, "width": 48, "fps": 8.0}


def words(texts: Sequence[str]) -> list[Tensor]:
    """Token states [L, 384] that depend on each word."""
    seeds = [
        [int.from_bytes(hashlib.sha256(w.encode()).digest()[:4]) for w in ("<s>", *text.split())]
        for text in texts
    ]
    return [
        torch.stack([torch.randn(384, generator=torch.Generator().manual_seed(s)) for s in row])
        for row in seeds
    ]


def randomised(module: nn.Module, std: float) -> None:
    """Fresh networks begin as the zero function; these weights make every input count."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0, std)


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    codec, network = Codec(recipes.debug_codec().config), DiT(recipes.debug().config)
    randomised(codec, 0.02)
    randomised(network, 0.1)
    made = Pipeline(network, codec, "none", SHAPE)
    made._encoder = words  # type: ignore[assignment]
    return made
