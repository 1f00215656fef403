"""The laws of motion in closed form: where every body is at any time, exactly.

Units: lengths in frame heights (x right, y down, the floor is y = 1), time in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from yozora.world.shapes import EXTENTS, REACH, cells, contact_distance, inside

if TYPE_CHECKING:
    from yozora.world.scene import Body, Camera, Scene

Array = NDArray[np.float64]

GRAVITY = 1.2  # heights / s^2
RESTITUTION = 0.8  # speed after a bounce over speed before it
ROLLING = 2 / 3  # a solid disc that rolls without slipping feels 2/3 of gravity along the slope


@dataclass(frozen=True)
class Truth:
    """What is the case at each of T times, for N bodies, in world coordinates.

    position [N, T, 2] heights, velocity [N, T, 2] heights/s, angle [N, T] radians (clockwise on
    the screen), radius [N] heights, visibility [N, T]: the fraction of the body's area that is
    inside the frame and not covered by bodies drawn after it (to about 0.5 %; 0 and 1 are exact).
    """

    times: Array
    position: Array
    velocity: Array
    angle: Array
    radius: Array
    visibility: Array


def simulate(scene: Scene, times: ArrayLike) -> Truth:
    """The exact state of every body of `scene` at `times` [T], in seconds."""
    t = np.asarray(times, dtype=np.float64)
    position, velocity, angle = trajectories(scene.bodies, t)
    radius = np.array([body.radius for body in scene.bodies])
    visibility = _visibility(scene, t, position, angle)
    return Truth(t, position, velocity, angle, radius, visibility)


def trajectories(bodies: Sequence[Body], t: Array) -> tuple[Array, Array, Array]:
    """Positions [N, T, 2], velocities [N, T, 2] and angles [N, T] at times t [T]."""
    position = np.empty((len(bodies), len(t), 2))
    velocity = np.empty_like(position)
    angle = np.zeros((len(bodies), len(t)))
    for i, body in enumerate(bodies):
        if body.law == "collision":
            partner = next(b for b in bodies if b is not body and b.law == "collision")
            position[i], velocity[i] = _collision(body, partner, t)
        elif body.law == "roll":
            position[i], velocity[i], angle[i] = _roll(body, t)
        else:
            position[i], velocity[i] = _LAWS[body.law](body, t)
    return position, velocity, angle


# --- the laws: (body, times [T]) -> position [T, 2], velocity [T, 2] --------------------------


def _uniform(body: Body, t: Array) -> tuple[Array, Array]:
    velocity = np.array([body.vx, body.vy])
    return np.array([body.x0, body.y0]) + t[:, None] * velocity, np.tile(velocity, (len(t), 1))


def floor_level(shape: str, radius: float) -> float:
    """The y of the centre of a body that stands on the floor."""
    return 1.0 - EXTENTS[shape][2] * radius


def landing_time(drop: float, vy: float) -> float:
    """Seconds until a body with downward velocity vy has sunk by `drop` >= 0 under gravity."""
    return (-vy + math.sqrt(vy * vy + 2 * GRAVITY * drop)) / GRAVITY


def _flight(body: Body, t: Array) -> tuple[Array, Array]:
    """A parabola that ends on the floor, where the body stays."""
    drop = floor_level(body.shape, body.radius) - body.y0
    landing = landing_time(drop, body.vy)
    s = np.minimum(t, landing)
    x = body.x0 + body.vx * s
    y = body.y0 + body.vy * s + 0.5 * GRAVITY * s * s
    flying = t < landing
    vx = np.where(flying, body.vx, 0.0)
    vy = np.where(flying, body.vy + GRAVITY * t, 0.0)
    return np.stack([x, y], axis=1), np.stack([vx, vy], axis=1)


def _bounce(body: Body, t: Array) -> tuple[Array, Array]:
    """Dropped from rest; every impact with the floor keeps `RESTITUTION` of the speed.

    Impact n (from 0) happens at t0 (1 + 2 e (1 - e^n) / (1 - e)), a geometric series.
    """
    e, floor = RESTITUTION, floor_level(body.shape, body.radius)
    t0 = math.sqrt(2 * (floor - body.y0) / GRAVITY)
    remaining = 1 - (t / t0 - 1) * (1 - e) / (2 * e)  # e^n at the nth impact; <= 0 at rest
    impacts = np.floor(np.log(np.maximum(remaining, 1e-12)) / math.log(e))
    falling, resting = t < t0, remaining <= 1e-12
    n = np.where(falling, 0, impacts)
    since = t - t0 * (1 + 2 * e * (1 - e**n) / (1 - e))
    up = GRAVITY * t0 * e ** (n + 1)  # speed just after impact n
    y = np.where(
        falling, body.y0 + 0.5 * GRAVITY * t * t, floor - up * since + 0.5 * GRAVITY * since**2
    )
    vy = np.where(falling, GRAVITY * t, GRAVITY * since - up)
    y, vy = np.where(resting, floor, np.minimum(y, floor)), np.where(resting, 0.0, vy)
    return (
        np.stack([np.full_like(t, body.x0), y], axis=1),
        np.stack([np.zeros_like(t), vy], axis=1),
    )


def _mean(a: float, b: float) -> float:
    """Gauss's arithmetic-geometric mean."""
    while abs(a - b) > 1e-15:
        a, b = (a + b) / 2, math.sqrt(a * b)
    return a


def _pendulum(body: Body, t: Array) -> tuple[Array, Array]:
    """The exact nonlinear pendulum, released at rest from `amplitude`, on a rod of `length`.

    Fourier series in the elliptic nome q (Whittaker & Watson, Modern Analysis, 22.6): the terms
    shrink like q^(n/2), q about 0.01 here, so six odd harmonics reach machine precision.
    """
    half = abs(body.amplitude) / 2
    agm = _mean(1.0, math.cos(half))
    q = math.exp(-math.pi * agm / _mean(1.0, math.sin(half)))
    omega = math.sqrt(GRAVITY / body.length) * agm
    n = np.arange(1, 13, 2)
    weights = (
        8 * (-1.0) ** (n // 2) / n * q ** (n / 2) / (1 + q**n) * math.copysign(1, body.amplitude)
    )
    phase = omega * t[:, None] * n
    theta = np.cos(phase) @ weights
    rate = np.sin(phase) @ (-weights * n * omega)
    sin, cos = np.sin(theta), np.cos(theta)
    px, py = pivot(body)
    length = body.length
    return (
        np.stack([px + length * sin, py + length * cos], axis=1),
        np.stack([length * rate * cos, -length * rate * sin], axis=1),
    )


def pivot(body: Body) -> tuple[float, float]:
    """The fixed end of a pendulum's rod; amplitude > 0 starts to its right."""
    sin, cos = math.sin(body.amplitude), math.cos(body.amplitude)
    return body.x0 - body.length * sin, body.y0 - body.length * cos


def _roll(body: Body, t: Array) -> tuple[Array, Array, Array]:
    """Down a slope from rest, without slipping, as a disc of the shape's outer radius."""
    sign = 1.0 if body.direction == "right" else -1.0
    along = np.array([sign * math.cos(body.slope), math.sin(body.slope)])
    acceleration = ROLLING * GRAVITY * math.sin(body.slope)
    distance = 0.5 * acceleration * t * t
    position = np.array([body.x0, body.y0]) + distance[:, None] * along
    velocity = (acceleration * t)[:, None] * along
    return position, velocity, sign * distance / (REACH[body.shape] * body.radius)


def _collision(body: Body, partner: Body, t: Array) -> tuple[Array, Array]:
    """Head-on and elastic along x; masses are proportional to radius squared."""
    contact = contact_distance(body.shape, body.radius, partner.shape, partner.radius)
    gap = abs(partner.x0 - body.x0) - contact
    moment = gap / abs(body.vx - partner.vx)
    after = after_collision(body.radius**2, body.vx, partner.radius**2, partner.vx)
    x = body.x0 + body.vx * np.minimum(t, moment) + after * np.maximum(t - moment, 0.0)
    vx = np.where(t < moment, body.vx, after)
    return (
        np.stack([x, np.full_like(t, body.y0)], axis=1),
        np.stack([vx, np.zeros_like(t)], axis=1),
    )


def after_collision(mass: float, v: float, other_mass: float, other_v: float) -> float:
    """Velocity after an elastic collision in one dimension: momentum and energy are kept."""
    return ((mass - other_mass) * v + 2 * other_mass * other_v) / (mass + other_mass)


_LAWS = {
    "rest": _uniform,
    "uniform": _uniform,
    "fall": _flight,
    "throw": _flight,
    "bounce": _bounce,
    "pendulum": _pendulum,
}


# --- the camera -------------------------------------------------------------------------------


def view(camera: Camera, aspect: float, times: ArrayLike) -> tuple[Array, Array]:
    """The world point in the frame's middle [T, 2] and the zoom [T] at `times` [T].

    It starts at the frame's own middle with zoom 1, so that world and screen agree at time 0.
    """
    t = np.asarray(times, dtype=np.float64)
    middle = np.array([aspect / 2, 0.5])
    return middle + t[:, None] * np.array([camera.vx, camera.vy]), np.exp(camera.zoom_rate * t)


def project(scene: Scene, points: Array, times: ArrayLike) -> Array:
    """Screen positions, in frame heights, of world points [..., T, 2] at times [T]."""
    centre, zoom = view(scene.camera, scene.aspect, times)
    screen: Array = (points - centre) * zoom[:, None] + np.array([scene.aspect / 2, 0.5])
    return screen


def _visibility(scene: Scene, t: Array, position: Array, angle: Array) -> Array:
    """Counts points only where a body may be cut; elsewhere it is seen whole."""
    visible = np.ones(angle.shape)
    screen = project(scene, position, t)
    zoom = np.exp(scene.camera.zoom_rate * t)
    reach = [REACH[body.shape] * body.radius * zoom for body in scene.bodies]
    for i, body in enumerate(scene.bodies):
        side, up, down = EXTENTS[body.shape] if body.law != "roll" else (REACH[body.shape],) * 3
        x, y, r = screen[i, :, 0], screen[i, :, 1], body.radius * zoom
        slack = 1e-9  # a body on the floor touches the edge
        cut = (x < side * r - slack) | (x > scene.aspect - side * r + slack)
        cut |= (y < up * r - slack) | (y > 1 - down * r + slack)
        for j in range(i + 1, len(scene.bodies)):
            cut |= np.hypot(*(screen[i] - screen[j]).T) < reach[i] + reach[j]
        for k in np.flatnonzero(cut):
            visible[i, k] = _fraction(scene, i, screen[:, k], angle[:, k], float(zoom[k]))
    return visible


def _fraction(scene: Scene, i: int, screen: Array, angle: Array, zoom: float) -> float:
    """The part of body i that is on the screen and not under a later body, at one time."""
    body = scene.bodies[i]
    points = screen[i] + rotated(cells(body.shape), float(angle[i])) * (body.radius * zoom)
    x, y = points.T
    seen = (x >= 0) & (x <= scene.aspect) & (y >= 0) & (y <= 1)
    for j in range(i + 1, len(scene.bodies)):
        other = scene.bodies[j]
        local = rotated(points - screen[j], -float(angle[j])) / (other.radius * zoom)
        seen &= ~inside(other.shape, local)
    return float(seen.mean())


def rotated(points: Array, angle: float) -> Array:
    """Points [..., 2] turned about the origin by `angle` radians (clockwise, y points down)."""
    if angle == 0.0:
        return points
    c, s = math.cos(angle), math.sin(angle)
    turned: Array = points @ np.array([[c, s], [-s, c]])
    return turned
