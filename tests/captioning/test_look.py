"""What is measured of a clip."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.captioning.clips import plain, row, travelling

from yozora.captioning.look import content, look
from yozora.video import Clip

MEASURES = {
    "motion": {"camera": 0.5, "local": 0.25, "shake": 0.1},
    "light": {"brightness": 0.3, "contrast": 0.2, "dark": 0.1, "bright": 0.0, "sharpness": 9.0},
    "hash": "00ff00ff00ff00ff",
}


@pytest.mark.parametrize(
    ("x", "y", "way"), [(2, 0, "right"), (-2, 0, "left"), (0, 1, "down"), (0, -1, "up")]
)
def test_a_camera_that_turns_is_seen_to_turn_that_way(x: float, y: float, way: str) -> None:
    found = look(row(), travelling(x, y))
    assert (found.camera, found.way) == ("moves", way)
    assert found.motion is not None
    assert found.motion.camera > 0.05


@pytest.mark.parametrize(("zoom", "way"), [(1.04, "in"), (1 / 1.04, "out")])
def test_a_view_that_closes_in_or_widens(zoom: float, way: str) -> None:
    picture = travelling(frames=1).frames[0]
    height, width = picture.shape[:2]
    frames = []
    for t in range(7):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1.3 * zoom ** (t - 3))
        frames.append(cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT))
    assert look(row(), Clip(np.stack(frames).astype(np.uint8), 8)).way == way


def test_a_camera_that_stands_still_goes_nowhere() -> None:
    found = look(row(), travelling())
    assert (found.camera, found.way) == ("still", "")
    assert found.motion is not None
    assert found.motion.speed < 0.006


def test_a_body_before_a_plain_wall_is_no_camera() -> None:
    frames = np.full((9, 36, 64, 3), 200, np.uint8)
    for t in range(9):
        frames[t, 12:36, 10 + 3 * t : 34 + 3 * t] = travelling(frames=1).frames[0, :24, :24] // 2
    found = look(row(), Clip(frames, 8))
    assert found.motion is not None
    assert (found.camera, found.motion.camera > 0.05) == ("", True)


def test_a_cut_is_no_camera() -> None:
    frames = np.concatenate([travelling(frames=4).frames, travelling(frames=4, seed=2).frames])
    assert look(row(), Clip(frames, 8)).camera == ""


def test_a_still_has_no_motion() -> None:
    found = look(row(labels={"measures": MEASURES}), plain(9, 9, 9, frames=1))
    assert (found.motion, found.way) == (None, "")


def test_what_was_measured_before_counts() -> None:
    found = look(row(labels={"measures": MEASURES}), plain(200, 0, 0))
    assert found.motion is not None
    assert found.light is not None
    assert (found.motion.camera, found.motion.local, found.motion.shake) == (0.5, 0.25, 0.1)
    assert (found.light.brightness, found.light.sharpness) == (0.3, 9.0)
    assert found.named["red"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(JSON, JSON, JSON, JSON)
def test_labels_that_are_something_else_are_passed_over(a: Any, b: Any, c: Any, d: Any) -> None:
    for measures in (a, {"motion": b, "light": c}):
        odd = row(labels={"measures": measures, "content": d})
        clip = content(odd, plain(128, 128, 128, frames=2))
        assert look(odd, clip).motion is not None


def test_bars_are_not_looked_at() -> None:
    clip = plain(0, 200, 0)
    clip.frames[:, :, :16] = 0
    inside = content(row(labels={"content": [16, 0, 48, 36]}), clip)
    assert (inside.width, inside.height) == (48, 36)
    assert look(row(), inside).named["green"] == 1
