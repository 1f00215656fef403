"""Does a clip show what its prompt says? One yes or no per attribute, averaged with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from yozora.evaluation.expected import Expected, Wanted
from yozora.evaluation.intervals import Interval, bootstrap
from yozora.evaluation.parse import Parsed, Track

ATTRIBUTES = (
    "colour", "shape", "motion", "law", "direction", "speed", "size",
    "count", "background", "camera", "binding", "all",
)  # fmt: skip

# attribute -> share of the prompt's bodies that have it; absent when the prompt leaves it open
Verdict = dict[str, float]


def pair(expected: Expected, parsed: Parsed) -> list[tuple[Wanted, Track | None]]:
    """Each wanted body with the seen body that agrees with it best, one to one.

    Only the most visible bodies, as many as wanted, take part: a clip that shows everything at once
    must not be right about whatever was asked.
    """
    seen = sorted(parsed.bodies, key=lambda t: -float(t.visibility.sum()))[: len(expected.bodies)]
    if not seen:
        return [(body, None) for body in expected.bodies]
    agreement = np.array([[_agreement(b, t) for t in seen] for b in expected.bodies])
    rows, columns = linear_sum_assignment(-agreement)
    found = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return [(b, seen[found[i]] if i in found else None) for i, b in enumerate(expected.bodies)]


def _law(motion: str) -> str:
    return motion.partition(":")[0]


def _direction(motion: str) -> str:
    return motion.partition(":")[2]


def _agreement(body: Wanted, track: Track) -> float:
    return (
        2.0 * (track.colour == body.colour)
        + 1.0 * (track.shape == body.shape)
        + 0.7 * (_law(track.motion) == _law(body.motion or ""))
        + 0.3 * (track.motion == body.motion)
    )


def judge(expected: Expected, parsed: Parsed) -> Verdict:
    """How far a parsed clip agrees with what its prompt asks for, per attribute, in [0, 1].

    motion is the law with its direction; law and direction count each alone. binding: every wanted
    colour-shape pair is there, on a body of its own among those that were paired (two bodies and
    more). all: colours, shapes, motions, count and background are right together.
    """
    couples = pair(expected, parsed)
    tests: dict[str, list[bool]] = {}
    for wanted, track in couples:
        motion = track.motion if track else ""
        said = wanted.motion or ""
        read = {
            "colour": (wanted.colour, track and track.colour),
            "shape": (wanted.shape, track and track.shape),
            "motion": (wanted.motion, motion),
            "law": (_law(said), _law(motion)),
            "direction": (_direction(said), _direction(motion)),
            "speed": (wanted.speed, track and track.speed),
            "size": (wanted.size, track and track.size),
        }
        for name, (right, seen) in read.items():
            if right:
                tests.setdefault(name, []).append(seen == right)
    verdict = {name: sum(hits) / len(hits) for name, hits in tests.items()}
    if expected.bodies:
        verdict["count"] = float(len(parsed.bodies) == len(expected.bodies))
    if expected.background:
        verdict["background"] = float(parsed.background == expected.background)
    if expected.camera:
        verdict["camera"] = float(parsed.camera == expected.camera)
    if len(expected.bodies) > 1:
        unmet = Counter((b.colour, b.shape) for b in expected.bodies)
        unmet.subtract((track.colour, track.shape) for _, track in couples if track)
        verdict["binding"] = float(max(unmet.values()) <= 0)
    together = ("colour", "shape", "motion", "count", "background")
    verdict["all"] = float(all(verdict.get(name, 1.0) == 1 for name in together))
    return verdict


def accuracy(verdicts: Sequence[Verdict], seed: int = 0) -> dict[str, Interval]:
    """Attribute -> mean over the clips it applies to, with its interval (clips resampled)."""
    return {
        name: bootstrap([v[name] for v in verdicts if name in v], seed)
        for name in ATTRIBUTES
        if any(name in v for v in verdicts)
    }
