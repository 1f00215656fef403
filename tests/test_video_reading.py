"""Files in: time, colour, orientation, stills, and streaming in little memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from tests.media import (
    audio_only,
    centres,
    encode,
    encode_planes,
    encrypted,
    moving,
    numbered,
    numbers,
    patches,
    psnr,
    to_ycbcr,
)

from yozora import video
from yozora.errors import YozoraError
from yozora.video.geometry import Orientation
from yozora.video.reading import counted_rate
from yozora.video.timing import Timed, constant_rate

# Time


def test_variable_rate_becomes_constant(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.7, 0.8, 1.4]
    path = encode(tmp_path / "vfr.mkv", numbered(6), times=times)
    clip = video.read(path, fps=10)
    assert numbers(clip.frames)[:15] == [0, 1, 2, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 5]


def test_a_film_that_starts_late_starts_at_its_first_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", numbered(4), times=[5, 5.1, 5.2, 5.3])
    assert numbers(video.read(path, fps=10).frames) == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("fps", [8, 12.5, 24, 24000 / 1001, 30])
def test_the_own_rate_neither_drops_nor_repeats(tmp_path: Path, suffix: str, fps: float) -> None:
    path = video.write(video.Clip(numbered(31), fps), tmp_path / f"clip.{suffix}")
    clip = video.read(path)
    assert numbers(clip.frames) == list(range(31))
    assert clip.fps == pytest.approx(fps, rel=0.002 if suffix == "gif" else 1e-6)


def test_other_rates_pick_the_frame_on_display(tmp_path: Path) -> None:
    path = video.write(video.Clip(numbered(30), 30), tmp_path / "clip.mp4")
    assert numbers(video.read(path, fps=10).frames) == list(range(0, 30, 3))
    assert numbers(video.read(path, fps=60).frames) == [k // 2 for k in range(60)]


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 2), min_size=1, max_size=30),
    fps=st.floats(0.5, 60),
    start=st.floats(0, 5),
)
def test_every_instant_shows_the_frame_due_or_one_just_about_to_come(
    gaps: list[float], fps: float, start: float
) -> None:
    times = np.concatenate([[0], np.cumsum(gaps)])
    timed = [Timed(float(t), 0.5, i) for i, t in enumerate(times)]  # type: ignore[arg-type]
    shown = list(constant_rate(iter(timed), fps, 30, start, None, Path("film")))
    for k, index in enumerate(shown):
        due = int(np.searchsorted(times, start + k / fps, side="right")) - 1
        assert due <= int(index) <= due + 1  # type: ignore[call-overload]
        if index != due:
            assert times[due + 1] - (start + k / fps) <= 0.5 / fps
    expected = (times[-1] + 0.5 - start) * fps
    assert abs(len(shown) - max(0, expected)) <= 1.01


def test_a_hundred_thousand_seconds_of_nothing_is_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "gap.mkv", numbered(3), times=[0, 1, 100_000])
    with pytest.raises(YozoraError, match="timestamps"):
        video.read(path, fps=8)


def test_counted_rate_is_the_simplest_that_explains_the_count() -> None:
    assert counted_rate(17, 2.13, 0.01) == 8
    assert counted_rate(40, 1.33, 0.01) == 30
    assert counted_rate(0, 1, 0.01) is None
    assert counted_rate(5, 0, 0.01) is None


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.avi", "clip.ts"])
@pytest.mark.parametrize("start", [0.0, 0.3, 1.1, 5.0, 9.92])
def test_a_part_is_the_same_as_that_part_of_the_whole(
    tmp_path: Path, name: str, start: float
) -> None:
    codec = {"webm": "libvpx", "avi": "mpeg4", "ts": "mpeg2video", "mp4": "libx264"}
    path = encode(
        tmp_path / name,
        np.concatenate([numbered(32)] * 8)[:250],
        codec=codec[name.split(".")[1]],
        pixels="yuv420p",
        fps=25,
    )
    whole = list(video.stream(path, fps=25))
    part = video.read(path, fps=25, start=start, seconds=0.4)
    first = int(start * 25 + 1e-6)
    assert len(part) == min(10, len(whole) - first)
    assert numbers(part.frames) == numbers(np.stack(whole[first : first + 10]))


def test_a_part_after_the_end_is_an_error(tmp_path: Path) -> None:
    path = video.write(video.Clip(numbered(8), 8), tmp_path / "clip.mp4")
    with pytest.raises(YozoraError, match="lasts 1 s"):
        video.read(path, start=3)


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0},
        {"fps": -1},
        {"fps": float("nan")},
        {"start": -1},
        {"seconds": 0},
        {"size": (0, 1)},
    ],
)
def test_impossible_wishes_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    path = video.write(video.Clip(numbered(8), 8), tmp_path / "clip.mp4")
    with pytest.raises(YozoraError):
        video.read(path, **options)  # type: ignore[arg-type]


# Colour

BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p"])
@pytest.mark.parametrize(
    ("size", "weights", "full", "matrix", "colour_range"),
    [
        ((128, 96), BT601, False, 2, 0),  # small and untagged: BT.601
        ((1280, 720), BT709, False, 2, 0),  # large and untagged: BT.709
        ((1024, 768), BT709, False, 2, 0),
        ((128, 96), BT709, False, 1, 1),
        ((1280, 720), BT601, False, 6, 1),
        ((128, 96), BT601, False, 5, 1),
        ((128, 96), BT2020, False, 9, 1),
        ((128, 96), BT709, True, 1, 2),
        ((128, 96), BT601, True, 5, 2),
    ],
)
def test_matrix_and_range_are_right(
    tmp_path: Path,
    pixels: str,
    size: tuple[int, int],
    weights: tuple[float, float],
    full: bool,
    matrix: int,
    colour_range: int,
) -> None:
    truth = patches(*size)
    planes = to_ycbcr(truth, *weights, full=full)
    path = tmp_path / "clip.mp4"
    encode_planes(path, planes, pixels, matrix=matrix, colour_range=colour_range)
    seen = video.read(path, max_frames=1).frames[0]
    assert np.abs(centres(seen) - centres(truth)).max() <= 3


@pytest.mark.parametrize("full", [False, True])
def test_range_is_right_where_the_pixel_format_does_not_tell(tmp_path: Path, full: bool) -> None:
    truth = patches()
    planes = to_ycbcr(truth, *BT709, full=full)
    path = tmp_path / "clip.mkv"
    tags = {"matrix": 1, "colour_range": 1 + full, "codec": "ffv1"}
    encode_planes(path, planes, "yuv444p", **tags)  # type: ignore[arg-type]
    assert np.abs(centres(video.read_image(path)) - centres(truth)).max() <= 2


# Orientation and sample aspect


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_rotated_film_is_turned_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    image = patches(64, 48)

    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=mirrored)

    path = encode(tmp_path / "turned.mp4", np.stack([image] * 2), prepare=turn)
    seen = video.read(path).frames[0]
    info = video.probe(path)
    quarter = degrees // 90
    turned = [np.rot90(image[:, ::-1], q) for q in (quarter, -quarter)]
    truth = turned if mirrored else [np.rot90(image, quarter)]
    assert (info.width, info.height) == (seen.shape[1], seen.shape[0])
    assert any(t.shape == seen.shape and psnr(seen, t) > 40 for t in truth)
    if not mirrored:
        assert info.rotation == -degrees % 360


def test_a_phones_portrait_matrix_turns_clockwise() -> None:
    import struct

    one = 1 << 16
    portrait = struct.pack("=9i", 0, one, 0, -one, 0, 0, 48 << 16, 0, 1 << 30)
    orientation = Orientation(portrait)
    image = patches(64, 48)
    assert orientation.rotation == 90
    assert (orientation.apply(image) == np.rot90(image, -1)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if suffix == "jpg" else {"lossless": suffix == "webp"}
    Image.fromarray(patches(64, 48)).save(path, exif=exif, **options)
    with Image.open(path) as image:
        truth = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert psnr(video.read_image(path), truth) > 30


@pytest.mark.parametrize(
    ("aspect", "width"), [(Fraction(2), 128), (Fraction(1, 2), 32), (Fraction(16, 15), 68)]
)
def test_oblong_pixels_become_square(tmp_path: Path, aspect: Fraction, width: int) -> None:
    def squeeze(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    for suffix in ("mp4", "mkv"):
        path = encode(tmp_path / f"sar.{suffix}", moving(2, 64, 48), prepare=squeeze)
        info = video.probe(path)
        assert video.read(path).frames.shape[1:3] == (48, width) == (info.height, info.width)
        fitted = video.read(path, size=(64, 64)).frames[0]
        rows = np.flatnonzero(fitted.any((1, 2)))
        assert abs(len(rows) - min(64, 48 * 64 / width)) <= 1


# Stills


def test_stills_are_clips_of_one_frame(tmp_path: Path) -> None:
    image = patches()
    for suffix, decibels in [("png", 99), ("webp", 99), ("jpg", 25), ("gif", 25), ("bmp", 99)]:
        path = tmp_path / f"still.{suffix}"
        Image.fromarray(image).save(path, **({"lossless": True} if suffix == "webp" else {}))
        clip = video.read(path, fps=8)
        assert len(clip) == 1
        assert clip.fps == 8
        assert psnr(clip.frames[0], image) > decibels
        info = video.probe(path)
        assert info.still
        assert (info.frames, info.width, info.height) == (1, 128, 96)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_stills_of_every_kind_become_rgb_on_black(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("still.jpg" if mode == "CMYK" else "still.png")
    colour = {"LA": (200, 128), "RGBA": (255, 0, 0, 128), "CMYK": (10, 20, 30, 40), "I;16": 65535}
    Image.new(mode, (16, 8), colour.get(mode, 1)).save(path)
    with Image.open(path) as image:
        truth = np.asarray(image.convert("RGB"), np.int64)
    if mode in ("LA", "RGBA"):
        truth = truth * 128 // 255
    seen = video.read_image(path)
    assert seen.shape == (8, 16, 3)
    assert np.abs(seen - (truth if mode != "I;16" else 255)).max() <= 2


def test_a_moving_gif_is_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "anim.gif"
    first, *rest = [Image.new("RGB", (20, 10), (i * 60, 0, 0)) for i in range(4)]
    first.save(path, save_all=True, append_images=rest, duration=[100, 300, 100, 100])
    reds = video.read(path, fps=10).frames[:, 0, 0, 0]
    assert reds.tolist() == [0, 60, 60, 60, 120, 180]


# What has no picture


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused, whichever way it is read."""
    ways: list[Callable[[Path], object]] = [video.read, video.probe, video.read_image]
    sentences = set()
    for way in ways:
        with pytest.raises(YozoraError) as caught:
            way(path)
        sentences.add(str(caught.value))
    assert len(sentences) == 1
    return sentences.pop()


def test_files_without_a_picture_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film\n" * 99)
    assert "empty" in refusal(tmp_path / "empty.mp4")
    assert "No such file" in refusal(tmp_path / "absent.mp4")
    assert "directory" in refusal(tmp_path)
    assert "only audio" in refusal(audio_only(tmp_path / "audio.mp4"))
    assert "encrypted" in refusal(encrypted(tmp_path / "locked.mp4"))
    assert "not a video" in refusal(tmp_path / "text.mp4")
    assert "\0" in refusal(tmp_path / "nul\0.mp4")


def test_a_playlist_cannot_make_us_open_other_files(tmp_path: Path) -> None:
    video.write(video.Clip(moving(3), 8), tmp_path / "private.mp4")
    for text in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nprivate.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile private.mp4\n",
    ):
        path = tmp_path / "list.mp4"
        path.write_text(text)
        assert "not a video" in refusal(path)


def test_an_animated_webp_says_that_it_is_not_read(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "red")
    first.save(tmp_path / "anim.webp", save_all=True, append_images=[second])
    assert "animated WebP" in refusal(tmp_path / "anim.webp")


def test_more_than_a_clip_may_hold_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video.write(video.Clip(numbered(40), 8), tmp_path / "clip.mp4")
    monkeypatch.setattr("yozora.video.reading.MAX_CLIP_BYTES", 20 * 32 * 32 * 3)
    assert len(video.read(path, max_frames=20)) == 20
    with pytest.raises(YozoraError, match="stream"):
        video.read(path)


# Memory

STREAM = """
import resource, sys
from yozora import video

for path in sys.argv[1:]:
    count = sum(1 for _ in video.stream(path))
    print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_longer_film_takes_no_more_memory(tmp_path: Path) -> None:
    frame = np.kron(patches(120, 108), np.ones((10, 16, 1), np.uint8))  # 1920x1080
    paths = [tmp_path / "short.mp4", tmp_path / "long.mp4"]
    for path, frames in zip(paths, (30, 90), strict=True):
        options = {"preset": "ultrafast"}
        with_frames = np.broadcast_to(frame, (frames, *frame.shape))
        encode(path, with_frames, codec="libx264", pixels="yuv420p", fps=30, options=options)
    source = Path(__file__).parents[1] / "src"
    output = subprocess.check_output(
        [sys.executable, "-c", STREAM, *map(str, paths)],
        text=True,
        env={"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
    )
    (short, before), (long, after) = (map(int, line.split()) for line in output.splitlines())
    assert (short, long) == (30, 90)
    # 60 further frames of 6 MB each would be 370 MB, had they been kept.
    assert after - before < 60


def test_stream_decodes_only_what_is_asked_for(tmp_path: Path) -> None:
    path = video.write(video.Clip(numbered(20), 8), tmp_path / "clip.mp4")
    frames = video.stream(path)
    assert numbers(np.stack(list(islice(frames, 3)))) == [0, 1, 2]
    frames.close()  # type: ignore[attr-defined]
    path.unlink()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_colour_profile_survives_garbage_collection(tmp_path: Path, suffix: str) -> None:
    """FFmpeg hands the profile over as side data that PyAV frees twice when it is looked at: a crash, not an error."""
    path = tmp_path / f"profile{suffix}"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(patches(64, 48)).save(path, icc_profile=profile)
    script = f"import gc; from yozora.video import read\nfor _ in range(20): read({str(path)!r}); gc.collect()"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
