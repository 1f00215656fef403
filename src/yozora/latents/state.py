"""Facts of each latent token that the synthetic world knows exactly: which body is there, its colour, shape, motion.

The transformer learns to predict them from half-way up (an auxiliary target where larger systems align with a
teacher network, as in arXiv 2410.06940). Footage has no such facts and is left out of that loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SHAPES = ("ball", "square", "triangle", "star", "ring")
NAMES = len(COLOURS) + len(SHAPES)
# presence, colour and shape, velocity (x, y), offset at the token's first frame (x, y) and at its last
STATE = 1 + NAMES + 2 + 4

Floats = NDArray[np.float64]


def state_map(labels: Mapping[str, Any], grid: tuple[int, int, int]) -> NDArray[np.float16] | None:
    """[t, h, w, STATE] for a clip of the world with a still camera, None for every other clip.

    A token's presence of a body is 1 where its centre lies inside the body and falls to 0 over one cell; the other
    facts are weighted with it. Where bodies overlap, the one that is present most counts. Offsets are from the token's
    centre to the body's, in cells; velocity (at the token's last frame) in heights per second. ``labels`` hold the
    truth at the latent grid's own frame rate, and the grid covers the clip's whole picture.
    """
    scene, truth = labels.get("scene"), labels.get("truth")
    if scene is None or truth is None or scene["camera"]["motion"] != "still":
        return None
    first, last = _frames_of(grid[0])
    position, velocity = np.asarray(truth["position"], float), np.asarray(truth["velocity"], float)
    if position.shape[1] <= last[-1]:
        return None
    out = np.zeros((*grid, STATE))
    for body, at, speed in zip(scene["bodies"], position, velocity, strict=True):
        facts = _facts(body, at[first], at[last], speed[last], grid)
        out = np.where(facts[..., :1] > out[..., :1], facts, out)
    return out.astype(np.float16)


def told(labels: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a caption tells of a clip of the world: its things ("red ball") and their motions ("throw right").

    Both are empty for every other clip. They are sets: captions name bodies in any order.
    """
    bodies = (labels.get("scene") or {}).get("bodies", ())
    things = {f"{body['colour']} {body['shape']}" for body in bodies}
    return tuple(sorted(things)), tuple(sorted({_motion(body) for body in bodies}))


def answers(labels: Mapping[str, Any]) -> dict[str, str]:
    """What a caption can be asked of a clip of the world that shows one thing, and what is right: {"thing": "red ball",
    "motion": "fall", "place": "top left", "size": "small"}, and "speed" where it has one. Empty for every other clip.
    """
    scene = labels.get("scene") or {}
    bodies = scene.get("bodies", ())
    if len(bodies) != 1:
        return {}
    (body,) = bodies
    return {
        "thing": f"{body['colour']} {body['shape']}",
        "motion": _motion(body),
        "place": _place(body, scene["aspect"]),
        "size": body["size"],
        **({"speed": body["speed"]} if body["speed"] else {}),
    }


def _place(body: Mapping[str, Any], aspect: float) -> str:
    """The ninth of the frame in which a body starts."""
    column = min(2, max(0, int(3 * body["x0"] / aspect)))
    row = min(2, max(0, int(3 * body["y0"])))
    return f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"


def _motion(body: Mapping[str, Any]) -> str:
    if body["law"] == "pendulum":
        return "pendulum from the right" if body["amplitude"] > 0 else "pendulum from the left"
    return f"{body['law']} {body['direction'] or ''}".strip()


def _frames_of(t: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last frame [t] of each latent frame: 0, then 1-4, 5-8, ..."""
    last = 4 * np.arange(t)
    return np.maximum(last - 3, 0), last


def _facts(
    body: Mapping[str, Any],
    start: Floats,
    end: Floats,
    velocity: Floats,
    grid: tuple[int, int, int],
) -> Floats:
    """What every token knows of one body, [t, h, w, STATE]; start, end and velocity [t, 2]."""
    _, h, w = grid
    cell = 1.0 / h
    ys, xs = np.meshgrid((np.arange(h) + 0.5) * cell, (np.arange(w) + 0.5) * cell, indexing="ij")
    centre = np.stack([xs, ys], axis=-1)  # [h, w, 2]
    middle = (start + end) / 2
    distance = np.linalg.norm(centre - middle[:, None, None], axis=-1)  # [t, h, w]
    presence = np.clip(1.5 - (distance - body["radius"]) / cell, 0, 1)[..., None]

    names = np.zeros(NAMES)
    if body["colour"] in COLOURS:
        names[COLOURS.index(body["colour"])] = 1
    if body["shape"] in SHAPES:
        names[len(COLOURS) + SHAPES.index(body["shape"])] = 1
    parts = [
        np.ones(1),
        names,
        velocity[:, None, None],
        (start[:, None, None] - centre) / cell,
        (end[:, None, None] - centre) / cell,
    ]
    facts = np.concatenate([np.broadcast_to(p, (*grid, p.shape[-1])) for p in parts], axis=-1)
    weighted: Floats = presence * facts
    return weighted
