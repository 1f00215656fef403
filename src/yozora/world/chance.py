"""Reproducible randomness: a stream of draws that is a pure function of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Chance:
    """Draws from numpy's counter-based Philox generator, keyed by the hash of `name`.

    Equal names give equal draws, bit for bit; different names give independent streams.
    """

    def __init__(self, *name: object) -> None:
        digest = hashlib.sha256(repr(name).encode()).digest()
        self._random = np.random.Generator(
            np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        ).random

    def happens(self, probability: float) -> bool:
        """Whether an event of this probability happens."""
        return self._random() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random()

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all alike likely."""
        return options[int(self._random() * len(options))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, as likely as its weight."""
        target = self._random() * sum(weights.values())
        for option, weight in weights.items():
            target -= weight
            if target < 0:
                return option
        return option  # rounding only

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in random order."""
        return sorted(options, key=lambda _: self._random())
