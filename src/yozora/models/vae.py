"""The codec: a causal video autoencoder of few tokens.

A clip of 1 + 4n frames becomes n + 1 latent frames: the first frame stands alone (so a still is a clip of one
frame), every later latent frame holds four. Each latent cell covers 4 x 16 x 16 pixels with ``latent`` channels.

Two paths add up, in the encoder and in the decoder:

* a linear path, one matrix per patch, started from the principal components of the training frames;
* a residual path of 2-D convolutions on a 2x4x4, a 4x8x8 and a 4x16x16 grid whose last layer starts at zero.
  Time is mixed by matrix products of each time slot with the one before it, so nothing looks ahead and a film can
  be decoded as it comes.

So training starts at the best linear codec and can only improve on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from yozora.errors import YozoraError

# Dimensions: B clips, G latent frames (groups of 4 frames), S time slots of 2 frames (S = 2G),
# h x w grid of 16-pixel patches, Z latent channels, D channels of a grid.
PATCH_TIME, PATCH = 4, 16
PATCH_VALUES = 3 * PATCH_TIME * PATCH * PATCH

TO_PATCHES = "b c (g kt) (h kh) (w kw) -> b g h w (c kt kh kw)"
FROM_PATCHES = "b g h w (c kt kh kw) -> b c (g kt) (h kh) (w kw)"
PATCH_AXES = {"kt": PATCH_TIME, "kh": PATCH, "kw": PATCH}
TO_FINE = "b c (s kt) (h kh) (w kw) -> b s h w (c kt kh kw)"
FROM_FINE = "b s h w (c kt kh kw) -> b c (s kt) (h kh) (w kw)"
TO_CELLS = "b c (s kt) (h kh) (w kw) -> b s h w c (kt kh kw)"
LOUD = (
    4.0  # contrasts are a fraction of the range of pixels; this brings them to about unit variance
)
FINE_AXES = {"kt": 2, "kh": 4, "kw": 4}


@dataclass(frozen=True)
class CodecConfig:
    """Sizes of the codec: ``latent`` channels Z, and per grid (fine, middle, coarse) channels and block counts."""

    latent: int = 64
    channels: tuple[int, int, int] = (64, 192, 384)
    encoder_blocks: tuple[int, int, int] = (1, 1, 1)
    decoder_blocks: tuple[int, int, int] = (4, 3, 1)


def frames_to_groups(x: Tensor) -> Tensor:
    """[B, 3, 1 + 4n, H, W] -> [B, 3, 4 (n + 1), H, W]: the first frame is repeated to fill its group."""
    return torch.cat([x[:, :, :1].expand(-1, -1, PATCH_TIME - 1, -1, -1), x], dim=2)


def groups_to_frames(x: Tensor) -> Tensor:
    """The inverse of :func:`frames_to_groups`."""
    return x[:, :, PATCH_TIME - 1 :]


def to_patches(x: Tensor) -> Tensor:
    """[B, 3, 1 + 4n, H, W] -> [B, G, h, w, 3072], what the linear path (and a PCA codec) sees."""
    return rearrange(frames_to_groups(x), TO_PATCHES, **PATCH_AXES)


class Block(nn.Module):
    """Residual block on [B, S, h, w, D]: 3x3 convolution in space, then each slot mixed with the one before.

    There is no normalisation: on plain ground the features are zero, and what is zero needs no learning to stay so.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.mix = nn.Linear(2 * channels, channels)
        nn.init.normal_(self.conv.weight, std=(2 / (9 * channels)) ** 0.5)
        nn.init.normal_(self.mix.weight, std=0.5 * channels**-0.5)
        for layer in (self.conv, self.mix):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        y = self.conv(rearrange(x, "b s h w d -> (b s) d h w"))  # a channels-last view, no copy
        y = F.silu(rearrange(y, "(b s) d h w -> b s h w d", b=b))
        before = F.pad(y, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1]
        return x + self.mix(torch.cat([y, before], dim=-1))


def blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` residual blocks in a row."""
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def resized(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that keeps the variance, without a bias to start with."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=inputs**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


def zero(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Encoder(nn.Module):
    """What the linear path missed, [B, 3, 4G, H, W] -> a correction of the raw latents [B, G, h, w, Z]."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.channels
        self.stem = resized(96, fine)
        self.fine = blocks(fine, config.encoder_blocks[0])
        self.to_middle = resized(8 * fine, middle)
        self.middle = blocks(middle, config.encoder_blocks[1])
        self.to_coarse = resized(4 * middle, coarse)
        self.coarse = blocks(coarse, config.encoder_blocks[2])
        self.out = zero(coarse, config.latent)

    def forward(self, missed: Tensor) -> Tensor:
        y = self.fine(self.stem(LOUD * rearrange(missed, TO_FINE, **FINE_AXES)))
        y = rearrange(y, "b (g k) (h p) (w q) d -> b g h w (k p q d)", k=2, p=2, q=2)
        y = self.middle(self.to_middle(y))
        y = rearrange(y, "b g (h p) (w q) d -> b g h w (p q d)", p=2, q=2)
        z: Tensor = self.out(self.coarse(self.to_coarse(y)))
        return z


class Decoder(nn.Module):
    """Raw latents [B, G, h, w, Z] and the linear path's picture [B, 3, 4G, H, W] -> a correction of the picture."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.channels
        self.stem = resized(config.latent, coarse)
        self.coarse = blocks(coarse, config.decoder_blocks[2])
        self.to_middle = resized(coarse, 4 * middle)
        self.middle = blocks(middle, config.decoder_blocks[1])
        self.to_fine = resized(middle, 8 * fine)
        self.contrast = resized(96, fine)
        self.fine = blocks(fine, config.decoder_blocks[0])
        self.out = zero(fine, 96)

    def forward(self, z: Tensor, picture: Tensor) -> Tensor:
        y = self.to_middle(self.coarse(self.stem(z)))
        y = rearrange(y, "b g h w (p q d) -> b g (h p) (w q) d", p=2, q=2)
        y = self.to_fine(self.middle(y))
        y = rearrange(y, "b g h w (k p q d) -> b (g k) (h p) (w q) d", k=2, p=2, q=2)
        cells = rearrange(picture, TO_CELLS, **FINE_AXES)
        contrast = (cells - cells.mean(-1, keepdim=True)).flatten(-2)
        y = self.out(self.fine(y + self.contrast(LOUD * contrast)))
        return rearrange(y, FROM_FINE, **FINE_AXES)


class Codec(nn.Module):
    """Both paths, and the stored statistics that bring latents to the scale the transformer expects.

    ``mean`` and ``scale`` [Z]: normalised latent = (raw - mean) / scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.linear_in = nn.Linear(PATCH_VALUES, config.latent)
        self.linear_out = nn.Linear(config.latent, PATCH_VALUES)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("mean", torch.zeros(config.latent))
        self.register_buffer("scale", torch.ones(config.latent))

    def encode_raw(self, x: Tensor) -> Tensor:
        """[B, 3, 1 + 4n, H, W] in [-1, 1] -> raw latents [B, Z, n + 1, h, w]; raises as :meth:`encode`."""
        _check_size(x)
        x = frames_to_groups(x)
        z = self.linear_in(rearrange(x, TO_PATCHES, **PATCH_AXES))
        missed = x - rearrange(self.linear_out(z), FROM_PATCHES, **PATCH_AXES)
        return rearrange(z + self.encoder(missed), "b g h w z -> b z g h w")

    def decode_raw(self, z: Tensor) -> Tensor:
        """The inverse of :meth:`encode_raw`, not clamped."""
        z = rearrange(z, "b z g h w -> b g h w z")
        picture = rearrange(self.linear_out(z), FROM_PATCHES, **PATCH_AXES)
        return groups_to_frames(picture + self.decoder(z, picture))

    def encode(self, x: Tensor) -> Tensor:
        """[B, 3, 1 + 4n, H, W] in [-1, 1], H and W multiples of 16 -> normalised latents [B, Z, n + 1, h, w].

        Raises YozoraError for other sizes.
        """
        z = self.encode_raw(x)
        return (z - _per_channel(self.mean, z)) / _per_channel(self.scale, z)

    def decode(self, z: Tensor) -> Tensor:
        """Normalised latents [B, Z, G, h, w] -> [B, 3, 1 + 4 (G - 1), 16h, 16w], clamped to [-1, 1]."""
        x = self.decode_raw(z * _per_channel(self.scale, z) + _per_channel(self.mean, z))
        return x.clamp(-1, 1)

    @torch.no_grad()
    def start_from_pca(self, mean: Tensor, components: Tensor, std: Tensor) -> None:
        """Sets the linear path to a PCA codec of patches.

        ``mean`` [3072], orthonormal ``components`` [Z, 3072] and the standard deviations ``std`` [Z] along them.
        Raw latents have unit variance, so that the convolutions see quiet channels as well as loud ones.
        """
        self.linear_in.weight.copy_(components / std[:, None])
        self.linear_in.bias.copy_(-(components @ mean) / std)
        self.linear_out.weight.copy_((components * std[:, None]).T)
        self.linear_out.bias.copy_(mean)

    @torch.no_grad()
    def set_statistics(self, z: Tensor, whiten: float) -> None:
        """Stores mean and scale of raw latents ``z`` [B, Z, G, h, w]: normalised ones have mean 0 and mean power 1.

        ``whiten`` = 1 makes all channels equally loud; 0 makes each as loud as what it does to the picture.
        """
        std = z.std(dim=(0, 2, 3, 4))
        effect = std * self.linear_out.weight.norm(dim=0)
        loudness = effect ** (1 - whiten)
        self.mean.copy_(z.mean(dim=(0, 2, 3, 4)))
        self.scale.copy_(std / loudness * loudness.square().mean().sqrt())


def _check_size(x: Tensor) -> None:
    _, _, frames, height, width = x.shape
    if frames % PATCH_TIME != 1 or height % PATCH or width % PATCH:
        raise YozoraError(
            f"The codec takes 1 + {PATCH_TIME}n frames of a height and width that are multiples of {PATCH}, "
            f"not {frames} of {width}x{height}: cut and fit the clip first."
        )


def _per_channel(value: Tensor, like: Tensor) -> Tensor:
    return value.to(like.dtype).view(1, -1, 1, 1, 1)
