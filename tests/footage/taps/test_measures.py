"""Motion, light, borders, cadence and likeness, on films whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from tests.footage.taps.films import FPS, Floats, Frames, cloud, levels, shot, view

from yozora.footage.sieve import Sieve
from yozora.footage.survey import Measures, Totals
from yozora.footage.taps.borders import NO_BORDERS, Borders, BordersTap
from yozora.footage.taps.cadence import Cadence, CadenceTap, repeats_of
from yozora.footage.taps.light import Light, LightTap
from yozora.footage.taps.likeness import HashTap, distance
from yozora.footage.taps.motion import Motion, MotionTap


def seen(tap: Any, film: Iterable[Frames], fps: float = FPS) -> Any:
    """What a tap says of a film."""
    for number, luma in enumerate(film):
        tap.see(luma, number / fps)
    return tap.result()


def motion(film: Floats, fps: float = FPS) -> Motion:
    found: Motion = seen(MotionTap(), levels(film), fps)
    return found


def borders(film: Frames) -> Borders:
    found: Borders = seen(BordersTap(), film)
    return found


def cadence(film: Floats, fps: float) -> Cadence:
    found: Cadence = seen(CadenceTap(), levels(film), fps)
    return found


def light(film: Frames) -> Light:
    found: Light | None = seen(LightTap(), film)
    assert found is not None
    return found


def bits(film: Frames) -> int:
    found: int = seen(HashTap(), film).bits
    return found


# Motion


@pytest.mark.parametrize("speed", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("fps", [25, 50])
def test_a_pan_is_the_cameras_motion_at_its_speed(speed: float, fps: float) -> None:
    seen = motion(shot(1, 40, speed), fps)
    assert seen.camera == pytest.approx(speed * fps / 64, rel=0.15)
    assert seen.local < 0.35 * seen.camera
    assert seen.shake < 0.25 * seen.camera


def test_a_moving_body_is_local_motion() -> None:
    film = np.stack([view(cloud(2), 20, 20)] * 40)
    for t in range(40):
        film[t, 10:24, 5 + t : 17 + t] = 230
    seen = motion(film)
    assert seen.local > 0.05
    assert seen.local > 3 * seen.camera
    assert seen.speed > 0.01


def test_a_zoom_is_the_cameras_motion() -> None:
    picture = cloud(3, 72, 128)
    film = []
    for t in range(30):
        move = cv2.getRotationMatrix2D((63.5, 35.5), 0, 1 + 0.01 * t)
        whole = cv2.warpAffine(picture, move, (128, 72), flags=cv2.INTER_LINEAR)
        film.append(cv2.resize(whole, (64, 36), interpolation=cv2.INTER_AREA))
    seen = motion(np.stack(film))
    assert seen.camera > 0.05
    assert seen.local < 0.5 * seen.camera


def test_shake_tells_an_unsteady_camera_from_a_steady_one() -> None:
    rng, picture = np.random.default_rng(4), cloud(4)
    places = 20 + rng.normal(0, 1.5, (60, 2))
    shaken = motion(np.stack([view(picture, x, y) for x, y in places]))
    assert shaken.shake > 5 * motion(shot(4, 60, 0.5)).shake


def test_the_usual_sieve_tells_frozen_and_wild_films_from_others() -> None:
    usual = Sieve()
    still = np.stack([view(cloud(5), 20, 20)] * 50)
    noise = np.random.default_rng(5).normal(0, 0.1, still.shape)
    assert motion(still + noise).speed < usual.min_motion < motion(shot(5, 40, 0.3)).speed
    wild = np.concatenate([shot(seed, 1) for seed in range(40)])
    assert motion(wild).speed > usual.max_motion > motion(shot(5, 40, 1.5)).speed
    assert MotionTap().result() == Motion(0, 0, 0)


def test_a_stretch_is_measured_as_if_it_were_alone() -> None:
    film = levels(np.concatenate([shot(1, 40, 0.2), shot(1, 40, 1.0)]))
    taps = (MotionTap(), LightTap(), HashTap(), CadenceTap())
    sums = []
    for frame, luma in enumerate(film):
        sums.append(Totals(*(tap.totals for tap in taps)))
        for tap in taps:
            tap.see(luma, frame / FPS)
    measures = sums[70].since(sums[50])
    alone = motion(shot(1, 40, 1.0)[10:31])
    assert measures.motion.camera == pytest.approx(alone.camera, rel=0.1)
    assert measures.light is not None
    assert measures.light.brightness == pytest.approx(film[50:70].mean() / 255, abs=0.01)
    whole = Measures(*(tap.result() for tap in taps[:3]), repeats=repeats_of(taps[3].totals))  # type: ignore[arg-type]
    assert Totals(*(tap.totals for tap in taps)).since(sums[0]) == whole


# Light


def test_blur_lowers_sharpness() -> None:
    picture = levels(cloud(6, 288, 512))
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (0.8, 1.5, 3)]
    values = [light(image[None]).sharpness for image in (picture, *blurred)]
    assert all(2 * after < before for before, after in pairwise(values))


def test_exposure_is_measured_in_shares_of_the_frame() -> None:
    half = np.zeros((2, 100, 100), np.uint8)
    half[:, :, 50:] = 255
    seen = light(half)
    assert (seen.brightness, seen.contrast) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (seen.dark, seen.bright) == (0.5, 0.5)
    assert light(np.full((1, 9, 9), 128, np.uint8)).dark == 0
    assert LightTap().result() is None


# Borders


@pytest.mark.parametrize(("top", "left"), [(0, 0), (4, 0), (5, 0), (0, 8), (3, 7)])
@pytest.mark.parametrize("brightness", [1.0, 0.25])
def test_bars_are_found_to_the_pixel_also_in_dark_films(
    top: int, left: int, brightness: float
) -> None:
    film = shot(7, 60) * brightness
    film = np.pad(film[:, top : 36 - top, left : 64 - left], ((0, 0), (top, top), (left, left)))
    film += np.random.default_rng(7).normal(0, 2, film.shape)
    seen = borders(levels(film))
    expected = (left / 64, top / 36, 1 - left / 64, 1 - top / 36)
    assert (seen.left, seen.top, seen.right, seen.bottom) == pytest.approx(expected)
    assert (seen == NO_BORDERS) == (top + left == 0)


def test_one_bright_scene_is_enough_and_a_dark_one_no_bar() -> None:
    dark, bright = shot(8, 20), shot(9, 20)
    dark[:, :12] *= 0.05
    assert borders(levels(dark)).top == pytest.approx(12 / 36)
    assert borders(levels(np.concatenate([dark, bright]))) == NO_BORDERS


def test_a_disc_in_the_black_of_space_has_no_bars() -> None:
    y, x = np.mgrid[0:36, 0:64]
    disc = np.where(np.hypot(x - 32, y - 18) < 14, 200, 2).astype(np.uint8)
    assert borders(disc[None]) == NO_BORDERS
    assert borders(np.zeros((3, 36, 64), np.uint8)) == NO_BORDERS


# Cadence


def test_padded_and_held_frames_give_the_true_rate() -> None:
    film = shot(10, 120, 0.8)
    padded = film[np.arange(150) * 4 // 5]
    assert cadence(film, 24).rate == pytest.approx(24)
    assert cadence(padded, 30).rate == pytest.approx(24, abs=0.5)
    assert cadence(film.repeat(2, 0), 24).rate == pytest.approx(12, abs=0.3)
    assert cadence(film.repeat(3, 0), 24).rate == pytest.approx(8, abs=0.3)


def test_a_film_that_stands_still_has_its_declared_rate() -> None:
    still = np.stack([view(cloud(11), 20, 20)] * 60)
    assert cadence(still, 30) == Cadence(pytest.approx(30), None)
    halting = np.concatenate([np.stack([still[0]] * 20), shot(11, 10, 1.0)] * 6)
    assert cadence(halting, 30).rate == pytest.approx(30)


def test_a_slow_pan_has_no_repeated_frames() -> None:
    assert cadence(shot(12, 100, 0.3), 25).duplicates == 0


# Likeness


def test_hashes_are_near_for_one_picture_and_far_for_two() -> None:
    films = [levels(shot(seed, 50)) for seed in range(12)]
    hashes = [bits(film) for film in films]
    for seed, film in enumerate(films):
        small = np.stack([cv2.resize(luma, (56, 42)) for luma in film])
        brighter = levels(film * 0.8 + 40)
        soft = np.stack([cv2.GaussianBlur(luma, (0, 0), 0.7) for luma in film])
        for other in (small, brighter, soft):
            assert distance(hashes[seed], bits(other)) <= 10
    apart = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) >= 16
    assert np.mean(apart) == pytest.approx(32, abs=3)


def test_results_are_json() -> None:
    import json

    taps = (MotionTap(), LightTap(), BordersTap(), CadenceTap(), HashTap())
    for tap in taps:
        for number, luma in enumerate(levels(shot(13, 40))):
            tap.see(luma, number / FPS)
        result = tap.result()
        assert result is not None
        assert json.loads(json.dumps(result.to_json())) == result.to_json()
