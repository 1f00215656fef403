"""The space-time-patch transformer: noised latents, a noise level per token and a text in; a velocity out.

It knows nothing of diffusion: flow.py says what its output means. Known tokens (sigma = 0) and tokens to be made
differ by their noise level alone, so every task is the same network with another map of noise levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from yozora.errors import YozoraError
from yozora.models.layers import ScalarEmbedding, attention, positions, rope_angles, rotate

Grid = tuple[int, int, int]  # latent frames, height, width

# Dimensions: B clips, N = t * h * w tokens, D width, L text tokens, E text width, Z latent channels.


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the transformer.

    ``state`` > 0 adds a head that predicts S facts of each token (see latents/state.py) from the output of block number
    ``state_block``. Raises YozoraError when sizes do not fit each other.
    """

    latent: int = 64
    width: int = 320
    depth: int = 6
    heads: int = 5
    mlp: int = 4
    text: int = 384
    state: int = 0
    state_block: int = 3

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise YozoraError(
                f"A transformer of width {self.width} cannot be cut into {self.heads} heads of even width: "
                "choose a width that is a multiple of twice the heads."
            )
        if self.state and not 1 <= self.state_block <= self.depth:
            raise YozoraError(
                f"There is no block {self.state_block} to predict the state from: "
                f"choose a state_block from 1 to the depth, {self.depth}."
            )


class Modulation(NamedTuple):
    """What the noise level and the clip's facts do to one block: shift, scale and gate of its two branches."""

    shift_attention: Tensor
    scale_attention: Tensor
    gate_attention: Tensor
    shift_mlp: Tensor
    scale_mlp: Tensor
    gate_mlp: Tensor


class Text(NamedTuple):
    """Token states [B, L, E] of a text encoder and the mask [B, L] of its real tokens."""

    states: Tensor
    mask: Tensor


def normalise(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension."""
    return F.layer_norm(x, x.shape[-1:])


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive layer norm (arXiv 2212.09748): x [B, N, D] normalised, scaled and shifted token by token."""
    return torch.addcmul(shift, normalise(x), scale)


class Block(nn.Module):
    """Self-attention over all tokens, cross-attention to the text, and a feed-forward network.

    forward(x, modulation, text, bias, cos, sin): tokens x [B, N, D]; modulation [B, N, 6 D], shared by all blocks, each
    of which adds a table of its own; text [B, L, D] and the bias [B, 1, 1, L] that hides its padding; cosines and sines
    [N, head / 2] of the rotary embedding. Returns [B, N, D].
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.table = nn.Parameter(torch.randn(6, d) / d**0.5)
        self.qkv = nn.Linear(d, 3 * d)
        self.gain = nn.Parameter(torch.ones(config.heads, 1, 1))
        self.attention_out = nn.Linear(d, d)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.cross_out = nn.Linear(d, d)
        self.mlp_in = nn.Linear(d, config.mlp * d)
        self.mlp_out = nn.Linear(config.mlp * d, d)
        for last in (self.attention_out, self.cross_out, self.mlp_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, x: Tensor, modulation: Tensor, text: Tensor, bias: Tensor, cos: Tensor, sin: Tensor
    ) -> Tensor:
        m = self.modulation(modulation)
        x = x + m.gate_attention * self.attend(
            modulate(x, m.shift_attention, m.scale_attention), cos, sin
        )
        x = x + self.cross(normalise(x), text, bias)
        y = F.gelu(self.mlp_in(modulate(x, m.shift_mlp, m.scale_mlp)), approximate="tanh")
        return x + m.gate_mlp * self.mlp_out(y)

    def modulation(self, shared: Tensor) -> Modulation:
        own = shared + self.table.flatten().to(shared.dtype)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = own.chunk(6, dim=-1)
        return Modulation(shift_a, scale_a + 1, gate_a + 1, shift_m, scale_m + 1, gate_m + 1)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = rearrange(
            self.qkv(x), "b n (three heads e) -> three b heads n e", three=3, heads=self.heads
        )
        gain = self.gain.to(q.dtype)
        q = rotate(normalise(q), cos * gain, sin * gain)
        k = rotate(normalise(k), cos, sin)
        y = attention(q, k, v)
        z: Tensor = self.attention_out(rearrange(y, "b heads n e -> b n (heads e)"))
        return z

    def cross(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        q = rearrange(self.query(x), "b n (heads e) -> b heads n e", heads=self.heads)
        k, v = rearrange(
            self.key_value(text), "b l (two heads e) -> two b heads l e", two=2, heads=self.heads
        )
        y = attention(normalise(q), normalise(k), v, bias)
        z: Tensor = self.cross_out(rearrange(y, "b heads n e -> b n (heads e)"))
        return z


class DiT(nn.Module):
    """Velocity of noised latents.

    forward(x, sigma, text, facts): x [B, Z, t, h, w]; sigma [B, t, h, w] in [0, 1]; text: see :class:`Text`;
    facts [B, 3]: frames per second, seconds, time of the first frame in seconds. Returns the velocity, shaped as x, and
    the predicted state [B, t, h, w, S] (None without a state head).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.patch_in = nn.Linear(config.latent, d)
        self.text_in = nn.Linear(config.text, d)
        self.pooled_in = nn.Linear(config.text, d)
        self.position = ScalarEmbedding(3, d, longest=30.0)
        self.sigma = ScalarEmbedding(1, d)
        self.facts = ScalarEmbedding(3, d)
        self.sigma_modulation = nn.Linear(d, 6 * d)
        self.facts_modulation = nn.Linear(d, 6 * d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, config.latent)
        self.state = nn.Linear(d, config.state) if config.state else None
        for linear in (
            self.sigma_modulation,
            self.facts_modulation,
            self.final_modulation,
            self.out,
        ):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, x: Tensor, sigma: Tensor, text: Text, facts: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        t, h, w = x.shape[2:]
        grid = (t, h, w)
        y, cos, sin = self.tokens(rearrange(x, "b z t h w -> b (t h w) z"), grid)
        words, bias, by_clip = self.condition(y, text, facts)

        # Few noise levels occur in a batch (one or two a clip), so each is embedded once and handed out to its tokens,
        # or to a whole clip at once where nothing is known: sampling from text is a fifth faster so.
        each = sigma.flatten(1)
        if bool((each == each[:, :1]).all()):
            each = each[:, :1]
        levels, index = torch.unique(each, return_inverse=True)
        level = F.silu(self.sigma(levels.unsqueeze(-1)))
        modulation = self.sigma_modulation(level)[index] + by_clip

        state = None
        for number, block in enumerate(self.blocks):
            y = block(y, modulation, words, bias, cos, sin)
            if self.state is not None and number + 1 == self.config.state_block:
                state = self.cells(self.state(normalise(y)), grid)
        shift, scale = self.final_modulation(level)[index].chunk(2, dim=-1)
        y = self.out(modulate(y, shift, scale + 1))
        return rearrange(self.cells(y, grid), "b t h w z -> b z t h w"), state

    def read(self, noise: Tensor, places: Tensor, grid: Grid, text: Text, facts: Tensor) -> Tensor:
        """What a few tokens of pure noise have made of the text half-way up, normalised: [B, P, D].

        noise [B, P, Z] stands at ``places`` [P], numbers of cells of a ``grid`` (t, h, w).
        """
        y, cos, sin = self.tokens(noise, grid, places)
        words, bias, by_clip = self.condition(y, text, facts)
        modulation = self.sigma_modulation(F.silu(self.sigma(noise.new_ones(1, 1, 1)))) + by_clip
        for block in self.blocks[: self.config.state_block]:
            y = block(y, modulation, words, bias, cos, sin)
        return normalise(y)

    def tokens(
        self, values: Tensor, grid: Grid, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded tokens [B, N, D] with their cosines and sines [N, head / 2], of all cells of a grid or of some."""
        head = self.config.width // self.config.heads
        angles = rope_angles(*grid, head, values.device)
        # Rotary embeddings alone only say how far tokens are apart; "at the top left" needs to know where they are.
        where = positions(*grid, values.device)
        if places is not None:
            angles, where = angles[places], where[places]
        y = self.patch_in(values) + self.position(where)
        return y, angles.cos().to(y.dtype), angles.sin().to(y.dtype)

    def condition(self, y: Tensor, text: Text, facts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words [B, L, D], the bias that hides their padding, and the clip's modulation [B, 1, 6 D], for tokens y."""
        words = normalise(self.text_in(text.states))
        bias = (~text.mask[:, None, None, :]).to(y.dtype) * -1e4
        present = text.mask.unsqueeze(-1)
        pooled = (text.states * present).sum(1) / present.sum(1).clamp(min=1)
        scaled = facts / facts.new_tensor([30.0, 10.0, 10.0])  # about 1 for a usual clip
        clip = F.silu(self.facts(scaled) + self.pooled_in(pooled))
        return words, bias, self.facts_modulation(clip).unsqueeze(1)

    @staticmethod
    def cells(y: Tensor, grid: Grid) -> Tensor:
        """Tokens [B, t h w, ...] as the grid's cells [B, t, h, w, ...]."""
        return y.unflatten(1, grid)
