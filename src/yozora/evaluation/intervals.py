"""Means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over n values with its 95 % interval; nan when there are no values."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """A plain dict; an empty interval's nan becomes None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of values and its percentile bootstrap interval (Efron 1979), values resampled.

    When all values are 0 or all are 1, resampling would claim certainty; the open end is then the
    exact binomial one (Clopper and Pearson 1934): 0 of 10 leaves up to 31 %.
    """
    data = np.asarray([v for v in values if v == v], np.float64)
    n = len(data)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    mean = float(data.mean())
    bound = 1 - 0.025 ** (1 / n)
    if (data == 0).all():
        return Interval(0.0, 0.0, bound, n)
    if (data == 1).all():
        return Interval(1.0, 1 - bound, 1.0, n)
    draws = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    low, high = np.percentile(data[draws].mean(1), [2.5, 97.5])
    return Interval(mean, min(float(low), mean), max(float(high), mean), n)
