from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.world.physics import GRAVITY, RESTITUTION, floor_level, pivot, project, simulate
from yozora.world.scene import LAWS, Body, Camera, Scene, sample
from yozora.world.shapes import REACH, contact_distance

SEEDS = st.integers(0, 2**40)
TIMES = np.linspace(0, 2.1, 211)
quick = settings(deadline=None, max_examples=25)


def one(kind: str, seed: int) -> Scene:
    return sample(seed, kinds=[kind], bodies=2 if kind == "collision" else 1)


def scene(*bodies: Body, camera: Camera | None = None) -> Scene:
    return Scene(bodies, "dark", (18, 20, 28), camera or Camera())


def square(x: float, y: float, **changes: float) -> Body:
    body = Body("square", "red", "medium", "rest", None, None, 0.15, (225, 45, 40), x, y)
    return replace(body, **changes)


@pytest.mark.parametrize("kind", LAWS)
@given(seed=SEEDS)
@quick
def test_velocity_is_the_derivative_of_position(kind: str, seed: int) -> None:
    drawn = one(kind, seed)
    h = 1e-5
    before, now, after = (simulate(drawn, TIMES + shift) for shift in (-h, 0, h))
    numeric = (after.position - before.position) / (2 * h)
    jumps = np.abs(after.velocity - before.velocity).max(axis=-1) > 0.01  # an impact in between
    np.testing.assert_allclose(numeric[~jumps], now.velocity[~jumps], atol=1e-4)
    assert jumps.sum() <= 6


@given(seed=SEEDS)
@quick
def test_flight_ends_on_the_floor_and_stays(seed: int) -> None:
    for kind in ("fall", "throw"):
        truth = simulate(one(kind, seed), [0.0, 1.0, 3.0, 4.0])
        body = one(kind, seed).bodies[0]
        assert truth.position[0, -1, 1] == pytest.approx(floor_level(body.shape, body.radius))
        assert (truth.position[0, -1] == truth.position[0, -2]).all()
        assert not truth.velocity[0, -1].any()


@given(seed=SEEDS)
@quick
def test_every_bounce_is_lower_by_the_restitution_squared(seed: int) -> None:
    drawn = one("bounce", seed)
    body = drawn.bodies[0]
    y = simulate(drawn, np.linspace(0, 14, 70001)).position[0, :, 1]
    height = floor_level(body.shape, body.radius) - y
    assert height.min() >= -1e-12
    peaks = height[1:-1][(height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])]
    expected = height[0] * RESTITUTION ** (2 * np.arange(1, 6))
    np.testing.assert_allclose(peaks[:5], expected, rtol=1e-3)
    assert height[-1] < 1e-9  # at rest in the end


@given(seed=SEEDS)
@quick
def test_a_pendulum_keeps_its_energy_and_its_length(seed: int) -> None:
    drawn = one("pendulum", seed)
    body = drawn.bodies[0]
    truth = simulate(drawn, np.linspace(0, 20, 500))
    energy = 0.5 * (truth.velocity[0] ** 2).sum(axis=1) - GRAVITY * truth.position[0, :, 1]
    np.testing.assert_allclose(energy, -GRAVITY * body.y0, atol=1e-9)
    rod = np.hypot(*(truth.position[0] - pivot(body)).T)
    np.testing.assert_allclose(rod, body.length, atol=1e-12)
    np.testing.assert_allclose(truth.position[0, 0], [body.x0, body.y0], atol=1e-9)


@given(seed=SEEDS)
@quick
def test_rolling_does_not_slip_and_two_thirds_of_the_fall_becomes_speed(seed: int) -> None:
    drawn = one("roll", seed)
    body = drawn.bodies[0]
    truth = simulate(drawn, TIMES)
    speed = np.hypot(*truth.velocity[0].T)
    rate = np.gradient(truth.angle[0], TIMES)
    np.testing.assert_allclose(
        np.abs(rate[1:-1]) * REACH[body.shape] * body.radius, speed[1:-1], rtol=1e-6
    )
    depth = truth.position[0, :, 1] - body.y0
    np.testing.assert_allclose(speed**2, 4 / 3 * GRAVITY * depth, atol=1e-9)
    assert np.sign(truth.angle[0, -1]) == (1 if body.direction == "right" else -1)


@given(seed=SEEDS)
@quick
def test_a_collision_keeps_momentum_and_energy(seed: int) -> None:
    drawn = one("collision", seed)
    a, b = drawn.bodies
    truth = simulate(drawn, TIMES)
    mass = truth.radius[:, None] ** 2
    v = truth.velocity[..., 0]
    np.testing.assert_allclose((mass * v).sum(0), (mass[:, 0] * v[:, 0]).sum(), atol=1e-12)
    np.testing.assert_allclose((mass * v**2).sum(0), (mass[:, 0] * v[:, 0] ** 2).sum(), atol=1e-12)
    gap = np.abs(truth.position[0, :, 0] - truth.position[1, :, 0])
    contact = contact_distance(a.shape, a.radius, b.shape, b.radius)
    assert gap.min() >= contact - 1e-9
    assert gap.min() <= contact + 0.02  # they do meet within the clip
    assert (v[:, 0] != v[:, -1]).all()


def test_visibility_counts_what_is_inside_the_frame_and_uncovered() -> None:
    half = 0.85 * 0.15
    cases = {
        (square(0.5, 0.5),): [1.0],
        (square(half, 1 - half),): [1.0],  # touches two edges
        (square(0.0, 0.5),): [0.5],
        (square(0.0, 0.0),): [0.25],
        (square(-0.2, 0.5),): [0.0],
        (square(0.5, 0.5), square(0.5, 0.5)): [0.0, 1.0],
        (square(0.5, 0.5), square(0.5 + half, 0.5)): [0.5, 1.0],
        (square(0.5, 0.5, shape="ring"), square(0.5, 0.5, radius=0.02)): [1.0, 1.0],
    }
    for bodies, expected in cases.items():
        visible = simulate(scene(*bodies), [0.0]).visibility[:, 0]
        np.testing.assert_allclose(visible, expected, atol=0.011)
        for value, exact in zip(visible, expected, strict=True):
            if exact in (0.0, 1.0):
                assert value == exact


def test_the_camera_moves_the_view() -> None:
    points = np.array([[[0.3, 0.4], [0.3, 0.4]]])  # one point at two times
    pan = scene(camera=Camera("pan-right", vx=0.2))
    zoom = scene(camera=Camera("zoom-in", zoom_rate=np.log(2)))
    np.testing.assert_allclose(project(pan, points, [0, 1])[0], [[0.3, 0.4], [0.1, 0.4]])
    middle = np.array([112 / 64 / 2, 0.5])
    expected = [[0.3, 0.4], middle + 2 * (np.array([0.3, 0.4]) - middle)]
    np.testing.assert_allclose(project(zoom, points, [0, 1])[0], expected)


def test_a_body_the_camera_leaves_behind_is_not_visible() -> None:
    drawn = scene(square(0.3, 0.5), camera=Camera("pan-right", vx=0.5))
    assert simulate(drawn, [0.0, 0.6, 2.0]).visibility[0] == pytest.approx([1, 0.5, 0], abs=0.011)
