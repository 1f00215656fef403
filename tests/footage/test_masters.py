"""Shots kept whole on a large canvas, with renditions for training from the same pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media import psnr

from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.corpus.report import check, picture
from yozora.footage.ingest import ingest_into
from yozora.latents.buckets import Shape, grouped
from yozora.recipes import sieve_recipe
from yozora.revoke import revoke
from yozora.video import Canvas, Clip, write
from yozora.video.encoders import ENCODERS

NANO, LARGE = Canvas(112, 64, 8), Canvas(320, 208, 20)


def film(path: Path, *, still: bool = False, size: tuple[int, int] = (256, 108)) -> Path:
    """Two shots of four seconds at 20 fps in which a picture drifts; in the second one it may stand still."""
    rng = np.random.default_rng(len(path.name))
    shots = []
    for shot in range(2):
        large = cv2.resize(rng.integers(0, 255, (9, 24, 3), dtype=np.uint8), (2 * size[0], size[1]))
        speed = 0 if still and shot else 1
        shots += [np.roll(large, speed * t, 1)[:, : size[0]] for t in range(80)]
    return write(Clip(np.stack(shots), 20), path)


def on_canvas(path: Path, canvas: Canvas) -> np.ndarray:
    """A film's frames as the canvas lays them out."""
    shown = [view.pictures[0] for view in video.watch(path, [canvas])]
    return np.stack([picture.pixels for picture in shown for _ in range(picture.shown)])  # type: ignore[misc]


def take(corpus: Corpus, *paths: Path, **options: Any) -> Any:
    given = {"canvas": LARGE, "max_seconds": 3.0, "licence": "CC-BY-4.0", "split": "train"}
    return ingest_into(corpus, paths, **{**given, **options})


def test_a_shot_is_a_master_and_its_renditions(tmp_path: Path) -> None:
    path, corpus = film(tmp_path / "f.mp4"), Corpus.create(tmp_path / "c")
    report = take(corpus, path)
    rows = corpus.rows()
    masters = {row.id: row for row in rows if row.role == "master"}
    renditions = [row for row in rows if row.role == "rendition"]
    assert (report.added, report.refused) == (len(rows), [])
    assert [row.labels["start"] for row in masters.values()] == [0, 3, 4, 7]
    assert [row.seconds for row in masters.values()] == [3, 1, 3, 1]
    assert {(row.width, row.height, row.fps) for row in masters.values()} == {(320, 208, 20)}
    assert {(row.width, row.height, row.fps) for row in renditions} == {(112, 64, 8)}
    assert {row.master for row in renditions} == set(masters)
    assert {row.encoder for row in rows} == {"libx264", "libx264rgb"}
    frames = on_canvas(path, LARGE)
    for row in masters.values():
        first = round(row.labels["start"] * 20)
        stored = on_canvas(corpus.file(row), LARGE)
        assert psnr(stored, frames[first : first + row.frames]) > 42
    for row in renditions:
        master = masters[row.master]
        assert row.labels["start"] >= master.labels["start"] - 0.1
        end = master.labels["start"] + master.seconds
        assert row.labels["start"] + row.seconds <= end + 0.1
        assert row.labels["shot"] == master.labels["shot"]
    assert take(corpus, path).duplicates == len(rows)
    assert not list(corpus.path.glob(".incoming*"))
    assert len(list(corpus.path.rglob("*.mp4"))) == len(rows)


def test_renditions_are_the_same_without_masters_which_may_come_later(tmp_path: Path) -> None:
    path, corpus = film(tmp_path / "f.mp4"), Corpus.create(tmp_path / "c")
    take(corpus, path, canvas=None)
    alone = {row.id for row in corpus.rows()}
    assert {row.role for row in corpus.rows()} == {""}
    report = take(corpus, path)
    assert (report.added, report.updated) == (4, len(alone))
    assert {row.id for row in corpus.rows() if row.role == "rendition"} == alone


def test_each_clip_is_sieved_for_itself_and_nothing_is_left_of_what_is_dropped(
    tmp_path: Path,
) -> None:
    path, corpus = film(tmp_path / "f.mp4", still=True), Corpus.create(tmp_path / "c")
    report = take(corpus, path)
    assert report.left_out == {"min_motion": 5}  # masters and renditions of the second shot
    assert {row.labels["shot"] for row in corpus.rows()} == {0}
    assert len(list(corpus.path.rglob("*.mp4"))) == report.added
    kept = take(corpus, path, sieve=sieve_recipe("everything"))
    assert kept.added == 4  # two windows show the same frozen frames, which are one clip


def test_training_ignores_masters_and_reports_tell_them_apart(tmp_path: Path) -> None:
    path, corpus = film(tmp_path / "f.mp4"), Corpus.create(tmp_path / "c")
    take(corpus, path)
    rows = corpus.rows()
    fitting, left = grouped(rows, [Shape(5, 64, 112, 8.0), Shape(1, 64, 112, 8.0)])
    trained = [row for members in fitting.values() for row in members]
    assert {row.role for row in trained} == {"rendition"}
    ((reason, masters),) = left.items()
    assert "master" in reason
    assert {row.role for row in masters} == {"master"}
    assert {row.role for row in corpus.rows(masters=False)} == {"rendition"}
    found = check(corpus)
    assert found.roles == {"rendition": len(trained), "master": 4}
    assert found.seconds == pytest.approx(sum(row.seconds for row in trained))
    assert picture(corpus, rows).shape[1] < 4000


@pytest.mark.parametrize("role", ["master", "rendition"])
def test_a_clip_that_is_taken_back_takes_its_family_along(tmp_path: Path, role: str) -> None:
    corpus = Corpus.create(tmp_path / "c")
    take(corpus, film(tmp_path / "f.mp4"))
    rows = corpus.rows()
    named = next(row for row in rows if row.role == role)
    report = revoke(corpus, clips=[named.id[:16]])
    family = {row.id for row in rows if row.master == named.master}
    assert len(family) > 1
    assert set(report.clips) == family
    assert {row.id for row in corpus.rows()} == {row.id for row in rows} - family


@settings(max_examples=30)
@given(st.floats(0.2, 5), st.booleans())
def test_master_and_renditions_show_the_same_part_of_their_canvas(
    aspect: float, buckets: bool
) -> None:
    source = (round(400 * aspect), 400)
    canvases = [Canvas(1920, 1080, 30), NANO, Canvas(640, 360, 25), Canvas(256, 256, 8)]
    for canvas in canvases:
        chosen = canvas.nearest(source) if buckets else canvas
        x, y, w, h = chosen.content(source)
        assert min(x, y) >= 0
        assert x + w <= chosen.width
        assert y + h <= chosen.height
        assert max(w / chosen.width, h / chosen.height) == 1
        assert abs(chosen.width - w - 2 * x) <= 3  # in the middle
        assert w == pytest.approx(h * source[0] / source[1], abs=1.1 + 1.1 * aspect)
        padded = 1 - w * h / (chosen.width * chosen.height)
        if buckets and 9 / 16 <= aspect <= 16 / 9:
            assert padded < 0.25
            area = chosen.width * chosen.height / (canvas.width * canvas.height)
            assert area == pytest.approx(1, abs=0.15 if canvas == NANO else 0.05)
            assert chosen == canvas or not (chosen.width % 16 or chosen.height % 16)


def test_aspect_buckets_take_the_canvas_of_the_films_shape(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    take(corpus, film(tmp_path / "f.mp4", size=(90, 160)), aspect_buckets=True)
    shapes = {(row.role, row.width, row.height) for row in corpus.rows()}
    assert shapes == {("master", 192, 336), ("rendition", 64, 112)}
    for row in corpus.rows():
        assert row.labels["content"][2:] == pytest.approx([row.width, row.height], abs=3)


def test_without_x264_another_encoder_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yozora import doctor
    from yozora.video import encoders

    tried = encoders.back

    def absent(name: str, pixels: str, suffix: str) -> int:
        if name.startswith("libx264"):
            raise ValueError(f"unknown codec {name}")
        return tried(name, pixels, suffix)

    monkeypatch.setattr(encoders, "back", absent)
    encoders.works.cache_clear()
    try:
        corpus = Corpus.create(tmp_path / "c")
        report = take(corpus, film(tmp_path / "f.mp4"))
        said = {check.name: check for check in doctor._encoders()}
    finally:
        encoders.works.cache_clear()
    rows = corpus.rows()
    assert len(rows) == report.added > 4
    assert {row.encoder for row in rows} == {"libvpx-vp9"}
    for row in rows:
        assert len(corpus.read(row)) == row.frames
    assert said["large clips encoder"].status == "note"
    assert "libvpx-vp9, as libx264 does not work" in said["large clips encoder"].value


@pytest.mark.parametrize("quality", ["exact", "film"])
def test_every_encoder_comes_near_what_is_meant(
    tmp_path: Path, quality: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas = NANO if quality == "exact" else Canvas(320, 240, 20)
    path = film(tmp_path / "f.mp4")
    pictures = on_canvas(path, canvas)[:40]
    found = {}
    for encoder in ENCODERS[".mp4", quality]:
        monkeypatch.setitem(ENCODERS, (".mp4", quality), (encoder,))
        file = tmp_path / f"{encoder.name}.mp4"
        with video.Writer(file, fps=canvas.fps, size=canvas.size, quality=quality) as writer:
            for shown in pictures:
                writer.write(shown)
        found[encoder.name] = psnr(on_canvas(file, canvas), pictures)
    assert min(found.values()) > 42, found


# Takes a film in and prints its largest resident set in megabytes.
RUN = """
import sys
from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import ingest_into
from yozora.video import Canvas
canvas = Canvas(960, 544, 24)
report = ingest_into(Corpus.create(sys.argv[1]), [sys.argv[2]], licence="CC0-1.0", canvas=canvas)
assert not report.refused, report.refused
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(report.added, int(status["VmHWM"].split()[0]) // 1024)
"""


def test_memory_does_not_grow_with_the_length_of_a_master(tmp_path: Path) -> None:
    drift = film(tmp_path / "short.mp4", size=(128, 72))
    shot = video.read(drift).frames[:80]
    peaks = []
    for seconds in (6, 50):  # the longer one would take 1.8 GB as a clip in RGB
        path = tmp_path / f"{seconds}.mp4"
        with video.Writer(path, fps=24, size=(128, 72)) as writer:
            for number in range(24 * seconds):
                place = number % 158
                writer.write(shot[min(place, 158 - place)])
        done = subprocess.run(
            [sys.executable, "-c", RUN, tmp_path / f"c{seconds}", path],
            capture_output=True, text=True, check=True, env=dict(os.environ),
        )  # fmt: skip
        peaks.append(int(done.stdout.split()[1]))
        (master,) = [
            row for row in Corpus.open(tmp_path / f"c{seconds}").rows() if row.role == "master"
        ]
        assert master.seconds == pytest.approx(seconds, abs=0.1)
    assert peaks[1] < peaks[0] + 60, json.dumps(peaks)
