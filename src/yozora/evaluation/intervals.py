"""Means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over n values with its 95 % interval; nan when there are no values.

    The ends alone are nan when all values are of one group (see `bootstrap`).
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """A plain dict; nan becomes None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def bootstrap(
    values: Sequence[float], seed: int = 0, groups: Sequence[Hashable] | None = None
) -> Interval:
    """The mean of values and its percentile bootstrap interval (Efron 1979), values resampled.

    groups: what each value belongs to, such as the film a clip is cut from. Then whole groups are
    resampled (the cluster bootstrap; Davison and Hinkley 1997, section 3.8), since values of one group
    are alike and many of them are not many observations. One group alone has no interval.

    When all values are 0 or all are 1, resampling would claim certainty; the open end is then the
    exact binomial one (Clopper and Pearson 1934): 0 of 10 leaves up to 31 %.
    """
    nan = float("nan")
    of = range(len(values)) if groups is None else groups
    kept = [(v, g) for v, g in zip(values, of, strict=True) if v == v]
    data = np.asarray([v for v, _ in kept], np.float64)
    n = len(data)
    if n == 0:
        return Interval(nan, nan, nan, 0)
    mean = float(data.mean())
    numbers: dict[Hashable, int] = {}
    member = [numbers.setdefault(g, len(numbers)) for _, g in kept]
    if groups is not None and len(numbers) == 1:
        return Interval(mean, nan, nan, n)
    bound = 1 - 0.025 ** (1 / len(numbers))
    if (data == 0).all():
        return Interval(0.0, 0.0, bound, n)
    if (data == 1).all():
        return Interval(1.0, 1 - bound, 1.0, n)
    sums, counts = np.bincount(member, data), np.bincount(member)
    draws = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, min(float(low), mean), max(float(high), mean), n)
