"""A scene is data: bodies, background and camera, from which everything else follows exactly.

Units: lengths in frame heights (x right, y DOWN, origin at the top left), seconds, radians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from yozora.errors import YozoraError
from yozora.world import placement
from yozora.world.chance import Chance
from yozora.world.physics import Array, trajectories, view
from yozora.world.placement import DIRECTIONS
from yozora.world.shapes import REACH, SHAPES

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 45, 40),
    "orange": (245, 140, 20),
    "yellow": (245, 220, 40),
    "green": (50, 185, 70),
    "cyan": (40, 205, 215),
    "blue": (50, 90, 230),
    "purple": (160, 60, 205),
    "white": (245, 245, 245),
}
SIZES = {"small": 0.115, "medium": 0.15, "large": 0.19}  # radius in heights, +- 4 %
BACKGROUNDS: dict[str, tuple[int, int, int]] = {"dark": (18, 20, 28), "light": (228, 230, 234)}
LAWS = ("rest", "uniform", "fall", "throw", "bounce", "collision", "pendulum", "roll")
MOTIONS = (
    "rest",
    *(f"uniform:{direction}" for direction in DIRECTIONS),
    "fall",
    "throw:left",
    "throw:right",
    "bounce",
    "collision",
    "pendulum",
    "roll:left",
    "roll:right",
)
PANS = {f"pan-{d}": DIRECTIONS[d] for d in ("left", "right", "up", "down")}
CAMERAS = ("still", *PANS, "zoom-in", "zoom-out")
KINDS = (*LAWS, "camera")
SPLITS = ("train", "validation", "heldout")

READABLE = 17 / 8  # paths are planned to stay in the frame for this many seconds

# How often each kind of scene occurs, by the number of bodies.
_COUNTS = {1: 0.60, 2: 0.32, 3: 0.08}
_LAW_WEIGHTS = {
    "rest": 0.10,
    "uniform": 0.36,
    "fall": 0.10,
    "throw": 0.12,
    "bounce": 0.10,
    "pendulum": 0.10,
    "roll": 0.12,
}
_COLLISION_WEIGHT = 0.25  # among two-body scenes
_CAMERA_WEIGHT = 0.12
_OVERLAP_WEIGHT = 0.04  # several bodies that may cross


@dataclass(frozen=True)
class Body:
    """One body and the numbers that determine its path.

    radius in heights; rgb as drawn; x0, y0, vx, vy: centre and velocity at time 0 in heights and
    heights/s; length and amplitude (signed angle from the vertical) of a pendulum; slope: angle
    of a roll's incline. direction is set for uniform, throw and roll; speed for uniform.
    """

    shape: str
    colour: str
    size: str
    law: str
    direction: str | None
    speed: str | None
    radius: float
    rgb: tuple[int, int, int]
    x0: float
    y0: float
    vx: float = 0.0
    vy: float = 0.0
    length: float = 0.0
    amplitude: float = 0.0
    slope: float = 0.0

    @property
    def motion(self) -> str:
        """One of MOTIONS: the law, with its direction where it has one."""
        return self.law if self.direction is None else f"{self.law}:{self.direction}"


@dataclass(frozen=True)
class Camera:
    """vx, vy: velocity of the view in heights/s; zoom grows as exp(zoom_rate * t) from 1."""

    motion: str = "still"
    vx: float = 0.0
    vy: float = 0.0
    zoom_rate: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything there is to know about a clip; later bodies are drawn over earlier ones."""

    bodies: tuple[Body, ...]
    background: str
    background_rgb: tuple[int, int, int]
    camera: Camera = field(default_factory=Camera)
    aspect: float = 112 / 64
    seconds: float = READABLE
    seed: int = 0
    split: str = "train"

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers; `from_json` gives the equal scene back."""
        return {
            **vars(self),
            "bodies": [{**vars(body), "rgb": list(body.rgb)} for body in self.bodies],
            "background_rgb": list(self.background_rgb),
            "camera": dict(vars(self.camera)),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Scene:
        """Raises YozoraError when `data` does not describe a scene."""
        try:
            bodies = tuple(Body(**{**b, "rgb": tuple(b["rgb"])}) for b in data["bodies"])
            rest = {f.name: data[f.name] for f in fields(Scene) if f.name in data}
            scene = Scene(
                **{
                    **rest,
                    "bodies": bodies,
                    "background_rgb": tuple(data["background_rgb"]),
                    "camera": Camera(**data.get("camera", {})),
                }
            )
        except (KeyError, TypeError) as error:
            raise YozoraError(
                f"This is not a scene ({error!r}); pass what Scene.to_json() returned."
            ) from error
        _check_words(scene)
        _check_numbers(scene)
        return scene


def _check_words(scene: Scene) -> None:
    vocabulary = {
        "background": (scene.background, BACKGROUNDS),
        "camera": (scene.camera.motion, CAMERAS),
    }
    for i, body in enumerate(scene.bodies):
        vocabulary[f"body {i}'s shape"] = (body.shape, SHAPES)
        vocabulary[f"body {i}'s motion"] = (body.motion, MOTIONS)
    for what, (word, known) in vocabulary.items():
        if word not in known:
            raise YozoraError(f"The scene's {what} is {word!r}; use one of {', '.join(known)}.")
    if sum(body.law == "collision" for body in scene.bodies) not in (0, 2):
        raise YozoraError("A collision takes two bodies; the scene has another number of them.")


def _check_numbers(scene: Scene) -> None:
    numbers = [scene.aspect, scene.seconds, *(b.radius for b in scene.bodies)]
    parts: tuple[Camera | Body, ...] = (scene.camera, *scene.bodies)
    for part in parts:
        numbers += [getattr(part, f.name) for f in fields(part) if f.type == "float"]
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in numbers):
        raise YozoraError(
            "The scene holds a number that is missing or not finite; give all as numbers."
        )
    if not all(x > 0 for x in (scene.aspect, scene.seconds, *(b.radius for b in scene.bodies))):
        raise YozoraError("The scene's aspect, seconds and radii must be positive.")
    for body in scene.bodies:
        if body.law == "pendulum" and not (body.length > 0 and 0 < abs(body.amplitude) < math.pi):
            raise YozoraError(
                "A pendulum needs a length above 0 and an amplitude below pi radians."
            )


def held_out(colour: str, shape: str, motion: str) -> bool:
    """Whether a combination is reserved for evaluation: about a tenth of all triples.

    The three indices combine linearly modulo 10, so the reserved triples are spread evenly and
    every pair (colour and shape, colour and motion, shape and motion) still occurs in training.
    Raises YozoraError for unknown words.
    """
    try:
        c, s, m = list(COLOURS).index(colour), SHAPES.index(shape), MOTIONS.index(motion)
    except ValueError as error:
        raise YozoraError(
            f"The world has no combination ({colour}, {shape}, {motion}); "
            "take words from COLOURS, SHAPES and MOTIONS."
        ) from error
    return (3 * c + 2 * s + 7 * m) % 10 == 0


# --- sampling ---------------------------------------------------------------------------------


def sample(
    seed: int,
    *,
    split: str = "train",
    kinds: Sequence[str] | None = None,
    bodies: int | None = None,
    aspect: float = 112 / 64,
    seconds: float = READABLE,
) -> Scene:
    """Draw a scene: a pure function of its arguments, bit for bit.

    kinds: any of KINDS (a law, or "camera" for scenes with a moving camera); None for all, in
    the world's own mix. bodies: 1, 2 or 3; None for the mix. aspect: width / height in [1, 3].
    Motions are planned to stay in the frame for min(seconds, 17/8). Raises YozoraError for
    arguments that no scene satisfies.
    """
    _check_arguments(split, kinds, bodies, aspect, seconds)
    chance = Chance("scene", int(seed), split)
    for _ in range(50):  # a plan that leaves no room for its bodies is drawn again
        laws, moving = _plan(chance, KINDS if kinds is None else tuple(kinds), bodies)
        for _ in range(20):
            background = chance.choice(tuple(BACKGROUNDS))
            camera = _camera(chance, min(seconds, READABLE)) if moving else Camera()
            placed = _place(chance, laws, background, camera, split, aspect, seconds)
            if placed is not None:
                rgb = _jitter(chance, BACKGROUNDS[background], 4)
                return Scene(placed, background, rgb, camera, aspect, seconds, int(seed), split)
    raise YozoraError(
        f"No scene with kinds={kinds}, bodies={bodies} fits a frame of aspect {aspect:.2f}; "
        "use fewer bodies or a wider frame."
    )


def _check_arguments(
    split: str, kinds: Sequence[str] | None, bodies: int | None, aspect: float, seconds: float
) -> None:
    if split not in SPLITS:
        raise YozoraError(f"There is no split {split!r} of the world; use {', '.join(SPLITS)}.")
    unknown = [kind for kind in kinds or () if kind not in KINDS]
    if unknown or (kinds is not None and not kinds):
        raise YozoraError(f"Unknown or no kinds of scene {unknown}; use any of {', '.join(KINDS)}.")
    if bodies not in (None, 1, 2, 3):
        raise YozoraError(f"A scene has 1, 2 or 3 bodies, not {bodies}.")
    if not 1.0 <= aspect <= 3.0:
        raise YozoraError(
            f"The world is laid out for frames from square to 3:1, not {aspect:.2f}:1; "
            "choose a width of 1 to 3 heights."
        )
    if not (math.isfinite(seconds) and seconds > 0):
        raise YozoraError(f"A scene lasts a positive number of seconds, not {seconds}.")


def _plan(chance: Chance, kinds: tuple[str, ...], bodies: int | None) -> tuple[list[str], bool]:
    """The laws of the bodies, and whether the camera moves."""
    counts = {n: _COUNTS[n] for n in ((1, 2, 3) if bodies is None else (bodies,))}
    possible = {n: w for n, w in counts.items() if _mix(kinds, n)}
    if not possible:
        raise YozoraError(
            f"No scene of {', '.join(kinds)} has {bodies} bodies: "
            "a collision takes two and a roll one."
        )
    n = chance.weighted(possible)
    mix = _mix(kinds, n)
    kind = chance.weighted(mix)
    if kind == "camera":
        return [chance.weighted({"rest": 0.6, "uniform": 0.4}) for _ in range(n)], True
    if kind == "collision":
        return ["collision", "collision"], False
    laws = {law: w for law, w in mix.items() if law in _LAW_WEIGHTS}
    return [kind, *(chance.weighted(laws) for _ in range(n - 1))], False


def _mix(kinds: tuple[str, ...], n: int) -> dict[str, float]:
    """Weights of the allowed kinds in scenes of n bodies."""
    weights = dict(_LAW_WEIGHTS)
    if n > 1:
        del weights["roll"]  # its slope fills the frame
    total = sum(weights.values())
    pair = _COLLISION_WEIGHT if n == 2 else 0.0
    mix = {law: w / total * (1 - pair) * (1 - _CAMERA_WEIGHT) for law, w in weights.items()}
    if pair:
        mix["collision"] = pair * (1 - _CAMERA_WEIGHT)
    mix["camera"] = _CAMERA_WEIGHT
    return {kind: w for kind, w in mix.items() if kind in kinds}


def _camera(chance: Chance, seconds: float) -> Camera:
    motion = chance.choice(CAMERAS[1:])
    if motion in PANS:
        speed = chance.uniform(0.1, 0.2)
        dx, dy = PANS[motion]
        return Camera(motion, vx=dx * speed, vy=dy * speed)
    rate = math.log(chance.uniform(1.15, 1.35)) / seconds
    return Camera(motion, zoom_rate=rate if motion == "zoom-in" else -rate)


def _place(
    chance: Chance,
    laws: list[str],
    background: str,
    camera: Camera,
    split: str,
    aspect: float,
    seconds: float,
) -> tuple[Body, ...] | None:
    """Bodies for the laws, or None when they do not find room."""
    free = [c for c in COLOURS if not (c == "white" and background == "light")]
    horizon = min(seconds, READABLE)
    room = _Room(camera, aspect, np.linspace(0.0, horizon, 9), chance.happens(_OVERLAP_WEIGHT))
    if laws == ["collision", "collision"]:
        pair = _pair(chance, free, split, aspect, horizon)
        return None if pair is None else tuple(chance.shuffled(pair))
    placed: list[Body] = []
    for i, law in enumerate(laws):
        for _ in range(12):
            look = partial(_appearance, chance, free, split, i == 0)
            body = _body(chance, law, look, len(laws), aspect, horizon)
            if body is not None and room.admits(body):
                placed.append(body)
                free.remove(body.colour)
                break
        else:
            return None
    return tuple(chance.shuffled(placed))


class _Room:
    """The frame with the paths of the bodies placed so far."""

    def __init__(self, camera: Camera, aspect: float, times: Array, may_overlap: bool) -> None:
        self.camera, self.aspect = camera, aspect
        self.times, self.may_overlap = times, may_overlap
        self.paths: list[tuple[Array, float]] = []  # positions [T, 2] and reach

    def admits(self, body: Body) -> bool:
        """Whether the body stays in view and clear of the others; if so, it takes its place."""
        path, reach = trajectories((body,), self.times)[0][0], REACH[body.shape] * body.radius
        if self.camera.motion != "still" and not self._in_view(body, path, reach):
            return False  # under a still camera, placement has seen to it
        if not self.may_overlap:
            for other, other_reach in self.paths:
                if np.hypot(*(path - other).T).min() < reach + other_reach + 0.03:
                    return False
        self.paths.append((path, reach))
        return True

    def _in_view(self, body: Body, path: Array, reach: float) -> bool:
        centre, zoom = view(self.camera, self.aspect, self.times)
        x, y = ((path - centre) * zoom[:, None]).T
        half_width, half_height = self.aspect / 2 - reach * zoom, 0.5 - reach * zoom
        inside = (np.abs(x) <= half_width) & (np.abs(y) <= half_height)
        # A body that the camera follows would seem to stand still.
        seen = math.hypot(body.vx - self.camera.vx, body.vy - self.camera.vy)
        return bool(inside.all()) and (body.law == "rest" or seen >= 0.1)


def _body(
    chance: Chance,
    law: str,
    look: Callable[[str], tuple[str, str]],
    count: int,
    aspect: float,
    seconds: float,
) -> Body | None:
    direction = speed = None
    if law == "uniform":
        direction, speed = chance.choice(tuple(DIRECTIONS)), chance.choice(tuple(placement.SPEEDS))
    elif law in ("throw", "roll"):
        direction = chance.choice(("left", "right"))
    size, radius = _size(chance, count)
    colour, shape = look(law if direction is None else f"{law}:{direction}")
    numbers: placement.Numbers | None
    if law == "uniform":
        assert direction
        assert speed
        numbers = placement.uniform(chance, shape, radius, aspect, direction, speed, seconds)
    elif law == "roll":
        assert direction
        numbers = placement.roll(chance, shape, radius, aspect, direction, seconds)
    elif law == "throw":
        assert direction
        numbers = placement.throw(chance, shape, radius, aspect, direction)
    else:
        numbers = _ALONE[law](chance, shape, radius, aspect)
    if numbers is None:
        return None
    rgb = _jitter(chance, COLOURS[colour], 6)
    return Body(shape, colour, size, law, direction, speed, radius, rgb, **numbers)


_ALONE = {
    "rest": placement.rest,
    "fall": placement.fall,
    "bounce": placement.bounce,
    "pendulum": placement.pendulum,
}


def _pair(
    chance: Chance, free: list[str], split: str, aspect: float, seconds: float
) -> tuple[Body, Body] | None:
    (size_a, radius_a), (size_b, radius_b) = _size(chance, 2), _size(chance, 2)
    colour_a, shape_a = _appearance(chance, free, split, True, "collision")
    others = [colour for colour in free if colour != colour_a]
    colour_b, shape_b = _appearance(chance, others, split, False, "collision")
    numbers = placement.collision(chance, (shape_a, shape_b), (radius_a, radius_b), aspect, seconds)
    if numbers is None:
        return None
    rgb_a, rgb_b = _jitter(chance, COLOURS[colour_a], 6), _jitter(chance, COLOURS[colour_b], 6)
    return (
        Body(shape_a, colour_a, size_a, "collision", None, None, radius_a, rgb_a, **numbers[0]),
        Body(shape_b, colour_b, size_b, "collision", None, None, radius_b, rgb_b, **numbers[1]),
    )


def _size(chance: Chance, count: int) -> tuple[str, float]:
    size = chance.choice(tuple(SIZES) if count < 3 else ("small", "medium"))
    return size, SIZES[size] * chance.uniform(0.96, 1.04)


def _appearance(
    chance: Chance, colours: list[str], split: str, first: bool, motion: str
) -> tuple[str, str]:
    """A colour and a shape; never reserved ones in train and validation.

    In the held-out split the first body drawn is a reserved combination, the others are free.
    """
    while True:
        colour, shape = chance.choice(colours), chance.choice(SHAPES)
        if split == "heldout" and not first:
            return colour, shape
        if held_out(colour, shape, motion) == (split == "heldout"):
            return colour, shape


def _jitter(chance: Chance, rgb: tuple[int, int, int], amount: int) -> tuple[int, int, int]:
    r, g, b = (min(255, round(value + chance.uniform(-amount, amount))) for value in rgb)
    return r, g, b
