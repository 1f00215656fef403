"""More than one pass: clips continued forwards and backwards, and gaps filled, window by window.

A window is what the model makes in one pass. The codec is causal: a window's first latent frame holds one frame, every
later one four, so a window of t latent frames has 1 + 4 (t - 1) frames. A latent frame is known or made as a whole;
given frames are never replaced, whatever the model made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from yozora import condition
from yozora.errors import YozoraError

Frames = NDArray[np.uint8]
STRIDE = 4  # frames of a latent frame
APART = 7919  # between the seeds of a clip's windows
STILL = 24.0  # 8-bit levels: a made pixel that has changed by less more likely flickers than moves
FADE = 8  # frames from a seam until nothing is taken from the given frame any more


@dataclass(frozen=True)
class Window:
    """What one pass is given: the caption, the seed of its noise, and frames of which some latents are known.

    ``frames`` [T, H, W, 3] is None when nothing is known; ``known`` [t, h, w].
    """

    prompt: str
    seed: int
    known: condition.Known
    frames: Frames | None = None


Make = Callable[[Window], Frames]  # one pass of the model


@dataclass(frozen=True)
class Continuation:
    """Goes on from frames [T, H, W, 3] by windows that overlap with what is there.

    ``make`` turns a window into its frames; ``grid`` is the size of a window in latents.
    """

    make: Make
    grid: condition.Grid
    prompt: str

    def __post_init__(self) -> None:
        if self.grid[0] < 2:
            raise YozoraError("This model makes stills; it cannot continue a clip.")

    @property
    def length(self) -> int:
        """Frames of a window."""
        return 1 + STRIDE * (self.grid[0] - 1)

    def forward(self, frames: Frames, wanted: int, seed: int) -> Frames:
        """``frames`` and what follows, ``wanted`` frames in all."""
        while len(frames) < wanted:
            overlap = min((self.grid[0] + 1) // 2, 1 + (len(frames) - 1) // STRIDE)
            count = 1 + STRIDE * (overlap - 1)
            window = held(frames[-count:], after=self.length - count)
            seed += APART
            made = self._make(window, range(overlap), seed)
            fresh = seamless(made, window, count - 1, +1)[count:]
            frames = np.concatenate([frames, fresh])
        return frames[:wanted]

    def backward(self, frames: Frames, wanted: int, seed: int) -> Frames:
        """What comes before, then ``frames``; ``wanted`` frames in all. Raises YozoraError for fewer than 4 frames."""
        t = self.grid[0]
        if len(frames) < STRIDE and len(frames) < wanted:
            raise YozoraError(
                f"Going backwards needs at least {STRIDE} frames to start from, not {len(frames)}; "
                "a still can be animated forwards."
            )
        while len(frames) < wanted:
            overlap = min(t // 2, len(frames) // STRIDE)
            before = self.length - STRIDE * overlap
            window = held(frames[: STRIDE * overlap], before=before)
            seed += APART
            made = self._make(window, range(t - overlap, t), seed)
            frames = np.concatenate([seamless(made, window, before, -1)[:before], frames])
        return frames[-wanted:]

    def fill(self, frames: Frames, start: int, end: int, seed: int) -> Frames:
        """``frames`` with start .. end - 1 made anew. A gap at an end is an extension; what is too long for one window
        is first made forwards, and the rest joined to both sides."""
        if start == 0:
            return self.backward(frames[end:], len(frames), seed)
        if end == len(frames):
            return self.forward(frames[:start], end, seed)
        t = self.grid[0]
        bridge = min(STRIDE * max(1, t - 3), self.length - 2)  # leaves latents to both sides
        if end - start > bridge:
            a, start = start, end - bridge
            frames = np.concatenate([self.forward(frames[:a], start, seed), frames[start:]])
        first, known = placed(len(frames), start, end, t)
        window = held(frames, after=max(0, first + self.length - len(frames)))
        window = window[first : first + self.length].copy()
        gap = slice(start - first, end - first)
        ramp = np.linspace(0, 1, end - start + 2)[1:-1, None, None, None]
        window[gap] = window[gap.start - 1] * (1 - ramp) + window[gap.stop] * ramp
        made = self._make(window, known, seed)
        left = seamless(made, window, gap.start - 1, +1)[gap]
        right = seamless(made, window, gap.stop, -1)[gap]
        filled = (left * (1 - ramp) + right * ramp).round().astype(np.uint8)
        return np.concatenate([frames[:start], filled, frames[end:]])

    def _make(self, frames: Frames, known: Sequence[int], seed: int) -> Frames:
        mask = condition.frames(self.grid, list(known))
        return self.make(Window(self.prompt, seed, mask, frames))


def placed(total: int, start: int, end: int, t: int) -> tuple[int, list[int]]:
    """Where in a clip of ``total`` frames to put a window of ``t`` latent frames around the gap start .. end - 1.

    Returns its first frame and its known latent frames. Best is a place where both sides are known, where no given
    frame shares a latent frame with the gap or with the void behind the clip, and where both sides are long.
    """

    def spans(first: int) -> list[tuple[int, int]]:
        return list(pairwise([first, *range(first + 1, first + 2 + STRIDE * (t - 1), STRIDE)]))

    def known(first: int) -> list[int]:
        return [
            k for k, (a, b) in enumerate(spans(first)) if (b <= start or a >= end) and a < total
        ]

    def worth(first: int) -> tuple[bool, int, int, int]:
        of, kept = spans(first), known(first)
        before = sum(of[k][1] <= start for k in kept)
        after = len(kept) - before
        given = sum(min(b, total) - a for a, b in of if a < total) - (end - start)
        used = sum(min(of[k][1], total) - of[k][0] for k in kept)
        void = sum(max(0, of[k][1] - total) for k in kept)
        return before > 0 and after > 0, used - given - void, min(before, after), len(kept)

    length = 1 + STRIDE * (t - 1)
    first = max(range(max(0, end - length + 1), start), key=worth)
    return first, known(first)


def held(frames: Frames, *, before: int = 0, after: int = 0) -> Frames:
    """``frames`` with the first and the last repeated."""
    return np.pad(frames, ((before, after), (0, 0), (0, 0), (0, 0)), mode="edge")


def seamless(made: Frames, given: Frames, at: int, way: int) -> Frames:
    """``made`` with the seam to a given frame taken out of what stands still.

    Frame ``at`` is the last given one (way +1) or the first (way -1). Whatever of the frames beyond it still looks as
    the model's own frame ``at`` does is taken from the given frame, less of it from frame to frame; where something has
    moved, the made frames stay. So neither the codec's error nor the model's flicker makes the ground jump at the seam.
    Frame ``at`` itself becomes the given one.
    """
    distance = (np.arange(len(made)) - at) * way
    near = np.where(distance >= 0, np.clip(1 - distance / FADE, 0, 1), 0.0)[:, None, None, None]
    exact = made.astype(np.float64)
    change = np.abs(exact - exact[at]).max(-1, keepdims=True)
    share = near / (1 + (change / STILL) ** 2)
    return (exact + share * (given[at] - exact)).round().astype(np.uint8)
