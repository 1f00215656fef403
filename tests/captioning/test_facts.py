"""Captions from measured facts: they say what was measured, and nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.captioning.clips import plain, row, seen

from yozora.captioning.agreement import agreement
from yozora.captioning.captioner import Subject
from yozora.captioning.colours import NAMES
from yozora.captioning.facts import Facts
from yozora.captioning.look import Look
from yozora.corpus.captions import Made, recaptioned
from yozora.footage.taps.light import Light
from yozora.footage.taps.motion import Motion

SHARE = st.floats(0, 1)
MOTIONS = st.builds(Motion, *[st.sampled_from([0.0, 0.004, 0.02, 0.05, 0.2, 0.5, 2.0])] * 3)
LIGHTS = st.builds(Light, SHARE, st.floats(0, 0.5), SHARE, SHARE, st.floats(0, 1e4))


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """Any look that a clip can have."""
    weights = draw(st.lists(st.integers(0, 9), min_size=len(NAMES), max_size=len(NAMES)))
    total = sum(weights) or 1
    named = {name: weight / total for name, weight in zip(NAMES, weights, strict=True)}
    motion = draw(st.none() | MOTIONS)
    stands = motion is not None and motion.camera < 0.008
    camera = "still" if stands else draw(st.sampled_from(["", "moves"])) if motion else ""
    ways = ["", "left", "right", "up", "down", "in", "out"] if camera == "moves" else [""]
    return seen(
        seconds=draw(st.floats(0.1, 600)),
        motion=motion,
        light=draw(st.none() | LIGHTS),
        camera=camera,
        way=draw(st.sampled_from(ways)),
        named=named,
        could_be=named,
        colourless=draw(st.booleans()),
    )


def caption(look: Look, **changes: object) -> str:
    subject = Subject(row(**changes), plain(1, 2, 3), look)
    return Facts().caption(subject)


@given(looks(), st.integers(0, 99))
def test_nothing_is_said_that_was_not_measured(look: Look, number: int) -> None:
    clip = hashlib.sha256(str(number).encode()).hexdigest()
    text = caption(look, id=clip, captions=())
    assert agreement([text], look).wrong == ()
    assert text == caption(look, id=clip, captions=())
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text


def test_other_clips_get_other_sentences() -> None:
    ids = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(40)]
    assert len({caption(seen(), id=clip, captions=()) for clip in ids}) > 5


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("sidecar", "A note beside its file says: A tram crosses a bridge. A tram."),
        ("tags", "The tags of its file say: A tram crosses a bridge. A tram."),
        ("archive.org", "archive.org says: A tram crosses a bridge. A tram."),
        ("name", "Its file is named “A tram crosses a bridge.”."),
    ],
)
def test_words_that_came_with_a_clip_are_told_with_their_origin(origin: str, words: str) -> None:
    captions = ("A tram crosses a bridge.", "A tram")
    assert words in caption(seen(), captions=captions, labels={"caption": origin})


def test_a_long_description_is_cut_between_words() -> None:
    text = caption(seen(), captions=("word " * 500,), labels={"caption": "manifest"})
    assert "word…" in text
    assert len(text) < 500


def test_what_is_measured_is_said() -> None:
    text = caption(
        seen(
            motion=Motion(0.05, 0.2, 0.0),
            camera="moves",
            way="left",
            light=Light(0.1, 0.35, 0.5, 0.0, 1.0),
            named={**dict.fromkeys(NAMES, 0.0), "blue": 0.7, "red": 0.2, "grey": 0.1},
        )
    )
    for words in ("slowly to the left", "much motion", "dark", "of strong contrast", "mostly blue"):
        assert words in text
    assert "some red and grey" in text


def test_the_key_is_of_what_the_caption_is_made_of() -> None:
    facts, plain_row = Facts(), row()
    measured = row(labels={"caption": "sidecar", "measures": {"hash": "0"}})
    assert facts.key(plain_row) != facts.key(measured) != facts.key(row(id="cd" * 32))
    assert facts.key(plain_row) != facts.key(row(captions=("Another.",)))
    done = recaptioned(plain_row, Made("New.", "facts", facts.key(plain_row), 1.0, ()))
    assert facts.key(done) == facts.key(plain_row)
