"""Which clips are worth keeping: every threshold by name, and for each clip left out the one that it missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yozora.footage.survey import Measures


@dataclass(frozen=True)
class Sieve:
    """What a clip has to be; see docs/concepts/taps.md for the measures.

    min_seconds: of clips of films; stills have no length and no motion. min_motion, max_motion: of camera and bodies
    together, in longer sides a second; max_shake: of the camera. max_dark, max_bright: shares of pixels that are black
    or blown out. min_contrast: standard deviation of the luma, of 1. min_sharpness: squared levels of the Laplacian.
    duplicate_bits: a clip whose hash differs from that of another file's clip in fewer of its 64 bits is the same
    again; 0 keeps them all.
    """

    name: str = "usual"
    min_seconds: float = 0.5
    min_motion: float = 0.002
    max_motion: float = 1.5
    max_shake: float = 0.5
    max_dark: float = 0.95
    max_bright: float = 0.8
    min_contrast: float = 0.02
    min_sharpness: float = 3.0
    duplicate_bits: int = 4

    def missed(self, measures: Measures, seconds: float) -> Missed | None:
        """The first threshold that a clip of so many seconds (0: a still) misses; None if it is good."""
        motion, light = measures.motion, measures.light
        film = seconds > 0
        checks = [
            ("min_seconds", seconds, film, "it is short, with {:.3g} s"),
            ("min_motion", motion.speed, film, "hardly anything moves: {:.3g}"),
            (
                "max_motion",
                motion.speed,
                film,
                "frames have little in common with the next: {:.3g}",
            ),
            ("max_shake", motion.shake, film, "the camera shakes: {:.3g}"),
        ]
        if light is not None:
            checks += [
                ("max_dark", light.dark, True, "most of it is black: {:.3g}"),
                ("max_bright", light.bright, True, "most of it is blown out: {:.3g}"),
                ("min_contrast", light.contrast, True, "it has next to no contrast: {:.3g}"),
                ("min_sharpness", light.sharpness, True, "it is blurred: {:.3g}"),
            ]
        for rule, value, counts, sentence in checks:
            limit = getattr(self, rule)
            below = value < limit if rule.startswith("min_") else value > limit
            if counts and below:
                return Missed(rule, f"{sentence.format(value)} ({rule} is {limit:g}).")
        return None


class Missed(NamedTuple):
    """The threshold's name, and the reason as a sentence without its subject."""

    rule: str
    reason: str


class Hashes:
    """The clips kept so far, by their perceptual hashes."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._names: list[str] = []
        self._count = 0
        self._bits: NDArray[np.uint64] = np.zeros(64, np.uint64)

    def same(self, bits: int, file: str, bits_apart: int) -> str | None:
        """The nearest clip of another file whose hash differs in fewer than ``bits_apart`` bits."""
        distances = np.bitwise_count(self._bits[: self._count] ^ np.uint64(bits))
        near = np.flatnonzero(distances < bits_apart)
        for place in map(int, near[np.argsort(distances[near], kind="stable")]):
            if self._files[place] != file:
                return self._names[place]
        return None

    def add(self, bits: int, file: str, name: str) -> None:
        """Take note of a clip that is kept."""
        if self._count == len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
        self._bits[self._count] = bits
        self._count += 1
        self._files.append(file)
        self._names.append(name)
