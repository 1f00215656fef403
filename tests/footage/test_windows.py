from __future__ import annotations

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from yozora.footage.windows import Windows, clip_length

quick = settings(deadline=None, max_examples=40)
FRAMES = st.integers(0, 200)
LENGTHS = st.integers(0, 12).map(lambda n: 1 + 4 * n)


def windows(frames: range, length: int, stride: int) -> Iterator[tuple[int, list[int]]]:
    cut = Windows[int](length, stride)
    for window in [*map(cut.push, frames), cut.rest()]:
        if window:
            yield window[0], window


@quick
@given(FRAMES, LENGTHS, st.integers(1, 60))
def test_windows_are_runs_of_the_right_length_that_never_exceed_the_stream(
    frames: int, length: int, stride: int
) -> None:
    for start, window in windows(range(frames), length, stride):
        assert window == list(range(start, start + len(window)))
        assert start + len(window) <= frames
        assert len(window) == length or (frames < length and len(window) % 4 == 1)


@quick
@given(FRAMES, LENGTHS, st.integers(1, 60))
def test_every_frame_is_in_a_window_when_the_stride_leaves_no_gap(
    frames: int, length: int, stride: int
) -> None:
    seen = {frame for _, window in windows(range(frames), length, stride) for frame in window}
    if stride <= length <= frames:
        assert seen == set(range(frames))
    elif frames < length:  # too short for one window: all but the up to three that 1 + 4n leaves
        assert seen == set(range(len(seen)))
        assert frames - 4 < len(seen) <= frames


@quick
@given(FRAMES, LENGTHS, st.integers(1, 60))
def test_windows_start_a_stride_apart_and_the_last_one_ends_with_the_stream(
    frames: int, length: int, stride: int
) -> None:
    starts = [start for start, _ in windows(range(frames), length, stride)]
    assert starts[:-1] == [i * stride for i in range(len(starts) - 1)]
    assert sorted(set(starts)) == starts
    if starts and starts[-1] % stride:
        assert starts[-1] == frames - length


@quick
@given(FRAMES, LENGTHS, st.integers(1, 60))
@example(frames=19, length=17, stride=20)
def test_there_are_no_more_windows_than_strides(frames: int, length: int, stride: int) -> None:
    assert len(list(windows(range(frames), length, stride))) <= -(-frames // stride)


def test_a_window_is_given_as_soon_as_its_last_frame_is_there() -> None:
    cut = Windows[int](17, 17)
    assert [number for number in range(60) if cut.push(number)] == [16, 33, 50]


@quick
@given(st.floats(-5, 1000))
def test_a_clip_has_1_plus_4n_frames_close_to_what_was_asked_for(frames: float) -> None:
    length = clip_length(frames)
    assert length % 4 == 1
    assert length >= 1
    assert abs(length - max(1, frames)) <= 2
