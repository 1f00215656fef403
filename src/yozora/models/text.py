"""Text encoders behind one seam: sentences in, token states out.

The default is the MiniLM sentence encoder whose weights come as a Python package; any Hugging Face encoder (T5,
Qwen, ...) can be named instead. Nothing is downloaded: a name that is not on this machine is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from yozora.models.adapter import fold
from yozora.models.huggingface import HuggingFace
from yozora.models.minilm import MiniLM, minilm_directory
from yozora.models.precision import autocast

MINILM = "minilm"
LONGEST = 96  # tokens of a caption that are read


class TextEncoder:
    """A frozen encoder: MiniLM, or any of Hugging Face by the name or directory of its model.

    ``adapter`` are the tensors of what MiniLM has learned of some captions (see adapter.py); none by default. The
    states are the mean over all layers of the layers' normalised hidden states: early layers say which word a
    token is, late ones what its sentence makes of it, and both are needed to bind colours to bodies.
    Raises YozoraError when the model is not on this machine, or the adapter is another model's.
    """

    def __init__(self, name: str = MINILM, adapter: Mapping[str, Tensor] | None = None) -> None:
        self.name = name
        if name == MINILM:
            self.model: MiniLM | HuggingFace = MiniLM(minilm_directory())
        else:
            self.model = HuggingFace(name)
        if adapter:
            fold(self.model, adapter)
        self.model.eval().requires_grad_(False)
        self.width: int = self.model.width

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """One [L, E] float16 tensor per text, L its number of tokens (at least 1, at most 96)."""
        states, mask = self.states(texts)
        lengths = mask.sum(1).tolist()
        return [s[:length].clone() for s, length in zip(states.half(), lengths, strict=True)]

    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States [B, L, E] float32 of all texts together, padded, and the mask [B, L] of real tokens."""
        # A text of which a tokenizer makes nothing is stood for by the end token.
        rows = [torch.tensor(ids or [self.model.end]) for ids in self.model.tokens(texts, LONGEST)]
        # Padded here and at the end: some tokenizers would pad at the start, others not at all.
        ids = pad_sequence(rows, batch_first=True, padding_value=self.model.padding)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        with autocast(ids.device):
            hidden = self.model(ids, mask)
        normal = [F.layer_norm(h.float(), h.shape[-1:]) for h in hidden]
        return torch.stack(normal).mean(0), mask.bool()


def pad(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stacks token states of several texts: [B, L, E] float32 and the mask [B, L] of real tokens."""
    lengths = torch.tensor([len(s) for s in states])
    padded = pad_sequence([s.float() for s in states], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]
