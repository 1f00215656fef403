from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.footage.test_survey import film

from yozora.errors import YozoraError
from yozora.footage.cut import Cut, Format, cuts
from yozora.video import Clip, stream, write

FORMAT = Format((48, 32), 8.0, 9, 9)


def test_clips_stay_within_shots_and_show_what_stream_shows(tmp_path: Path) -> None:
    path = film(
        tmp_path / "film.mp4"
    )  # a cut after 2 s, a dissolve from 4.5 to 5.1 s, 8.1 s in all
    found = list(cuts(path, FORMAT))
    frames = list(stream(path, fps=8.0, size=(48, 32)))
    for cut in found:
        assert (cut.frames == frames[cut.first : cut.first + len(cut.frames)]).all()
        assert len(cut.frames) == 9
    assert [cut.shot for cut in found] == sorted(cut.shot for cut in found)
    covered = [(cut.first / 8, (cut.first + 9) / 8) for cut in found]
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
    found = list(cuts(path, Format((64, 36), 10.0, 9, 5)))
    speeds = {cut.first: cut.measures.motion.speed for cut in found}
    assert [first for first in speeds if first < 31] == [0, 5, 10, 15, 20, 25, 30]
    assert max(speeds[first] for first in (0, 5, 10)) < 0.2 * min(speeds[f] for f in (20, 25, 30))


def test_a_still_is_one_clip(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    path = write(Clip(picture, 1), tmp_path / "still.png")
    (cut,) = cuts(path, Format((40, 40)))
    assert (cut.frames == picture).all()
    assert cut.measures.light is not None


def test_what_was_good_before_an_error_is_handed_on(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    whole = sum(len(cut.frames) for cut in cuts(path, FORMAT))
    got: list[Cut] = []

    def broken(*_: object, **__: object):  # type: ignore[no-untyped-def]
        from yozora.video import watch

        for number, view in enumerate(watch(path, fps=8.0, canvas=(48, 32))):
            if number == 120:
                raise YozoraError("it jumps.")
            yield view

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yozora.footage.cut.watch", broken)
        with pytest.raises(YozoraError, match="it jumps"):
            got.extend(cuts(path, FORMAT))
    assert 0.5 * whole < sum(len(cut.frames) for cut in got) < whole
