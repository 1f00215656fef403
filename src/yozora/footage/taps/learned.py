"""Which learned taps look at a film, and what they see in its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from yozora.errors import YozoraError
from yozora.footage.taps import faces, nsfw, sound, text, transnet
from yozora.footage.taps.faces import Box, Faces, face_boxes, faces_of
from yozora.footage.taps.nsfw import nsfw_score
from yozora.footage.taps.shots import Detector, Shots
from yozora.footage.taps.text import Mask, Text, text_mask, text_of
from yozora.footage.taps.transnet import TransNet
from yozora.footage.taps.weights import session
from yozora.video.clip import Frames

DETECTORS: dict[str, type[Detector]] = {"cheap": Shots, "transnet": TransNet}
MODELS = ("nsfw", "text", "faces", "speech")
SAMPLES = 3
COLOUR = 512  # pixels on the longer side of the samples that models look at


@dataclass(frozen=True)
class Taps:
    """What is measured of a film besides what costs next to nothing.

    shots: by which detector they are found. models: of MODELS, those that look and listen. samples: the pictures of
    each clip that models look at, about; at most one each half second. blur_faces: whether clips are stored with the
    faces in them blurred.
    """

    shots: str = "cheap"
    models: tuple[str, ...] = ()
    samples: int = SAMPLES
    blur_faces: bool = False

    def __post_init__(self) -> None:
        for name, known in [(self.shots, tuple(DETECTORS)), *((m, MODELS) for m in self.models)]:
            if name not in known:
                raise YozoraError(f"There is no tap '{name}': choose of {', '.join(known)}.")
        if self.samples < 2:  # they are not taken clip by clip: with one, clips would go without
            raise YozoraError(
                f"Models look at two samples of a clip or more, not at {self.samples}."
            )
        # The same whatever the order in which models were named, and where samples are of no account.
        object.__setattr__(self, "models", tuple(name for name in MODELS if name in self.models))
        if not self.looking:
            object.__setattr__(self, "samples", SAMPLES)

    @property
    def looking(self) -> tuple[str, ...]:
        """The models that look at pictures."""
        return tuple(name for name in self.models if name != "speech")

    def check(self) -> None:
        """Load the models that are asked for. Raises YozoraError when one is not installed."""
        if self.shots == "transnet":
            transnet.network()
        if "faces" in self.models or self.blur_faces:
            faces.network()
        for name, tap in (("nsfw", nsfw), ("text", text), ("speech", sound)):
            if name in self.models:
                session(tap.WEIGHTS)


USUAL = Taps()


class Look(NamedTuple):
    """What models see in one picture; None for a model that does not look."""

    nsfw: float | None
    text: Mask | None
    faces: list[Box] | None


def look(rgb: Frames, models: Sequence[str]) -> Look:
    """One picture, RGB uint8 [H, W, 3], by the models named."""
    return Look(
        nsfw_score(rgb) if "nsfw" in models else None,
        text_mask(rgb) if "text" in models else None,
        face_boxes(rgb) if "faces" in models else None,
    )


@dataclass(frozen=True)
class Looks:
    """What models saw in a clip's samples; None for a model that did not look, or a clip without a sample.

    nsfw: the highest score.
    """

    nsfw: float | None = None
    text: Text | None = None
    faces: Faces | None = None

    def to_json(self) -> dict[str, Any]:
        """What was seen, as JSON types."""
        said = {"text": self.text, "faces": self.faces}
        seen = {name: one.to_json() for name, one in said.items() if one is not None}
        return seen if self.nsfw is None else {"nsfw": self.nsfw, **seen}


def looks_of(looks: Sequence[Look]) -> Looks:
    """What the looks at a clip's samples say together."""
    return Looks(
        nsfw=max((one.nsfw for one in looks if one.nsfw is not None), default=None),
        text=text_of([one.text for one in looks if one.text is not None]),
        faces=faces_of([one.faces for one in looks if one.faces is not None]),
    )
