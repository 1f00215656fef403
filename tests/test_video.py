"""Clips: what they hold, how they fit a size, show themselves, and stand on a contact sheet."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media import moving, numbered

from yozora import video
from yozora.errors import YozoraError


def test_a_clip_knows_its_size_and_length() -> None:
    clip = video.Clip(moving(17), 8)
    assert (clip.width, clip.height, len(clip), clip.seconds) == (112, 64, 17, 17 / 8)


@pytest.mark.parametrize(
    ("frames", "fps"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), 8),
        (np.zeros((4, 4, 3), np.uint8), 8),
        (np.zeros((0, 4, 4, 3), np.uint8), 8),
        (np.zeros((2, 4, 4, 4), np.uint8), 8),
        (np.zeros((2, 4, 4, 3), np.uint8), 0),
        (np.zeros((2, 4, 4, 3), np.uint8), float("nan")),
        ([[1, 2, 3]], 8),
    ],
)
def test_a_clip_of_another_kind_is_refused(frames: object, fps: float) -> None:
    with pytest.raises(YozoraError):
        video.Clip(frames, fps)  # type: ignore[arg-type]


def test_a_notebook_gets_a_self_contained_video(tmp_path: Path) -> None:
    clip = video.Clip(moving(), 8)
    html = clip._repr_html_()
    source = re.search(r'src="data:video/mp4;base64,([^"]+)"', html)
    assert source is not None
    assert "http" not in html
    path = tmp_path / "shown.mp4"
    path.write_bytes(base64.b64decode(source[1]))
    assert video.read(path).frames.shape == clip.frames.shape


sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


@settings(max_examples=60, deadline=None)
@given(source=sizes, target=sizes)
def test_fit_keeps_the_aspect_and_pads_with_black(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    white = np.full((2, source[1], source[0], 3), 255, np.uint8)
    frames, (x, y, w, h) = video.fit(white, target)
    assert frames.shape == (2, target[1], target[0], 3)
    inside = np.zeros(target[::-1], bool)
    inside[y : y + h, x : x + w] = True
    assert (frames[:, inside] >= 250).all()
    assert (frames[:, ~inside] == 0).all()
    # One side is filled; the other is the aspect ratio's, to the pixel.
    assert w == target[0] or h == target[1]
    scale = min(target[0] / source[0], target[1] / source[1])
    assert abs(w - source[0] * scale) <= 1
    assert abs(h - source[1] * scale) <= 1


def test_fit_leaves_frames_of_the_right_size_alone() -> None:
    frames = moving(3)
    same, rect = video.fit(frames, (112, 64))
    assert (same == frames).all()
    assert rect == (0, 0, 112, 64)


def test_fit_does_not_alias() -> None:
    lines = np.zeros((1, 64, 64, 3), np.uint8)
    lines[:, :, ::2] = 255
    small, _ = video.fit(lines, (8, 8))
    assert np.abs(small.astype(int) - 127).max() < 20  # without a low-pass it would be 127


def test_fit_refuses_what_is_no_size() -> None:
    for size in [(0, 5), (5, -1), (3,), "ab", None]:
        with pytest.raises(YozoraError):
            video.fit(moving(1), size)  # type: ignore[arg-type]


def test_a_sheet_shows_each_clip_from_first_to_last_frame() -> None:
    clips = [video.Clip(numbered(9), 8), video.Clip(numbered(9)[::-1].copy(), 8)]
    sheet = video.contact_sheet(clips, columns=1, frames=5)
    shown = {int(v) for v in np.unique(sheet)}
    assert {0, 16, 32, 48, 64} <= shown
    row = sheet[6 + 16]
    greys = [int(p[0]) for p in row if len(set(p.tolist())) == 1]
    assert greys.index(64) > greys.index(0)  # the first clip brightens to the right


def test_a_sheet_takes_clips_of_any_size_and_draws_captions() -> None:
    clips = [video.Clip(moving(5), 8), video.Clip(moving(1, 40, 90), 8), video.Clip(moving(2), 8)]
    plain = video.contact_sheet(clips, columns=2)
    named = video.contact_sheet(clips, ["a red ball " * 20, "", "ünïcode ✓"], columns=2)
    blank = video.contact_sheet(clips, ["", "", ""], columns=2)
    assert named.shape[1] == plain.shape[1]
    assert named.shape[0] > blank.shape[0] > plain.shape[0]  # long captions wrap, none is lost
    assert named.dtype == np.uint8


def test_a_sheet_needs_clips_and_a_caption_for_each() -> None:
    clip = video.Clip(moving(1), 8)
    for arguments in [([], None), ([clip], ["a", "b"])]:
        with pytest.raises(YozoraError):
            video.contact_sheet(*arguments)
