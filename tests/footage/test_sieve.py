from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.footage.sieve import Hashes, Sieve
from yozora.footage.survey import Measures
from yozora.footage.taps.borders import Borders
from yozora.footage.taps.faces import Faces
from yozora.footage.taps.learned import Looks
from yozora.footage.taps.light import Light
from yozora.footage.taps.likeness import Hash, HashTap, distance
from yozora.footage.taps.motion import Motion
from yozora.footage.taps.text import Text
from yozora.recipes import sieve_recipe

GOOD = Measures(Motion(0.05, 0.02, 0.01), Light(0.5, 0.2, 0.01, 0.01, 100.0), Hash(1))
BAD = {
    "min_seconds": (GOOD, 0.3),
    "min_motion": (replace(GOOD, motion=Motion(0.001, 0, 0)), 2),
    "max_motion": (replace(GOOD, motion=Motion(2, 1, 0)), 2),
    "max_shake": (replace(GOOD, motion=Motion(0.5, 0, 1)), 2),
    "max_dark": (replace(GOOD, light=Light(0.01, 0.1, 0.99, 0, 100)), 2),
    "max_bright": (replace(GOOD, light=Light(0.99, 0.1, 0, 0.9, 100)), 2),
    "min_contrast": (replace(GOOD, light=Light(0.5, 0.001, 0, 0, 100)), 2),
    "min_sharpness": (replace(GOOD, light=Light(0.5, 0.1, 0, 0, 1)), 2),
    "max_repeats": (replace(GOOD, repeats=0.75), 2),
    "max_borders": (replace(GOOD, borders=Borders(0.3, 0.1, 0.7, 0.9)), 2),
    "max_nsfw": (replace(GOOD, looks=Looks(nsfw=0.9)), 2),
    "max_text": (replace(GOOD, looks=Looks(text=Text(0.2, None))), 2),
    "max_constant_text": (replace(GOOD, looks=Looks(text=Text(0.02, 0.02))), 2),
    "max_faces": (replace(GOOD, looks=Looks(faces=Faces(2, 0.1))), 2),
    "max_face_area": (replace(GOOD, looks=Looks(faces=Faces(1, 0.5))), 2),
}
OFF = {
    "max_faces": "1",
    "max_face_area": "0.3",
}  # thresholds that nothing misses until they are set


def test_good_clips_pass() -> None:
    assert Sieve().missed(GOOD, 2) is None
    assert Sieve().missed(replace(GOOD, light=None), 2) is None


@pytest.mark.parametrize("rule", BAD)
def test_each_threshold_leaves_out_and_can_be_moved(rule: str) -> None:
    measures, seconds = BAD[rule]
    sieve = sieve_recipe("usual", {rule: OFF[rule]} if rule in OFF else {})
    missed = sieve.missed(measures, seconds)
    assert missed is not None
    assert missed.rule == rule
    assert rule in missed.reason
    assert missed.reason.endswith(".")
    moved = sieve_recipe("usual", {rule: "0" if rule.startswith("min") else "9"})
    assert moved.missed(measures, seconds) is None
    assert sieve_recipe("everything").missed(measures, seconds) is None


def test_every_threshold_is_tried() -> None:
    assert {field.name for field in fields(Sieve)} == {*BAD, "name", "duplicate_bits"}


def test_a_threshold_that_nothing_is_measured_for_is_an_error() -> None:
    for name in ("usual", "everything"):
        sieve_recipe(name).check(())
    moved = sieve_recipe("usual", {"max_text": "0.2"})
    moved.check(("text",))
    with pytest.raises(YozoraError, match="add --taps text"):
        moved.check(("nsfw",))


def test_without_a_vote_there_is_no_hash() -> None:
    assert HashTap().result() is None
    assert "hash" not in replace(GOOD, hash=None).to_json()


def test_stills_need_neither_length_nor_motion() -> None:
    still = replace(GOOD, motion=Motion(0, 0, 0))
    assert Sieve().missed(still, 0) is None
    assert Sieve().missed(still, 2) is not None


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from("abc")), max_size=90),
    st.integers(0, 2**64 - 1),
    st.integers(0, 40),
)
def test_the_nearest_clip_of_another_file_is_found(
    known: list[tuple[int, str]], bits: int, within: int
) -> None:
    entries = [(value, file, f"{file}{place}") for place, (value, file) in enumerate(known)]
    hashes = Hashes()
    for entry in entries:
        hashes.add(*entry)
    others = {name: distance(value, bits) for value, file, name in entries if file != "a"}
    found = hashes.same(bits, "a", within)
    nearest = min(others.values(), default=np.inf)
    assert (found is None) == (nearest >= within)
    if found is not None:
        assert others[found] == nearest
