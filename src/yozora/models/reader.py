"""Answers questions about a text from its token states: the text encoder is adapted with it, and it is left behind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from yozora.models.dit import Text, normalise
from yozora.models.layers import attention


class Reader(nn.Module):
    """A learned token for each question looks at the text, layer after layer.

    ``answers``: how many answers each question has. forward(text) returns the logits of each, [B, answers].
    """

    def __init__(
        self, text: int, width: int, heads: int, depth: int, answers: Sequence[int]
    ) -> None:
        super().__init__()
        self.questions = nn.Parameter(0.1 * torch.randn(len(answers), width))
        self.words = nn.Linear(text, width)
        self.layers = nn.ModuleList(Look(width, heads) for _ in range(depth))
        self.answers = nn.ModuleList(nn.Linear(width, count) for count in answers)

    def forward(self, text: Text) -> list[Tensor]:
        words = normalise(self.words(text.states))
        bias = (~text.mask[:, None, None, :]).to(words.dtype) * -1e4
        y = self.questions.expand(len(words), -1, -1)
        for layer in self.layers:
            y = layer(y, words, bias)
        return [answer(y[:, number]) for number, answer in enumerate(self.answers)]


class Look(nn.Module):
    """Cross-attention with normalised queries and keys, and a feed-forward network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, y: Tensor, words: Tensor, bias: Tensor) -> Tensor:
        q = rearrange(self.query(normalise(y)), "b n (heads e) -> b heads n e", heads=self.heads)
        k, v = rearrange(
            self.key_value(words), "b l (two heads e) -> two b heads l e", two=2, heads=self.heads
        )
        seen = attention(normalise(q), normalise(k), v, bias)
        y = y + self.out(rearrange(seen, "b heads n e -> b n (heads e)"))
        z: Tensor = y + self.mlp_out(F.gelu(self.mlp_in(normalise(y))))
        return z
