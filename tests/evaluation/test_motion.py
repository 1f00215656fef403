from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from yozora.evaluation.motion import (
    LOST,
    continuation,
    energy,
    flicker,
    follow,
    jitter,
    persistence,
    seam,
)
from yozora.evaluation.parse import parse
from yozora.evaluation.physics import effective_gravity, velocity_error
from yozora.video import Clip
from yozora.world.physics import project
from yozora.world.render import render
from yozora.world.scene import COLOURS, sample

SCENE = sample(2, kinds=["uniform"], bodies=1)
CLIP, TRUTH = render(SCENE)
PATH = project(SCENE, TRUTH.position, TRUTH.times)
PREFIX = np.arange(17) < 9


def changed(frames: np.ndarray) -> Clip:
    return Clip(np.ascontiguousarray(frames.astype(np.uint8)), CLIP.fps)


def test_a_still_background_does_not_flicker_and_a_flickering_one_does() -> None:
    assert flicker(CLIP) < 0.05
    wave = 6 * (np.arange(17) % 2)
    assert flicker(
        changed(CLIP.frames + wave[:, None, None, None].astype(np.uint8))
    ) == pytest.approx(12, abs=1)


def test_frozen_clips_have_no_energy() -> None:
    assert energy(changed(np.repeat(CLIP.frames[:1], 17, axis=0))) == 0
    assert energy(CLIP) > 0
    assert energy(changed(CLIP.frames[:1])) == flicker(changed(CLIP.frames[:2])) == 0


def test_shaking_raises_jitter() -> None:
    shaken = [np.roll(f, 3 * (t % 2), axis=0) for t, f in enumerate(CLIP.frames)]
    assert jitter(parse(changed(np.array(shaken)))) > 5 * jitter(parse(CLIP))
    assert math.isnan(jitter(parse(changed(np.zeros_like(CLIP.frames)))))


def test_true_clips_persist() -> None:
    for seed in range(12):
        assert persistence(parse(render(sample(seed))[0])).persists


def test_each_way_of_not_lasting_is_told() -> None:
    blank = np.broadcast_to(np.uint8(SCENE.background_rgb), CLIP.frames.shape)
    late = np.arange(17)[:, None, None, None] >= 9
    assert persistence(parse(changed(np.where(late, blank, CLIP.frames)))).vanishes
    assert persistence(parse(changed(np.where(late, CLIP.frames, blank)))).appears
    assert not persistence(parse(changed(blank))).persists


@pytest.mark.parametrize(
    ("flag", "change"),
    [("recolours", {"colour": "green", "rgb": COLOURS["green"]}), ("reshapes", {"shape": "star"})],
)
def test_a_body_that_becomes_another_is_told(flag: str, change: dict[str, Any]) -> None:
    scene = next(
        s
        for s in (sample(seed, kinds=["rest"], bodies=1) for seed in range(100))
        if (s.bodies[0].colour, s.bodies[0].shape, s.bodies[0].size) == ("red", "square", "large")
    )
    other = replace(scene, bodies=(replace(scene.bodies[0], **change),))
    before, after = (render(s)[0].frames for s in (scene, other))
    told = persistence(parse(changed(np.concatenate([before[:9], after[9:]]))))
    flags = {name: getattr(told, name) for name in ("vanishes", "appears", "recolours", "reshapes")}
    assert flags == {name: name == flag for name in flags}
    assert not told.persists


def test_a_seam_is_measured_where_known_meets_made() -> None:
    same = seam(CLIP, CLIP, PREFIX)
    assert same.known_psnr == 100
    assert same.jump == same.true_jump
    jumped = CLIP.frames.astype(np.int16)
    jumped[9:] = np.clip(jumped[9:] + 30, 0, 255)
    worse = seam(CLIP, changed(jumped), PREFIX)
    assert worse.known_psnr == 100
    assert worse.jump > worse.true_jump + 20
    assert worse.change == same.change


def test_the_true_continuation_beats_standing_still() -> None:
    parsed = parse(CLIP)
    track = follow(PATH, parsed, PREFIX)[0]
    assert track is not None
    errors = continuation(PATH[0], track, track.positions, PREFIX)
    assert errors.made < 0.01
    assert errors.linear < 0.01  # uniform motion goes straight on
    assert errors.copy > 0.05
    assert continuation(PATH[0], None, track.positions, PREFIX).made == LOST


def test_filling_between_both_ends_is_interpolated() -> None:
    known = (np.arange(17) < 5) | (np.arange(17) > 12)
    track = follow(PATH, parse(CLIP), known)[0]
    assert track is not None
    assert continuation(PATH[0], track, track.positions, known).linear < 0.005


@pytest.mark.parametrize("law", ["fall", "throw", "bounce"])
def test_gravity_is_recovered_and_slow_motion_shows(law: str) -> None:
    values, slowed = [], []
    for seed in range(8):
        clip, _ = render(sample(seed, kinds=[law], bodies=1))
        track = parse(clip).bodies[0]
        values.append(effective_gravity(track, law, clip.fps))
        slowed.append(effective_gravity(track, law, clip.fps / 2))  # twice as slow: a quarter of g
    assert np.mean(values) == pytest.approx(1, abs=0.05)
    assert np.mean(slowed) == pytest.approx(0.25, abs=0.05)
    assert math.isnan(effective_gravity(None, law, 8.0))


def test_velocity_errors_are_small_on_truth_and_large_when_lost() -> None:
    track = follow(PATH, parse(CLIP), PREFIX)[0]
    assert velocity_error(track, TRUTH.velocity[0], ~PREFIX, CLIP.fps) < 0.02
    assert velocity_error(None, TRUTH.velocity[0], ~PREFIX, CLIP.fps) >= LOST
    assert velocity_error(
        track, TRUTH.velocity[0] + [0.3, 0.4], ~PREFIX, CLIP.fps
    ) == pytest.approx(0.5, abs=0.02)
