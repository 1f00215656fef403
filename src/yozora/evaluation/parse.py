"""What is in a clip, read from its pixels alone: bodies, shapes, colours, motions, camera.

The parser knows the world's vocabulary (its colours, shapes and laws) but sees no scene, so it reads
generated clips and other models' files as it reads the world's own. Its floor, what it gets wrong on
true clips, is measured by `python -m yozora.evaluation.floor` and printed beside every score.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.errors import YozoraError
from yozora.evaluation.camera import CameraPath, camera_path
from yozora.evaluation.segment import CORE, Layers, Trail, blobs, track, unmix
from yozora.evaluation.shapes import classify
from yozora.evaluation.trajectory import Fit, collision, fit
from yozora.video import Clip
from yozora.world.shapes import REACH, cells

Floats = NDArray[np.float64]

ROWS = 64  # clips are read at this height: larger ones are averaged down, for speed


@dataclass(frozen=True)
class Track:
    """One body. Lengths are frame heights, x to the right, y downwards; T is the clip's frames.

    positions [T, 2] on the screen and path [T, 2] in the world (camera undone), nan when unseen;
    visibility [T], the share of its area that is seen; radius, the world's radius of its shape;
    motion "law[:direction]"; speed slow | medium | fast for uniform motion, else None; fit, the law's
    numbers; shapes and colours, each frame's own reading ("" when unseen).
    """

    colour: str
    shape: str
    size: str
    positions: Floats
    path: Floats
    visibility: Floats
    radius: float
    motion: str
    speed: str | None
    fit: Fit
    shapes: tuple[str, ...]
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Parsed:
    """A clip's bodies from left to right as first seen, its background (dark | light) and camera."""

    bodies: tuple[Track, ...]
    background: str
    camera: str
    fps: float


def parse(clip: Clip) -> Parsed:
    """Read a clip. Frames uint8 [T, H, W, 3] of any size; YozoraError when there are none."""
    frames = clip.frames
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise YozoraError(
            f"cannot parse frames of shape {frames.shape}: expected [T, H, W, 3] with T >= 1"
        )
    if frames.shape[1] != ROWS:
        frames = _resized(frames)
    layers = unmix(frames)
    height = frames.shape[1]
    trails = track(blobs(layers), height)
    camera = camera_path(layers, layers.alpha > CORE, clip.fps)
    drafts = [_draft(layers, t, camera, clip.fps) for t in trails]
    fits = _fits(drafts, clip.fps)
    bodies = [_finish(d, f) for d, f in zip(drafts, fits, strict=True)]
    bodies.sort(key=lambda b: float(b.positions[np.isfinite(b.positions[:, 0])][0, 0]))
    return Parsed(tuple(bodies), "light" if layers.light else "dark", camera.motion, clip.fps)


def _resized(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frames.shape[1:3]
    size = (max(8, round(width * ROWS / height)), ROWS)
    how = cv2.INTER_AREA if height > ROWS else cv2.INTER_LINEAR
    return np.stack([cv2.resize(f, size, interpolation=how) for f in frames]).astype(np.uint8)


@dataclass(frozen=True)
class _Draft:
    """A trail measured: what is known of a body before its motion is named."""

    colour: str
    shape: str
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    positions: Floats
    path: Floats
    visibility: Floats
    radius: float

    @property
    def trust(self) -> Floats:
        """Weight of each frame: a body half hidden or cut off has its centroid in the wrong place."""
        return np.where(self.visibility > 0.85, 1.0, np.where(self.visibility > 0.6, 0.2, 0.0))


def _draft(layers: Layers, trail: Trail, camera: CameraPath, fps: float) -> _Draft:
    count, height, width = layers.alpha.shape
    seen = [trail.blobs[f] for f in sorted(trail.blobs)]
    index = np.array([b.frame for b in seen])
    areas = np.array([b.area for b in seen]) / camera.zoom(count, fps)[index] ** 2
    share = np.minimum(1.0, areas / np.percentile(areas, 70))
    positions = np.full((count, 2), np.nan)
    positions[index] = [b.centre / height for b in seen]
    visibility = np.zeros(count)
    visibility[index] = share
    trust = np.where(share > 0.85, 1.0, 1e-3)
    shape, each = classify(seen, trust)
    shapes, colours = [""] * count, [""] * count
    for blob, reading in zip(seen, each, strict=True):
        shapes[blob.frame] = reading
        colours[blob.frame] = layers.names[blob.colour]
    area = float(np.median(areas[share > 0.85])) / height**2
    radius = float(np.sqrt(area / _unit_area(shape)))
    colour = layers.names[trail.colour]
    path = camera.undo(positions, width / height, fps)
    return _Draft(colour, shape, tuple(shapes), tuple(colours), positions, path, visibility, radius)


def _unit_area(shape: str) -> float:
    """Area of the shape of radius 1."""
    return len(cells(shape)) * (2 * REACH[shape] / 100) ** 2  # cells lie on a grid of 100 x 100


def _fits(drafts: list[_Draft], fps: float) -> list[Fit]:
    """A law for each body; two bodies share a collision when that explains both better."""
    fits = [fit(d.path, d.trust, fps) for d in drafts]
    best: tuple[float, int, int, tuple[Fit, Fit]] | None = None
    for i, j in combinations(range(len(drafts)), 2):
        a, b = drafts[i], drafts[j]
        pair = collision((a.path, b.path), (a.trust, b.trust), (a.radius, b.radius), fps)
        if pair:
            gain = fits[i].score + fits[j].score - pair[0]
            if gain > 0 and (best is None or gain > best[0]):
                best = gain, i, j, pair[1]
    if best:
        fits[best[1]], fits[best[2]] = best[3]
    return fits


def _finish(draft: _Draft, fitted: Fit) -> Track:
    sizes = {"small": 0.115, "medium": 0.15, "large": 0.19}
    size = min(sizes, key=lambda s: abs(np.log(sizes[s] / draft.radius)))
    return Track(
        draft.colour,
        draft.shape,
        size,
        draft.positions,
        draft.path,
        draft.visibility,
        draft.radius,
        fitted.motion,
        fitted.speed,
        fitted,
        draft.shapes,
        draft.colours,
    )
