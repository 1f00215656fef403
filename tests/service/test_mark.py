"""The mark: a code that corrects, frames that stay as they look, and a mark that stays where it is put."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media import encode, psnr

from yozora import Clip, read
from yozora.service import mark
from yozora.world import dataset

PAYLOADS = st.integers(0, 2**mark.BITS - 1)


def heard(payload: int) -> np.ndarray:
    return 1.0 - 2 * mark.encode(payload)


@given(PAYLOADS, st.lists(st.integers(0, 63), max_size=4))
def test_the_code_corrects_any_four_bits(payload: int, wrong: list[int]) -> None:
    soft = heard(payload).ravel()
    soft[wrong] *= -1
    assert mark.decode(soft.reshape(-1, 2)) == payload


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [dataset.make(number, 5)[0] for number in range(4)]


@pytest.mark.parametrize("payload", [0, 2**32 - 1, 0x5EED0A57])
def test_what_is_put_in_is_found_and_nothing_looks_different(
    clips: list[Clip], payload: int
) -> None:
    for clip in clips:
        marked = mark.embed(clip, payload)
        assert psnr(marked.frames, clip.frames) > 42
        found = mark.find(marked)
        assert found is not None
        assert found.payload == payload
        assert found.chance < mark.CHANCE


def test_frames_without_a_mark_or_with_another_key_have_none(clips: list[Clip]) -> None:
    for clip in clips:
        assert mark.find(clip) is None
        assert mark.find(mark.embed(clip, 7, key=b"another")) is None
    black = np.zeros((3, 64, 112, 3), np.uint8)
    assert mark.find(Clip(black, 8)) is None
    assert mark.find(Clip(black[:, :1, :1], 8)) is None


def test_it_survives_x264_other_sizes_other_rates_and_cut_edges(
    clips: list[Clip], tmp_path: Path
) -> None:
    options = {"crf": "23", "preset": "medium"}

    def coded(frames: np.ndarray) -> mark.Mark | None:
        path = encode(
            tmp_path / "a.mp4", frames, codec="libx264", pixels="yuv420p", options=options
        )
        return mark.find(read(path))

    for clip in clips:
        frames = mark.embed(clip, 0xC0FFEE).frames
        half = np.stack([cv2.resize(f, (56, 32), interpolation=cv2.INTER_AREA) for f in frames])
        for changed in (frames, half, frames[::2], frames.repeat(3, 0)):
            found = coded(changed)
            assert found is not None
        assert (again := coded(frames)) is not None
        assert again.payload == 0xC0FFEE
        cut = coded(np.ascontiguousarray(frames[:, 2:, 3:-3]))
        assert cut is not None
        assert any(cut.cut)


def test_a_key_without_meaning_is_seen_as_seldom_as_the_bound_says(clips: list[Clip]) -> None:
    lumas = [mark.small_luma(clip) for clip in clips]
    clarities = []
    for number in range(400):
        chance = mark.clearest(lumas[number % 4], ((0.0,),) * 4, str(number).encode()).chance
        clarities.append(chance)
    for bound in (0.5, 0.1, 0.01):
        assert np.mean(np.array(clarities) < bound) < bound
