"""Does a clip show what its prompt says? One yes or no per attribute, averaged with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from yozora.evaluation.intervals import Interval, bootstrap
from yozora.evaluation.parse import Parsed, Track
from yozora.world.scene import Body, Scene

ATTRIBUTES = (
    "colour", "shape", "motion", "law", "direction", "speed", "size",
    "count", "background", "camera", "binding", "all",
)  # fmt: skip

Verdict = dict[str, float]  # attribute -> share of the scene's bodies that have it; absent when the scene has none


def pair(scene: Scene, parsed: Parsed) -> list[tuple[Body, Track | None]]:
    """Each expected body with the seen body that agrees with it best, one to one.

    Only the most visible bodies, as many as expected, take part: a clip that shows everything at
    once must not be right about whatever was asked.
    """
    seen = sorted(parsed.bodies, key=lambda t: -float(t.visibility.sum()))[: len(scene.bodies)]
    if not seen:
        return [(body, None) for body in scene.bodies]
    agreement = np.array([[_agreement(b, t) for t in seen] for b in scene.bodies])
    rows, columns = linear_sum_assignment(-agreement)
    found = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return [(b, seen[found[i]] if i in found else None) for i, b in enumerate(scene.bodies)]


def _agreement(body: Body, track: Track) -> float:
    law = track.motion.split(":")[0] == body.law
    return 2.0 * (track.colour == body.colour) + (track.shape == body.shape) + 0.7 * law + 0.3 * (
        track.motion == body.motion
    )


def judge(scene: Scene, parsed: Parsed) -> Verdict:
    """How far a parsed clip agrees with the scene its prompt describes, per attribute, in [0, 1].

    motion is the law with its direction; law and direction count each alone. speed is judged where
    the prompt says slow or fast. binding: every colour-shape pair is there, on bodies of its own.
    all: colours, shapes, motions, count and background are right together.
    """
    couples = pair(scene, parsed)

    def share(hits: Sequence[bool]) -> float:
        return sum(hits) / len(hits)

    verdict = {
        "colour": share([t is not None and t.colour == b.colour for b, t in couples]),
        "shape": share([t is not None and t.shape == b.shape for b, t in couples]),
        "motion": share([t is not None and t.motion == b.motion for b, t in couples]),
        "law": share([t is not None and t.motion.split(":")[0] == b.law for b, t in couples]),
        "size": share([t is not None and t.size == b.size for b, t in couples]),
        "count": float(len(parsed.bodies) == len(scene.bodies)),
        "background": float(parsed.background == scene.background),
        "camera": float(parsed.camera == scene.camera.motion),
    }
    directed = [t is not None and t.motion.split(":")[1:] == [b.direction] for b, t in couples if b.direction]
    paced = [t is not None and t.speed == b.speed for b, t in couples if b.speed in ("slow", "fast")]
    if directed:
        verdict["direction"] = share(directed)
    if paced:
        verdict["speed"] = share(paced)
    if len(scene.bodies) > 1:
        wanted = Counter((b.colour, b.shape) for b in scene.bodies)
        there = Counter((t.colour, t.shape) for t in parsed.bodies)
        verdict["binding"] = float(not wanted - there)
    together = ("colour", "shape", "motion", "count", "background")
    verdict["all"] = float(all(verdict[name] == 1 for name in together))
    return verdict


def accuracy(verdicts: Sequence[Verdict], seed: int = 0) -> dict[str, Interval]:
    """Attribute -> mean over the clips it applies to, with its interval (clips resampled)."""
    return {
        name: bootstrap([v[name] for v in verdicts if name in v], seed)
        for name in ATTRIBUTES
        if any(name in v for v in verdicts)
    }
