"""Pixels by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.captioning.clips import plain

from yozora.captioning.colours import NAMES, colourless, lch, shares
from yozora.video import Clip
from yozora.world.scene import COLOURS

LEVEL = st.integers(0, 255)
KNOWN = {
    **COLOURS,
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "brown": (101, 67, 33),
    "beige": (222, 202, 170),
    "pink": (255, 182, 193),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_everybody_calls_so_is_called_so(name: str) -> None:
    named, could_be = shares(plain(*KNOWN[name]))
    assert named[name] == could_be[name] == 1


@given(LEVEL, LEVEL, LEVEL)
def test_every_pixel_has_one_name_and_could_be_called_so(r: int, g: int, b: int) -> None:
    named, could_be = shares(plain(r, g, b, frames=1))
    assert sorted(named.values()) == [0.0] * (len(NAMES) - 1) + [1.0]
    assert all(could_be[name] >= share for name, share in named.items())
    assert sum(share > 0 for share in could_be.values()) <= 6


@given(LEVEL)
def test_greys_have_no_hue(level: int) -> None:
    named, _ = shares(plain(level, level, level, frames=1))
    assert named["black"] + named["grey"] + named["white"] == 1


def test_pale_colours_are_no_black_and_white() -> None:
    assert colourless(plain(120, 121, 124))
    assert not colourless(plain(130, 120, 110))
    assert shares(plain(130, 120, 110))[0]["grey"] == 1


def test_oklab_is_as_its_author_gives_it() -> None:
    lightness, chroma, hue = lch(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert lightness == pytest.approx([1.0, 0.628, 0.452], abs=1e-3)
    assert chroma == pytest.approx([0.0, 0.258, 0.313], abs=1e-3)
    assert hue[1:] == pytest.approx([29.2, 264.1], abs=0.1)


def test_a_body_that_leaves_counts_by_its_best_frame() -> None:
    frames = np.zeros((6, 10, 10, 3), np.uint8)
    frames[0, :2, :5] = COLOURS["green"]
    named, could_be = shares(Clip(frames, 8))
    assert named["green"] == pytest.approx(0.1 / 6)
    assert could_be["green"] == pytest.approx(0.1)
