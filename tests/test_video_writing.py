"""Files out: what is written is what was given, complete or not there at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media import centres, moving, numbered, patches, psnr

from yozora import video
from yozora.errors import YozoraError


@pytest.mark.parametrize(
    ("name", "quality", "error"),
    [
        ("clip.mp4", "standard", 2),
        ("clip.mp4", "exact", 1),
        ("clip.webm", "standard", 3),
        ("clip.gif", "standard", 0),
    ],
)
def test_saturated_colours_survive(
    tmp_path: Path, name: str, quality: video.writing.Quality, error: int
) -> None:
    image = patches()
    path = video.write(video.Clip(np.stack([image] * 5), 8), tmp_path / name, quality)
    assert np.abs(centres(video.read(path).frames) - centres(image)).max() <= error


def test_exact_is_more_than_45_decibels_at_a_few_kilobytes(tmp_path: Path) -> None:
    clip = video.Clip(moving(), 8)
    path = clip.save(tmp_path / "clip.mp4", quality="exact")
    again = video.read(path)
    assert again.fps == 8
    assert min(psnr(a, b) for a, b in zip(again.frames, clip.frames, strict=True)) > 45
    assert path.stat().st_size < 20_000


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    clip = video.Clip(moving(), 8)
    one, two = (clip.save(tmp_path / name, quality="exact") for name in ("1.mp4", "2.mp4"))
    assert one.read_bytes() == two.read_bytes()


def test_mp4_is_what_every_player_takes(tmp_path: Path) -> None:
    path = video.write(video.Clip(moving(), 8), tmp_path / "clip.mp4")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        tags = (context.colorspace, context.color_primaries, context.color_trc)
        assert tags == (1, 1, 1)  # BT.709
        assert context.color_range == 1  # limited
        assert stream.duration is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(17 / 8)  # type: ignore[operator]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 64), (63, 1), (65, 49)])
def test_odd_sizes_are_padded_where_the_format_needs_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    frames = np.full((3, height, width, 3), (200, 60, 90), np.uint8)
    even = (height + height % 2, width + width % 2)
    for name, quality, expected in [
        ("clip.mp4", "standard", even),
        ("clip.webm", "standard", even),
        ("clip.mp4", "exact", (height, width)),
        ("clip.gif", "standard", (height, width)),
    ]:
        path = video.write(video.Clip(frames, 8), tmp_path / name, quality)  # type: ignore[arg-type]
        again = video.read(path).frames
        assert again.shape == (3, *expected, 3)
        assert np.abs(again.astype(int) - (200, 60, 90)).max() <= 6  # the padding repeats the edge
    for suffix in ("png", "jpg", "webp"):
        path = tmp_path / f"still.{suffix}"
        video.write_image(path, frames[0])
        assert video.read(path).frames.shape == (1, height, width, 3)


def test_a_still_survives(tmp_path: Path) -> None:
    image = patches()
    for suffix, decibels in [("png", 99), ("webp", 99), ("jpg", 35), ("jpeg", 35)]:
        path = video.write(video.Clip(image[None], 1), tmp_path / f"still.{suffix}")
        assert psnr(video.read_image(path), image) > decibels


def test_a_clip_is_no_still(tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="3 frames"):
        video.write(video.Clip(moving(3), 8), tmp_path / "clip.png")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif"])
def test_frames_are_written_one_by_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "folder" / name
    with video.Writer(path, fps=8, size=(32, 32)) as writer:
        for frame in numbered(12):
            writer.write(frame)
            assert not path.exists()
    assert len(video.read(path)) == 12


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    old = video.write(video.Clip(moving(3), 8), tmp_path / "clip.mp4").read_bytes()

    def interrupted() -> None:
        with video.Writer(tmp_path / "clip.mp4", fps=8, size=(32, 32)) as writer:
            for frame in numbered(99):  # enough to bring the encoder to write
                writer.write(frame)
            assert len(list(tmp_path.iterdir())) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with (
        pytest.raises(YozoraError, match="no frame"),
        video.Writer(tmp_path / "none.mp4", fps=8, size=(32, 32)),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == old


@pytest.mark.parametrize(
    ("name", "fps", "size", "quality"),
    [
        ("clip.xyz", 8, (32, 32), "standard"),
        ("clip.gif", 8, (32, 32), "exact"),
        ("clip.mp4", 0, (32, 32), "standard"),
        ("clip.mp4", 0.0004, (32, 32), "standard"),
        ("clip.gif", float("nan"), (32, 32), "standard"),
        ("clip.mp4", float("inf"), (32, 32), "standard"),
        ("clip.mp4", 8, (0, 32), "standard"),
    ],
)
def test_impossible_files_are_refused(
    tmp_path: Path, name: str, fps: float, size: tuple[int, int], quality: str
) -> None:
    with pytest.raises(YozoraError):
        video.Writer(tmp_path / name, fps=fps, size=size, quality=quality)  # type: ignore[arg-type]


def test_frames_of_another_kind_are_refused(tmp_path: Path) -> None:
    for frame in (np.zeros((16, 32, 3), np.uint8), np.zeros((32, 32, 3), np.float32)):
        with (
            pytest.raises(YozoraError, match="takes uint8 frames"),
            video.Writer(tmp_path / "clip.mp4", fps=8, size=(32, 32)) as writer,
        ):
            writer.write(frame)  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    clip = video.Clip(moving(2), 8)
    for path in (tmp_path / "file" / "clip.mp4", tmp_path / "file" / "still.png"):
        with pytest.raises(YozoraError):
            video.write(video.Clip(clip.frames[:1], 8), path)
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(YozoraError):
        video.write(clip, tmp_path / "clip.mp4")


WRITE = """
import resource, sys
import numpy as np
from yozora import video

peaks = []
with video.Writer(sys.argv[1], fps=30, size=(640, 360)) as writer:
    for k in range(300):
        writer.write(np.full((360, 640, 3), k % 256, np.uint8))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(peaks[99], peaks[-1])
"""


def test_writing_more_frames_takes_no_more_memory(tmp_path: Path) -> None:
    source = Path(__file__).parents[1] / "src"
    output = subprocess.check_output(
        [sys.executable, "-c", WRITE, str(tmp_path / "long.mp4")],
        text=True,
        env={"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
    )
    before, after = map(int, output.split())
    # 200 further frames of 0.7 MB each would be 138 MB, had they been kept.
    assert after - before < 40
