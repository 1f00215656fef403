"""Which of the five shapes a soft mask is, at any size, rotation and (mild) blur.

Masks are sampled in polar coordinates about their centroid, in units of the radius of the disc of
equal area, so that size drops out; rotation drops out of a correlation over the angle, taken by FFT.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from yozora.evaluation.segment import Blob
from yozora.world.shapes import SHAPES, inside

Floats = NDArray[np.float64]

RADII = (np.arange(20) + 0.5) * 0.095  # in equal-area radii; a star's tips lie at 1.7
ANGLES = np.arange(40) * (2 * math.pi / 40)
BLURS = (0.05, 0.1, 0.17, 0.25)  # standard deviations, in equal-area radii
SCALES = (0.95, 1.0, 1.05)  # the area of a soft mask is not exact


def _polar(image: NDArray[np.float32] | Floats, centre: Floats, radius: float) -> Floats:
    """Image [H, W] sampled about centre (x, y) in pixels at RADII x ANGLES in units of radius pixels."""
    r = RADII[:, None] * radius
    y = centre[1] - 0.5 + r * np.sin(ANGLES)
    x = centre[0] - 0.5 + r * np.cos(ANGLES)
    return np.asarray(map_coordinates(image, [y, x], order=1, mode="constant"))


@cache
def templates() -> NDArray[np.complex128]:
    """Unit-energy templates [shape, scale, blur, radius, frequency], Fourier transformed over angle."""
    size, half = 192, 2.4
    axis = (np.arange(size) + 0.5) / size * 2 * half - half
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    middle = np.array([size / 2, size / 2])  # outlines are centred on their centroids
    bank = []
    for shape in SHAPES:
        mask = inside(shape, points).astype(np.float64)
        pixels_per_unit = size / (2 * half)
        radius = math.sqrt(mask.sum() / math.pi) / pixels_per_unit  # of the disc of equal area
        for scale in SCALES:
            for blur in BLURS:
                soft = gaussian_filter(mask, blur * radius * pixels_per_unit)
                polar = _polar(soft, middle, radius * pixels_per_unit / scale)
                polar = polar * np.sqrt(RADII)[:, None]  # the area a sample stands for
                bank.append(np.fft.rfft(polar / np.linalg.norm(polar), axis=1))
    shaped = np.array(bank).reshape(len(SHAPES), len(SCALES), len(BLURS), len(RADII), -1)
    return shaped.conj()


def correlation(seen: list[Blob]) -> Floats:
    """Correlation of each blob with each template, best over rotation: [T, shape, scale, blur]."""
    polars = []
    for blob in seen:
        top, left = int(blob.y.min()) - 1, int(blob.x.min()) - 1
        crop = np.zeros((int(blob.y.max()) - top + 2, int(blob.x.max()) - left + 2), np.float32)
        crop[blob.y - top, blob.x - left] = blob.weight
        polars.append(_polar(crop, blob.centre - [left, top], math.sqrt(blob.area / math.pi)))
    stack = np.array(polars) * np.sqrt(RADII)[:, None]
    stack /= np.maximum(np.linalg.norm(stack, axis=(1, 2), keepdims=True), 1e-9)
    bank = templates()
    spectrum = np.fft.rfft(stack, axis=2)
    product = np.einsum("trf,krf->tkf", spectrum, bank.reshape(-1, *bank.shape[-2:]), optimize=True)
    best = np.fft.irfft(product, n=len(ANGLES), axis=-1).max(-1)
    return np.asarray(best.reshape(len(seen), *bank.shape[:3]))


def classify(seen: list[Blob], trust: Floats) -> tuple[str, tuple[str, ...]]:
    """The shape of one body from its blobs, and each frame's own reading.

    trust [T] weighs the frames (0 where the body is hidden or cut). Scale and blur are common to the
    clip; each frame may be rotated. The evidence is the residual energy 1 - correlation².
    """
    residual = 1 - np.square(correlation(seen))
    total = np.tensordot(trust / trust.sum(), residual, axes=1)  # [shape, scale, blur]
    shape = SHAPES[int(total.min((1, 2)).argmin())]
    each = residual.min((2, 3)).argmin(1)
    return shape, tuple(SHAPES[i] for i in each)
