"""Media files for tests, made here byte for byte: nothing is downloaded, nothing is random."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from yozora import video

Frames = NDArray[np.uint8]

COLOURS = np.array(
    [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (0, 255, 255),
        (255, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (255, 140, 0),
        (150, 60, 200),
        (40, 180, 60),
        (30, 60, 120),
    ],
    np.uint8,
)


def patches(width: int = 128, height: int = 96) -> Frames:
    """Twelve flat saturated colours in 3 rows of 4, uint8 [height, width, 3]."""
    cell = np.ones((height // 3, width // 4, 1), np.uint8)
    return np.kron(COLOURS.reshape(3, 4, 3), cell)


def centres(image: Frames) -> NDArray[np.int64]:
    """The colour in the middle of each of `patches`' cells, int [..., 3, 4, 3]."""
    height, width = image.shape[-3] // 3, image.shape[-2] // 4
    return image[..., height // 2 :: height, width // 2 :: width, :].astype(np.int64)


def moving(frames: int = 17, width: int = 112, height: int = 64) -> Frames:
    """An orange disc that crosses a dark frame, anti-aliased, uint8 [frames, height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    t = np.arange(frames)[:, None, None]
    cx = width * (0.15 + 0.7 * t / max(1, frames - 1))
    cy = height * (0.3 + 0.4 * t / max(1, frames - 1))
    cover = np.clip(height * 0.18 - np.hypot(x - cx, y - cy) + 0.5, 0, 1)[..., None]
    return (cover * (255, 140, 0) + (1 - cover) * (20, 20, 28)).round().astype(np.uint8)


def numbered(frames: int, width: int = 32, height: int = 32) -> Frames:
    """Flat grey frames whose brightness is 8 × their number (modulo 32 of them)."""
    grey = (np.arange(frames) % 32 * 8).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (frames, height, width, 3)).copy()


def numbers(frames: Frames) -> list[int]:
    """Which of `numbered`'s frames these are."""
    return [round(float(frame.mean()) / 8) for frame in frames]


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB of two arrays of one shape."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def encode(
    path: Path,
    frames: Frames,
    *,
    codec: str = "libx264rgb",
    pixels: str = "rgb24",
    fps: int = 10,
    times: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> Path:
    """Frames to a file by PyAV directly, with each frame's time in seconds if given."""
    with av.open(str(path), "w", container_options=container or {}) as out:
        stream = out.add_stream(codec, fps, options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if prepare is not None:
            prepare(stream)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[i] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encode_planes(
    path: Path,
    planes: Sequence[Frames],
    pixels: str,
    *,
    matrix: int = 2,
    colour_range: int = 0,
    codec: str = "libx264",
    degrees: int = 0,
) -> Path:
    """Three frames of given Y, Cb, Cr planes, tagged as asked (2 and 0: untagged)."""
    height, width = planes[0].shape
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, 8, {"crf": "4"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = colour_range
        if degrees:
            stream.set_display_rotation(degrees)
        for pts in range(3):
            frame = av.VideoFrame(width, height, pixels)
            for plane, data in zip(frame.planes, planes, strict=True):
                step = width // plane.width
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                rows[:, : plane.width] = data[::step, ::step]
                plane.update(rows.tobytes())
            frame.pts, frame.colorspace, frame.color_range = pts, matrix, colour_range
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def to_ycbcr(rgb: Frames, red: float, blue: float, *, full: bool) -> list[Frames]:
    """Y, Cb, Cr by the definition (ITU-T H.273, 8.3), from the weights of red and blue."""
    r, g, b = (rgb[..., i].astype(np.float64) / 255 for i in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))
    planes = (
        [255 * y, 128 + 255 * cb, 128 + 255 * cr]
        if full
        else [16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr]
    )
    return [np.clip(np.round(plane), 0, 255).astype(np.uint8) for plane in planes]


def audio_only(path: Path) -> Path:
    """A second of silence."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", 44100)
        for i in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, i * 1024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encrypted(path: Path) -> Path:
    """An MP4 under common encryption (ISO/IEC 23001-7, AES-CTR) whose key nobody is told."""
    scheme = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "0123456789abcdef0123456789abcdef",
        "encryption_kid": "abcdef0123456789abcdef0123456789",
    }
    return encode(path, moving(), codec="libx264", pixels="yuv420p", container=scheme)


def whole_files(folder: Path) -> list[Path]:
    """One sound file of every kind: the truth is `moving()`, or its frame 3 for stills."""
    frames = moving()
    clip = video.Clip(frames, 8)
    late_index = encode(folder / "late-index.mp4", frames, codec="libx264", pixels="yuv420p", fps=8)
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    gop = {"g": "4"}
    paths = [
        video.write(clip, folder / "standard.mp4"),
        video.write(clip, folder / "exact.mp4", quality="exact"),
        late_index,
        encode(
            folder / "fragments.mp4",
            frames,
            codec="libx264",
            pixels="yuv420p",
            fps=8,
            options=gop,
            container=fragments,
        ),
        video.write(clip, folder / "vp9.webm"),
        encode(
            folder / "vp9.mp4",
            frames,
            codec="libvpx-vp9",
            pixels="yuv420p",
            fps=8,
            container={"movflags": "faststart"},
        ),
        encode(folder / "h264.mkv", frames, codec="libx264", pixels="yuv420p", fps=8, options=gop),
        encode(folder / "mjpeg.avi", frames, codec="mjpeg", pixels="yuvj420p", fps=8),
        encode(folder / "mpeg4.avi", frames, codec="mpeg4", pixels="yuv420p", fps=8),
        encode(folder / "mpeg2.ts", frames, codec="mpeg2video", pixels="yuv420p", fps=25),
        encode(folder / "vp8.webm", frames, codec="libvpx", pixels="yuv420p", fps=8),
        video.write(clip, folder / "anim.gif"),
    ]
    for name in ("still.png", "still.jpg", "still.webp"):
        video.write_image(folder / name, frames[3])
        paths.append(folder / name)
    return paths


def damaged_files(folder: Path) -> list[Path]:
    """Some three hundred broken or odd files, the same on every run."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    paths = []

    def keep(name: str, data: bytes) -> None:
        paths.append(folder / name)
        paths[-1].write_bytes(data)

    suffixes = [".mp4", ".png", ".gif", ".jpg", ".webm", ".avi"]
    for number, path in enumerate(whole_files(whole)):
        data = path.read_bytes()
        for share in (0.02, 0.2, 0.5, 0.8, 0.99):
            keep(f"cut-{share}-{path.name}", data[: int(len(data) * share)])
        for seed in range(8):
            keep(f"flipped-{seed}-{path.name}", flipped(data, seed, 1 + 3 * seed))
        keep(
            f"zeroed-{path.name}", data[: len(data) // 3] + bytes(64) + data[len(data) // 3 + 64 :]
        )
        keep(f"headless-{path.name}", data[len(data) // 4 :])
        keep(f"twice-{path.name}", data + data)
        other = suffixes[(number + 1) % len(suffixes)]
        keep(f"renamed-{path.stem}{other}", data)
        keep(f"pattern-%03d-{path.stem}{other}", data)
        for name, forged in forgeries(path, data):
            keep(f"forged-{name}-{path.name}", forged)
    keep("empty.mp4", b"")
    keep("one-byte.webm", b"\x1a")
    keep("text.mp4", b"not a film\n" * 99)
    keep("noise.avi", np.random.default_rng(5).bytes(5000))
    keep("playlist.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole/standard.mp4\n")
    keep("bomb.png", blank_png(16384, 16384))
    keep("magic-only.png", b"\x89PNG\r\n\x1a\n")
    paths.append(audio_only(folder / "audio.mp4"))
    paths.append(encrypted(folder / "encrypted.mp4"))
    return paths


def flipped(data: bytes, seed: int, bits: int) -> bytes:
    """The data with some bits turned, half of them in its first fifth, where headers are."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    for i in range(bits):
        span = len(out) if i % 2 else max(1, len(out) // 5)
        out[int(rng.integers(span))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def forgeries(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Sound files whose headers claim huge, empty or absurd values."""
    if path.suffix == ".mp4" and b"avc1" in data:
        yield "size", edit(data, b"avc1", 28, ">HH", 16384, 16384)
        yield "zero-size", edit(data, b"avc1", 28, ">HH", 0, 0)
        yield "zero-timescale", edit(data, b"mdhd", 16, ">I", 0)
        yield "huge-timescale", edit(data, b"mdhd", 16, ">I", 0xFFFFFFFF)
        yield "zero-duration", edit(data, b"mdhd", 20, ">I", 0)
        yield "samples", edit(data, b"stsz", 12, ">I", 1_000_000)
        yield "more-samples", edit(data, b"stsz", 12, ">I", 0x7FFFFFFF)
        yield "sample-size", edit(data, b"stsz", 16, ">I", 0x7FFFFFFF)
        yield "many-times", edit(data, b"stts", 12, ">I", 0x7FFFFFFF)
        yield "slow", edit(data, b"stts", 16, ">I", 0x7FFFFFFF)
        yield "matrix", edit(data, b"tkhd", 44, ">II", 0, 0)
        if path.stem == "fragments":
            yield "run", edit(data, b"trun", 8, ">I", 0x05500000)
        yield "box", edit(data, b"moov", -4, ">I", 0x7FFFFFFF)
    elif path.suffix == ".png":
        yield "size", forged_png(data, 16384, 16384)
        yield "line", forged_png(data, 0x7FFFFFFF, 1)
        yield "zero-size", forged_png(data, 0, 0)
    elif path.suffix == ".gif":
        yield "size", data[:6] + struct.pack("<HH", 65535, 65535) + data[10:]
        yield "zero-size", data[:6] + struct.pack("<HH", 0, 0) + data[10:]
    elif path.suffix == ".jpg":
        yield "size", edit(data, b"\xff\xc0", 5, ">HH", 65500, 65500)
        yield "zero-size", edit(data, b"\xff\xc0", 5, ">HH", 0, 0)
    elif path.suffix == ".avi":
        yield "size", edit(data, b"strf", 12, "<ii", 16384, 16384)
        yield "upside-down", edit(data, b"strf", 16, "<i", -64)
        yield "frames", edit(data, b"avih", 24, "<I", 1_000_000)
        yield "rate", edit(data, b"vids", 20, "<II", 0, 0)
        yield "fast", edit(data, b"vids", 20, "<II", 1, 1_000_000_000)
    elif path.suffix == ".ts":
        yield "size", edit(data, b"\0\0\1\xb3", 4, ">BBB", 255, 255, 255)
    elif path.suffix in (".mkv", ".webm"):
        if path.stem == "vp8":
            yield "size", edit(data, b"\x9d\1\x2a", 3, "<HH", 16383, 16383)
        yield "width", edit(data, b"\xb0\x81", 1, ">BB", 0x81, 0)
        yield "timescale", edit(data, b"\x2a\xd7\xb1\x83", 4, ">BBB", 0, 0, 1)
        yield "slow", edit(data, b"\x2a\xd7\xb1\x83", 4, ">BBB", 255, 255, 255)


def edit(data: bytes, marker: bytes, offset: int, layout: str, *values: int) -> bytes:
    """The data with values packed `offset` bytes after the start of `marker`."""
    at = data.index(marker) + offset
    packed = struct.pack(layout, *values)
    return data[:at] + packed + data[at + len(packed) :]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum (PNG 1.2, 3.2)."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def forged_png(data: bytes, width: int, height: int) -> bytes:
    """A PNG whose header, checksum included, claims another size."""
    return (
        data[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]
    )


def blank_png(width: int, height: int) -> bytes:
    """A sound PNG of one bit a pixel: 32 KB for 16k x 16k."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + width // 8) * height), 1)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
