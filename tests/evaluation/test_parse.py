from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from yozora.evaluation.alignment import judge
from yozora.evaluation.expected import of_scene
from yozora.evaluation.floor import THROUGH, main, true_verdict
from yozora.evaluation.parse import parse
from yozora.video import Clip
from yozora.world.physics import project
from yozora.world.render import render
from yozora.world.scene import COLOURS, LAWS, Scene, sample
from yozora.world.shapes import SHAPES


def of_laws(law: str, count: int, **options: object) -> list[Scene]:
    bodies = 2 if law == "collision" else 1
    return [sample(i, kinds=[law], bodies=bodies, **options) for i in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize("law", [*LAWS, "camera"])
def test_true_clips_are_read_right(law: str) -> None:
    verdicts = [true_verdict(scene) for scene in of_laws(law, 12)]
    for name in ("colour", "shape", "motion", "count", "background", "camera"):
        assert np.mean([v[name] for v in verdicts]) == 1, name


@pytest.mark.parametrize("through", list(THROUGH))
@pytest.mark.parametrize("split", ["validation", "heldout"])
def test_compression_and_blur_cost_little(through: str, split: str) -> None:
    scenes = [sample(seed, split=split) for seed in range(20)]
    verdicts = [true_verdict(scene, through=THROUGH[through]) for scene in scenes]
    assert np.mean([v["colour"] for v in verdicts]) >= 0.97
    assert np.mean([v["shape"] for v in verdicts]) >= 0.95
    assert np.mean([v["motion"] for v in verdicts]) >= 0.95


def test_positions_are_exact_to_a_seventh_of_a_pixel() -> None:
    errors = []
    for seed in range(20):
        scene = sample(seed, bodies=1)
        clip, truth = render(scene)
        true = project(scene, truth.position, truth.times)[0]
        errors.append(np.median(np.hypot(*(parse(clip).bodies[0].positions - true).T)))
    assert np.median(errors) < 1 / 64 / 7


@given(dx=st.integers(-20, 20), dy=st.integers(-10, 10), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_a_shifted_clip_parses_to_shifted_positions(dx: int, dy: int, seed: int) -> None:
    scene = sample(seed, kinds=["rest"], bodies=1)
    clip, truth = render(scene)
    x, y = truth.position[0, 0] * 64
    reach = 1.35 * truth.radius[0] * 64
    inside = reach < x + dx < 112 - reach and reach < y + dy < 64 - reach
    assume(scene.camera.motion == "still" and inside)
    moved = Clip(np.roll(clip.frames, (dy, dx), axis=(1, 2)), clip.fps)
    before, after = parse(clip).bodies[0], parse(moved).bodies[0]
    np.testing.assert_allclose(
        after.positions - before.positions, np.tile([dx / 64, dy / 64], (17, 1)), atol=2e-3
    )
    assert (after.colour, after.shape, after.motion) == (before.colour, before.shape, before.motion)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_colour_and_shape_is_recalled_at_any_resolution(colour: str, shape: str) -> None:
    seeds = range(2_000)
    scene = next(
        s
        for s in (sample(i, bodies=1) for i in seeds)
        if (s.bodies[0].colour, s.bodies[0].shape) == (colour, shape)
    )
    for size in ((112, 64), (224, 128)):
        body = parse(render(scene, size=size)[0]).bodies[0]
        assert (body.colour, body.shape, body.motion) == (colour, shape, scene.bodies[0].motion)


def test_mirroring_swaps_left_and_right() -> None:
    for seed in range(12):
        scene = sample(seed, kinds=["uniform", "throw", "roll"], bodies=1)
        clip, _ = render(scene)
        motion = parse(clip).bodies[0].motion
        mirrored = (
            parse(Clip(np.ascontiguousarray(clip.frames[:, :, ::-1]), clip.fps)).bodies[0].motion
        )
        swap = {"left": "right", "right": "left"}
        law, _, way = motion.partition(":")
        assert mirrored == f"{law}:{'-'.join(swap.get(w, w) for w in way.split('-'))}"


def test_time_reversed_fall_is_no_fall() -> None:
    for seed in range(6):
        clip, _ = render(sample(seed, kinds=["fall"], bodies=1))
        backwards = Clip(np.ascontiguousarray(clip.frames[::-1]), clip.fps)
        assert parse(backwards).bodies[0].motion != "fall"


def test_frozen_bodies_are_at_rest() -> None:
    clip, _ = render(sample(3, kinds=["throw"], bodies=1))
    assert parse(Clip(np.repeat(clip.frames[:1], 17, axis=0), clip.fps)).bodies[0].motion == "rest"


def test_a_body_painted_out_is_missed_by_the_judge() -> None:
    scene = sample(1, bodies=2, kinds=["rest", "uniform"])
    clip, _ = render(scene)
    blank = Clip(
        np.broadcast_to(np.uint8(scene.background_rgb), clip.frames.shape).copy(), clip.fps
    )
    assert parse(blank).bodies == ()
    verdict = judge(of_scene(scene), parse(blank))
    assert verdict["count"] == verdict["colour"] == verdict["binding"] == verdict["all"] == 0
    assert verdict["background"] == 1


def test_two_bodies_of_one_colour_are_told_apart_through_their_collision() -> None:
    right = []
    for seed in range(10):
        scene = sample(seed, kinds=["collision"], bodies=2)
        first, second = scene.bodies
        twins = replace(scene, bodies=(first, replace(second, rgb=first.rgb, colour=first.colour)))
        parsed = parse(render(twins)[0])
        right.append([b.motion for b in parsed.bodies] == ["collision", "collision"])
    assert np.mean(right) >= 0.8


@pytest.mark.parametrize("shape", [(1, 64, 112, 3), (17, 1, 1, 3), (2, 9, 7, 3), (3, 300, 31, 3)])
def test_noise_of_any_size_parses_without_harm(shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert parse(Clip(frames, 8.0)).background in ("dark", "light")


@pytest.mark.parametrize("through", list(THROUGH))
def test_the_floor_is_printed_for_every_split_and_number_of_bodies(
    through: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["floor", "--clips", "1", "--through", through])
    main()
    printed = capsys.readouterr().out
    assert printed.count("bodies: ") == 9
    assert printed.count("colour") == 9
