"""One pass: every frame small, pictures as stream() gives them, damage survived, little memory."""

from __future__ import annotations

import gc
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media import (
    encode,
    encode_planes,
    moving,
    numbered,
    patches,
    psnr,
    to_ycbcr,
)

from yozora import video
from yozora.errors import YozoraError

BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)  # the weights of red and blue


def pictures(path: Path, *canvases: video.Canvas) -> list[np.ndarray]:
    views = [view.pictures for view in video.watch(path, canvases)]
    return [
        np.stack([pixels for pixels, shown in shown_on for _ in range(shown)])  # type: ignore[misc]
        for shown_on in zip(*views, strict=True)
    ]


def test_pictures_are_those_of_stream_on_any_number_of_canvases(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.7, 0.8, 1.4, 1.45]
    path = encode(tmp_path / "vfr.mkv", moving(7), times=times)
    canvases = [video.Canvas(48, 48, fps) for fps in (4.0, 10.0, 23.0)]
    for canvas, seen in zip(canvases, pictures(path, *canvases), strict=True):
        assert (seen == np.stack(list(video.stream(path, fps=canvas.fps, size=(48, 48))))).all()


SIZES = st.integers(130, 300).map(lambda n: 2 * n)


@settings(max_examples=12)
@given(SIZES, SIZES, st.sampled_from([1, 6]), st.booleans())
def test_large_canvases_show_the_same_as_i420(
    width: int, height: int, matrix: int, turned: bool
) -> None:
    weights = BT709 if matrix == 1 else BT601
    planes = to_ycbcr(patches(128, 96), *weights, full=False)
    canvas = video.Canvas(width, height, 8)
    with TemporaryDirectory() as folder:
        path = encode_planes(
            Path(folder) / "f.mp4", planes, "yuv420p", matrix=matrix, degrees=90 * turned
        )
        seen = pictures(path, canvas)[0][0]
        exact = next(video.stream(path, size=canvas.size))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(seen), "yuv420p")
    shown = frame.to_ndarray(
        format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
    )
    x, y, w, h = canvas.content((96, 128) if turned else (128, 96))
    assert not any(n % 2 for n in (x, y, w, h))
    inside = slice(y + 2, y + h - 2), slice(x + 2, x + w - 2)
    error = np.abs(shown[inside].astype(int) - exact[inside])
    assert np.median(error) <= 3
    outside = shown.copy()
    outside[y : y + h, x : x + w] = 0
    assert outside.max() <= 1


def test_every_frame_is_seen_once_with_its_time(tmp_path: Path) -> None:
    times = [5, 5.1, 5.2, 5.7, 5.8, 6.4]
    views = list(
        video.watch(encode(tmp_path / "vfr.mkv", numbered(6), times=times), [video.Canvas(8, 8, 1)])
    )
    assert [view.time for view in views] == pytest.approx([t - 5 for t in times], abs=2e-3)
    assert [round(view.luma.mean() / 8) for view in views] == list(range(6))
    assert [view.pictures[0].shown for view in views] == [1, 0, 0, 0, 1, 0]
    assert [i for i, view in enumerate(views) if view.sample] == [0, 3, 5]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p"])
def test_black_is_0_and_white_255_whatever_the_range(
    tmp_path: Path, pixels: str, full: bool
) -> None:
    ramp = np.repeat(np.linspace(0, 255, 8).round().astype(np.uint8), 16)
    picture = np.broadcast_to(ramp[None, :, None], (96, 128, 3)).copy()
    planes = to_ycbcr(picture, *BT709, full=full)
    path = tmp_path / "clip.mp4"
    encode_planes(path, planes, pixels, matrix=1, colour_range=1 + full)
    view = next(video.watch(path))
    assert view.luma.shape == (48, 64)
    assert np.abs(view.luma[24, 4::8].astype(int) - ramp[8::16]).max() <= 2
    assert view.sample is not None
    assert view.sample.luma.shape == (96, 128)
    assert view.sample.rgb.shape == (120, 160, 3)


def test_views_are_upright_with_square_pixels(tmp_path: Path) -> None:
    def turn(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = 2
        stream.set_display_rotation(90)

    path = encode(tmp_path / "turned.mp4", np.stack([patches(64, 48)] * 2), prepare=turn)
    view = next(video.watch(path, [video.Canvas(24, 64, 8)]))
    truth = video.read(path).frames
    assert truth.shape[1:3] == (128, 48)
    assert view.luma.shape == (64, 24)
    assert view.sample is not None
    assert view.sample.rgb.shape == (160, 60, 3)
    assert psnr(view.sample.rgb, video.fit(truth, (60, 160))[0][0]) > 18
    grey = video.fit(truth, (24, 64))[0][0] @ (0.299, 0.587, 0.114)
    assert np.abs(view.luma - grey).mean() < 8


@pytest.mark.parametrize("pixels", ["yuv420p10le", "gray", "yuyv422", "rgb24"])
def test_other_pixel_formats_are_measured_too(tmp_path: Path, pixels: str) -> None:
    codec = "rawvideo" if pixels == "yuyv422" else "ffv1"
    codec = "libx264rgb" if pixels == "rgb24" else codec
    suffix = "avi" if pixels == "yuyv422" else "mkv"
    path = encode(tmp_path / f"clip.{suffix}", moving(3), codec=codec, pixels=pixels)
    truth = video.fit(moving(1), (64, 37))[0][0] @ (0.299, 0.587, 0.114)
    assert np.abs(next(video.watch(path)).luma - truth).mean() < 3


def test_a_still_is_one_view(tmp_path: Path) -> None:
    video.write_image(tmp_path / "still.png", patches())
    (view,) = video.watch(tmp_path / "still.png", [video.Canvas(32, 24, 8)])
    assert (view.time, view.pictures[0].shown, view.sample is not None) == (0, 1, True)


def test_what_decoded_before_the_damage_is_kept(tmp_path: Path) -> None:
    path = encode(tmp_path / "whole.mkv", moving(60), codec="libx264", pixels="yuv420p")
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 6 // 10])
    whole, cut = (list(video.watch(tmp_path / f"{name}.mkv")) for name in ("whole", "cut"))
    assert len(whole) == 60
    assert 10 < len(cut) < 60
    good = cut[:-4]  # what was cut in the middle may still be shown, with holes
    assert all((a.luma == b.luma).all() for a, b in zip(whole, good, strict=False))


def test_broken_timestamps_end_in_a_sentence_after_what_was_good(tmp_path: Path) -> None:
    path = encode(tmp_path / "gap.mkv", numbered(4), times=[0, 1, 2, 100_000])
    views = video.watch(path)
    assert [next(views).time for _ in range(2)] == [0, 1]
    with pytest.raises(YozoraError, match="timestamps"):
        next(views)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film\n" * 99)
    for path in (tmp_path / "text.mp4", tmp_path / "absent.mp4"):
        with pytest.raises(YozoraError):
            next(video.watch(path))
    with pytest.raises(YozoraError, match="rate"):
        next(video.watch(tmp_path / "text.mp4", [video.Canvas(8, 8, 0)]))


def test_frames_are_let_go(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", moving(40), codec="libx264", pixels="yuv420p")
    gc.collect()
    gc.disable()
    try:
        alive = []
        for _ in video.watch(path):
            alive.append(sum(type(o) is av.VideoFrame for o in gc.get_objects()))
    finally:
        gc.enable()
    assert len(alive) == 40
    assert max(alive) <= 10  # what the decoder reorders
