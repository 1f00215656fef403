"""Which colours a clip has, by name.

The names are the eleven basic colour terms of English (Berlin and Kay 1969), and beige and cyan, of which footage and
screens are full. A pixel is named in Oklab (Ottosson 2020), where lightness, chroma and hue are what the eye tells
apart. People do not agree on borders, so a pixel could also be called what its near neighbours are: by that are the
claims of a caption judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from yozora.video import Clip

Values = NDArray[np.float64]

NAMES = (
    "black", "white", "grey", "brown", "beige", "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink",
)  # fmt: skip
BITS = 5  # of each channel that are looked at
SAMPLED = 6  # frames of a clip, from its first to its last

# Where hues end, in degrees: pure red is at 29, orange at 65, yellow at 110, green at 142, cyan at 195, blue at 264.
HUES = {
    "red": 40,
    "orange": 82,
    "yellow": 118,
    "green": 178,
    "cyan": 228,
    "blue": 289,
    "purple": 336,
}
PINK = 10  # degrees above which hues are red and not pink
GREY, DIM = 0.035, 0.08  # chroma below which a pixel is grey, and black if it is dark
BLACK, WHITE = 0.25, 0.9  # lightness
BROWN, MUTED = (
    0.58,
    0.09,
)  # orange and yellow are brown below this lightness, beige below this chroma
NEUTRAL, STRAY = (
    16,
    0.005,
)  # levels between channels, and share of the pixels, that black and white film may have
PALE = 0.72  # lightness above which red is pink
AROUND = ((-0.05, 0.0, 0.05), (-0.012, 0.0), (-12.0, 0.0, 12.0))  # neighbours; greys gain no hue


def shares(clip: Clip) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """The share of a clip's pixels that have each name, and of those that could be called so, from 0 to 1.

    The first sum to 1. The second overlap, and are those of the frame that has most of the colour, since a body may
    leave the picture.
    """
    codes = coded(clip.frames[sampled(len(clip))])
    named, could_be = tables()
    counts = np.bincount(named[codes].ravel(), minlength=len(NAMES)) / codes.size
    most = could_be[codes].mean((1, 2)).max(0)
    return (
        {name: float(share) for name, share in zip(NAMES, counts, strict=True)},
        {name: float(share) for name, share in zip(NAMES, most, strict=True)},
    )


def colourless(clip: Clip) -> bool:
    """Whether a clip is in black and white: hardly any pixel's channels differ by more than coding makes them."""
    frames = clip.frames[sampled(len(clip))]
    spread = frames.max(-1) - frames.min(-1)
    return float((spread > NEUTRAL).mean()) < STRAY


def sampled(frames: int) -> NDArray[np.int64]:
    """Which of so many frames are looked at, spread evenly from the first to the last."""
    return np.unique(np.linspace(0, frames - 1, SAMPLED).round().astype(np.int64))


def coded(frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels [..., 3] of uint8 as one number each, of their channels' highest bits."""
    high = (frames >> (8 - BITS)).astype(np.int64)
    return np.asarray((high[..., 0] << 2 * BITS) | (high[..., 1] << BITS) | high[..., 2], np.int64)


@cache
def tables() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each coded pixel the index of its name [N], and whether it could be called by each name [N, names]."""
    levels = (np.arange(2**BITS) + 0.5) * 2 ** (8 - BITS)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lightness, chroma, hue = lch(grid / 255)
    could_be = np.zeros((len(grid), len(NAMES)), np.bool_)
    for lighter, purer, turned in itertools.product(*AROUND):
        near = names(lightness + lighter, chroma + purer, hue + turned)
        could_be[np.arange(len(grid)), near] = True
    return names(lightness, chroma, hue), could_be


def names(lightness: Values, chroma: Values, hue: Values) -> NDArray[np.int64]:
    """The index of each pixel's name: what comes first holds."""
    turned = (hue - PINK) % 360 + PINK
    by_hue = np.searchsorted(np.array([*HUES.values()]), turned, side="right")
    hues = [*HUES, "pink"]
    is_warm = (by_hue == hues.index("orange")) | (by_hue == hues.index("yellow"))
    is_red = by_hue == hues.index("red")
    rules = {
        "black": (lightness < BLACK) & (chroma < DIM),
        "white": (lightness > WHITE) & (chroma < GREY),
        "grey": chroma < GREY,
        "brown": (is_warm | (is_red & (chroma < MUTED))) & (lightness < BROWN),
        "beige": is_warm & (chroma < MUTED),
        "pink": is_red & ((lightness > PALE) | (chroma < MUTED)),
        **{name: by_hue == number for number, name in enumerate(hues) if name != "pink"},
    }
    chosen = np.select(
        list(rules.values()), [NAMES.index(name) for name in rules], NAMES.index("pink")
    )
    return np.asarray(chosen, np.int64)


def lch(rgb: Values) -> tuple[Values, Values, Values]:
    """Pixels [N, 3] in sRGB from 0 to 1 as Oklab's lightness, chroma and hue in degrees, by Ottosson's matrices."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ CONES.T)
    lightness, a, b = (cones @ OPPONENTS.T).T
    return lightness, np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360


CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
OPPONENTS = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
