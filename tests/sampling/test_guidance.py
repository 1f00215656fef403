from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yozora import condition
from yozora.models.dit import Text
from yozora.sampling.guidance import Guidance, Guided

GRID = (2, 1, 2)


class Network:
    """Velocity = 10 x the first word's state + the token's noise level; remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor, sigma: Tensor, text: Text, facts: Tensor) -> tuple[Tensor, None]:
        self.calls.append((x, sigma))
        word = text.states[:, 0, 0].view(-1, 1, 1, 1, 1)
        return 10 * word + sigma.unsqueeze(1).expand(x.shape), None


def guided(guidance: Guidance, network: Network) -> Guided:
    mask = torch.ones(3, 1, dtype=torch.bool)
    known = torch.from_numpy(np.stack([condition.frames(GRID, [0])] * 3))
    return Guided(
        network,  # type: ignore[arg-type]
        Text(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1), mask),
        Text(torch.zeros(3, 1, 1), mask),
        torch.zeros(3, 3),
        known,
        torch.full((3, 1, *GRID), 7.0),
        guidance,
    )


def test_guidance_goes_beyond_the_prompt_by_its_scale() -> None:
    v = guided(Guidance(scale=3.0, low=0.0), Network())(torch.zeros(3, 1, *GRID), 0.5)
    for clip, word in enumerate((1.0, 2.0, 3.0)):
        assert torch.allclose(v[clip, :, 1], torch.tensor(3 * 10 * word + 0.5))


@given(st.floats(0, 1))
def test_guidance_acts_in_its_interval_alone(sigma: float) -> None:
    network = Network()
    v = guided(Guidance(scale=3.0, low=0.25, high=0.75), network)(torch.zeros(3, 1, *GRID), sigma)
    inside = 0.25 <= sigma <= 0.75
    assert len(network.calls[0][0]) == (6 if inside else 3)  # with and without the text
    assert v[0, 0, 1, 0, 0].item() == pytest.approx(10 * (3 if inside else 1) + sigma, abs=1e-4)


def test_a_scale_of_one_costs_no_second_evaluation() -> None:
    network = Network()
    guided(Guidance(scale=1.0, low=0.0), network)(torch.zeros(3, 1, *GRID), 0.5)
    assert len(network.calls[0][0]) == 3


def test_known_tokens_enter_as_given_and_free_of_noise() -> None:
    network = Network()
    guided(Guidance(low=0.0), network)(torch.full((3, 1, *GRID), -1.0), 0.5)
    x, sigma = network.calls[0]
    assert (x[:, :, 0] == 7).all()
    assert (x[:, :, 1] == -1).all()
    assert (sigma[:, 0] == 0).all()
    assert (sigma[:, 1] == 0.5).all()
