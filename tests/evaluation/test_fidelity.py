from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.evaluation.fidelity import PSNR_CAP, LinearCodec, patches, psnr, ssim, unpatches

rng = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape).astype(np.uint8)


def test_equal_frames_have_full_marks() -> None:
    frames = noise(3, 32, 48, 3)
    assert psnr(frames, frames) == PSNR_CAP
    assert ssim(frames, frames) == pytest.approx(1)


@given(level=st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_psnr_of_a_constant_offset_is_the_textbook_value(level: int) -> None:
    black = np.zeros((2, 16, 16, 3), np.uint8)
    assert psnr(black, black + np.uint8(level)) == pytest.approx(20 * math.log10(255 / level))


def test_ssim_of_constant_frames_is_the_luminance_term() -> None:
    a, b = np.full((1, 20, 20, 3), 100, np.uint8), np.full((1, 20, 20, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-6)


def test_both_are_symmetric_and_fall_with_noise() -> None:
    clean = np.full((2, 32, 32, 3), 128, np.uint8)
    clean[:, 8:24, 8:24] = 200
    soft, hard = (
        np.clip(clean + rng.normal(0, s, clean.shape), 0, 255).astype(np.uint8) for s in (3, 20)
    )
    for measure in (psnr, ssim):
        assert measure(clean, soft) == pytest.approx(measure(soft, clean))
        assert measure(clean, soft) > measure(clean, hard)


def test_frames_of_other_shapes_are_refused() -> None:
    for measure in (psnr, ssim):
        with pytest.raises(YozoraError, match="shape"):
            measure(noise(1, 16, 16, 3), noise(1, 16, 17, 3))


def test_tiny_frames_have_an_ssim() -> None:
    assert ssim(noise(1, 1, 4, 3), noise(1, 1, 4, 3)) <= 1


@given(groups=st.integers(0, 2), rows=st.integers(1, 2), columns=st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_patches_lose_nothing(groups: int, rows: int, columns: int) -> None:
    frames = noise(1 + 4 * groups, 16 * rows, 16 * columns, 3)
    cut = patches(frames)
    assert cut.shape == ((1 + groups) * rows * columns, 4 * 16 * 16 * 3)
    assert (unpatches(cut, frames.shape) == frames).all()


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(YozoraError, match="1 \\+ 4n"):
        patches(noise(4, 16, 16, 3))


SMALL = (1, 4, 4)


def test_no_other_subspace_of_its_size_beats_pca() -> None:
    """Eckart and Young: on the frames it was fitted on, PCA has the least squared error."""
    mixing = rng.normal(size=(48, 48)) * np.linspace(30, 1, 48)
    rows = np.clip(128 + rng.normal(size=(4096, 48)) @ mixing / 7, 0, 255)
    clips = [
        unpatches(part.astype(np.float32), (16, 32, 32, 3), SMALL)
        for part in rows.reshape(4, 1024, 48)
    ]
    codec = LinearCodec.fit(clips, 6, SMALL)
    data = np.concatenate([patches(c, SMALL) for c in clips]) - codec.mean

    def error(basis: np.ndarray) -> float:
        return float(np.square(data - data @ basis.T @ basis).mean())

    np.testing.assert_allclose(codec.basis @ codec.basis.T, np.eye(6), atol=1e-4)
    exact = np.linalg.svd(data, full_matrices=False)[2][:6]
    assert error(codec.basis) == pytest.approx(error(exact), rel=1e-3)
    for _ in range(10):
        turned = np.linalg.qr((codec.basis + 0.1 * rng.normal(size=(6, 48))).T)[0].T
        assert error(turned) > error(codec.basis)


def test_pca_with_every_component_is_the_identity() -> None:
    clip = noise(5, 16, 16, 3)
    assert psnr(clip, LinearCodec.fit([clip], 48, SMALL).reconstruct(clip)) == PSNR_CAP


def test_pca_of_nothing_is_refused() -> None:
    with pytest.raises(YozoraError, match="at least one"):
        LinearCodec.fit([])


def test_ssim_of_one_window_is_the_formula_of_the_paper() -> None:
    f, g = noise(1, 11, 11, 3), noise(1, 11, 11, 3)
    x = np.arange(-5, 6)
    weight = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    weight = (weight / weight.sum())[..., None]
    a, b = f[0].astype(float), g[0].astype(float)
    mean_a, mean_b = (weight * a).sum((0, 1)), (weight * b).sum((0, 1))
    var_a, var_b = (
        (weight * (a - mean_a) ** 2).sum((0, 1)),
        (weight * (b - mean_b) ** 2).sum((0, 1)),
    )
    covariance = (weight * (a - mean_a) * (b - mean_b)).sum((0, 1))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected = expected / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    assert ssim(f, g) == pytest.approx(expected.mean(), abs=1e-9)
