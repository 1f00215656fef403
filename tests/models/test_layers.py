from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.models import layers

quick = settings(deadline=None, max_examples=20)
CPU = torch.device("cpu")


@pytest.mark.parametrize(("n", "length"), [(6, 6), (6, 3), (1, 1)])
def test_attention_is_the_same_written_out_and_fused(
    n: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, m, 8, requires_grad=True) for m in (n, length, length))
    bias = torch.zeros(2, 1, 1, length)
    bias[1, ..., length // 2 + 1 :] = -1e4
    for given_bias in (None, bias):
        written = layers.attention(q, k, v, given_bias)
        gradients = torch.autograd.grad(written.square().sum(), (q, k, v))
        with monkeypatch.context() as patch:
            patch.setattr(layers, "SHORT", 0)
            fused = layers.attention(q, k, v, given_bias)
        torch.testing.assert_close(fused, written)
        for a, b in zip(
            torch.autograd.grad(fused.square().sum(), (q, k, v)), gradients, strict=True
        ):
            torch.testing.assert_close(a, b)


@quick
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.sampled_from([2, 16, 64]))
def test_rotation_keeps_lengths_and_sees_only_distances(t: int, h: int, w: int, head: int) -> None:
    angles = layers.rope_angles(t, h, w, head, CPU)
    assert angles.shape == (t * h * w, head // 2)
    assert (angles[0] == 0).all()
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, head, generator=generator).expand(t * h * w, 2, head).unbind(1)
    q, k = (layers.rotate(x, angles.cos(), angles.sin()) for x in (q, k))
    torch.testing.assert_close(q.norm(dim=-1), q[0].norm().expand(t * h * w))
    scores = (q @ k.T).view(t, h, w, t, h, w)
    torch.testing.assert_close(scores[1:, ..., 1:, :, :], scores[:-1, ..., :-1, :, :])
    torch.testing.assert_close(scores[:, 1:, :, :, 1:], scores[:, :-1, :, :, :-1])


def test_every_axis_turns_pairs_of_its_own() -> None:
    grid = layers.rope_angles(3, 4, 5, 64, CPU).view(3, 4, 5, 32)
    turns = [
        (grid.select(axis, 0) != grid.select(axis, 1)).flatten(0, -2).any(0) for axis in range(3)
    ]
    assert [int(turn.sum()) for turn in turns] == [8, 12, 12]
    assert torch.stack(turns).sum(0).eq(1).all()
    for axis, length in enumerate((3, 4, 5)):
        assert (
            grid.select(axis, length - 1).max() >= length - 1
        )  # the fastest turns a radian a cell


def test_positions_are_the_centres_of_tokens() -> None:
    found = layers.positions(2, 2, 4, CPU)
    assert found.shape == (16, 3)
    assert found[0].tolist() == [0, 0.25, 0.125]
    assert found[-1].tolist() == [0.25, 0.75, 0.875]


def test_sinusoids_tell_close_levels_apart() -> None:
    levels = torch.linspace(0, 1, 201)
    codes = layers.sinusoid(levels, 64)
    assert codes.shape == (201, 64)
    gaps = torch.cdist(codes, codes) + 10 * torch.eye(201)
    assert gaps.min() > 0.3
    torch.testing.assert_close(codes.square().sum(-1), torch.full((201,), 32.0))


def test_scalars_are_embedded_together() -> None:
    torch.manual_seed(0)
    embed = layers.ScalarEmbedding(3, 10)
    facts = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, 0.4], [0.2, 0.1, 0.3]])
    codes = embed(facts)
    assert codes.shape == (3, 10)
    assert torch.pdist(codes).min() > 1e-3
