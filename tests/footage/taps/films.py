"""Films made of numbers: clouds with the spectrum of photographs, seen by a slowly moving camera."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Floats = NDArray[np.float64]

FPS = 25
FOOTAGE = Path(os.environ.get("FOOTAGE", Path(__file__).parents[3] / "footage"))


def cloud(seed: int, height: int = 108, width: int = 192) -> Floats:
    """A picture whose spectrum falls as 1 / f, as that of photographs does; levels 20 to 235."""
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    picture = np.fft.irfft2(noise / np.maximum(f, 1 / width) ** 1.1, (height, width))
    low, high = np.percentile(picture, [1, 99])
    return np.clip((picture - low) / (high - low), 0, 1) * 215 + 20


def view(picture: Floats, x: float, y: float, height: int = 36, width: int = 64) -> Floats:
    """What a camera at (x, y) sees, bilinear."""
    column, row = int(x), int(y)
    a, b = x - column, y - row
    part = picture[row : row + height + 1, column : column + width + 1]
    across = (1 - a) * part[:, :-1] + a * part[:, 1:]
    return (1 - b) * across[:-1] + b * across[1:]


def shot(seed: int, frames: int, speed: float = 0.2) -> Floats:
    """A slow pan, `speed` pixels a frame of 64x36, with a little noise."""
    picture, rng = cloud(seed), np.random.default_rng(seed)
    seen = np.stack([view(picture, 8 + speed * t, 20) for t in range(frames)])
    return seen + rng.normal(0, 0.5, seen.shape)


def levels(film: Floats) -> Frames:
    return np.clip(film.round(), 0, 255).astype(np.uint8)


def dissolve(a: Floats, b: Floats, frames: int) -> Floats:
    """The end of a mixes with the beginning of b over so many frames."""
    share = (np.arange(1, frames + 1) / (frames + 1))[:, None, None]
    return np.concatenate([a[:-frames], (1 - share) * a[-frames:] + share * b[:frames], b[frames:]])


def fade(a: Floats, b: Floats, frames: int, black: int) -> Floats:
    """a goes down to black over so many frames, and b comes up."""
    share = (np.arange(1, frames + 1) / (frames + 1))[:, None, None]
    dark = np.zeros((black, *a.shape[1:]))
    down, up = a[-frames:] * (1 - share), b[:frames] * share
    return np.concatenate([a[:-frames], down, dark, up, b[frames:]])
