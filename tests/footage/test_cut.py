from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.footage.test_survey import film

from yozora.errors import YozoraError
from yozora.footage.cut import Cut, Format, Frame, cuts, shown
from yozora.footage.survey import Seen
from yozora.video import Canvas, Clip, Picture, View, stream, watch, write
from yozora.video.timing import Clock

SMALL = Canvas(48, 32, 8.0)
FORMAT = Format((SMALL,), 9 / 8, 9 / 8)


class Kept(list[np.ndarray]):
    """A master in memory."""

    write = list.append


def taken(path: Path, format: Format) -> list[Cut]:
    return list(cuts(path, format, lambda _: Kept()))


def test_clips_stay_within_shots_and_show_what_stream_shows(tmp_path: Path) -> None:
    path = film(
        tmp_path / "film.mp4"
    )  # a cut after 2 s, a dissolve from 4.5 to 5.1 s, 8.1 s in all
    found = taken(path, FORMAT)
    frames = list(stream(path, fps=8.0, size=(48, 32)))
    for cut in found:
        assert (np.stack(cut.pictures) == frames[cut.first : cut.first + cut.count]).all()
        assert cut.count == len(cut.pictures) == 9
    assert [cut.shot for cut in found] == sorted(cut.shot for cut in found)
    covered = [(cut.start, cut.start + cut.seconds) for cut in found]
    for border in (2.0, 4.8):
        assert not any(start + 0.13 < border < end - 0.13 for start, end in covered)
    assert {cut.shot for cut in found} == {0, 1, 2}
    slow, fast = (
        [cut.measures.motion.camera for cut in found if cut.shot == shot] for shot in (0, 1)
    )
    assert min(fast) > max(slow)
    assert all(cut.measures.light for cut in found)


def test_overlapping_clips_are_measured_each_for_itself(tmp_path: Path) -> None:
    still, quick = np.zeros((40, 36, 64, 3), np.uint8), np.zeros((40, 36, 64, 3), np.uint8)
    picture = np.random.default_rng(0).integers(60, 200, (36, 12, 3), dtype=np.uint8)
    for frame in range(40):
        still[frame, :, 4:16] = picture
        quick[frame, :, 4 + frame : 16 + frame] = picture
    path = write(Clip(np.concatenate([still, quick]), 20), tmp_path / "f.mp4", quality="exact")
    found = taken(path, Format((Canvas(64, 36, 10.0),), 0.9, 0.5))
    speeds = {cut.first: cut.measures.motion.speed for cut in found}
    assert [first for first in speeds if first < 31] == [0, 5, 10, 15, 20, 25, 30]
    assert max(speeds[first] for first in (0, 5, 10)) < 0.2 * min(speeds[f] for f in (20, 25, 30))


def test_a_still_is_one_clip_of_each_canvas(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    path = write(Clip(picture, 1), tmp_path / "still.png")
    (cut, master) = taken(path, Format((Canvas(40, 40, 8),), canvas=Canvas(40, 40, 30)))
    assert (np.stack(cut.pictures) == picture).all()
    assert np.array_equal(master.sink, cut.pictures)
    assert (master.count, cut.measures.light is not None) == (1, True)


def test_masters_are_whole_shots_and_renditions_lie_in_them(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    large = Canvas(320, 180, 20.0)
    found = taken(path, Format((SMALL,), 5 / 8, 5 / 8, large, 1.5))
    again = taken(path, Format((SMALL,), 5 / 8, 5 / 8, None, 1.5))
    assert [(c.start, c.count) for c in found if not c.sink] == [(c.start, c.count) for c in again]
    whole = [view.pictures[0] for view in watch(path, [large])]
    pictures = [picture.pixels for picture in whole for _ in range(picture.shown)]
    inside: list[Cut] = []
    for cut in found:
        if cut.sink is None:
            inside.append(cut)
            continue
        assert cut.seconds <= 1.5
        assert np.array_equal(cut.sink, pictures[cut.first : cut.first + cut.count])
        for one in inside:
            assert one.shot == cut.shot
            assert cut.start - 0.13 <= one.start
            assert one.start + one.seconds <= cut.start + cut.seconds + 0.13
        inside = []
    assert not inside
    assert [cut.start for cut in found if cut.sink] == pytest.approx(
        [0, 1.5, 2, 3.5, 5.15, 6.65], abs=0.16
    )


@settings(max_examples=60)
@given(
    shots=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    gaps=st.lists(st.sampled_from([0.01, 0.02, 1 / 24, 0.2, 1.3]), min_size=1, max_size=5),
    rates=st.lists(st.sampled_from([3.0, 8.0, 23.976, 30.0]), min_size=1, max_size=3),
    longest=st.floats(0.05, 3),
    masters=st.booleans(),
)
def test_stretches_cover_shots_and_are_never_too_long(
    shots: list[tuple[int, bool]],
    gaps: list[float],
    rates: list[float],
    longest: float,
    masters: bool,
) -> None:
    canvases = [Canvas(16, 16 * (place + 1), rate) for place, rate in enumerate(rates)]
    lead = canvases[0] if masters and len(canvases) > 1 else None
    format = Format(tuple(canvases[1:] if lead else canvases), canvas=lead, max_seconds=longest)
    frames = list(shown(views(shots, gaps, rates), format))
    for place, canvas in enumerate(canvases):
        mine = [frame for frame in frames if frame.place == place]
        assert [frame.number for frame in mine] == list(range(len(mine)))  # each once, none lost
        assert [frame.part for frame in mine] == sorted(frame.part for frame in mine)
        if place == 0:
            counts: dict[object, list[Frame]] = {}
            for frame in mine:
                counts.setdefault(frame.part, []).append(frame)
            most = max(len(part) for part in counts.values())
            assert most <= max(1, longest * canvas.fps + 1e-6)
            for part in counts.values():  # a stretch ends where it is full, or with its shot
                last = part[-1].number + 1 == len(mine) or mine[part[-1].number + 1].part
                same = isinstance(last, tuple) and last[0] == part[0].part[0]
                assert not same or len(part) == most
    order = [frame.part for frame in frames]
    assert order == sorted(order)


def views(shots: list[tuple[int, bool]], gaps: list[float], rates: list[float]) -> Iterator[Seen]:
    """Views of shots of so many frames, irregular in time, at these rates."""
    clocks = [Clock(1 / rate, 0.0) for rate in rates]
    picture, time = np.zeros((1, 1), np.uint8), 0.0
    for number, (count, _) in enumerate(shots):
        for frame in range(count):
            time += gaps[frame % len(gaps)]
            dues = [clock.due(time) for clock in clocks]
            pictures = tuple(Picture(picture if due else None, due) for due in dues)
            yield Seen(number, View(time, picture, None, pictures), None, None)


def test_what_was_good_before_an_error_is_handed_on(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    format = Format((SMALL,), 9 / 8, 9 / 8, Canvas(96, 64, 8.0))
    whole = sum(cut.count for cut in taken(path, format) if cut.sink)
    got: list[Cut] = []

    def broken(*_: object, **__: object):  # type: ignore[no-untyped-def]
        for number, view in enumerate(watch(path, format.canvases)):
            if number == 120:
                raise YozoraError("it jumps.")
            yield view

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yozora.footage.cut.watch", broken)
        with pytest.raises(YozoraError, match="it jumps"):
            got.extend(cuts(path, format, lambda _: Kept()))
    masters = [cut for cut in got if cut.sink]
    assert 0.5 * whole < sum(cut.count for cut in masters) < whole
    assert all(len(cut.sink) == cut.count for cut in masters)  # type: ignore[arg-type]
