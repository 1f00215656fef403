"""Small parts of the transformer: positions in space and time, scalar embeddings, modulation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to this many scores a head, attention is written out: on CPUs the fused kernel, above all its backward pass, takes
# several times as long as small matrix products and a softmax (benchmarks/results/training.md).
SHORT = 512 * 512


def rope_angles(t: int, h: int, w: int, head: int, device: torch.device) -> Tensor:
    """Angles [t * h * w, head / 2] of rotary embeddings over (time, height, width) of the latent grid.

    A quarter of the pairs turns with time, the rest is shared by the two space axes (RoPE, arXiv 2104.09864; split by
    axis as in video transformers). Frequencies span one turn over about 6 to 600 cells.
    """
    pairs = head // 2
    shares = (pairs - 2 * (3 * pairs // 8), 3 * pairs // 8, 3 * pairs // 8)
    axes = []
    for axis, (length, share) in enumerate(zip((t, h, w), shares, strict=True)):
        frequencies = 100.0 ** (-torch.arange(share, device=device) / max(1, share))
        shape = [1, 1, 1, share]
        shape[axis] = length
        angle = torch.outer(torch.arange(length, device=device).float(), frequencies).view(shape)
        axes.append(angle.expand(t, h, w, share))
    return torch.cat(axes, dim=-1).reshape(t * h * w, pairs)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs (x[..., i], x[..., i + head / 2]) of x [B, heads, N, head].

    ``cos`` and ``sin`` are those of the angles [..., N, head / 2].
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def sinusoid(x: Tensor, width: int, longest: float = 1000.0) -> Tensor:
    """Sines and cosines of a scalar: [...] -> [..., width], periods from 2 pi / longest up to 2 pi."""
    frequencies = torch.exp(torch.linspace(0, math.log(longest), width // 2, device=x.device))
    angle = x.float().unsqueeze(-1) * frequencies
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def positions(t: int, h: int, w: int, device: torch.device) -> Tensor:
    """[t * h * w, 3]: latent frame in units of four, and the token's centre as shares of the height and the width."""
    axes = (
        torch.arange(t, device=device) / 4,
        (torch.arange(h, device=device) + 0.5) / h,
        (torch.arange(w, device=device) + 0.5) / w,
    )
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(t * h * w, 3)


class ScalarEmbedding(nn.Module):
    """One or several scalars [..., S] -> [..., D]: sinusoids, then a two-layer network."""

    def __init__(
        self, scalars: int, width: int, frequencies: int = 64, longest: float = 1000.0
    ) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.longest = longest
        self.net = nn.Sequential(
            nn.Linear(scalars * frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(sinusoid(x, self.frequencies, self.longest).flatten(-2))
        return y


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v for q [B, heads, N, E], k and v [B, heads, L, E], bias [B, 1, 1, L]."""
    if q.device.type != "cpu" or q.shape[-2] * k.shape[-2] > SHORT:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    return torch.softmax(scores, dim=-1, dtype=scores.dtype) @ v
