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
STATE = 1 + len(COLOURS) + len(SHAPES) + 2 + 4  # presence, colour, shape, velocity, offset at the first and last frame


def state_map(labels: Mapping[str, Any], grid: tuple[int, int, int]) -> NDArray[np.float16] | None:
    """[t, h, w, STATE] for a clip of the world with a still camera, None for every other clip.

    A token's presence of a body is 1 where its centre lies inside the body and falls to 0 over one cell; the other facts are
    weighted with it. Offsets are from the token's centre to the body's, in cells; velocity in heights per second.
    """
    scene, truth = labels.get("scene"), labels.get("truth")
    if scene is None or truth is None or scene["camera"]["motion"] != "still":
        return None
    t, h, w = grid
    cell = 1.0 / h
    position, velocity = np.asarray(truth["position"], float), np.asarray(truth["velocity"], float)
    first = np.array([0, *range(1, 4 * (t - 1) + 1, 4)])  # frames of each latent frame: 0, 1-4, 5-8, ...
    last = np.array([0, *range(4, 4 * (t - 1) + 1, 4)])
    if position.shape[1] <= last[-1]:
        return None
    ys, xs = (np.arange(h) + 0.5) * cell, (np.arange(w) + 0.5) * cell
    out = np.zeros((t, h, w, STATE))
    for number, body in enumerate(scene["bodies"]):
        start, end = position[number, first], position[number, last]
        middle = (start + end) / 2
        dx, dy = xs[None, None, :] - middle[:, None, None, 0], ys[None, :, None] - middle[:, None, None, 1]
        presence = np.clip(1.5 - (np.hypot(dx, dy) - body["radius"]) / cell, 0, 1)[..., None]
        names = np.zeros(len(COLOURS) + len(SHAPES))
        if body["colour"] in COLOURS:
            names[COLOURS.index(body["colour"])] = 1
        if body["shape"] in SHAPES:
            names[len(COLOURS) + SHAPES.index(body["shape"])] = 1
        moves = np.broadcast_to(velocity[number, last][:, None, None, :], (t, h, w, 2))
        offsets = [(at[:, None, None, k] - centre) / cell for at in (start, end) for k, centre in enumerate((xs[None, None, :], ys[None, :, None]))]
        facts = np.concatenate(
            [
                np.ones((t, h, w, 1)),
                np.broadcast_to(names, (t, h, w, len(names))),
                moves,
                np.stack([np.broadcast_to(o, (t, h, w)) for o in offsets], axis=-1),
            ],
            axis=-1,
        )
        out = np.where(presence > out[..., :1], presence * facts, out)
    return out.astype(np.float16)
