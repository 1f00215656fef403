"""From any frame FFmpeg decodes to sRGB bytes: matrix, range, alpha.

ITU-T H.273 names the code points. Transfer functions and primaries are left alone: BT.709 video
and sRGB are shown alike by every player, and high dynamic range is not tone-mapped.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from yozora.video.clip import Frames
from yozora.video.geometry import RESIZE, Size, threads

# H.273 MatrixCoefficients -> swscale's name for the same matrix.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}

LUMA_BLACK, NO_COLOUR = 16, 128  # of 8-bit samples that leave room at both ends


def matrix(tag: int, size: Size) -> Colorspace:
    """The YCbCr matrix of a frame.

    Untagged video is BT.709 from high definition upwards and BT.601 below, as players take it.
    """
    untagged = Colorspace.ITU709 if size[0] >= 1280 or size[1] > 576 else Colorspace.ITU601
    return MATRICES.get(tag, untagged)


class ToRGB:
    """Converts a stream's frames, resizing on the way; keeps swscale's tables between frames."""

    def __init__(self, interpolation: int = RESIZE) -> None:
        self._scaler = VideoReformatter()
        self._interpolation = interpolation

    def __call__(self, frame: av.VideoFrame, size: Size) -> Frames:
        """The frame as uint8 [H, W, 3] at `size`; what is transparent is laid on black."""
        kind = frame.format
        alpha = kind.has_palette or any(part.is_alpha for part in kind.components)
        scaled = self._scaler.reformat(
            frame,
            *size,
            "rgba" if alpha else "rgb24",
            src_colorspace=matrix(frame.colorspace, (frame.width, frame.height)),
            src_color_range=sample_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=self._interpolation,
            threads=threads(*size),
        )
        image = np.asarray(scaled.to_ndarray(), np.uint8)
        return image if image.shape[2] == 3 else on_black(image)


class ToYUV:
    """Converts a stream's frames to BT.709 4:2:0, resizing on the way; colour stays as coarse as most films have it."""

    def __init__(self) -> None:
        self._scaler, self._to_rgb = VideoReformatter(), ToRGB()

    def __call__(self, frame: av.VideoFrame, size: Size) -> list[Frames]:
        """The frame at `size`, both sides even: its luma, uint8 [H, W], and both chroma planes [H / 2, W / 2]."""
        kind = frame.format
        if kind.has_palette or any(part.is_alpha for part in kind.components):
            frame = av.VideoFrame.from_ndarray(self._to_rgb(frame, size), "rgb24")
        rgb = frame.format.is_rgb
        scaled = self._scaler.reformat(
            frame,
            *size,
            "yuv420p",
            src_colorspace=Colorspace.ITU709
            if rgb
            else matrix(frame.colorspace, (frame.width, frame.height)),
            dst_colorspace=Colorspace.ITU709,
            src_color_range=sample_range(frame),
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        return planes(scaled)


def planes(frame: av.VideoFrame) -> list[Frames]:
    """Luma [H, W] and both chroma planes [H / 2, W / 2] of a yuv420p frame."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


def joined(parts: list[Frames]) -> Frames:
    """The I420 picture [H * 3 / 2, W] of these planes."""
    width = parts[0].shape[1]
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(-1, width)


class ToLuma:
    """Converts a stream's frames to their brightness alone, areas averaged: to measure, not to show.

    Only the luma plane is read where a format has one, so that it costs a small part of decoding.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, size: Size) -> Frames:
        """The frame's luma as uint8 [H, W] at `size`, 0 black and 255 white; alpha is ignored."""
        scaled = self._scaler.reformat(
            frame,
            *size,
            "gray",
            src_color_range=sample_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return np.asarray(scaled.to_ndarray(), np.uint8)


def sample_range(frame: av.VideoFrame) -> ColorRange:
    """Whether a frame's samples use all levels (RGB always does) or leave room at both ends."""
    rgb = frame.format.has_palette or frame.format.is_rgb
    full = rgb or frame.color_range == ColorRange.JPEG
    return ColorRange.JPEG if full else ColorRange.MPEG


def on_black(image: Frames) -> Frames:
    """RGBA [H, W, 4] composited onto black: [H, W, 3]."""
    colour, alpha = image[..., :3], image[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    return ((colour.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
