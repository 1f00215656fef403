"""Other versions of a clip of footage to train on: cropped, with other colours, noisy, played backwards.

The codec draws them anew at every step (training/frames.py). The transformer trains on latents, which are encoded once:
a clip has so many variants, each drawn by its id and number alone, and each step draws one of them. Clips of the world
have none: their truth would no longer be so, and there is no end of them anyway.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.corpus.schema import Row
from yozora.errors import YozoraError

BACKWARDS = (
    "Played backwards: {}",
    "In reverse: {}",
    "The film runs backwards. {}",
    "Time runs backwards here: {}",
    "{} The clip is played backwards.",
    "{} Shown in reverse.",
)

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Augment:
    """How much is changed.

    crop: the smallest share of a side that is kept. mirror, reverse: shares of the versions that are mirrored (captions
    that say left and right are then wrong) or played backwards. colour: by how much of itself each colour may be
    brighter or darker. noise: the largest standard deviation, of 1. reverse_unheard: also play backwards what may have
    speech in it, since nobody listened.

    Raises YozoraError for a share that is none.
    """

    crop: float = 0.8
    mirror: float = 0.0
    reverse: float = 0.25
    colour: float = 0.1
    noise: float = 0.01
    reverse_unheard: bool = False

    def __post_init__(self) -> None:
        shares = {name: value for name, value in vars(self).items() if name != "reverse_unheard"}
        for name, value in shares.items():
            if not 0 <= value <= 1 or (name == "crop" and value == 0):
                raise YozoraError(f"augment.{name}={value:g} is no share: choose one from 0 to 1.")


def version(row: Row, augment: Augment, number: int, frames: Frames) -> Frames:
    """Variant ``number`` (from 1) of a clip's frames [T, H, W, 3], at the size they have."""
    rng = chances(row, number)
    backwards = is_backwards(row, augment, number)
    height, width = frames.shape[1:3]
    share = rng.uniform(augment.crop, 1)
    h, w = max(1, round(height * share)), max(1, round(width * share))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    cut = frames[:: -1 if backwards else 1, top : top + h, left : left + w]
    if rng.random() < augment.mirror:
        cut = cut[:, :, ::-1]
    gain = rng.uniform(1 - augment.colour, 1 + augment.colour, 3).astype(np.float32)
    sized = np.stack([cv2.resize(frame, (width, height)) for frame in cut]) * gain
    noise = rng.uniform(0, augment.noise) * 255
    noisy = sized + noise * rng.standard_normal(sized.shape, np.float32)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


def is_backwards(row: Row, augment: Augment, number: int) -> bool:
    """Whether variant ``number`` of a clip is played backwards."""
    wanted = number > 0 and chances(row, -number).random() < augment.reverse
    return bool(wanted) and may_reverse(row, augment)


def may_reverse(row: Row, augment: Augment) -> bool:
    """Whether a clip makes sense backwards: films do in which no voice is heard, however little of it.

    Where no measure says what is heard, only films without a sound track, unless the recipe insists.
    """
    sound = (row.labels.get("measures") or {}).get("sound")
    if row.frames == 1 or (sound and sound.get("speech", 1) > 0):
        return False
    unheard = sound is None and row.labels.get("audio") is not False
    return augment.reverse_unheard or not unheard


def told_backwards(caption: str, row: Row, number: int) -> str:
    """A caption of a variant that is played backwards."""
    said = caption if caption.endswith((".", "!", "?")) else f"{caption}."
    return BACKWARDS[int(chances(row, -number).integers(len(BACKWARDS)))].format(said)


def chances(row: Row, number: int) -> np.random.Generator:
    """The random numbers of one variant, which depend on nothing but the clip and its number."""
    digest = hashlib.sha256(f"{row.id} {number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
