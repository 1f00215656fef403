from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from yozora.errors import YozoraError
from yozora.models.dit import DiT, DiTConfig, Text

CONFIG = DiTConfig(latent=6, width=32, depth=2, heads=2, text=12, state=5, state_block=1)
GRID = (3, 2, 4)


def network(config: DiTConfig = CONFIG, seed: int = 0) -> DiT:
    """One that has left its first state, in which everything that comes out is zero."""
    torch.manual_seed(seed)
    made = DiT(config)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made.eval()


def inputs(batch: int = 2, seed: int = 1) -> tuple[Tensor, Tensor, Text, Tensor]:
    torch.manual_seed(seed)
    text = Text(torch.randn(batch, 5, CONFIG.text), torch.ones(batch, 5, dtype=torch.bool))
    facts = torch.tensor([[8.0, 2.0, 0.0]]).repeat(batch, 1)
    return torch.randn(batch, CONFIG.latent, *GRID), torch.rand(batch, *GRID), text, facts


def test_a_velocity_and_a_state_come_out_in_the_shape_of_what_went_in() -> None:
    x, sigma, text, facts = inputs()
    v, state = network()(x, sigma, text, facts)
    assert v.shape == x.shape
    assert state is not None
    assert state.shape == (2, *GRID, 5)
    plain = DiTConfig(latent=6, width=32, depth=2, heads=2, text=12)
    assert network(plain)(x, sigma, text, facts)[1] is None


def test_the_first_velocity_is_zero_and_learns() -> None:
    torch.manual_seed(0)
    made = DiT(CONFIG)
    x, sigma, text, facts = inputs()
    target = torch.randn_like(x)
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        v, state = made(x, sigma, text, facts)
        assert state is not None
        loss = (v - target).square().mean() + state.square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (DiT(CONFIG)(x, sigma, text, facts)[0] == 0).all()
    assert losses[-1] < 0.8 * losses[0]
    unused = [name for name, p in made.named_parameters() if p.grad is None]
    assert unused == []


def test_noise_levels_act_on_their_own_token() -> None:
    """Without attention nothing else could carry a level from token to token."""
    made = network()
    for block in made.blocks:
        nn.init.zeros_(block.attention_out.weight)
    x, sigma, text, facts = inputs()
    other = sigma.clone()
    other[1, 2, 0, 3] = 0.0
    before, after = (made(x, levels, text, facts)[0] for levels in (sigma, other))
    changed = (before - after).abs().amax(1) > 1e-5
    assert changed.nonzero().tolist() == [[1, 2, 0, 3]]


def test_every_token_has_its_own_level_whatever_the_others_have() -> None:
    """Levels are embedded once each and handed out: the order and number of different ones must not matter."""
    made = network()
    x, sigma, text, facts = inputs()
    sigma = (sigma * 3).round() / 3  # many tokens share a level
    alone = torch.cat(
        [made(x[b : b + 1], sigma[b : b + 1], Text(text.states[b : b + 1], text.mask[b : b + 1]), facts[:1])[0]
         for b in range(2)]
    )  # fmt: skip
    torch.testing.assert_close(made(x, sigma, text, facts)[0], alone)


def test_one_level_a_clip_is_the_same_as_that_level_at_each_token() -> None:
    made = network()
    x, sigma, text, facts = inputs()
    sigma[:] = sigma[:, :1, :1, :1]
    handed_out = sigma.clone()
    handed_out[1, 0, 0, 0] += 0.1  # so that the first clip's level is handed out token by token
    clipwise, tokenwise = (made(x, levels, text, facts)[0] for levels in (sigma, handed_out))
    torch.testing.assert_close(clipwise[0], tokenwise[0])
    assert (clipwise[1] - tokenwise[1]).abs().max() > 1e-4


def test_known_tokens_shape_what_is_made_of_the_others() -> None:
    made = network()
    x, sigma, text, facts = inputs()
    sigma[:, 0] = 0  # the first latent frame is given
    other = x.clone()
    other[0, :, 0] += 1
    change = (made(x, sigma, text, facts)[0] - made(other, sigma, text, facts)[0]).abs().amax(1)
    assert (change[0, 1:] > 1e-4).all()  # every later token of the clip sees it
    assert (change[1] == 0).all()  # no other clip does


def test_text_matters_and_its_padding_does_not() -> None:
    made = network()
    x, sigma, text, facts = inputs()
    before = made(x, sigma, text, facts)[0]
    padded = Text(
        torch.cat([text.states, torch.full((2, 3, CONFIG.text), 7.0)], 1),
        torch.cat([text.mask, torch.zeros(2, 3, dtype=torch.bool)], 1),
    )
    torch.testing.assert_close(made(x, sigma, padded, facts)[0], before)
    swapped = Text(text.states.flip(0), text.mask)
    assert (made(x, sigma, swapped, facts)[0] - before).abs().amax() > 1e-3
    empty = Text(text.states, torch.zeros_like(text.mask))
    assert made(x, sigma, empty, facts)[0].isfinite().all()


@pytest.mark.parametrize("fact", [0, 1, 2])
def test_facts_of_the_clip_matter(fact: int) -> None:
    made = network()
    x, sigma, text, facts = inputs()
    other = facts.clone()
    other[:, fact] += 1.0
    assert (made(x, sigma, text, facts)[0] - made(x, sigma, text, other)[0]).abs().amax() > 1e-4


def test_places_matter() -> None:
    """Equal latents at equal levels are told apart by where they are."""
    made = network()
    _, sigma, text, facts = inputs()
    x = torch.ones(2, CONFIG.latent, *GRID)
    v = made(x, torch.full_like(sigma, 0.5), text, facts)[0][0].flatten(1).T
    assert torch.pdist(v).min() > 1e-4


def test_any_grid_will_do() -> None:
    made = network()
    _, _, text, facts = inputs(1)
    for grid in ((1, 1, 1), (1, 4, 7), (7, 3, 2)):
        v, _ = made(torch.randn(1, 6, *grid), torch.rand(1, *grid), text, facts)
        assert v.shape == (1, 6, *grid)


@pytest.mark.parametrize(
    ("billions", "config"),
    [
        (0.001, DiTConfig(latent=16, width=96, depth=5, heads=4, state=20)),
        (10.0, DiTConfig(latent=64, width=4608, depth=29, heads=36, text=4096, state=20, state_block=12)),
    ],
)  # fmt: skip
def test_one_file_makes_models_from_a_million_to_ten_billion(
    billions: float, config: DiTConfig
) -> None:
    with torch.device("meta"):
        made = DiT(config)
    assert sum(p.numel() for p in made.parameters()) == pytest.approx(1e9 * billions, rel=0.05)
    assert all(p.is_meta for p in made.parameters())


@pytest.mark.parametrize(
    "facts", [{"heads": 5}, {"width": 6, "heads": 2}, {"state_block": 3}, {"state_block": 0}]
)
def test_sizes_that_do_not_fit_each_other_are_told(facts: dict[str, int]) -> None:
    sizes = {"width": 32, "depth": 2, "heads": 2, "state": 5, "state_block": 1}
    with pytest.raises(YozoraError, match="choose a"):
        DiTConfig(**{**sizes, **facts})
