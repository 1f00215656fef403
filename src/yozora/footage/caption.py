"""What a stretch of footage is called, from the best source of words there is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from yozora.footage.sidecar import Sidecar, tidy

TAGS = ("description", "synopsis", "title", "comment")
CAMERA = {"img", "dsc", "dscn", "dscf", "mvi", "mov", "vid", "pxl", "gopr", "video", "clip"}


def captions_of(
    path: Path, sidecar: Sidecar, tags: Mapping[str, str], start: float, end: float
) -> tuple[tuple[str, ...], str]:
    """Captions for the seconds [start, end) of a file, longest first, and where they come from.

    Subtitles shown in that time, together with the captions of a sidecar, manifest or item; else the container's tags;
    else the file's name.
    """
    spoken = sidecar.spoken(start, end)
    if spoken or sidecar.captions:
        return ordered([*sidecar.captions, spoken]), sidecar.origin
    tagged = ordered([tidy(tags.get(name, "")) for name in TAGS])
    if tagged:
        return tagged, "tags"
    return (words(path.stem) or words(path.absolute().parent.name) or "a video",), "name"


def ordered(captions: list[str]) -> tuple[str, ...]:
    """Without empty ones and repetitions, the longest, which says most, first."""
    return tuple(sorted(dict.fromkeys(filter(None, captions)), key=len, reverse=True))


def words(name: str) -> str:
    """A file name as words: "BigCity_at-night_0042" -> "big city at night"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    parts = re.sub(r"[\W_]+", " ", spaced).lower().split()
    return " ".join(p for p in parts if p not in CAMERA and any(c.isalpha() for c in p))
