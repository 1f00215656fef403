"""How the camera moves, read from the faint dots that the world draws when it does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from yozora.evaluation.segment import Layers

Floats = NDArray[np.float64]

CELL = 0.25  # heights between dots
SLOWEST_PAN, SLOWEST_ZOOM = 0.05, 0.03  # heights/s, 1/s


@dataclass(frozen=True)
class CameraPath:
    """A camera of constant velocity (heights/s) and zoom rate (1/s), starting at the frame itself."""

    motion: str = "still"
    vx: float = 0.0
    vy: float = 0.0
    zoom_rate: float = 0.0

    def undo(self, screen: Floats, aspect: float, fps: float) -> Floats:
        """World positions of screen positions [T, 2], both in frame heights."""
        t = np.arange(len(screen)) / fps
        middle = np.array([aspect / 2, 0.5])
        zoom = np.exp(self.zoom_rate * t)[:, None]
        return np.asarray((screen - middle) / zoom + middle + t[:, None] * [self.vx, self.vy])

    def zoom(self, count: int, fps: float) -> Floats:
        """Magnification at each frame [T]."""
        return np.asarray(np.exp(self.zoom_rate * np.arange(count) / fps))


def camera_path(layers: Layers, solid: NDArray[np.bool_], fps: float) -> CameraPath:
    """The camera's motion, from the drift of what is neither background nor body.

    solid [T, H, W] marks the bodies' cores. Without dots all over the frame the camera is still: a
    camera that moves over a flat background cannot be told from bodies that move.
    """
    count, height, width = solid.shape
    hidden = maximum_filter(solid, size=(1, 9, 9))
    faint = np.where(hidden, 0.0, np.abs(layers.difference).mean(-1))
    faint = np.minimum(faint, 45.0)
    if count < 3 or not _gridded(faint, hidden):
        return CameraPath()
    vx, vy, rate = _drift(gaussian_filter(faint, (0, 1.5, 1.5)), hidden) * fps
    vx, vy = -vx / height, -vy / height  # the picture drifts against the camera
    far = 0.5 * math.hypot(width / height, 1) / 2 * abs(rate)  # typical drift that the zoom causes
    if far > max(abs(vx), abs(vy)) and abs(rate) > SLOWEST_ZOOM:
        return CameraPath("zoom-in" if rate > 0 else "zoom-out", zoom_rate=rate)
    if max(abs(vx), abs(vy)) < SLOWEST_PAN:
        return CameraPath()
    if abs(vx) > abs(vy):
        return CameraPath("pan-right" if vx > 0 else "pan-left", vx=vx)
    return CameraPath("pan-down" if vy > 0 else "pan-up", vy=vy)


def _gridded(faint: Floats, hidden: NDArray[np.bool_]) -> bool:
    """Whether nearly every cell of the frame that no body hides has a dot in it."""
    count, height, width = faint.shape
    cell = max(2, round(height * CELL * 1.15))
    marked = free = 0
    for y in range(0, height - cell + 1, cell):
        for x in range(0, width - cell + 1, cell):
            block = faint[:: max(1, count // 6), y : y + cell, x : x + cell]
            seen = hidden[:: max(1, count // 6), y : y + cell, x : x + cell].mean((1, 2)) < 0.1
            level = np.median(block, axis=(1, 2))
            free += int(seen.sum())
            marked += int(((block.max((1, 2)) - level > 8) & seen).sum())
    return free > 0 and marked / free > 0.75


def _drift(faint: Floats, hidden: NDArray[np.bool_]) -> Floats:
    """Drift per frame (x, y in pixels, zoom as a rate), by least squares on brightness constancy.

    Lucas and Kanade, IJCAI 1981, with one motion for all pixels and all frame pairs; three rounds,
    each on the second frame warped back by the drift found so far.
    """
    count, height, width = faint.shape
    y, x = np.mgrid[:height, :width] + 0.5
    across, down = x - width / 2, y - height / 2
    seen = ~(hidden[1:] | hidden[:-1])
    seen[:, [0, 1, 2, -3, -2, -1]] = False
    seen[:, :, [0, 1, 2, -3, -2, -1]] = False
    motion = np.zeros(3)
    for _ in range(3):
        warped = _warp(faint[1:], motion, across, down)
        mean = (warped + faint[:-1]) / 2
        gy, gx = np.gradient(mean, axis=1), np.gradient(mean, axis=2)
        columns = np.stack([gx[seen], gy[seen], (gx * across + gy * down)[seen]])
        change = (warped - faint[:-1])[seen]
        normal = columns @ columns.T + 1e-6 * np.eye(3)
        motion = motion - np.linalg.solve(normal, columns @ change)
    return motion


def _warp(frames: Floats, motion: Floats, across: Floats, down: Floats) -> Floats:
    """Frames sampled where the drift has taken each pixel, bilinearly."""
    if not motion.any():
        return frames
    height, width = across.shape
    x = np.clip(across * (1 + motion[2]) + width / 2 - 0.5 + motion[0], 0, width - 1.001)
    y = np.clip(down * (1 + motion[2]) + height / 2 - 0.5 + motion[1], 0, height - 1.001)
    i, j = y.astype(int), x.astype(int)
    a, b = y - i, x - j
    top = frames[:, i, j] * (1 - b) + frames[:, i, j + 1] * b
    bottom = frames[:, i + 1, j] * (1 - b) + frames[:, i + 1, j + 1] * b
    return np.asarray(top * (1 - a) + bottom * a)
