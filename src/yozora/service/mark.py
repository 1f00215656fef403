"""An invisible mark in a clip's frames, which says which model made it when nothing else does any more.

Every frame is divided into COLUMNS × ROWS cells, wherever its edges are, so that scaling changes nothing. In each cell
lie three smooth waves that fade to nothing at its borders. How much of a wave a frame's luma holds is its amplitude, in
levels of 255; embedding moves every amplitude to the nearest point of a grid whose points are STEP levels apart and
whose offset a key decides: dither modulation (Chen and Wornell, Quantization index modulation, IEEE Trans. Inf. Theory
47(4), 2001), which a picture does not disturb as it would a pattern that is added. Some waves are pilots, whose grids
are known: they say whether there is a mark. The grids of the others lie half a step further for a 1 than for a 0, and
carry BITS bits in a convolutional code.

The key is public: anybody can find the mark, and who knows it can remove or forge it. It is a sign; the proof is the
signature of `yozora.service.provenance`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.video import Clip

Floats = NDArray[np.float32]
Phasors = NDArray[np.complex128]
Frames = NDArray[np.uint8]

COLUMNS, ROWS = 8, 5
WAVES = ((2, 1), (1, 2), (2, 2))  # half waves across and down a cell: none of them holds its mean
CARRIERS = COLUMNS * ROWS * len(WAVES)
BITS = 32
TAPS = (0o133, 0o171)  # of the convolutional code of rate 1/2 and length 7 that is used everywhere
MEMORY = 6
STEP = 7.0  # levels of 255; 43 dB between a frame and the same with its mark
KEY = b"yozora mark 1"

CHANCE = 1e-6  # a mark is found when a clip without one looks like this less often
CLEAR = 1e-13  # below this nothing can be cut off
LOOKED_AT = 16  # frames, evenly spread
LONGER = 160  # pixels on their longer side
CUT = (0.0, 0.0125, 0.025, 0.0375, 0.05)  # shares of a side that may be missing at each edge
FINE = 0.00625


@dataclass(frozen=True)
class Mark:
    """A mark that was found.

    payload: BITS bits. chance: at most so often, over all keys, does a clip without a mark look like one with it.
    cut: the shares of the height and the width that are missing at the top, bottom, left and right.
    """

    payload: int
    chance: float
    cut: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def identity(digest: str) -> int:
    """The payload that stands for something with a SHA-256, in hex: its first BITS bits."""
    return int(digest[: BITS // 4], 16)


# --- waves ---------------------------------------------------------------------------------------


def waves(pixels: int, cells: int, cut: Sequence[float] = (0.0, 0.0)) -> Floats:
    """One and two half waves in each of `cells` cells along a side of so many pixels, float32 [2, cells, pixels].

    cut: the shares of the side that are missing at its two ends.
    """
    place = cut[0] + (np.arange(pixels) + 0.5) / pixels * (1 - sum(cut))
    cell, inside = np.divmod(place * cells, 1)
    own = cell == np.arange(cells)[:, None]
    halves = np.sin(np.pi * np.arange(1, 3)[:, None] * inside)
    return np.asarray(own * halves[:, None], np.float32)


def amplitudes(luma: Floats, down: Floats, across: Floats) -> Floats:
    """How much of each wave is in luma [H, W]: levels, [CARRIERS]."""
    return of_rows(product_of(luma, flat(across).T), down, across)


def of_rows(rows: Floats, down: Floats, across: Floats) -> Floats:
    """The same, of luma that is summed across with each wave already: [..., H, 2 * COLUMNS]."""
    both = np.einsum("dh,...hx->...dx", flat(down), rows) / np.maximum(
        np.outer(power(down), power(across)), 1e-3
    )
    both = both.reshape(*rows.shape[:-2], 2, ROWS, 2, COLUMNS)
    found = [both[..., d - 1, :, a - 1, :] for a, d in WAVES]
    return np.stack(found, axis=-3).reshape(*rows.shape[:-2], CARRIERS)


def flat(some: Floats) -> Floats:
    """Waves as the rows of a matrix."""
    rows: Floats = some.reshape(-1, some.shape[-1])
    return rows


def power(some: Floats) -> Floats:
    """The sum of each wave's squares."""
    return np.asarray((flat(some) ** 2).sum(-1), np.float32)


def picture(levels: Floats, down: Floats, across: Floats) -> Floats:
    """The sum of all waves with these amplitudes, [CARRIERS] to [H, W]."""
    parts = levels.reshape(len(WAVES), ROWS, COLUMNS)
    total = np.zeros((down.shape[-1], across.shape[-1]), np.float32)
    for (a, d), part in zip(WAVES, parts, strict=True):
        total += product_of(down[d - 1].T, part @ across[a - 1])
    return total


def product_of(one: Floats, other: Floats) -> Floats:
    """The product of two matrices on one core: beside other work the threads of numpy's library wait for each other."""
    left, right = np.ascontiguousarray(one), np.ascontiguousarray(other)
    return np.asarray(cv2.gemm(left, right, 1.0, np.empty(0, np.float32), 0.0), np.float32)


def luma_of(frame: Frames) -> Floats:
    """A frame's luma [H, W], as floats of the same levels. Whichever weights it has, a level more is a level more."""
    return np.asarray(cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)


# --- the key and the code --------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """What the key decides. bits: the carriers of the code's bits, [BITS, 2]. pilots: the others. offset: of each
    carrier's grid, in steps.
    """

    bits: NDArray[np.int64]
    pilots: NDArray[np.int64]
    offset: NDArray[np.float64]


@cache
def layout(key: bytes = KEY) -> Layout:
    """What a key decides."""
    rng = np.random.default_rng(list(hashlib.sha256(key).digest()))
    order = rng.permutation(CARRIERS)
    coded = BITS * len(TAPS)
    return Layout(order[:coded].reshape(BITS, -1), order[coded:], rng.random(CARRIERS))


def encode(payload: int) -> NDArray[np.int64]:
    """The code's bits, [BITS, 2]: each depends on a bit of the payload and the MEMORY ones before, around the end."""
    bits = np.array([payload >> k & 1 for k in range(BITS)])
    coded = [sum(np.roll(bits, j) for j in range(MEMORY + 1) if tap >> j & 1) for tap in TAPS]
    return np.stack([np.asarray(sums) % 2 for sums in coded], axis=-1)


@cache
def trellis() -> NDArray[np.int64]:
    """What each window of MEMORY + 1 bits sends, as 1 for a 0 and -1 for a 1: [2 ** (MEMORY + 1), 2].

    Bit j of a window is the payload's bit of j places before.
    """
    windows = range(2 ** (MEMORY + 1))
    return np.array([[1 - 2 * ((w & tap).bit_count() % 2) for tap in TAPS] for w in windows])


def decode(soft: NDArray[np.float64]) -> int:
    """The payload whose code agrees best with what was heard, [BITS, 2]: positive for a 0, negative for a 1.

    Viterbi's algorithm, led around three times: by the second time it has forgotten where it began.
    """
    window = np.arange(2 ** (MEMORY + 1))
    before = window >> 1  # the state that a window comes from; it leads to its last MEMORY bits
    score = np.zeros(2**MEMORY)
    chosen = []
    for heard in np.concatenate([soft] * 3):
        reached = score[before] + trellis() @ heard
        # Windows that lead to one state differ in their oldest bit alone.
        pair = reached.reshape(2, -1)
        oldest = pair.argmax(0)
        chosen.append(oldest)
        score = pair.max(0)
    state, bits = int(score.argmax()), []
    for oldest in reversed(chosen):
        bits.append(state & 1)
        state = (int(oldest[state]) << MEMORY | state) >> 1
    middle = bits[::-1][BITS : 2 * BITS]
    return sum(bit << k for k, bit in enumerate(middle))


# --- in and out of clips ---------------------------------------------------------------------------


def embed(clip: Clip, payload: int, key: bytes = KEY) -> Clip:
    """The clip with a mark of BITS bits in every frame."""
    plan = layout(key)
    target = plan.offset.copy()
    target[plan.bits] += encode(payload) / 2
    down, across = waves(clip.height, ROWS), waves(clip.width, COLUMNS)
    marked = np.empty_like(clip.frames)
    for frame, out in zip(clip.frames, marked, strict=True):
        steps = amplitudes(luma_of(frame), down, across) / STEP - target
        change = picture(((np.round(steps) - steps) * STEP).astype(np.float32), down, across)
        whole = np.rint(change).astype(np.int16)[..., None]
        np.clip(frame + whole, 0, 255, out=out, casting="unsafe")
    return Clip(marked, clip.fps)


def find(clip: Clip, key: bytes = KEY) -> Mark | None:
    """The mark of a clip, also of one that was scaled, recoded, shown faster or cut at its edges; None without one."""
    luma = small_luma(clip)
    whole = clearest(luma, ((0.0,),) * 4, key)
    if whole.chance < CLEAR:
        return whole
    coarse = clearest(luma, (CUT,) * 4, key)
    around = tuple(tuple(max(0.0, cut + by) for by in (-FINE, 0.0, FINE)) for cut in coarse.cut)
    fine = clearest(luma, around, key, tried=1 + len(CUT) ** 4)
    return fine if fine.chance < CHANCE else None


def small_luma(clip: Clip) -> Floats:
    """The luma of some frames, at most LONGER pixels on the longer side: the waves are wide."""
    scale = min(1.0, LONGER / max(clip.width, clip.height))
    size = max(1, round(clip.width * scale)), max(1, round(clip.height * scale))
    chosen = clip.frames[:: max(1, len(clip) // LOOKED_AT)][:LOOKED_AT]
    shrunk = [cv2.resize(luma_of(one), size, interpolation=cv2.INTER_AREA) for one in chosen]
    return np.stack(shrunk).astype(np.float32)


def clearest(luma: Floats, cuts: Sequence[Sequence[float]], key: bytes, tried: int = 0) -> Mark:
    """What luma [T, H, W] says most clearly, when so much may be cut off at the top, bottom, left and right."""
    plan, best, cut = layout(key), np.zeros(CARRIERS, complex), (0.0, 0.0, 0.0, 0.0)
    heights = [(other, waves(luma.shape[1], ROWS, other)) for other in product(*cuts[:2])]
    for window in product(*cuts[2:]):
        across = waves(luma.shape[2], COLUMNS, window)
        rows = luma @ flat(across).T
        for other, down in heights:
            levels = of_rows(rows, down, across)
            phasors = np.exp(2j * np.pi * (levels.astype(float) / STEP - plan.offset)).mean(0)
            if clarity(phasors[plan.pilots]) > clarity(best[plan.pilots]):
                best, cut = phasors, (other[0], other[1], window[0], window[1])
    hypotheses = tried + math.prod(map(len, cuts))
    chance = hypotheses * math.exp(-(clarity(best[plan.pilots]) ** 2))
    return Mark(decode(best[plan.bits].real), chance, cut)


def clarity(pilots: Phasors) -> float:
    """How clearly pilots, turned back by their offsets, lie on their grids.

    Of a clip without a mark they lie on their circles as the key's offsets do, independent and uniform, whatever the
    clip is. The mean of exp(s cos u) over the circle is I0(s) <= exp(s² / 4), so the clarity exceeds c in at most
    exp(-c²) of all keys (Chernoff's bound).
    """
    size = math.sqrt(float((np.abs(pilots) ** 2).sum()))
    return float(pilots.real.sum()) / size if size > 1e-9 else 0.0
