from __future__ import annotations

import torch

from yozora.models.dit import Text
from yozora.models.reader import Reader


def test_answers_depend_on_the_text_but_not_on_its_padding() -> None:
    torch.manual_seed(0)
    reader = Reader(text=12, width=16, heads=2, depth=2, answers=(3, 5))
    states = torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    read = reader(Text(states, mask))
    assert [answer.shape for answer in read] == [(2, 3), (2, 5)]

    padded = states.clone()
    padded[1, 3:] += 100
    other = states.clone()
    other[:, 0] = -other[:, 0]
    unpadded = reader(Text(states[1:, :3], mask[1:, :3]))
    for answer, same, short, another in zip(
        read, reader(Text(padded, mask)), unpadded, reader(Text(other, mask)), strict=True
    ):
        assert torch.allclose(same, answer, atol=1e-5)
        assert torch.allclose(short, answer[1:], atol=1e-5)
        assert not torch.allclose(another, answer, atol=1e-3)
