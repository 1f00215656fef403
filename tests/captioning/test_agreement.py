"""Captions against what was measured: right ones agree, and those of other clips do not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.captioning.clips import row, seen
from tests.footage.taps.films import FOOTAGE

from yozora.captioning.agreement import agreement, score
from yozora.captioning.captioner import Subject
from yozora.captioning.colours import NAMES
from yozora.captioning.facts import Facts
from yozora.captioning.look import Look, look
from yozora.footage.taps.light import Light
from yozora.footage.taps.motion import Motion
from yozora.video import Clip, stream
from yozora.world import dataset


def coloured(*names: str) -> Look:
    shares = {name: float(name in names) / len(names) for name in NAMES}
    return seen(named=shares, could_be=shares)


def moving(camera: float, way: str = "", local: float = 0.0) -> Look:
    does = "moves" if camera else "still"
    return seen(motion=Motion(camera, local, 0.0), camera=does, way=way)


def lit(brightness: float) -> Look:
    return seen(light=Light(brightness, 0.2, 0.0, 0.0, 9.0))


STILL = seen(motion=None)


@pytest.mark.parametrize(
    ("caption", "look", "share"),
    [
        ("A red ball.", coloured("red", "black"), 1),
        ("A red ball.", coloured("blue", "black"), 0),
        ("A red ball and a blue square.", coloured("red"), 0.5),
        ("A red ball, a red square.", coloured("red"), 1),
        ("A ball without anything red near it.", coloured("blue"), None),
        ("A gray cat with golden eyes.", coloured("grey", "orange"), 1),
        ("A brick wall, in black and white.", coloured("grey", "black"), 1),
        ("A brick wall, in black and white.", coloured("red"), 0),
        ("The camera is still.", moving(0.0), 1),
        ("The camera does not move.", moving(0.3), 0),
        ("A static shot of a street.", moving(0.3), 0),
        ("A still life with apples.", moving(0.3), None),
        ("The camera pans left.", moving(0.2, "left"), 1),
        ("The camera pans left.", moving(0.2, "right"), 0),
        ("The camera pans left.", moving(0.2), 1),
        ("The camera pans left.", moving(0.0), 0),
        ("The camera zooms in.", moving(0.2, "in"), 1),
        ("The camera slowly zooms in.", moving(0.2, "out"), 0),
        ("The camera pans left.", STILL, None),
        ("A car speeds by.", moving(0.0, local=0.2), 1),
        ("A car drives fast.", moving(0.0, local=0.001), 0),
        ("Nothing moves.", moving(0.4), 0),
        ("A city at night.", lit(0.15), 1),
        ("A city at night.", lit(0.8), 0),
        ("A man in a dark suit.", lit(0.8), None),
        ("A man in the dark blue room.", coloured("red"), 0),
        ("a ball on a light background", lit(0.9), 1),
        ("a ball, the background is plain and light", lit(0.1), 0),
        ("A man speaks.", coloured("red"), None),
        ("", coloured("red"), None),
    ],
)
def test_a_claim_is_held_against_what_was_measured(
    caption: str, look: Look, share: float | None
) -> None:
    assert score(caption, look).share == share


def test_the_worst_caption_counts_and_what_is_wrong_is_said() -> None:
    look = coloured("red")
    found = agreement(["A red ball.", "A blue ball in a dark room.", "A ball."], look)
    assert found.share == 0
    assert found.wrong == ("dark room", "blue")
    assert agreement(["A ball."], look) == agreement([], look)


@given(st.text(max_size=200))
def test_any_text_has_a_score(text: str) -> None:
    share = score(text, seen()).share
    assert share is None or 0 <= share <= 1


def compared(pairs: list[tuple[str, Look]]) -> tuple[float, float]:
    """The mean agreement of captions with their own clips, and with all the other ones."""
    own = [score(caption, look).share for caption, look in pairs]
    shuffled = [
        score(pairs[i][0], pairs[(i + shift) % len(pairs)][1]).share
        for shift in range(1, len(pairs))
        for i in range(len(pairs))
    ]
    means = [np.mean([s for s in shares if s is not None]) for shares in (own, shuffled)]
    return float(means[0]), float(means[1])


def test_captions_of_other_clips_agree_less_in_the_world() -> None:
    pairs = []
    for index in range(24):
        clip, record = dataset.make(index, 11)
        pairs.append((record.captions[0], look(row(), clip)))
    right, shuffled = compared(pairs)
    assert right > 0.97
    assert shuffled < 0.65


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="no footage: examples/fetch_footage.py fetches it")
def test_captions_of_other_clips_agree_less_in_footage() -> None:
    pairs, told = [], []
    for path in sorted([*FOOTAGE.glob("*.mp4"), *FOOTAGE.glob("*.png")]):
        frames = np.stack(
            [f for f, _ in zip(stream(path, fps=8, size=None), range(9), strict=False)]
        )
        clip = Clip(frames, 8)
        found = look(row(), clip)
        facts = Facts().caption(Subject(row(captions=(), id=path.name), clip, found))
        pairs.append((facts, found))
        words = path.with_suffix(".json")
        if words.exists():
            told.append((json.loads(words.read_text(encoding="utf-8"))["caption"], found))
    right, shuffled = compared(pairs)
    assert right == 1
    assert shuffled < 0.8
    right, shuffled = compared(told)
    assert right > shuffled + 0.1
