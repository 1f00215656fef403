"""Does what is made obey the world's laws? Velocity and gravity, read from parsed paths."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from yozora.evaluation.motion import LOST
from yozora.evaluation.parse import Track
from yozora.evaluation.trajectory import fit
from yozora.world.physics import GRAVITY

Floats = NDArray[np.float64]

FALLING = ("fall", "throw", "bounce")  # the laws in which gravity shows


def velocity_error(
    track: Track | None, velocity: Floats, new: NDArray[np.bool_], fps: float
) -> float:
    """Mean |v - v_true| over the made frames, in heights/s.

    The measure of Kang et al., "How far is video generation from world model" (arXiv 2411.02385),
    in this world's units: velocities are differences of the parsed world path, velocity [T, 2] is the
    truth and new [T] marks the frames that were not given. A lost body costs its speed, and at least
    half a height per second.
    """
    lost = np.maximum(np.hypot(*velocity.T), LOST)
    if track is None or len(track.path) < 2:
        return float(lost[new].mean())
    step = np.gradient(track.path, axis=0) * fps
    error = np.hypot(*(step - velocity).T)
    return float(np.where(np.isfinite(error), error, lost)[new].mean())


def effective_gravity(track: Track | None, law: str, fps: float) -> float:
    """Acceleration of a body that should fall, throw or bounce, over the world's g = 1.2 heights/s².

    The expected law is fitted to the parsed path whatever law fits it best; nan when the body is not
    seen in at least five frames. 1 is right, 0 is weightless.
    """
    if track is None:
        return math.nan
    trust = np.where(track.visibility > 0.85, 1.0, 0.0)
    if trust.sum() < 5:
        return math.nan
    return fit(track.path, trust, fps, law=law).acceleration[1] / GRAVITY
