"""Files out: H.264 in MP4, VP9 in WebM, GIF, and stills."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from yozora.errors import YozoraError
from yozora.video.clip import Clip, Frames
from yozora.video.encoders import CONTAINERS, ENCODERS, Quality, encoder_for
from yozora.video.geometry import RESIZE, Size, check_size, threads

STILLS = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".webp": "libwebp"}
BT709 = 1  # H.273's number, the same for matrix, primaries and transfer


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end and removed on any error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise YozoraError(f"{path} could not be written: {reason}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


class Writer:
    """Writes frames one by one; the file appears, complete, when the context ends without error.

    path: .mp4 (H.264, yuv420p, BT.709, moov in front), .webm (VP9) or .gif (a palette per
    frame); another codec where this one's encoder does not work (encoders.py). quality (.mp4 only):
    "exact" is H.264 in RGB, more than 50 dB, for corpora; "film" takes I420 frames and keeps more
    of them than anyone sees, on one thread. 4:2:0 needs even sizes: an odd width or height is
    padded by repeating the last column or row ("exact" and GIF keep odd sizes, "film" takes none).
    encoder: FFmpeg's name of what writes it.
    Raises YozoraError for a suffix, size, rate or frame it cannot take.
    """

    def __init__(
        self, path: str | Path, *, fps: float, size: Size, quality: Quality = "standard"
    ) -> None:
        self.path = Path(path)
        self.size = check_size(size)
        suffix = self.path.suffix.lower()
        if (suffix, quality) not in ENCODERS:
            known = ", ".join(f"{s} ({q})" for s, q in ENCODERS)
            raise YozoraError(f"{path} cannot be written at {quality!r}: choose one of {known}.")
        if not 0.001 <= fps <= 1000:
            raise YozoraError(f"A file's frame rate lies between 0.001 and 1000, not {fps}.")
        self.fps = Fraction(fps).limit_denominator(1001)
        self._suffix = suffix
        self.encoder, self._format, self._options = encoder_for(suffix, quality)
        self._i420 = quality == "film"
        width, height = self.size
        if self._i420 and (width % 2 or height % 2):
            raise YozoraError(
                f"{path} holds halves of its sides, so {width}x{height} has to be even."
            )
        self._shape = (height * 3 // 2, width) if self._i420 else (height, width, 3)
        self._count = 0

    def __enter__(self) -> Self:
        self._rename = renamed(self.path)
        temporary = self._rename.__enter__()
        try:
            self._open(temporary)
        except BaseException as error:
            self._rename.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _open(self, temporary: Path) -> None:
        options = {"movflags": "+faststart"} if self._suffix == ".mp4" else {}
        self._container = av.open(
            str(temporary), "w", format=CONTAINERS[self._suffix], container_options=options
        )
        stream = self._container.add_stream(self.encoder, self.fps, dict(self._options))
        assert isinstance(stream, av.VideoStream)
        width, height = self.size
        even = self._format == "yuv420p"
        self._pad = (height % 2 if even else 0, width % 2 if even else 0)
        stream.height, stream.width = height + self._pad[0], width + self._pad[1]
        stream.pix_fmt = self._format
        context = stream.codec_context
        context.thread_count = 1 if self._i420 else threads(width, height)
        if even:
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = ColorRange.MPEG
        self._stream = stream
        self._scaler = VideoReformatter()
        self._palette = Palette(self.size, self.fps) if self._format == "pal8" else None

    def write(self, frame: Frames) -> None:
        """Append one frame, uint8 [H, W, 3]; for "film" I420, uint8 [H * 3 / 2, W]."""
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            raise YozoraError(
                f"{self.path} takes uint8 frames of {list(self._shape)}, not {frame.dtype} {list(frame.shape)}."
            )
        picture = self._picture(frame)
        picture.pts = self._count
        picture.time_base = 1 / self.fps
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def _picture(self, frame: Frames) -> av.VideoFrame:
        """The frame as the encoder takes it."""
        if self._i420:
            return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "yuv420p")
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), "edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
        if self._palette is not None:
            return self._palette(picture)
        if self._format == "gbrp":
            return picture.reformat(format="gbrp")
        return picture if self._format == "rgb24" else self._to_yuv(picture)

    def _to_yuv(self, picture: av.VideoFrame) -> av.VideoFrame:
        return self._scaler.reformat(
            picture,
            format=self._format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=RESIZE,
            threads=threads(*self.size),
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._count == 0:
                raise YozoraError(f"{self.path} was given no frame: write at least one.")
            if error is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except BaseException as failure:
            self._rename.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._rename.__exit__(kind, error, trace)


class Palette:
    """RGB frames to 256 colours chosen for each frame, undithered where the colours suffice."""

    def __init__(self, size: Size, fps: Fraction) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=size[0],
            height=size[1],
            format=av.VideoFormat("rgb24"),
            time_base=1 / fps,
        )
        split = graph.add("split")
        generate = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._graph = graph
        self._count = 0

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in 256 colours."""
        frame.pts = self._count
        self._count += 1
        self._graph.vpush(frame)
        return self._graph.vpull()


def write(clip: Clip, path: str | Path, quality: Quality = "standard") -> Path:
    """Write a clip (see `Writer`); a clip of one frame may also go to .png, .jpg or .webp."""
    path = Path(path)
    if path.suffix.lower() in STILLS:
        if len(clip) != 1:
            raise YozoraError(
                f"{path} is a still, but the clip has {len(clip)} frames: "
                "write an .mp4, .webm or .gif, or one of its frames."
            )
        return write_image(path, clip.frames[0])
    with Writer(path, fps=clip.fps, size=(clip.width, clip.height), quality=quality) as writer:
        for frame in clip.frames:
            writer.write(frame)
    return path


def write_image(path: str | Path, image: Frames) -> Path:
    """Write one image, uint8 [H, W, 3], as .png, .jpg or .webp (lossless)."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in STILLS:
        raise YozoraError(f"{path} is no still that can be written: use .png, .jpg or .webp.")
    frame = Clip(np.ascontiguousarray(image)[None], fps=1).frames[0]
    with renamed(path) as temporary:
        temporary.write_bytes(encode_still(frame, STILLS[suffix]))
    return path


def encode_still(image: Frames, codec: str) -> bytes:
    """The bytes of a still: one packet of an image codec is a whole file."""
    formats = {"png": "rgb24", "mjpeg": "yuvj444p", "libwebp": "bgra"}
    options = {"png": {}, "mjpeg": {"qmin": "2", "qmax": "2"}, "libwebp": {"lossless": "1"}}
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = image.shape[1], image.shape[0]
    context.pix_fmt = formats[codec]
    context.time_base = Fraction(1)
    context.options = options[codec]
    context.thread_count = 1
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
        format=formats[codec],
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=RESIZE,
        threads=1,
    )
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
