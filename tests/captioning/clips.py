"""Small footage for captioning, made of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.footage.taps.films import cloud, view

from yozora.captioning.look import Look
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.video import Clip, Record

SIZE = (36, 64)  # height, width


def plain(*rgb: int, frames: int = 5) -> Clip:
    """A field of one colour."""
    return Clip(np.full((frames, *SIZE, 3), rgb, np.uint8), 8.0)


def travelling(x: float = 0, y: float = 0, frames: int = 9, seed: int = 1) -> Clip:
    """A picture with the spectrum of photographs, seen by a camera that moves by so many pixels a frame."""
    picture = cloud(seed)
    seen = [view(picture, 60 + x * t, 36 + y * t) for t in range(frames)]
    grey = np.clip(np.stack(seen).round(), 0, 255).astype(np.uint8)
    return Clip(grey[..., None].repeat(3, -1), 8.0)


def record(number: int, **changes: Any) -> Record:
    facts: dict[str, Any] = {
        "captions": (f"The thing number {number}.",),
        "source": f"{number}.mp4",
        "licence": "MIT",
        "labels": {"start": 0.0, "caption": "sidecar"},
    }
    return Record(**{**facts, **changes})


def corpus_of(path: Path, count: int) -> Corpus:
    """A corpus of so many fields of footage, each darker than the one before."""
    corpus = Corpus.create(path)
    corpus.add((plain(200 - 7 * i, 40, 30), record(i)) for i in range(count))
    return corpus


def row(**changes: Any) -> Row:
    """A row of footage; labels are given as they are."""
    labels = changes.pop("labels", {"caption": "sidecar"})
    facts: dict[str, Any] = {
        "id": "ab" * 32,
        "path": "clips/ab.mp4",
        "captions": ("A tram crosses a bridge.",),
        "split": "train",
        "kind": "footage",
        "source": "tram.mp4",
        "licence": "MIT",
        "holder": "",
        "url": "",
        "frames": 17,
        "height": 36,
        "width": 64,
        "fps": 8.0,
        "labels_json": json.dumps(labels),
    }
    return Row(**{**facts, **changes})


def seen(**changes: Any) -> Look:
    """A look at a grey clip in which nothing is known to move."""
    from yozora.captioning.colours import NAMES
    from yozora.footage.taps.light import Light
    from yozora.footage.taps.motion import Motion

    shares = {name: float(name == "grey") for name in NAMES}
    facts: dict[str, Any] = {
        "seconds": 2.1,
        "motion": Motion(0.0, 0.05, 0.0),
        "light": Light(0.45, 0.2, 0.0, 0.0, 100.0),
        "camera": "still",
        "way": "",
        "named": shares,
        "could_be": shares,
        "colourless": False,
    }
    return Look(**{**facts, **changes})
