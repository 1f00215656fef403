"""Where pixels go: display matrices, sample aspect ratio, resize + pad."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from yozora.errors import YozoraError
from yozora.video.clip import Frames

Size = tuple[int, int]  # width, height
Rect = tuple[int, int, int, int]  # x, y, width, height

# Bicubic in swscale widens its kernel when it shrinks, so that it does not alias; the flags ask
# for full chroma resolution and exact rounding instead of speed.
RESIZE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
SMALL = 512 * 512  # pixels; below, threads cost more than they bring


def threads(width: int, height: int) -> int:
    """How many threads FFmpeg should use for frames of this size; 0 leaves it the choice."""
    return 1 if width * height < SMALL else 0


def check_size(size: Size) -> Size:
    """The size as two positive ints; YozoraError otherwise."""
    try:
        width, height = (int(n) for n in size)
    except (TypeError, ValueError):
        raise YozoraError(f"A size is a pair (width, height), not {size!r}.") from None
    if width < 1 or height < 1:
        raise YozoraError(f"A size has at least one pixel each way, not {width}x{height}.")
    return width, height


def content_rect(source: tuple[float, float], size: Size, step: int = 1) -> Rect:
    """The largest centred rectangle of the source's aspect ratio inside a canvas of `size`, its sides and its place
    multiples of `step`, as the canvas' sides are.
    """
    width, height = size
    scale = min(width / source[0], height / source[1]) / step
    w = min(width, step * max(1, round(source[0] * scale)))
    h = min(height, step * max(1, round(source[1] * scale)))
    return (width - w) // (2 * step) * step, (height - h) // (2 * step) * step, w, h


def pad(image: Frames, size: Size, rect: Rect, black: int = 0) -> Frames:
    """An image [h, w, 3] at its place on a black canvas [H, W, 3]; the same for a plane [h, w]."""
    x, y, w, h = rect
    if (w, h) == size:
        return image
    canvas = np.full((size[1], size[0], *image.shape[2:]), black, np.uint8)
    canvas[y : y + h, x : x + w] = image
    return canvas


def fit(frames: Frames, size: Size) -> tuple[Frames, Rect]:
    """Resize frames [T, H, W, 3] to fit `size` = (width, height), aspect kept, padded with black.

    Returns the new frames and the content's rectangle (x, y, width, height) on the canvas.
    """
    size = check_size(size)
    height, width = frames.shape[1:3]
    rect = content_rect((width, height), size)
    if (width, height) == size:
        return frames, rect
    scaler = VideoReformatter()
    out = np.zeros((len(frames), size[1], size[0], 3), np.uint8)
    x, y, w, h = rect
    for source, target in zip(frames, out, strict=True):
        target[y : y + h, x : x + w] = resize(source, (w, h), scaler)
    return out, rect


def resize(image: Frames, size: Size, scaler: VideoReformatter | None = None) -> Frames:
    """An image [H, W, 3] at exactly `size`, whatever its aspect."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
    scaled = (scaler or VideoReformatter()).reformat(
        frame,
        *size,
        "rgb24",
        interpolation=RESIZE,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        threads=threads(*size),
    )
    return scaled.to_ndarray()  # type: ignore[return-value]


def sample_aspect(declared: Fraction | None) -> Fraction:
    """The pixel's width by its height; 1 where a file says nothing or nonsense."""
    if not declared or not Fraction(1, 10) <= declared <= 10:
        return Fraction(1)
    return declared


class Orientation:
    """One of the eight ways to turn and mirror an image, as a display matrix says it.

    The matrix is ISO/IEC 14496-12's (8.3.2): nine int32, of which a, b, c, d (16.16) map the
    source's axes: x' = a x + c y, y' = b x + d y. Anything but a multiple of 90 degrees is
    rounded to the nearest one.
    """

    def __init__(self, matrix: bytes | None = None) -> None:
        a, b, c, d = 1, 0, 0, 1
        if matrix is not None and len(matrix) >= 36:
            m = struct.unpack("=9i", matrix[:36])
            a, b, c, d = m[0], m[1], m[3], m[4]
        if not (a or b) or not (c or d):
            a, b, c, d = 1, 0, 0, 1
        self.transposed = abs(b) > abs(a)
        across, down = (c, b) if self.transposed else (a, d)
        self.flip_x, self.flip_y = across < 0, down < 0

    @property
    def rotation(self) -> int:
        """Degrees clockwise (0, 90, 180, 270); a mirror image counts as its unmirrored turn."""
        if self.transposed:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def turned(self, size: Size) -> Size:
        """The size (width, height) after the turn; its own inverse."""
        return (size[1], size[0]) if self.transposed else size

    def apply(self, image: Frames) -> Frames:
        """The image [H, W, 3] or [H, W] as it is to be seen."""
        if self.transposed:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


# AVFrameSideDataType. PyAV 18 refuses to list side data it cannot name (EXIF, LCEVC, view ids), and frees the metadata
# of an ICC profile twice, which crashes at a later garbage collection: all but the display matrix is taken off first.
DISPLAY_MATRIX = 6
OTHER_SIDE_DATA = tuple(number for number in range(32) if number != DISPLAY_MATRIX)


def display_matrix(frame: av.VideoFrame) -> bytes | None:
    """The display matrix that a container or EXIF gave the frame, if any."""
    matrix = cast("Mapping[str, Buffer]", bare(frame).side_data).get("DISPLAYMATRIX")
    return None if matrix is None else bytes(matrix)


def bare(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame without any side data but its display matrix."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
    )
    deletions = [graph.add("sidedata", f"mode=delete:type={n}") for n in OTHER_SIDE_DATA]
    graph.link_nodes(source, *deletions, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()
