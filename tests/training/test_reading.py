from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.training.toys import ToyBucket, ToyTexts, buckets, model_recipe

from yozora.models.dit import DiT, DiTConfig, Text
from yozora.training.reading import Page, Reading, directions, shares

CONFIG = model_recipe().config


def reading(count: int = 8, seed: int = 1, clips: list[ToyBucket] | None = None) -> Reading:
    return Reading(clips or buckets(), ToyTexts(), count, seed)  # type: ignore[arg-type]


def page(step: int = 0, **options: Any) -> Page:
    made = reading(**options).page(step, CONFIG.latent)
    assert made is not None
    return made


def network(config: DiTConfig = CONFIG) -> DiT:
    """One whose branches all do something: at first their last layers are 0."""
    torch.manual_seed(0)
    net = DiT(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def test_a_page_is_a_function_of_its_seed_and_step() -> None:
    ours, again = page(3), page(3)
    assert torch.equal(ours.noise, again.noise)
    assert torch.equal(ours.text.states, again.text.states)
    assert torch.equal(ours.motions, again.motions)
    for other in (page(4), page(3, seed=2)):
        assert not torch.equal(ours.noise, other.noise)


def test_what_is_to_be_answered_is_what_the_clips_world_holds() -> None:
    asked = reading()
    assert asked.things == ["blue ball", "green ball", "red ball", "white ball"]
    assert asked.motions == ["fall", "throw right"]
    made = page(count=4)  # each clip of the world once
    assert made.things.sum(0).tolist() == [1, 1, 1, 1]
    assert made.motions.sum(0).tolist() == [2, 2]
    assert shares([("a", "b"), ("b",)], ["a", "b"]).tolist() == [[0.5, 0.5], [0, 1]]


def test_footage_and_silence_are_not_asked_about() -> None:
    footage = [replace(b, rows=tuple(r for r in b.rows if r.kind != "world")) for b in buckets()]
    silent = [replace(b, rows=tuple(replace(r, captions=()) for r in b.rows)) for b in buckets()]
    for clips in (footage, silent):
        assert reading(clips=clips).page(0, CONFIG.latent) is None
    assert reading(count=0).page(0, CONFIG.latent) is None


def test_a_name_means_the_same_in_every_run() -> None:
    wide = directions(("fall", "throw right"), 256)
    assert torch.equal(wide[1], directions(("throw right", "rest"), 256)[0])
    assert wide.norm(dim=1).tolist() == pytest.approx([1, 1])
    assert abs(float(wide[0] @ wide[1])) < 0.25


def test_what_is_read_depends_on_words_and_places_alone() -> None:
    net, made = network(), page()
    facts = made.noise.new_tensor([8.0, 1.0, 0.0]).expand(len(made.noise), 3)

    def read(page: Page, order: torch.Tensor | None = None) -> torch.Tensor:
        places, noise = page.places, page.noise
        if order is not None:
            places, noise = places[order], noise[:, order]
        return net.read(noise, places, page.shape.grid, page.text, facts)

    before = read(made)
    turned = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(read(made, turned), before[:, turned], atol=1e-4)
    padding = torch.where(made.text.mask.unsqueeze(-1), made.text.states, 7.0)
    same = made._replace(text=Text(padding, made.text.mask))
    assert torch.allclose(read(same), before, atol=1e-4)
    other = made._replace(text=Text(made.text.states.flip(0), made.text.mask.flip(0)))
    assert not torch.allclose(read(other), before, atol=1e-2)


def test_reading_a_whole_grid_of_noise_is_what_the_state_head_sees() -> None:
    net, made = network(), page()
    assert net.state is not None
    grid, count = made.shape.grid, len(made.noise)
    facts = made.noise.new_tensor([8.0, 9 / 8, 0.0]).expand(count, 3)
    noise = torch.randn(count, CONFIG.latent, *grid, generator=torch.Generator().manual_seed(0))
    _, state = net(noise, torch.ones(count, *grid), made.text, facts)
    tokens = noise.flatten(2).transpose(1, 2)
    read = net.read(tokens, torch.arange(tokens.shape[1]), grid, made.text, facts)
    assert torch.allclose(net.state(read), state.flatten(1, 3), atol=1e-4)


def test_a_network_learns_to_read() -> None:
    torch.manual_seed(0)
    net, asked = DiT(CONFIG), reading()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        made = asked.page(step, CONFIG.latent)
        assert made is not None
        loss = asked.loss(net, made)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.8 * (math.log(4) + math.log(2))
    assert losses[-1] < 0.3 * losses[0]
