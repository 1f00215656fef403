"""Files in: probe, stream, read. Whatever is wrong with a file ends as a YozoraError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import PictureType

from yozora.errors import YozoraError
from yozora.video.boxes import fragment_samples
from yozora.video.clip import Clip, Frames, Info
from yozora.video.colour import LUMA_BLACK, NO_COLOUR, ToRGB, ToYUV, joined
from yozora.video.geometry import (
    Orientation,
    Size,
    check_size,
    content_rect,
    display_matrix,
    pad,
    sample_aspect,
    threads,
)
from yozora.video.timing import MAX_GAP, Timed, constant_rate

MAX_PIXELS = 2**25  # of one frame: 8K UHD (7680x4320) passes, a forged 16k x 16k does not
MAX_CLIP_BYTES = 2**30  # of what read() keeps; longer films are for stream()
MAX_RATE = 1000  # frames per second
SEEK_EARLIER = (0.0, 2.0, 10.0)  # seconds; formats without an index land late, so ask again

# What FFmpeg may take a file for. Playlists and image sequences are left out on purpose: they
# would make it open further files.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,flv,ogg,asf,h264,hevc,"
    "m4v,ivf,mjpeg,apng,y4m,yuv4mpegpipe,wav,mp3,flac,aac,obu,dv,mxf,nut,"
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "png_pipe"),
    (0, b"\xff\xd8\xff", "jpeg_pipe"),
    (8, b"WEBPVP8", "webp_pipe"),
    (0, b"GIF8", "gif"),
    (4, b"ftyp", "mov"),
    (8, b"AVI LIST", "avi"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
)

# Decoders that would pass off half a picture as a whole one.
STRICT = ("gif", "mjpeg", "png", "webp")

# What the libraries below raise for bad data; everything else is a bug of ours.
FAILURES = (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError)


@dataclass
class Source:
    """An open file and the video stream in it that is meant."""

    path: Path
    container: InputContainer
    video: av.VideoStream

    @property
    def still(self) -> bool:
        """Whether the file is one picture."""
        name = self.container.format.name
        return name.endswith("_pipe") or (name == "gif" and self.video.frames == 1)

    @property
    def rate(self) -> float:
        """Frames per second on average; 25, FFmpeg's own default, if no sane one is declared."""
        rates = (self.video.average_rate, self.video.guessed_rate, self.video.base_rate)
        declared = next((r for r in rates if r and 1 / MAX_GAP <= r <= MAX_RATE), Fraction(25))
        if self.container.format.name == "gif":
            # FFmpeg averages the first delays only, which GIF rounds to hundredths of a second.
            declared = counted_rate(self.video.frames, self.seconds, 0.01) or declared
        return float(declared)

    @property
    def seconds(self) -> float:
        """What the file declares; 0 for a still or where it declares nothing."""
        if self.still:
            return 0.0
        if self.video.duration and self.video.time_base:
            return max(0.0, float(self.video.duration * self.video.time_base))
        return max(0.0, (self.container.duration or 0) / av.time_base)

    @property
    def sample_aspect(self) -> Fraction:
        """A pixel's width by its height."""
        return sample_aspect(self.video.sample_aspect_ratio)

    def packets(self) -> Iterator[av.Packet[av.VideoStream] | None]:
        """The stream's packets, then None; a container that breaks off ends there."""
        try:
            for packet in self.container.demux(self.video):
                if packet.has_sidedata("encryption_info"):
                    raise encrypted(self.path)
                if packet.size:
                    yield packet
        except FAILURES:
            pass
        yield None

    def frames(self) -> Iterator[av.VideoFrame]:
        """Every frame that decodes, in order of display.

        After damage, what follows is predicted from a broken picture: it is left out up to the
        next key frame.
        """
        broken = False
        for packet in self.packets():
            if packet is not None and packet.is_corrupt:
                broken = True
                continue
            try:
                decoded = self.video.decode(packet)
            except FAILURES:
                broken = True
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    # A bidirectional frame is seldom referred to: its damage stays its own.
                    broken = broken or frame.pict_type != PictureType.B
                    continue
                broken = broken and not frame.key_frame
                if not broken and frame.width and frame.height:
                    yield frame

    def timed(self, start: float) -> Iterator[Timed]:
        """Frames from the key frame before `start`, timed in seconds from the first of all."""
        origin: float | None = None
        for early in SEEK_EARLIER:
            if start - early < 1 or not self.seek(start - early):
                break
            origin = (self.video.start_time or 0) * self.tick
            frames = self.stamped(self.frames(), origin)
            first = next(frames, None)
            if first is not None and first.time <= start:
                yield first
                yield from frames
                return
        if origin is not None:
            self.seek(0)
        yield from self.stamped(self.frames(), origin)

    def stamped(self, frames: Iterator[av.VideoFrame], origin: float | None) -> Iterator[Timed]:
        """Frames with time and duration; without an origin, the first frame's time is 0."""
        time, duration = 0.0, 0.0
        for frame in frames:
            if frame.pts is not None:
                stamp = frame.pts * self.tick
            else:
                stamp = (origin or 0.0) + time + (duration or 1 / self.rate)
            if origin is None:
                origin = stamp
            time = stamp - origin
            duration = (frame.duration or 0) * self.tick
            yield Timed(time, duration, frame)

    @property
    def tick(self) -> float:
        """The unit of the stream's timestamps in seconds."""
        return float(self.video.time_base or 0)

    def seek(self, start: float) -> bool:
        """Go to the key frame before `start` seconds; False when the file cannot."""
        if not self.tick:
            return False
        try:
            offset = int(start / self.tick) + (self.video.start_time or 0)
            self.container.seek(offset, stream=self.video)
        except FAILURES:
            return False
        return True


def counted_rate(frames: int, seconds: float, tick: float) -> Fraction | None:
    """The simplest rate at which `frames` frames last `seconds`, known to one tick."""
    if not frames or seconds <= tick:
        return None
    low, high = frames / (seconds + tick), frames / (seconds - tick)
    candidates = (Fraction(round(frames * d / seconds), d) for d in range(1, 1002))
    return next((rate for rate in candidates if low <= rate <= high), None)


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """Open a file and choose its video stream."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(32)
            samples = fragment_samples(file, size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise YozoraError(f"{path} cannot be opened: {reason}.") from None
    if size == 0:
        raise YozoraError(f"{path} is empty (0 bytes): fetch or export it again.")
    if samples > size:
        raise YozoraError(f"{path} claims {samples} samples in {size} bytes: its index is damaged.")
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
    }
    try:
        container = av.open(
            str(path), "r", format=demuxer(path, head), options=options, metadata_errors="replace"
        )
        video = video_stream(path, container)
    except FAILURES:
        raise YozoraError(
            f"{path} is not a video or image that can be read here, or it is damaged or cut off."
        ) from None
    with container:
        yield Source(path, container, video)


def demuxer(path: Path, head: bytes) -> str | None:
    """FFmpeg's demuxer by a file's first bytes, so that its name cannot mislead; None to probe."""
    if head[8:16] == b"WEBPVP8X" and len(head) > 20 and head[20] & 2:
        raise YozoraError(f"{path} is an animated WebP, which is not read: convert it to MP4.")
    return next((name for at, magic, name in MAGIC if head[at:].startswith(magic)), None)


def video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The first stream that moves; an audio file's cover picture is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({stream.type for stream in container.streams}))
        raise YozoraError(f"{path} contains no video, only {kinds or 'a header'}.")
    video = streams[0]
    context = video.codec_context
    if context is None:
        raise YozoraError(f"{path} is coded in a format that is not known here: convert it first.")
    if "enc_key_id" in video.metadata:
        raise encrypted(path)
    check_pixels(path, context.width, context.height)
    context.thread_count = threads(context.width, context.height)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    if context.name in STRICT:
        context.options |= {"err_detect": "explode"}
    return video


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse frames above MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise YozoraError(
            f"{path} claims frames of {width}x{height}: more than the {MAX_PIXELS >> 20} "
            "megapixels that are read; scale it down first."
        )


class Developer:
    """Turns decoded frames into pictures of one size: colour, pixel aspect, rotation, padding.

    exact: RGB, else I420, of an even size.
    """

    def __init__(self, source: Source, size: Size | None, *, exact: bool = True) -> None:
        self._source = source
        self._size = size
        self._to_rgb = ToRGB()
        self._to_yuv = None if exact else ToYUV()
        self._orientation: Orientation | None = None

    def __call__(self, frame: av.VideoFrame) -> Frames:
        """The frame as it is to be seen, uint8 [H, W, 3]; I420 [H * 3 / 2, W] unless exact."""
        if self._orientation is None:
            # Of the first frame only: looking costs each frame a reference cycle, which keeps its
            # picture in memory until the garbage collector comes by.
            self._orientation = Orientation(display_matrix(frame))
        orientation = self._orientation
        shown = display_size(self._source, frame, orientation)
        if self._size is None:
            # A stream may change its size later; its first frame decides.
            self._size = shown
        if self._to_yuv is not None:
            return self._yuv(self._to_yuv, frame, shown, self._size)
        rect = content_rect(shown, self._size)
        picture = self._to_rgb(frame, orientation.turned(rect[2:]))
        return pad(np.ascontiguousarray(orientation.apply(picture)), self._size, rect)

    def _yuv(self, convert: ToYUV, frame: av.VideoFrame, shown: Size, size: Size) -> Frames:
        """The same as I420 [H * 3 / 2, W]."""
        assert self._orientation is not None
        x, y, w, h = content_rect(shown, size, step=2)
        parts = convert(frame, self._orientation.turned((w, h)))
        upright = [self._orientation.apply(part) for part in parts]
        if (w, h) == size:
            return joined(upright)
        half = (size[0] // 2, size[1] // 2), (x // 2, y // 2, w // 2, h // 2)
        luma = pad(upright[0], size, (x, y, w, h), LUMA_BLACK)
        return joined([luma, *(pad(part, *half, NO_COLOUR) for part in upright[1:])])


def display_size(source: Source, frame: av.VideoFrame, orientation: Orientation) -> Size:
    """A frame's size as seen: square pixels, the stored height kept, then turned."""
    width = max(1, round(frame.width * source.sample_aspect))
    check_pixels(source.path, width, frame.height)
    return orientation.turned((width, frame.height))


def probe(path: str | Path) -> Info:
    """What a file contains, from its headers and its first frame.

    Raises YozoraError when it holds no video that can be decoded.
    """
    with opened(path) as source:
        first = next(source.frames(), None)
        if first is None:
            raise undecodable(source)
        orientation = Orientation(display_matrix(first))
        width, height = display_size(source, first, orientation)
        fps = 0.0 if source.still else source.rate
        expected = max(1, round(source.seconds * fps))
        declared = source.video.frames
        return Info(
            width=width,
            height=height,
            fps=fps,
            seconds=source.seconds,
            frames=declared if 0 < declared <= 2 * expected else expected,
            codec=source.video.codec_context.name,
            container=source.container.format.name,
            pixel_format=first.format.name,
            rotation=orientation.rotation,
            sample_aspect=float(source.sample_aspect),
            audio=bool(source.container.streams.audio),
            still=source.still,
            tags={
                key.lower(): value
                for key, value in {**source.video.metadata, **source.container.metadata}.items()
            },
        )


def encrypted(path: Path) -> YozoraError:
    """The error for a protected file: without its key it would decode to noise at best."""
    return YozoraError(f"{path} is encrypted: use a copy that is not protected.")


def undecodable(source: Source) -> YozoraError:
    """The error for a file that opens but gives no frame."""
    return YozoraError(
        f"{source.path} has no frame that can be decoded: it is damaged, cut off or "
        f"larger than {MAX_PIXELS >> 20} megapixels."
    )


def stream(
    path: str | Path,
    *,
    fps: float | None = None,
    size: Size | None = None,
    start: float = 0.0,
    seconds: float | None = None,
) -> Iterator[Frames]:
    """The frames of a file one by one, uint8 [H, W, 3], at a constant rate.

    fps: frames per second of the result; the file's average rate if None. Frame k is the one a
    player shows at start + k / fps. size: (width, height) to resize and pad to; the displayed
    size if None. start, seconds: the part to read, in seconds. A still gives one frame. Frames
    are decoded as they are asked for; a repeated frame is the same array again.
    Raises YozoraError when the file cannot be opened, no frame decodes, or nothing lies at
    `start`. Damaged frames are left out and the frame before is shown on.
    """
    check_window(fps, start, seconds)
    size = None if size is None else check_size(size)
    with opened(path) as source:
        yield from developed(source, fps, size, start, seconds)


def check_window(fps: float | None, start: float, seconds: float | None) -> None:
    """Refuse a rate, start or length that no clip can have."""
    if fps is not None and not 0 < fps <= MAX_RATE:
        raise YozoraError(
            f"A frame rate lies above 0 and up to {MAX_RATE} frames per second, not {fps}."
        )
    if not 0 <= start < float("inf"):
        raise YozoraError(f"A clip starts at 0 seconds or later, not at {start}.")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise YozoraError(f"A clip lasts more than 0 seconds, not {seconds}.")


def developed(
    source: Source, fps: float | None, size: Size | None, start: float, seconds: float | None
) -> Iterator[Frames]:
    """The pictures of an open file at a constant rate."""
    develop = Developer(source, size)
    if source.still:
        chosen: Iterator[av.VideoFrame] = islice(source.frames(), 1)
    else:
        rate = fps or source.rate
        count = None if seconds is None else max(1, round(seconds * rate))
        timed = source.timed(start)
        chosen = constant_rate(timed, rate, source.rate, start, count, source.path)
    shown: av.VideoFrame | None = None
    for frame in chosen:
        if frame is not shown:
            with converting(source):
                picture = develop(frame)
            shown = frame
        yield picture
    if shown is None:
        if start and not source.still:
            raise YozoraError(
                f"{source.path} has no frame at {start:g} s: it lasts {source.seconds:g} s."
            )
        raise undecodable(source)


@contextmanager
def converting(source: Source) -> Iterator[None]:
    """Gives a failure to convert a decoded frame the file's name."""
    try:
        yield
    except FAILURES as error:
        raise YozoraError(f"{source.path} cannot be converted to RGB: {error}.") from error


def read(
    path: str | Path,
    *,
    fps: float | None = None,
    size: Size | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    max_frames: int | None = None,
) -> Clip:
    """A file, or a part of it, as a clip in memory; see `stream` for the arguments.

    max_frames: stop after so many frames. A still (PNG, JPEG, WebP, GIF of one picture) is a
    clip of one frame at `fps`, or 1 frame per second. Raises YozoraError as `stream` does, and
    for a clip above MAX_CLIP_BYTES.
    """
    check_window(fps, start, seconds)
    size = None if size is None else check_size(size)
    with opened(path) as source:
        rate = fps or (1.0 if source.still else source.rate)
        pictures = developed(source, fps, size, start, seconds)
        return Clip(gather(source.path, islice(pictures, max_frames)), rate)


def gather(path: Path, pictures: Iterator[Frames]) -> Frames:
    """Frames [T, H, W, 3] in one array that grows by doubling, so that memory peaks once."""
    first = next(pictures)
    room = max(1, min(64, MAX_CLIP_BYTES // first.nbytes))
    frames = np.empty((room, *first.shape), np.uint8)
    frames[0] = first
    count = 1
    for picture in pictures:
        if (count + 1) * first.nbytes > MAX_CLIP_BYTES:
            raise YozoraError(
                f"{path} holds more than {MAX_CLIP_BYTES >> 20} MiB of frames: read a part "
                "(seconds, max_frames), a smaller size, or use stream()."
            )
        if count == len(frames):
            frames.resize((2 * count, *first.shape), refcheck=False)
        frames[count] = picture
        count += 1
    frames.resize((count, *first.shape), refcheck=False)
    return frames


def read_image(path: str | Path, *, size: Size | None = None) -> Frames:
    """The first picture of a still or a video, uint8 [H, W, 3]."""
    frames: Frames = read(path, size=size, max_frames=1).frames
    first: Frames = frames[0]
    return first
