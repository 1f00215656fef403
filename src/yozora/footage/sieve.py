"""Which clips are worth keeping: every threshold by name, and for each clip left out the one that it missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yozora.errors import YozoraError
from yozora.footage.survey import Measures

NEEDS = {  # thresholds for what only a learned tap measures
    "max_nsfw": "nsfw",
    "max_text": "text",
    "max_constant_text": "text",
    "max_faces": "faces",
    "max_face_area": "faces",
}


@dataclass(frozen=True)
class Sieve:
    """What a clip has to be; see docs/concepts/taps.md for the measures.

    min_seconds: of clips of films; stills have no length and no motion. min_motion, max_motion: of camera and bodies
    together, in longer sides a second; max_shake: of the camera. max_dark, max_bright: shares of pixels that are black
    or blown out. min_contrast: standard deviation of the luma, of 1. min_sharpness: squared levels of the Laplacian.
    max_repeats: share of frames that repeat the one before. max_borders: share of the frame that is black bars.
    max_nsfw: score. max_text: share of the picture under text; max_constant_text: under text that stays all the time.
    max_faces, max_face_area: how many, and the share of the picture that they cover. What was not measured is missed by
    no clip.
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
    max_repeats: float = 0.7
    max_borders: float = 0.5
    max_nsfw: float = 0.8
    max_text: float = 0.1
    max_constant_text: float = 0.01
    max_faces: float = math.inf
    max_face_area: float = math.inf
    duplicate_bits: int = 4

    def check(self, models: Sequence[str]) -> None:
        """Raises YozoraError when a threshold was moved that nothing is measured for."""
        for rule in fields(self):
            limit, model = getattr(self, rule.name), NEEDS.get(rule.name)
            if model and limit != rule.default and math.isfinite(limit) and model not in models:
                raise YozoraError(
                    f"{rule.name} is a threshold for what the tap '{model}' measures: add --taps {model}."
                )

    def missed(self, measures: Measures, seconds: float) -> Missed | None:
        """The first threshold that a clip of so many seconds (0: a still) misses; None if it is good."""
        motion, light, looks = measures.motion, measures.light, measures.looks
        film = seconds > 0
        checks: list[tuple[str, Any, bool, str]] = [
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
        repeats = measures.repeats
        if repeats is not None:
            checks.append(("max_repeats", repeats, film, "many of its frames repeat: {:.3g}"))
        checks.append(("max_borders", measures.borders.share, True, "much of it is bars: {:.3g}"))
        if looks.nsfw is not None:
            checks.append(("max_nsfw", looks.nsfw, True, "it may be pornographic: {:.3g}"))
        if looks.text is not None:
            share, constant = looks.text.share, looks.text.constant or 0.0
            checks += [
                ("max_text", share, True, "much of it is covered by text: {:.3g}"),
                ("max_constant_text", constant, True, "text stays on it all the time: {:.3g}"),
            ]
        if looks.faces is not None:
            count, area = looks.faces.count, looks.faces.area
            checks += [
                ("max_faces", count, True, "it shows faces: {:d}"),
                ("max_face_area", area, True, "faces fill much of it: {:.3g}"),
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
