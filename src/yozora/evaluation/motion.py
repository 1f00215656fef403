"""How things move and last: flicker, jitter, energy, persistence, and seams between known and made frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.optimize import linear_sum_assignment

from yozora.evaluation.fidelity import psnr
from yozora.evaluation.parse import Parsed, Track
from yozora.evaluation.segment import CORE, unmix
from yozora.video import Clip

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOST = 0.5  # heights: the path error of a body that is not there


def flicker(clip: Clip) -> float:
    """Mean |second difference in time| of background pixels, in 8-bit levels; 0 below three frames.

    Bodies and their surroundings are left out. A still background scores 0.
    """
    if len(clip.frames) < 3:
        return 0.0
    layers = unmix(clip.frames)
    hidden = maximum_filter(layers.alpha > CORE / 2, size=(3, 7, 7))[1:-1]
    second = np.abs(np.diff(clip.frames.astype(np.int16), 2, axis=0)).mean(-1)
    return float(second[~hidden].mean()) if not hidden.all() else 0.0


def energy(clip: Clip) -> float:
    """Mean absolute change between consecutive frames, in 8-bit levels: 0 for a frozen clip."""
    if len(clip.frames) < 2:
        return 0.0
    return float(np.abs(np.diff(clip.frames.astype(np.int16), axis=0)).mean())


def jitter(parsed: Parsed) -> float:
    """Median |third difference| of the bodies' paths, in heights; nan when none is seen for four frames.

    Straight, parabolic and resting paths have none, and a bounce only where it turns.
    """
    values = [np.hypot(*np.diff(t.path, 3, axis=0).T) for t in parsed.bodies if len(t.path) > 3]
    seen = [v for v in values if np.isfinite(v).any()]
    return float(np.mean([np.nanmedian(v) for v in seen])) if seen else float("nan")


@dataclass(frozen=True)
class Persistence:
    """Whether bodies last: every flag is False in a clip where nothing odd happens."""

    vanishes: bool
    appears: bool
    recolours: bool
    reshapes: bool

    @property
    def persists(self) -> bool:
        """None of the four."""
        return not (self.vanishes or self.appears or self.recolours or self.reshapes)


def persistence(parsed: Parsed) -> Persistence:
    """Whether bodies are there from the first frame to the last in one colour and shape.

    A body counts as gone after two unseen frames in a row, or at either end; a colour or shape as
    changed when another one than the clip's holds a third of the frames in which it can be read.
    """
    vanishes = appears = recolours = reshapes = not parsed.bodies
    for track in parsed.bodies:
        seen = np.isfinite(track.positions[:, 0])
        first, last = np.flatnonzero(seen)[[0, -1]]
        inner = seen[first : last + 1]
        vanishes |= bool(last < len(seen) - 1 or (~inner[1:] & ~inner[:-1]).any())
        appears |= bool(first > 0)
        clear = np.flatnonzero(_clear(track.visibility))
        recolours |= _changes([track.colours[i] for i in clear], track.colour)
        reshapes |= _changes([track.shapes[i] for i in clear], track.shape)
    return Persistence(vanishes, appears, recolours, reshapes)


def _clear(visibility: Floats) -> Mask:
    """In which frames [T] a body's colour and shape can be read: nothing hides it.

    Visibility alone would not do, since a square that turns into a star loses half its area. What hides
    a body comes and goes; another shape has an area of its own and keeps it.
    """
    steps = np.abs(np.diff(visibility)) < 0.05
    steady = np.append(True, steps) & np.append(steps, True)
    return np.asarray((visibility > 0.85) | (steady & (visibility > 0.3)))


def _changes(readings: list[str], usual: str) -> bool:
    others = Counter(r for r in readings if r != usual)
    return bool(others) and max(others.values()) >= max(3, len(readings) / 3)


@dataclass(frozen=True)
class Seam:
    """Where known frames meet made ones.

    known_psnr: dB of the known frames against the source. jump: mean absolute change across the
    seams, in 8-bit levels; true_jump: the source's own there; change: the source's mean change between
    consecutive frames. jump / change is what the eye judges.
    """

    known_psnr: float
    jump: float
    true_jump: float
    change: float


def seam(source: Clip, made: Clip, known: Mask) -> Seam:
    """Compare a made clip with the source whose frames known [T] it was given."""
    steps = np.abs(np.diff(made.frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    true_steps = np.abs(np.diff(source.frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    at = known[1:] != known[:-1]
    return Seam(
        psnr(source.frames[known], made.frames[known]),
        float(steps[at].mean()),
        float(true_steps[at].mean()),
        float(true_steps.mean()),
    )


def follow(truth: Floats, parsed: Parsed, known: Mask) -> list[Track | None]:
    """For each true path [N, T, 2] (screen, heights) the parsed body that is there in the known frames."""
    if not parsed.bodies:
        return [None] * len(truth)
    distance = np.array(
        [[_error(t.positions[known], path[known]) for t in parsed.bodies] for path in truth]
    )
    rows, columns = linear_sum_assignment(distance)
    found = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return [parsed.bodies[found[i]] if i in found else None for i in range(len(truth))]


def _error(seen: Floats, true: Floats) -> float:
    """Mean distance in heights; a frame in which the body is not seen costs LOST."""
    return float(np.mean(np.nan_to_num(np.hypot(*(seen - true).T), nan=LOST)))


@dataclass(frozen=True)
class Continuation:
    """Mean distance in heights between a body's true path and, in the made frames: the made path, and
    what is had without a model from the known frames: straight on (or straight between), and standing still."""

    made: float
    linear: float
    copy: float


def continuation(truth: Floats, track: Track | None, observed: Floats, known: Mask) -> Continuation:
    """Path errors over the frames that are not known.

    truth and observed [T, 2]: the true path and what the parser reads in the true clip (screen,
    heights); the baselines see the known frames of `observed` alone.
    """
    new = ~known
    seen = np.full_like(truth, np.nan) if track is None else track.positions
    linear, copy = _baselines(observed, known)
    return Continuation(
        _error(seen[new], truth[new]),
        _error(linear[new], truth[new]),
        _error(copy[new], truth[new]),
    )


def _baselines(observed: Floats, known: Mask) -> tuple[Floats, Floats]:
    """Linear and constant continuation [T, 2] of the known frames, each from the nearest three."""
    index = np.flatnonzero(known & np.isfinite(observed[:, 0]))
    linear, copy = np.full_like(observed, np.nan), np.full_like(observed, np.nan)
    if not len(index):
        return linear, copy
    for frame in range(len(observed)):
        before, after = index[index < frame], index[index > frame]
        copy[frame] = observed[index[np.abs(index - frame).argmin()]]
        if len(before) and len(after):
            ends = np.array([before[-1], after[0]])
        else:
            ends = before[-3:] if len(before) else after[:3]
        if len(ends) < 2:
            linear[frame] = copy[frame]
            continue
        slope, start = np.polyfit(ends, observed[ends], 1)
        linear[frame] = start + slope * frame
    return linear, copy
