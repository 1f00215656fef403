"""Where a body starts and how fast, so that its motion is readable inside the frame.

Each function returns the numbers that determine one body's path (fields of `Body`), or None when
the drawn size and speed do not fit; the caller then draws again.
"""

from __future__ import annotations

import math

from yozora.world.chance import Chance
from yozora.world.physics import (
    GRAVITY,
    ROLLING,
    after_collision,
    floor_level,
    landing_time,
)
from yozora.world.shapes import EXTENTS, REACH, contact_distance

Numbers = dict[str, float]

MARGIN = 0.01  # heights kept free at the frame's edge
_DIAGONAL = math.sqrt(0.5)
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "up-left": (-_DIAGONAL, -_DIAGONAL),
    "up-right": (_DIAGONAL, -_DIAGONAL),
    "down-left": (-_DIAGONAL, _DIAGONAL),
    "down-right": (_DIAGONAL, _DIAGONAL),
}
# Heights per second. A gap between the classes keeps the words meaningful.
SPEEDS = {"slow": (0.12, 0.16), "medium": (0.20, 0.25), "fast": (0.30, 0.34)}


def _bounds(shape: str, radius: float, aspect: float) -> tuple[float, float, float, float]:
    """The region of centres (left, right, top, bottom) that keeps the shape in the frame."""
    side, up, down = (extent * radius + MARGIN for extent in EXTENTS[shape])
    return side, aspect - side, up, 1 - down


def _start(chance: Chance, low: float, high: float, travel: float) -> float | None:
    """A start in [low, high] from which `travel` stays within it."""
    low, high = low - min(travel, 0.0), high - max(travel, 0.0)
    return chance.uniform(low, high) if low <= high else None


def rest(chance: Chance, shape: str, radius: float, aspect: float) -> Numbers:
    """Anywhere in the frame."""
    left, right, top, bottom = _bounds(shape, radius, aspect)
    return {"x0": chance.uniform(left, right), "y0": chance.uniform(top, bottom)}


def uniform(
    chance: Chance,
    shape: str,
    radius: float,
    aspect: float,
    direction: str,
    speed: str,
    seconds: float,
) -> Numbers | None:
    """A straight path that stays inside for `seconds`."""
    value = chance.uniform(*SPEEDS[speed])
    vx, vy = (value * component for component in DIRECTIONS[direction])
    left, right, top, bottom = _bounds(shape, radius, aspect)
    x0 = _start(chance, left, right, vx * seconds)
    y0 = _start(chance, top, bottom, vy * seconds)
    if x0 is None or y0 is None:
        return None
    return {"x0": x0, "y0": y0, "vx": vx, "vy": vy}


def fall(chance: Chance, shape: str, radius: float, aspect: float) -> Numbers:
    """From close to the top, so that it lands within about a second."""
    left, right, top, _ = _bounds(shape, radius, aspect)
    return {"x0": chance.uniform(left, right), "y0": top + chance.uniform(0.0, 0.1)}


def bounce(chance: Chance, shape: str, radius: float, aspect: float) -> Numbers:
    """From high enough that the first rebound is seen whole within two seconds."""
    left, right, top, _ = _bounds(shape, radius, aspect)
    return {"x0": chance.uniform(left, right), "y0": top + chance.uniform(0.0, 0.2)}


def throw(chance: Chance, shape: str, radius: float, aspect: float, direction: str) -> Numbers:
    """From near the floor up and sideways; it lands before it leaves the frame."""
    left, right, top, _ = _bounds(shape, radius, aspect)
    floor = floor_level(shape, radius)
    y0 = floor - chance.uniform(MARGIN, 0.06)
    highest = math.sqrt(2 * GRAVITY * (y0 - top))
    vy = -min(highest, 1.2) * chance.uniform(0.85, 1.0)
    sign = 1.0 if direction == "right" else -1.0
    travel = sign * (right - left) * chance.uniform(0.5, 0.85)
    x0 = left + chance.uniform(0.0, right - left - abs(travel))
    if sign < 0:
        x0 -= travel
    return {"x0": x0, "y0": y0, "vx": travel / landing_time(floor - y0, vy), "vy": vy}


def pendulum(chance: Chance, shape: str, radius: float, aspect: float) -> Numbers:
    """Hung from near the top edge, released at rest on either side."""
    left, right, top, _ = _bounds(shape, radius, aspect)
    length = chance.uniform(0.42, 0.5)
    widest = math.asin(min(1.0, (right - left) / 2 / length))
    amplitude = min(chance.uniform(0.6, 0.85), widest)
    reach, depth = length * math.sin(amplitude), length * math.cos(amplitude)
    pivot_x = chance.uniform(left + reach, right - reach)
    pivot_y = max(0.0, top - depth) + chance.uniform(0.0, 0.06)
    amplitude *= chance.choice((-1.0, 1.0))
    return {
        "x0": pivot_x + length * math.sin(amplitude),
        "y0": pivot_y + depth,
        "length": length,
        "amplitude": amplitude,
    }


def roll(
    chance: Chance, shape: str, radius: float, aspect: float, direction: str, seconds: float
) -> Numbers | None:
    """Down a slope that crosses the frame; the path stays inside for `seconds`."""
    reach = REACH[shape] * radius + MARGIN
    slope = math.radians(chance.uniform(15.0, 24.0))
    distance = 0.5 * ROLLING * GRAVITY * math.sin(slope) * seconds**2
    across, down = distance * math.cos(slope), distance * math.sin(slope)
    room = aspect - 2 * reach - across
    lowest = min(0.45, 1 - reach / math.cos(slope) - down)
    if room < 0 or lowest < reach:
        return None
    x0 = reach + chance.uniform(0.0, 0.6 * room)
    return {
        "x0": x0 if direction == "right" else aspect - x0,
        "y0": chance.uniform(reach, lowest),
        "slope": slope,
    }


def collision(
    chance: Chance,
    shapes: tuple[str, str],
    radii: tuple[float, float],
    aspect: float,
    seconds: float,
) -> tuple[Numbers, Numbers] | None:
    """Two bodies at one height that meet head on within about a second."""
    contact = contact_distance(shapes[0], radii[0], shapes[1], radii[1])
    v = (chance.uniform(0.3, 0.55), chance.choice((0.0, -chance.uniform(0.15, 0.4))))
    if chance.happens(0.5):
        v = (-v[1], -v[0])
    moment = chance.uniform(0.6, 1.1)
    masses = (radii[0] ** 2, radii[1] ** 2)
    rest_of_clip = max(0.0, seconds - moment)
    bounds = [_bounds(shape, radius, aspect) for shape, radius in zip(shapes, radii, strict=True)]
    low, high = -math.inf, math.inf  # of the left body's centre at contact
    for i in (0, 1):
        ends = (
            -v[i] * moment,
            after_collision(masses[i], v[i], masses[1 - i], v[1 - i]) * rest_of_clip,
        )
        low = max(low, bounds[i][0] - min(ends) - i * contact)
        high = min(high, bounds[i][1] - max(ends) - i * contact)
    if low > high:
        return None
    x = chance.uniform(low, high)
    y = chance.uniform(max(b[2] for b in bounds), min(b[3] for b in bounds))
    return (
        {"x0": x - v[0] * moment, "y0": y, "vx": v[0]},
        {"x0": x + contact - v[1] * moment, "y0": y, "vx": v[1]},
    )
