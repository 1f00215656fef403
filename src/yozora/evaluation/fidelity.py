"""How faithful frames are: PSNR, SSIM, and what a codec keeps, beside a linear codec of the same size.

The linear codec is principal component analysis of the codec's own patches. No linear code of the
same number of components has a smaller mean squared error on the frames it was fitted on, so what a
learned codec gains over it is what its nonlinearity and its context are worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from yozora.errors import YozoraError

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]

PEAK = 255.0
MIDDLE = np.float32(127.5)
PSNR_CAP = 100.0  # identical frames have no finite PSNR; the cap keeps means finite


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB over all values of two equally shaped uint8 arrays.

    10 log10(255² / MSE), capped at 100 dB. Raises YozoraError when the shapes differ.
    """
    _same_shape(a, b)
    mse = float(np.mean(np.square(a.astype(np.float32) - b.astype(np.float32)), dtype=np.float64))
    return PSNR_CAP if mse == 0 else min(PSNR_CAP, 10 * math.log10(PEAK**2 / mse))


def ssim(a: Frames, b: Frames) -> float:
    """Structural similarity of two uint8 arrays [..., H, W, C], averaged over windows and channels.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 13(4), 2004: Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01,
    K2 = 0.03, windows wholly inside the frame (frames smaller than the window take one of the
    largest odd size that fits). 1 for equal frames. Raises YozoraError when the shapes differ.
    """
    _same_shape(a, b)
    size = min(11, *(n if n % 2 else n - 1 for n in a.shape[-3:-1]))
    x = np.arange(size) - size // 2
    window = np.exp(-0.5 * np.square(x / 1.5))
    window /= window.sum()
    inside = slice(size // 2, -(size // 2) or None)

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = correlate1d(values, window, axis=-3, mode="nearest")[..., inside, :, :]
        return np.asarray(correlate1d(rows, window, axis=-2, mode="nearest")[..., inside, :])

    f, g = a.astype(np.float64), b.astype(np.float64)
    mu_f, mu_g = blur(f), blur(g)
    var_f, var_g = blur(f * f) - mu_f**2, blur(g * g) - mu_g**2
    covariance = blur(f * g) - mu_f * mu_g
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    luminance = (2 * mu_f * mu_g + c1) / (mu_f**2 + mu_g**2 + c1)
    structure = (2 * covariance + c2) / (var_f + var_g + c2)
    return float(np.mean(luminance * structure))


def _same_shape(a: Frames, b: Frames) -> None:
    if a.shape != b.shape:
        raise YozoraError(
            f"cannot compare frames of shape {a.shape} with {b.shape}: crop or resize them first"
        )


def patches(frames: Frames, patch: tuple[int, int, int] = (4, 16, 16)) -> Floats:
    """Frames [T, H, W, 3] to float32 [N, pt * ph * pw * 3]: the grid of a causal codec.

    The first frame is repeated until it fills its group of pt, so 1 + pt * n frames give 1 + n groups
    and a still gives one. Raises YozoraError when a size does not divide.
    """
    pt, ph, pw = patch
    t, h, w, c = frames.shape
    if (t - 1) % pt or h % ph or w % pw:
        raise YozoraError(
            f"frames {t} x {h} x {w} do not fit patches {patch}: need 1 + {pt}n frames and multiples of {ph} x {pw}"
        )
    full = np.concatenate([np.repeat(frames[:1], pt - 1, axis=0), frames])
    grid = full.reshape(len(full) // pt, pt, h // ph, ph, w // pw, pw, c)
    return grid.transpose(0, 2, 4, 1, 3, 5, 6).reshape(-1, pt * ph * pw * c).astype(np.float32)


def unpatches(
    rows: Floats, shape: tuple[int, ...], patch: tuple[int, int, int] = (4, 16, 16)
) -> Frames:
    """The inverse of `patches` for frames of `shape` [T, H, W, 3], rounded to uint8."""
    pt, ph, pw = patch
    t, h, w, c = shape
    grid = rows.reshape((t - 1) // pt + 1, h // ph, w // pw, pt, ph, pw, c)
    full = grid.transpose(0, 3, 1, 4, 2, 5, 6).reshape(-1, h, w, c)[pt - 1 :]
    return np.clip(np.rint(full), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class LinearCodec:
    """A codec that keeps the leading principal components of each patch.

    mean [D], basis [Z, D] with orthonormal rows, D = pt * ph * pw * 3.
    """

    mean: Floats
    basis: Floats
    patch: tuple[int, int, int] = (4, 16, 16)

    @classmethod
    def fit(
        cls,
        clips: Iterable[Frames],
        components: int = 64,
        patch: tuple[int, int, int] = (4, 16, 16),
    ) -> LinearCodec:
        """Principal components (Pearson 1901) of all patches of `clips`, in one pass.

        The subspace is found by subspace iteration over a covariance that is summed clip by clip, so
        memory is D² floats (38 MB at 4 x 16 x 16) whatever the number of clips. Raises YozoraError
        when there are no clips.
        """
        size = math.prod(patch) * 3
        total = np.zeros(size, np.float64)
        second = np.zeros((size, size), np.float32)
        count = 0
        for rows in _chunks(clips, patch):
            rows -= MIDDLE  # leaves the covariance as it is but keeps its float32 sums accurate
            total += rows.sum(0, dtype=np.float64)
            second += rows.T @ rows
            count += len(rows)
        if not count:
            raise YozoraError(
                "a linear codec needs at least one training clip: pass a corpus with training rows"
            )
        mean = (total / count).astype(np.float32)
        covariance = second / np.float32(count) - np.outer(mean, mean)
        return cls(mean + MIDDLE, _leading(covariance, min(components, size)), patch)

    def encode(self, frames: Frames) -> Floats:
        """Frames [T, H, W, 3] to components [N, Z], one row per patch."""
        return np.asarray((patches(frames, self.patch) - self.mean) @ self.basis.T, np.float32)

    def decode(self, latent: Floats, shape: tuple[int, ...]) -> Frames:
        """Components [N, Z] to frames of `shape` [T, H, W, 3]."""
        return unpatches(latent @ self.basis + self.mean, shape, self.patch)

    def reconstruct(self, frames: Frames) -> Frames:
        """Frames through the code and back, same shape."""
        return self.decode(self.encode(frames), frames.shape)


def _chunks(clips: Iterable[Frames], patch: tuple[int, int, int]) -> Iterable[Floats]:
    """Patches in blocks of about four thousand rows: one large matrix product beats many small ones."""
    block: list[Floats] = []
    for clip in clips:
        block.append(patches(clip, patch))
        if sum(map(len, block)) >= 4096:
            yield np.concatenate(block)
            block = []
    if block:
        yield np.concatenate(block)


def _leading(covariance: Floats, components: int, rounds: int = 12) -> Floats:
    """The leading eigenvectors [Z, D] by randomized subspace iteration.

    Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 53(2), 2011,
    algorithm 4.4, with a small Rayleigh-Ritz step at the end.
    """
    size = len(covariance)
    width = min(size, components + 32)
    block = np.random.default_rng(0).standard_normal((size, width), dtype=np.float32)
    for _ in range(rounds):
        block = np.linalg.qr(covariance @ block)[0]
    values, vectors = np.linalg.eigh(block.T @ covariance @ block)
    order = np.argsort(values)[::-1][:components]
    return np.ascontiguousarray((block @ vectors[:, order]).T)
