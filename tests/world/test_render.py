from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.world.physics import project
from yozora.world.render import flow, render
from yozora.world.scene import KINDS, LAWS, SHAPES, Body, Camera, Scene, sample

quick = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**40)


@given(seed=SEEDS)
@quick
def test_frames_and_truth_of_a_clip(seed: int) -> None:
    scene = sample(seed)
    clip, truth = render(scene)
    assert clip.frames.shape == (17, 64, 112, 3)
    assert clip.fps == 8
    assert truth.position.shape == (len(scene.bodies), 17, 2)
    assert (render(scene)[0].frames == clip.frames).all()


@pytest.mark.parametrize("kind", KINDS)
def test_full_hd_shows_the_same_scene(kind: str) -> None:
    scene = sample(3, kinds=[kind], aspect=16 / 9)
    small, truth = render(scene, size=(96, 54), frames=3, fps=1)
    large, large_truth = render(scene, size=(1920, 1080), frames=3, fps=1)
    shrunk = large.frames.reshape(3, 54, 20, 96, 20, 3).mean(axis=(2, 4))
    error = np.abs(shrunk - small.frames)
    assert error.mean() < 1.0
    assert np.percentile(error, 99) < 25
    assert (truth.position == large_truth.position).all()


@given(
    seed=SEEDS,
    law=st.sampled_from([law for law in LAWS if law not in ("pendulum", "roll", "collision")]),
)
@quick
def test_a_body_is_where_the_truth_says(seed: int, law: str) -> None:
    scene = sample(seed, kinds=[law], bodies=1)
    clip, truth = render(scene)
    difference = np.abs(clip.frames.astype(float) - scene.background_rgb).sum(axis=-1)
    ys, xs = np.mgrid[:64, :112] + 0.5
    weight = difference.sum(axis=(1, 2))
    centroid = np.stack([(difference * g).sum(axis=(1, 2)) / weight for g in (xs, ys)], axis=-1)
    np.testing.assert_allclose(centroid / 64, truth.position[0], atol=0.003)


@pytest.mark.parametrize("shape", SHAPES)
def test_bodies_have_their_colour_and_shape(shape: str) -> None:
    body = Body(shape, "red", "large", "rest", None, None, 0.19, (225, 45, 40), 0.875, 0.5)
    clip, _ = render(Scene((body,), "dark", (18, 20, 28)), size=(448, 256), frames=1)
    centre, corner = clip.frames[0, 128, 224], clip.frames[0, 0, 0]
    assert tuple(corner) == (18, 20, 28)
    assert tuple(centre) == ((18, 20, 28) if shape == "ring" else (225, 45, 40))


def test_slope_rod_and_grid_are_drawn() -> None:
    def colours(kind: str) -> set[tuple[int, ...]]:
        clip, _ = render(sample(5, kinds=[kind], bodies=1), size=(896, 512), frames=1)
        values, counts = np.unique(clip.frames.reshape(-1, 3), axis=0, return_counts=True)
        return {tuple(v) for v, n in zip(values.tolist(), counts, strict=True) if n > 600}

    assert len(colours("rest")) == 2  # background and body
    for kind in ("roll", "pendulum", "camera"):
        assert len(colours(kind)) == 3


@given(seed=SEEDS, kind=st.sampled_from([None, "camera", "roll", "pendulum"]))
@quick
def test_flow_carries_every_body_and_the_background(seed: int, kind: str | None) -> None:
    scene = sample(seed, kinds=kind and [kind])
    _, truth = render(scene)
    field = flow(scene)
    assert field.shape == (16, 64, 112, 2)
    screen = project(scene, truth.position, truth.times) * 64
    for i, (body, path) in enumerate(zip(scene.bodies, screen, strict=True)):
        hidden = (truth.visibility[i] < 1).any()
        if body.shape == "ring" or hidden:
            continue
        for k in range(16):
            x, y = path[k].astype(int)
            # The flow half a pixel from the centre differs by turning and zooming only.
            np.testing.assert_allclose(field[k, y, x], path[k + 1] - path[k], atol=0.35)
    if scene.camera.motion == "still" and {b.law for b in scene.bodies} <= {"rest", "roll"}:
        assert not field[:, 0, 0].any() or scene.bodies[0].law == "roll"


def test_flow_of_pan_and_zoom() -> None:
    empty = Scene((), "dark", (18, 20, 28))
    pan = flow(replace(empty, camera=Camera("pan-left", vx=-0.16)))
    np.testing.assert_allclose(pan, np.broadcast_to([0.16 * 64 / 8, 0], pan.shape), atol=1e-4)
    zoom = flow(replace(empty, camera=Camera("zoom-in", zoom_rate=8 * np.log(1.1))))
    x, y = np.meshgrid(np.arange(112) + 0.5 - 56, np.arange(64) + 0.5 - 32)
    np.testing.assert_allclose(zoom[5], 0.1 * np.stack([x, y], -1), atol=1e-3)


def test_flow_warps_a_frame_into_the_next() -> None:
    """Backward check on pixels: the colour at the flow's target is the colour at its source."""
    scene = sample(11, kinds=["roll"])
    clip, _ = render(scene, size=(448, 256), frames=9)
    field = flow(scene, size=(448, 256), frames=9)
    body = np.abs(clip.frames.astype(int) - scene.bodies[0].rgb).max(axis=-1) < 8
    for k in range(8):
        ys, xs = np.nonzero(body[k])
        target = np.stack([xs, ys], 1) + field[k, ys, xs]
        tx, ty = np.clip(np.round(target).astype(int), 0, [447, 255]).T
        assert body[k + 1, ty, tx].mean() > 0.95


@pytest.mark.parametrize(
    "wish",
    [{"size": (4, 4)}, {"size": (9000, 64)}, {"frames": 0}, {"fps": 0.0}, {"fps": float("nan")}],
)
def test_impossible_frames_are_refused(wish: dict[str, object]) -> None:
    for draw, wishes in itertools.product((render, flow), (wish,)):
        with pytest.raises(YozoraError):
            draw(sample(0), **wishes)  # type: ignore[operator]
