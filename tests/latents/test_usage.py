from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from yozora.corpus.report import Stock
from yozora.latents.buckets import Shape
from yozora.latents.usage import usage

FILM, STILL = Shape(17, 64, 112, 8.0), Shape(1, 64, 112, 8.0)


def row(**facts: Any) -> Stock:
    usual = {"frames": 17, "height": 64, "width": 112, "fps": 8.0, "split": "train"}
    return Stock(**{**usual, "clips": 1, **facts})


ROWS = [
    row(),
    row(split="validation"),
    row(split="heldout"),
    row(frames=48),  # 6 s
    row(frames=60, fps=24.0),  # 2.5 s
    row(frames=1),
    row(frames=5),
    row(frames=5, split="validation"),
    row(frames=16, width=16),
]


def test_what_a_recipe_takes_and_why_not_the_rest() -> None:
    found = usage("nano", (FILM, STILL), ROWS).to_json()
    assert json.loads(json.dumps(found)) == found
    size = {"height": 64, "width": 112, "fps": 8.0}
    assert found["shapes"] == [
        {"frames": 17, **size, "train": 3, "validation": 1, "heldout": 1},
        {"frames": 1, **size, "train": 1, "validation": 0, "heldout": 0},
    ]
    short = "{} frames at 8 fps, shorter than every bucket (from 17 frames)"
    assert found["left_out"] == [
        {"reason": short.format(5), "train": 1, "validation": 1, "heldout": 0},
        {"reason": short.format(16), "train": 1, "validation": 0, "heldout": 0},
    ]
    assert found["problems"] == []


def test_clips_of_a_kind_count_as_often_as_there_are() -> None:
    many, each = [row(clips=3), row(frames=5, clips=2)], [*3 * [row()], *2 * [row(frames=5)]]
    assert usage("nano", (FILM, STILL), many) == usage("nano", (FILM, STILL), each)


def test_seconds_that_are_left_unused() -> None:
    found = usage("nano", (FILM, STILL), ROWS)
    assert found.seconds == pytest.approx(3 * 17 / 8 + 6 + 2.5 + (5 + 5 + 16) / 8, abs=1e-3)
    assert found.seconds_behind == pytest.approx(6 - 17 / 8 + 2.5 - 17 / 8)
    assert found.seconds_left_out == pytest.approx((5 + 5 + 16) / 8)
    assert "leaves 7.5 s unused: 4.2 s behind" in found.sentence()


def test_a_split_of_which_nothing_fits_is_said() -> None:
    square = usage("square", (Shape(17, 64, 64, 8.0),), [row(), row(split="validation")])
    assert square.problems == [
        "No clip of the split 'train' fits recipe 'square', so it has 0 batches.",
        "No clip of the split 'validation' fits recipe 'square', so a run has no validation loss.",
    ]
    assert usage("square", (FILM,), []).problems == []


def test_it_can_be_read_in_a_terminal() -> None:
    console = Console(width=120, file=io.StringIO())
    console.print(usage("nano", (FILM, STILL), ROWS))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "shorter than every bucket (from 17 frames)" in text
    assert "s unused" in text
