"""The outlines of the world's bodies, in units of the body's radius.

The origin of every outline is its area centroid, so a body's position is what an
intensity-weighted centroid measures. y points down, as in the frame. All outlines are
symmetric about the vertical axis and star-shaped about the origin.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

SHAPES = ("ball", "square", "triangle", "star", "ring")

RING_HOLE = 0.55
STAR_WAIST = 0.45  # inner radius over outer radius
# Distance of the farthest point from the centre; chosen so that the areas look alike.
REACH = {"ball": 1.0, "square": 0.85 * math.sqrt(2), "triangle": 1.3, "star": 1.25, "ring": 1.0}


def _vertices(angles: list[float], radii: list[float]) -> NDArray[np.float64]:
    a, r = np.radians(angles), np.asarray(radii)
    return np.stack([r * np.cos(a), r * np.sin(a)], axis=1)


# Vertices [V, 2] of the polygonal shapes; a ball and a ring are exact circles.
POLYGONS: dict[str, NDArray[np.float64]] = {
    "square": _vertices([-135, -45, 45, 135], [REACH["square"]] * 4),
    "triangle": _vertices([-90, 30, 150], [REACH["triangle"]] * 3),
    "star": _vertices(
        [-90 + 36 * k for k in range(10)],
        [REACH["star"] * (1.0 if k % 2 == 0 else STAR_WAIST) for k in range(10)],
    ),
}


def _extents(shape: str) -> tuple[float, float, float]:
    if shape not in POLYGONS:
        return 1.0, 1.0, 1.0
    x, y = POLYGONS[shape].T
    return float(x.max()), float(-y.min()), float(y.max())


# How far an upright shape reaches (sideways, upwards, downwards) from its centre.
EXTENTS = {shape: _extents(shape) for shape in SHAPES}


def inside(shape: str, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points [..., 2] (in radii, from the centre, upright) lie on the shape -> [...]."""
    x, y = points[..., 0], points[..., 1]
    if shape not in POLYGONS:
        square = x * x + y * y
        disc: NDArray[np.bool_] = square <= 1.0
        return disc & (square >= RING_HOLE**2) if shape == "ring" else disc
    vertices = POLYGONS[shape]
    crossings = np.zeros(x.shape, dtype=bool)  # even-odd rule
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        straddles = (y0 > y) != (y1 > y)
        crossings ^= straddles & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return crossings


@cache
def cells(shape: str) -> NDArray[np.float64]:
    """About 4,000 points [P, 2] spread evenly over the shape, for measuring fractions of it."""
    side = 100
    axis = ((np.arange(side) + 0.5) / side * 2 - 1) * REACH[shape]
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return grid[inside(shape, grid)]


@cache
def _profile(shape: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half-width of the upright shape at each height: (heights [K], half-widths [K])."""
    _, up, down = EXTENTS[shape]
    heights = np.linspace(-up, down, 129)
    if shape not in POLYGONS:
        return heights, np.sqrt(np.maximum(0.0, 1.0 - heights**2))
    widths = np.zeros_like(heights)
    vertices = POLYGONS[shape]
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if abs(y1 - y0) < 1e-9:
            continue
        s = (heights - y0) / (y1 - y0)
        on_edge = (s >= -1e-9) & (s <= 1 + 1e-9)
        widths = np.where(on_edge, np.maximum(widths, x0 + s * (x1 - x0)), widths)
    return heights, widths


@lru_cache(maxsize=65536)
def contact_distance(shape_a: str, radius_a: float, shape_b: str, radius_b: float) -> float:
    """Distance of the centres, in heights, at which two upright bodies side by side touch."""
    (heights_a, widths_a), (heights_b, widths_b) = _profile(shape_a), _profile(shape_b)
    heights = np.union1d(heights_a * radius_a, heights_b * radius_b)
    a = np.interp(heights / radius_a, heights_a, widths_a, left=-9, right=-9) * radius_a
    b = np.interp(heights / radius_b, heights_b, widths_b, left=-9, right=-9) * radius_b
    return float((a + b).max())
