"""The seam that captioners stand behind: a clip and what is known of it in, a caption out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.captioning.colours import sampled
from yozora.captioning.look import Look
from yozora.corpus.captions import own_words
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.footage.sidecar import tidy
from yozora.video import Clip

SMALLEST = 448  # pixels on the longer side: models look at patches of 14 to 32, of which small frames have a handful
LONGEST = 1500  # characters of a caption
TOLD = 600  # characters of the words it came with that a model is told
REFUSALS = re.compile(
    r"^(?:i(?:['\u2019]?m| am) (?:sorry|unable|not able)|i (?:can(?:not|['\u2019]?t| not)|won['\u2019]t)\b"
    r"|sorry\b|apologies|as an ai\b|unfortunately,? i\b)",
    re.IGNORECASE,
)


class CaptionerError(YozoraError):
    """A captioner cannot go on with any clip."""


@dataclass(frozen=True)
class Subject:
    """What is to be described. clip: its frames without the bars of its canvas. look: what was measured of them."""

    row: Row
    clip: Clip
    look: Look


class Captioner(Protocol):
    """Describes clips."""

    @property
    def name(self) -> str:
        """What a row says of where its caption comes from."""

    @property
    def parallel(self) -> int:
        """How many clips it takes at once."""

    def key(self, row: Row) -> str:
        """The hash of all that a clip's caption depends on: what has a caption of this key need not be asked again."""

    def caption(self, subject: Subject) -> str:
        """A clip's caption, on one line. Raises YozoraError for this clip alone, CaptionerError for all of them."""


def fit_caption(text: str) -> str:
    """A model's caption on one line. Raises YozoraError when it is empty, too long or a refusal."""
    caption = tidy(text)
    if not any(char.isalpha() for char in caption):
        raise YozoraError("the answer has no words")
    if len(caption) > LONGEST:
        raise YozoraError(f"the answer has {len(caption)} characters, above {LONGEST}")
    if REFUSALS.match(caption):
        raise YozoraError(f"the model refuses: {shortened(caption, 80)}")
    return caption


def told(row: Row) -> str:
    """The words a clip came with, for a model to know; empty where there is only a file's name."""
    captions, origin = own_words(row)
    return "" if origin == "name" else shortened(" ".join(map(sentence, captions)), TOLD)


def sentence(text: str) -> str:
    """A text that ends with a full stop, or as it ends itself."""
    return text if text[-1:] in (".", "!", "?", "…", "") else f"{text}."


def shortened(text: str, longest: int) -> str:
    """A text cut between words, with an ellipsis, if it is longer."""
    if len(text) <= longest:
        return text
    return text[: longest - 1].rpartition(" ")[0].rstrip(" .,;:") + "…"


def pictures(clip: Clip) -> list[NDArray[np.uint8]]:
    """Some frames of a clip, spread evenly from the first to the last, enlarged where they are small."""
    scale = max(1.0, SMALLEST / max(clip.width, clip.height))
    size = round(clip.width * scale), round(clip.height * scale)
    frames = (np.ascontiguousarray(frame) for frame in clip.frames[sampled(len(clip))])
    if scale == 1:
        return list(frames)
    resized = (cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames)
    return [np.asarray(frame, np.uint8) for frame in resized]
