from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from yozora.errors import YozoraError
from yozora.models.vae import (
    PATCH_VALUES,
    Codec,
    CodecConfig,
    frames_to_groups,
    groups_to_frames,
    to_patches,
)

CONFIG = CodecConfig(8, (4, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))


def codec(seed: int = 0) -> Codec:
    """One whose residual paths have left zero."""
    torch.manual_seed(seed)
    made = Codec(CONFIG)
    for layer in (made.encoder.out, made.decoder.out):
        nn.init.normal_(layer.weight, std=0.3)
    made.mean.normal_()
    made.scale.uniform_(0.5, 2)
    return made.eval()


def clip(n: int = 3, height: int = 32, width: int = 48, seed: int = 1, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, 1 + 4 * n, height, width, generator=generator) * 2 - 1


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
@torch.no_grad()
def test_shapes_come_back(n: int, rows: int, columns: int) -> None:
    made = codec()
    x = clip(n, 16 * rows, 16 * columns)
    z = made.encode(x)
    assert z.shape == (2, 8, n + 1, rows, columns)
    y = made.decode(z)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    assert torch.equal(groups_to_frames(frames_to_groups(x)), x)
    assert to_patches(x).shape == (2, n + 1, rows, columns, PATCH_VALUES)


@pytest.mark.parametrize("frame", range(13))
@torch.no_grad()
def test_no_frame_changes_what_comes_before_it(frame: int) -> None:
    made = codec()
    x = clip()
    other = x.clone()
    other[:, :, frame] += 0.5
    z, changed = made.encode_raw(x), made.encode_raw(other)
    own = (frame + 3) // 4  # the latent frame that holds it
    assert torch.equal(z[:, :, :own], changed[:, :, :own])
    assert (z[:, :, own] - changed[:, :, own]).abs().max() > 1e-3


@pytest.mark.parametrize("latent", range(4))
@torch.no_grad()
def test_no_latent_changes_frames_before_its_own(latent: int) -> None:
    made = codec()
    z = made.encode_raw(clip())
    other = z.clone()
    other[:, :, latent] += 0.5
    y, changed = made.decode_raw(z), made.decode_raw(other)
    first = max(0, 4 * latent - 3)
    assert torch.equal(y[:, :, :first], changed[:, :, :first])
    assert (y[:, :, first:] - changed[:, :, first:]).abs().max() > 1e-3


@torch.no_grad()
def test_what_came_before_helps() -> None:
    """Time is mixed, forwards: a latent knows of earlier frames, a frame of earlier latents."""
    made = codec()
    x = clip()
    other = x.clone()
    other[:, :, 0] += 0.5
    assert (made.encode_raw(x) - made.encode_raw(other))[:, :, 1].abs().max() > 1e-4
    z = made.encode_raw(x)
    later = z.clone()
    later[:, :, 0] += 0.5
    assert (made.decode_raw(z) - made.decode_raw(later))[:, :, 1].abs().max() > 1e-4


@torch.no_grad()
def test_a_still_is_the_first_latent_frame_of_a_film() -> None:
    made = codec()
    x = clip()
    still = made.encode(x[:, :, :1])
    torch.testing.assert_close(still, made.encode(x)[:, :, :1])
    torch.testing.assert_close(made.decode(still), made.decode(made.encode(x))[:, :, :1])


@torch.no_grad()
def test_clips_do_not_touch_each_other() -> None:
    made = codec()
    x = clip()
    torch.testing.assert_close(made.encode(x[:1]), made.encode(x)[:1])
    z = made.encode(x)
    torch.testing.assert_close(made.decode(z[1:]), made.decode(z)[1:])


@torch.no_grad()
def test_training_starts_at_the_pca_codec() -> None:
    torch.manual_seed(0)
    made = Codec(CONFIG)
    basis = torch.linalg.qr(torch.randn(PATCH_VALUES, 8))[0].T.contiguous()
    mean, std = 0.1 * torch.randn(PATCH_VALUES), torch.linspace(3, 0.01, 8)
    made.start_from_pca(mean, basis, std)
    x = clip()
    patches = to_patches(x)
    along = (patches - mean) @ basis.T
    raw = made.encode_raw(x)
    torch.testing.assert_close(raw, (along / std).permute(0, 4, 1, 2, 3), atol=1e-4, rtol=1e-4)
    rebuilt = to_patches(made.decode_raw(raw))
    expected = along @ basis + mean
    torch.testing.assert_close(rebuilt[:, 1:], expected[:, 1:], atol=1e-4, rtol=1e-4)
    first, wanted = (p[:, 0].unflatten(-1, (3, 4, 256))[..., -1, :] for p in (rebuilt, expected))
    torch.testing.assert_close(first, wanted, atol=1e-4, rtol=1e-4)  # of four equal frames, one


@pytest.mark.parametrize("whiten", [0.0, 0.5, 1.0])
@torch.no_grad()
def test_normalised_latents_have_mean_zero_and_power_one(whiten: float) -> None:
    made = codec()
    raw = 3 + torch.randn(16, 8, 3, 2, 2) * torch.linspace(0.1, 4, 8).view(8, 1, 1, 1)
    made.set_statistics(raw, whiten)
    z = (raw - made.mean.view(8, 1, 1, 1)) / made.scale.view(8, 1, 1, 1)
    torch.testing.assert_close(z.mean((0, 2, 3, 4)), torch.zeros(8), atol=1e-4, rtol=0)
    assert z.var((0, 2, 3, 4)).mean().item() == pytest.approx(1, rel=0.01)
    loud = z.std((0, 2, 3, 4))
    if whiten == 1.0:
        torch.testing.assert_close(loud, torch.ones(8))
    if whiten == 0.0:  # in proportion to what a channel does to the picture
        effect = raw.std((0, 2, 3, 4)) * made.linear_out.weight.norm(dim=0)
        torch.testing.assert_close(loud / loud[0], effect / effect[0])


@torch.no_grad()
def test_statistics_do_not_change_the_picture() -> None:
    made = codec()
    x = clip()
    before = made.decode(made.encode(x))
    made.set_statistics(made.encode_raw(x), 0.5)
    torch.testing.assert_close(made.decode(made.encode(x)), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(4, 32, 32), (5, 30, 32), (5, 32, 40), (2, 16, 16)])
def test_sizes_without_whole_patches_are_told(size: tuple[int, int, int]) -> None:
    frames, height, width = size
    with pytest.raises(YozoraError, match=f"not {frames} of {width}x{height}"):
        codec().encode(torch.zeros(1, 3, *size))
