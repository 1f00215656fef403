"""Which law a path follows: every law is fitted, and the best fit for its complexity wins.

Each law is linear in its unknowns once one or two timings are fixed (when it lands, how fast it
swings), so a law is a stack of design matrices over a grid of timings and a fit is one batch of small
least-squares problems. Laws compete by the Bayesian information criterion (Schwarz, Annals of
Statistics 6(2), 1978) with a noise floor, below which a better fit is no evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOISE = 0.005  # heights: centroids from compressed or generated frames are no better
UNCLEAR = 0.06  # heights: a root-mean-square misfit beyond which a path follows no law
DIRECTIONS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")
STILL = 0.04  # heights/s: what moves less on average is at rest
SLOW, FAST = 0.18, 0.275  # heights/s: halfway between the world's speed ranges


@dataclass(frozen=True)
class Fit:
    """A law fitted to a path.

    motion "law" or "law:direction"; rms misfit in heights; velocity [2] heights/s (uniform motion, or
    at the start of a throw), acceleration [2] heights/s² (0 where the law has none); score is the BIC.
    """

    motion: str
    score: float
    rms: float
    velocity: tuple[float, float] = (0.0, 0.0)
    acceleration: tuple[float, float] = (0.0, 0.0)

    @property
    def speed(self) -> str | None:
        """slow, medium or fast for uniform motion, else None."""
        if not self.motion.startswith("uniform"):
            return None
        pace = math.hypot(*self.velocity)
        return "slow" if pace < SLOW else "fast" if pace > FAST else "medium"


def compass(dx: float, dy: float) -> str:
    """The nearest of eight directions, y downwards."""
    return DIRECTIONS[round(math.atan2(dy, dx) / (math.pi / 4)) % 8]


@cache
def _designs(count: int, fps: float) -> dict[str, tuple[Floats, int]]:
    """Law -> design matrices [K, 2, T, P] (x and y rows) and its number of free parameters."""
    t = np.arange(count) / fps
    one, zero = np.ones(count), np.zeros(count)

    def both(*columns: Floats) -> Floats:
        """Columns with independent coefficients for x and for y."""
        x = np.stack([*columns, *[zero] * len(columns)], -1)
        y = np.stack([*[zero] * len(columns), *columns], -1)
        return np.stack([x, y])

    def rows(x: list[Floats], y: list[Floats]) -> Floats:
        return np.stack([np.stack(x, -1), np.stack(y, -1)])

    landings = np.arange(0.25, t[-1] + 0.3, 1 / 32) if count > 1 else np.array([1.0])
    fall, throw, bounce = [], [], []
    for landing in landings:
        s = np.minimum(t, landing)
        fall.append(rows([one, zero, zero], [zero, one, s * s / 2]))
        throw.append(rows([one, s, zero, zero, zero], [zero, zero, one, s, s * s / 2]))
        if landing < t[-1] - 1.5 / fps:
            for kept in (0.5, 0.65, 0.8, 0.95):
                bounce.append(rows([one, zero, zero], [zero, one, _bouncing(t, landing, kept)]))
    swings = [
        rows([one, zero, np.sin(theta)], [zero, one, np.cos(theta)])
        for amplitude in np.radians([20, 30, 40, 50, 60])
        for omega in (1.2, 1.4, 1.6, 1.8, 2.0, 2.3)
        for theta in (side * _swinging(t, amplitude, omega) for side in (1, -1))
    ]
    laws: dict[str, tuple[list[Floats], int]] = {
        "rest": ([both(one)], 2),
        "uniform": ([both(one, t)], 4),
        "roll": ([both(one, t * t / 2)], 4),
        "fall": (fall, 4),
        "throw": (throw, 6),
        "bounce": (bounce, 5),
        "pendulum": (swings, 5),
    }
    return {law: (np.stack(grid), free) for law, (grid, free) in laws.items() if grid}


def _bouncing(t: Floats, landing: float, kept: float) -> Floats:
    """Height fallen per unit of gravity, when each impact keeps a share of the speed."""
    fallen = np.minimum(t, landing) ** 2 / 2
    floor, impact, up = landing**2 / 2, landing, kept * landing
    for _ in range(12):
        since = t - impact
        fallen = np.where(
            since > 0, np.minimum(floor - up * since + since * since / 2, floor), fallen
        )
        impact, up = impact + 2 * up, kept * up
    return fallen


def _swinging(t: Floats, amplitude: float, omega: float) -> Floats:
    """Angle of a pendulum released at rest; the first correction to its frequency is enough here."""
    return amplitude * np.cos(omega * (1 - amplitude**2 / 16) * t)


def _solve(designs: Floats, path: Floats, trust: Floats) -> tuple[Floats, Floats]:
    """Weighted least squares of path [T, 2] for each design -> squared misfit [K], unknowns [K, P]."""
    k, _, _, p = designs.shape
    root = np.sqrt(np.concatenate([trust, trust]))
    a = designs.reshape(k, -1, p) * root[:, None]
    b = path.T.reshape(-1) * root
    at = a.transpose(0, 2, 1)
    unknowns = np.linalg.solve(at @ a + 1e-9 * np.eye(p), (at @ b)[..., None])
    misfit = b - (a @ unknowns)[..., 0]
    return np.square(misfit).sum(1), unknowns[..., 0]


def _score(squares: Floats, values: float, free: int) -> Floats:
    return np.asarray(
        values * np.log(squares / values + NOISE**2) + free * math.log(max(values, 2.0))
    )


def fit(path: Floats, trust: Floats, fps: float, *, law: str | None = None) -> Fit:
    """The law of one body's path [T, 2] (heights, world frame), frames weighed by trust [T].

    Every law must also make sense: things fall downwards, a throw moves sideways. A path that no law
    fits within `UNCLEAR` is "unclear". With `law`, that law's best fit, sensible or not.
    """
    path = np.where(trust[:, None] > 0, path, 0.0)
    values = max(2 * float(trust.sum()), 1.0)
    best: Fit | None = None
    for name, (designs, free) in _designs(len(path), fps).items():
        if law not in (None, name):
            continue
        squares, unknowns = _solve(designs, path, trust)
        scores = _score(squares, values, free)
        if law is None:
            fitted = (designs @ unknowns[:, None, :, None])[..., 0]
            moves = np.hypot(*np.ptp(fitted, axis=2).T) > STILL * (len(path) - 1) / fps
            sensible = _sensible(name, unknowns) & (moves | (name == "rest"))
            scores = np.where(sensible, scores, np.inf)
        k = int(scores.argmin())
        if best is None or scores[k] < best.score:
            best = _named(name, unknowns[k], float(scores[k]), math.sqrt(squares[k] / values))
    assert best is not None
    if law is None and best.rms > UNCLEAR:
        return Fit("unclear", best.score, best.rms)
    return best


def _sensible(law: str, u: Floats) -> NDArray[np.bool_]:
    """Which of the unknowns [K, P] describe the law rather than something it happens to imitate."""
    if law == "uniform":
        return np.asarray(np.hypot(u[:, 1], u[:, 3]) > 0.04)
    if law == "roll":
        return (u[:, 3] > 0.04) & (abs(u[:, 1]) > 0.08) & (u[:, 3] < 0.9)
    if law in ("fall", "bounce"):
        return (u[:, 2] > 0.3) & (u[:, 2] < 4)
    if law == "throw":
        return (abs(u[:, 1]) > 0.06) & (u[:, 4] > 0.3) & (u[:, 4] < 4)
    if law == "pendulum":
        return (u[:, 2] > 0.15) & (u[:, 2] < 1.2)
    return np.ones(len(u), bool)


def _named(law: str, unknowns: Floats, score: float, rms: float) -> Fit:
    u = [float(v) for v in unknowns]
    if law == "uniform":
        return Fit(f"uniform:{compass(u[1], u[3])}", score, rms, (u[1], u[3]))
    side = "right" if u[1] > 0 else "left"
    if law == "roll":
        return Fit(f"roll:{side}", score, rms, acceleration=(u[1], u[3]))
    if law in ("fall", "bounce"):
        return Fit(law, score, rms, acceleration=(0.0, u[2]))
    if law == "throw":
        return Fit(f"throw:{side}", score, rms, (u[1], u[3]), (0.0, u[4]))
    return Fit(law, score, rms)


def collision(
    paths: tuple[Floats, Floats],
    trusts: tuple[Floats, Floats],
    radii: tuple[float, float],
    fps: float,
) -> tuple[float, tuple[Fit, Fit]] | None:
    """Two paths as one collision: straight, a common turn where they touch, straight again.

    Returns the joint score and both fits, or None when no moment of contact makes sense of them: the
    bodies must approach, touch and push each other apart.
    """
    count = len(paths[0])
    t = np.arange(count) / fps
    if count < 6:
        return None
    moments = np.arange(2 / fps, t[-1] - 1 / fps, 1 / 32)
    zero, one = np.zeros(count), np.ones(count)
    designs = np.stack(
        [
            np.stack(
                [
                    np.stack([one, np.minimum(t - m, 0), np.maximum(t - m, 0), zero], -1),
                    np.stack([zero, zero, zero, one], -1),
                ]
            )
            for m in moments
        ]
    )
    clean = [np.where(w[:, None] > 0, p, 0.0) for p, w in zip(paths, trusts, strict=True)]
    solved = [_solve(designs, p, w) for p, w in zip(clean, trusts, strict=True)]
    (s0, u0), (s1, u1) = solved
    values = [2 * float(w.sum()) for w in trusts]
    gap = abs(u1[:, 0] - u0[:, 0])
    side = np.sign(u1[:, 0] - u0[:, 0])
    approach = (u0[:, 1] - u1[:, 1]) * side
    leave = (u1[:, 2] - u0[:, 2]) * side
    touch = radii[0] + radii[1]
    sensible = (
        (approach > 0.1)
        & (leave > 0.05)
        & (gap > 0.6 * touch)
        & (gap < 1.6 * touch)
        & (abs(u1[:, 3] - u0[:, 3]) < 0.6 * touch)
    )
    joint = _score(s0, values[0], 5) + _score(s1, values[1], 5)  # the moment counts once for both
    scores = np.where(sensible, joint - math.log(max(sum(values) / 2, 2.0)), np.inf)
    k = int(scores.argmin())
    if not np.isfinite(scores[k]):
        return None
    fits = []
    for (squares, u), many in zip(solved, values, strict=True):
        rms = math.sqrt(squares[k] / max(many, 1.0))
        if rms > UNCLEAR:
            return None
        fits.append(Fit("collision", float(scores[k]) / 2, rms, (float(u[k, 1]), 0.0)))
    return float(scores[k]), (fits[0], fits[1])
