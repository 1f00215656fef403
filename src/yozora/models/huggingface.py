"""Any text encoder of Hugging Face that is on this machine: of T5 and its like the encoder's half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from yozora.errors import YozoraError


class HuggingFace(nn.Module):
    """The model and tokenizer of a name or a directory; nothing is downloaded.

    Raises YozoraError when they are not on this machine or damaged.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer  # seconds, so only when asked for
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of a tenth of a second
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, local_files_only=True)
            model: Any = AutoModel.from_pretrained(name, local_files_only=True)
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
        self.width: int = self.model.config.hidden_size
        self.padding: int = self.tokenizer.pad_token_id or 0
        end = self.tokenizer.eos_token_id
        self.end: int = self.padding if end is None else end

    def tokens(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """The ids of each text's tokens, at most ``longest`` of them; decoders make none of the empty text."""
        ids: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=longest)[
            "input_ids"
        ]
        return ids

    def forward(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Ids and mask [B, L] -> the hidden states [B, L, E] before and after every layer."""
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return list(output.hidden_states)
