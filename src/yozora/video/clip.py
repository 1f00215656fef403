"""What a clip is, what is known about it, and what a file says of itself."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora.errors import YozoraError

Frames = NDArray[np.uint8]

SPLITS = ("train", "validation", "heldout")


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames at a constant rate.

    frames: uint8 [T, H, W, 3], sRGB. fps: frames per second.
    Raises YozoraError when the frames or the rate are of another kind.
    """

    frames: Frames
    fps: float

    def __post_init__(self) -> None:
        frames = self.frames
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
            kind = getattr(frames, "dtype", type(frames).__name__)
            raise YozoraError(f"A clip's frames are a uint8 array, not {kind}: convert them first.")
        if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise YozoraError(
                f"A clip's frames have the shape [T, H, W, 3] with T, H, W >= 1, "
                f"not {list(frames.shape)}."
            )
        if not 0 < self.fps < float("inf"):
            raise YozoraError(f"A clip's frame rate is a positive number, not {self.fps}.")

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.frames.shape[2])

    @property
    def seconds(self) -> float:
        """Playing time: each frame, also the last, is shown for 1 / fps."""
        return len(self) / self.fps

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write to .mp4, .webm, .gif or, one frame only, a still; see `yozora.video.write`."""
        from yozora.video.writing import write

        return write(self, path, **options)

    def __repr__(self) -> str:
        return f"Clip({len(self)} frames, {self.width}x{self.height}, {self.fps:g} fps)"

    def _repr_html_(self) -> str:
        """A self-contained <video>, so that a notebook shows the clip as the cell's value."""
        with tempfile.TemporaryDirectory() as folder:
            data = self.save(Path(folder) / "clip.mp4").read_bytes()
        source = "data:video/mp4;base64," + base64.b64encode(data).decode("ascii")
        return (
            f'<video controls loop autoplay muted playsinline width="{max(self.width, 320)}" '
            f'style="max-width:100%" src="{source}"></video>'
        )


@dataclass(frozen=True)
class Record:
    """What travels with a clip: captions, rights, split and labels.

    captions: dense first, then shorter ones. licence: an SPDX expression. split: one of
    SPLITS. labels: anything JSON can hold (a scene and its truth for world clips; content rectangle and start time for
    footage).
    """

    captions: tuple[str, ...]
    source: str
    licence: str
    holder: str = ""
    url: str = ""
    split: str = "train"
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Info:
    """What a file contains, as a player would show it.

    width, height: pixels after rotation and sample aspect ratio. fps: average rate (0 for a
    still). seconds and frames are what the container declares or, where it declares nothing,
    an estimate; a damaged file may hold less. rotation: degrees clockwise that were applied.
    tags: the container's text tags (title, comment …), keys in lower case.
    """

    width: int
    height: int
    fps: float
    seconds: float
    frames: int
    codec: str
    container: str
    pixel_format: str
    rotation: int = 0
    sample_aspect: float = 1.0
    audio: bool = False
    still: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
