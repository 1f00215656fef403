"""All taps over one decoding pass of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.footage.taps.films import dissolve, levels, shot

from yozora.errors import YozoraError
from yozora.footage.survey import Survey
from yozora.footage.taps.likeness import distance
from yozora.video import Canvas, Clip, View, stream, watch, write


def film(path: Path, width: int = 256, bar: int = 0) -> Path:
    """Two seconds, a cut, two and a half, a dissolve of 0.6 s, three; at 20 fps."""
    lumas = np.concatenate([shot(1, 40), dissolve(shot(2, 62, 0.6), shot(3, 72), 12)])
    height = width * 9 // 16
    large = [cv2.resize(luma, (width, height)) for luma in levels(lumas)]
    frames = np.stack([np.pad(luma, ((bar, bar), (0, 0))) for luma in large])
    return write(Clip(frames[..., None].repeat(3, -1), 20), path)


def test_one_pass_gives_shots_measures_and_the_pictures_of_stream(tmp_path: Path) -> None:
    path, survey = film(tmp_path / "film.mp4", bar=20), Survey()
    shots: dict[int | None, list[np.ndarray]] = {}
    pictures = []
    for number, group in groupby(survey.follow(watch(path, [Canvas(48, 32, 8)])), itemgetter(0)):
        shown = [p.pixels for seen in group for p in seen.view.pictures for _ in range(p.shown)]
        shots[number] = shown  # type: ignore[assignment]
        pictures += shown
    assert (np.stack(pictures) == np.stack(list(stream(path, fps=8, size=(48, 32))))).all()
    assert set(shots) == {0, 1, None, 2}
    assert len(shots[0]) == 16

    findings = survey.findings()
    assert [t.kind for t in findings.transitions] == ["cut", "dissolve"]
    assert [s.start for s in findings.shots] == pytest.approx([0, 2, 5.1], abs=0.25)
    assert findings.shots[-1].end == pytest.approx(8.1)
    assert findings.borders.top == pytest.approx(20 / 184, abs=2 / 184)
    first, second, third = (shot.measures for shot in findings.shots)
    assert second.motion.camera > 2 * first.motion.camera
    assert all(m.light and 0.2 < m.light.brightness < 0.8 for m in (first, second, third))
    text = json.dumps(findings.to_json())
    assert json.loads(text) == survey.findings().to_json()


def test_a_resized_copy_has_near_hashes(tmp_path: Path) -> None:
    hashes = []
    for width in (256, 128):
        survey = Survey()
        for _ in survey.follow(watch(film(tmp_path / f"{width}.mp4", width))):
            pass
        hashes.append([s.measures.hash.bits for s in survey.findings().shots])
    assert len(hashes[0]) == len(hashes[1]) == 3
    for i, a in enumerate(hashes[0]):
        for j, b in enumerate(hashes[1]):
            assert distance(a, b) <= 6 if i == j else distance(a, b) >= 16


def views(seconds: float, fps: float = 20) -> Iterator[View]:
    picture = levels(shot(1, 1))[0]
    for number in range(int(seconds * fps)):
        dark = 20 <= number / fps < 60
        yield View(number / fps, picture * (0 if dark else 1), None)


def test_no_more_than_some_seconds_are_held_even_in_a_long_darkness() -> None:
    taken = handed = most = 0

    def counted() -> Iterator[View]:
        nonlocal taken
        for view in views(100):
            taken += 1
            yield view

    numbers = []
    for seen in Survey().follow(counted()):
        handed += 1
        most = max(most, taken - handed)
        numbers.append(seen.shot)
    assert handed == 2000
    assert most <= 2.6 * 20
    assert numbers[:400] == [0] * 400
    assert set(numbers[400:1200]) == {None}
    assert set(numbers[1210:]) == {1}


def test_what_was_seen_before_an_error_is_found() -> None:
    def broken() -> Iterator[View]:
        yield from views(5)
        raise YozoraError("it jumps.")

    survey = Survey()
    with pytest.raises(YozoraError):
        list(survey.follow(broken()))
    (only,) = survey.findings().shots
    assert (only.start, only.end) == (0, pytest.approx(5))
    assert Survey().findings().shots == ()
