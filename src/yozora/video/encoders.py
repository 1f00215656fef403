"""Which encoder writes a file: of those that would do, the first that works here, tried on real frames."""

from __future__ import annotations

import io
from functools import cache
from typing import Literal, NamedTuple

import av
import numpy as np

from yozora.errors import YozoraError

Quality = Literal["standard", "exact", "film"]
Options = dict[str, str]


class Encoder(NamedTuple):
    """FFmpeg's name of an encoder, the pixel format it is given, its options."""

    name: str
    pixels: str
    options: Options


# standard: to be looked at. exact: above 50 dB in RGB, for small clips. film: I420 as it comes, from 45 to 52 dB by how
# busy it is, at the least work, to write and to read. The first of each is what is meant, the others come near it
# (docs/journal.md has the figures).
# rc-lookahead: x264's 40 frames of foresight take 0.4 GB at 1080p, 20 take 0.2 for the same look.
# Measured on world clips (112x64, 17 frames): RGB at crf 12 holds 54 dB where yuv444p at crf 10
# holds 47, in half the time, because nothing is converted and no colour is rounded twice.
# x264's ultrafast searches motion in whole pixels and has blocks of 16 alone. With half pixels and blocks of 4 it
# writes two thirds of its bytes or fewer, in about half of superfast's time for the same look.
SUBPEL = "subme=1:partitions=i4x4"
VP9 = {"b": "0", "row-mt": "1"}
ENCODERS: dict[tuple[str, Quality], tuple[Encoder, ...]] = {
    (".mp4", "standard"): (
        Encoder("libx264", "yuv420p", {"preset": "medium", "crf": "18", "rc-lookahead": "20"}),
        Encoder("libvpx-vp9", "yuv420p", VP9 | {"crf": "24", "deadline": "good", "cpu-used": "4"}),
        Encoder("libsvtav1", "yuv420p", {"preset": "8", "crf": "24"}),
        Encoder("mpeg4", "yuv420p", {"qmin": "2", "qmax": "3", "b": "100M"}),
    ),
    (".mp4", "exact"): (
        Encoder("libx264rgb", "rgb24", {"preset": "veryfast", "crf": "12"}),
        Encoder("libvpx-vp9", "gbrp", VP9 | {"crf": "4", "deadline": "realtime", "cpu-used": "6"}),
        Encoder("png", "rgb24", {}),
    ),
    (".mp4", "film"): (
        Encoder("libx264", "yuv420p", {"preset": "ultrafast", "crf": "17", "x264-params": SUBPEL}),
        Encoder(
            "libvpx-vp9", "yuv420p", VP9 | {"crf": "12", "deadline": "realtime", "cpu-used": "7"}
        ),
        Encoder("libsvtav1", "yuv420p", {"preset": "10", "crf": "16"}),
        Encoder("mpeg4", "yuv420p", {"qmin": "1", "qmax": "2", "b": "100M"}),
    ),
    (".webm", "standard"): (
        Encoder("libvpx-vp9", "yuv420p", VP9 | {"crf": "24", "deadline": "good", "cpu-used": "4"}),
        Encoder("libsvtav1", "yuv420p", {"preset": "8", "crf": "24"}),
    ),
    (".gif", "standard"): (Encoder("gif", "pal8", {}),),
}
CONTAINERS = {".mp4": "mp4", ".webm": "webm", ".gif": "gif"}
PROBE = (64, 64)  # pixels; the smallest that every encoder takes


def encoder_for(suffix: str, quality: Quality) -> Encoder:
    """The first encoder that works here, chosen once. Raises YozoraError when there is none."""
    candidates = ENCODERS[suffix, quality]
    for encoder in candidates:
        if works(encoder.name, encoder.pixels, suffix):
            return encoder
    names = ", ".join(encoder.name for encoder in candidates)
    raise YozoraError(
        f"None of the encoders that could write {suffix} ({quality}) works here ({names}): install PyAV from its "
        "wheel, which brings its own FFmpeg."
    )


@cache
def works(name: str, pixels: str, suffix: str) -> bool:
    """Whether this encoder writes two frames that can be read back from a file of this kind."""
    try:
        return back(name, pixels, suffix) == 2
    except (av.FFmpegError, ValueError, OSError):  # an unknown codec is a ValueError
        return False


def back(name: str, pixels: str, suffix: str) -> int:
    """How many of two grey frames that an encoder wrote can be read."""
    file = io.BytesIO()
    pixels = "rgb8" if pixels == "pal8" else pixels  # a palette would have to be chosen first
    with av.open(file, "w", format=CONTAINERS[suffix]) as out:
        stream = out.add_stream(name, 8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = PROBE
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        for number in range(2):
            grey = np.full((*PROBE, 3), 100 + 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format=pixels)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as written:
        return sum(1 for _ in written.decode(video=0))
