"""Windows are tested with a model that knows how the test's clips go on: every frame is one brighter than the last."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.sampling import windows
from yozora.sampling.windows import Continuation, Frames, Window, held, placed, seamless

LATENTS = st.integers(2, 6)


def counting(count: int, first: int = 100) -> Frames:
    """[count, 1, 1, 3]; frame k has the value first + k."""
    values = np.arange(first, first + count, dtype=np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, 1, 1, 3)).copy()


def spans(t: int) -> list[slice]:
    """The frames of each latent frame of a window."""
    return [slice(a, b) for a, b in pairwise([0, *range(1, 4 * t, 4)])]


@pytest.fixture
def _no_stillness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting changes by one level a frame, which usually passes for a flicker."""
    monkeypatch.setattr(windows, "STILL", 1e-6)


class Oracle:
    """Goes on counting from the known latents; keeps the windows it was given."""

    def __init__(self, t: int) -> None:
        self.t, self.windows = t, list[Window]()

    def __call__(self, window: Window) -> Frames:
        assert window.frames is not None
        assert len(window.frames) == 1 + 4 * (self.t - 1)
        self.windows.append(window)
        anchors = []
        for k in np.flatnonzero(window.known.all((1, 2))):
            at = spans(self.t)[k]
            values = window.frames[at, 0, 0, 0].astype(int)
            if (np.diff(values) == 1).all():  # not a held frame
                anchors += list(values - np.arange(at.start, at.stop))
        assert anchors
        assert len(set(anchors)) == 1  # what is known is of one piece
        return counting(len(window.frames), anchors[0])


def going_on(t: int) -> tuple[Continuation, Oracle]:
    oracle = Oracle(t)
    return Continuation(oracle, (t, 1, 1), "a prompt"), oracle


@pytest.mark.usefixtures("_no_stillness")
@given(LATENTS, st.integers(1, 30), st.integers(0, 40))
def test_forward_goes_on_from_the_end(t: int, count: int, more: int) -> None:
    there, oracle = going_on(t)
    frames = there.forward(counting(count), count + more, seed=3)
    assert (frames == counting(count + more)).all()
    seeds = [window.seed for window in oracle.windows]
    assert len(set(seeds)) == len(seeds)  # the same noise twice would make the same events twice


@pytest.mark.usefixtures("_no_stillness")
@given(LATENTS, st.integers(4, 30), st.integers(0, 40))
def test_backward_leads_to_the_start(t: int, count: int, more: int) -> None:
    there, _ = going_on(t)
    frames = there.backward(counting(count), count + more, seed=3)
    assert (frames == counting(count + more, 100 - more)).all()


@pytest.mark.usefixtures("_no_stillness")
@given(LATENTS, st.data())
def test_a_gap_is_filled_wherever_it_is(t: int, data: st.DataObject) -> None:
    total = data.draw(st.integers(12, 60))
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start + 1, total))
    if end - start > total - 4:
        return
    there, _ = going_on(t)
    clip = counting(total)
    spoilt = clip.copy()
    spoilt[start:end] = 0  # the gap's own frames must not matter
    assert (there.fill(spoilt, start, end, seed=0) == clip).all()


@given(LATENTS, st.data())
def test_given_frames_are_kept_whatever_the_model_makes(t: int, data: st.DataObject) -> None:
    total = data.draw(st.integers(6, 40))
    start = data.draw(st.integers(1, total - 1))
    end = data.draw(st.integers(start + 1, total))
    rng = np.random.default_rng(total)
    clip = rng.integers(0, 256, (total, 2, 2, 3), dtype=np.uint8)

    def nonsense(window: Window) -> Frames:
        assert window.frames is not None
        return rng.integers(0, 256, window.frames.shape, dtype=np.uint8)

    there = Continuation(nonsense, (t, 1, 1), "")
    filled = there.fill(clip, start, end, seed=0)
    assert filled.shape == clip.shape
    assert (filled[:start] == clip[:start]).all()
    assert (filled[end:] == clip[end:]).all()
    assert (there.forward(clip, total + 3, 0)[:total] == clip).all()
    assert (there.backward(clip, total + 3, 0)[-total:] == clip).all()


@given(st.integers(3, 6), st.data())
def test_a_window_around_a_gap_sees_both_sides(t: int, data: st.DataObject) -> None:
    bridge = 4 * max(1, t - 3)
    start = data.draw(st.integers(1, 30))
    end = start + data.draw(st.integers(1, bridge))
    total = end + data.draw(st.integers(4, 30))
    first, known = placed(total, start, end, t)
    frames = [range(first + s.start, first + s.stop) for s in spans(t)]
    assert first >= 0
    assert any(frames[k].stop <= start for k in known)
    assert any(frames[k].start >= end for k in known)
    for k in known:
        assert not set(frames[k]) & set(range(start, end))
        assert frames[k].start < total
    assert set(range(start, end)) <= {i for span in frames for i in span}


def test_a_gap_of_whole_latent_frames_costs_no_given_frame() -> None:
    first, known = placed(total=40, start=19, end=23, t=5)
    assert known == [0, 1, 3, 4]
    assert first + 5 == 19  # the gap is the third latent frame: two known at each side


def test_a_window_prefers_what_is_there_to_a_held_last_frame() -> None:
    first, known = placed(total=24, start=18, end=19, t=5)
    assert (first, known) == (
        6,
        [0, 1, 2, 4],
    )  # its last latent frame is 19 to 22, all of them given


def test_too_little_to_go_on_from() -> None:
    there, _ = going_on(5)
    with pytest.raises(YozoraError, match="at least 4 frames"):
        there.backward(counting(3), 5, seed=0)
    with pytest.raises(YozoraError, match="stills"):
        going_on(1)


def test_the_seam_shows_no_jump() -> None:
    rng = np.random.default_rng(1)
    given_frames = rng.integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    off = np.clip(given_frames.astype(int) + 20, 0, 235).astype(np.uint8)
    for at, way in ((4, 1), (4, -1)):
        out = seamless(off, given_frames, at, way).astype(int)
        assert (out[at] == given_frames[at]).all()
        side = out[:at] if way > 0 else out[at + 1 :]
        assert (side == (off[:at] if way > 0 else off[at + 1 :])).all()
    flat = np.full((9, 2, 2, 3), 100, np.uint8)
    out = seamless(flat, flat + 16, 4, +1)
    assert out[4:, 0, 0, 0].tolist() == [116, 114, 112, 110, 108]  # what stands still joins slowly
    moved = flat.copy()
    moved[5:, 0] = 220
    out = seamless(moved, flat + 16, 4, +1)
    assert (out[5:, 1] == seamless(flat, flat + 16, 4, +1)[5:, 1]).all()
    assert (np.abs(out[5:, 0].astype(int) - 220) <= 4).all()  # what has moved is the model's


def test_holding_repeats_the_ends() -> None:
    assert held(counting(3), before=2, after=1)[:, 0, 0, 0].tolist() == [100] * 3 + [101, 102, 102]
