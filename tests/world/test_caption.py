from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.world.caption import captions, prompts
from yozora.world.heldout import HELDOUT
from yozora.world.scene import COLOURS, SHAPES, SIZES, sample
from yozora.world.wording import ORDINARY, TRAIN, VALIDATION, joined, spoken

SEEDS = st.integers(0, 2**40)
SPLITS = st.sampled_from(["train", "validation", "heldout"])
quick = settings(deadline=None, max_examples=150)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@given(seed=SEEDS, split=SPLITS, telling=st.integers(0, 99))
@quick
def test_captions_name_all_that_matters(seed: int, split: str, telling: int) -> None:
    scene = sample(seed, split=split)
    dense, short = captions(scene, telling)
    assert captions(scene, telling) == (dense, short)
    for text in (dense, short):
        assert not set("<>[]|") & set(text)
        assert "  " not in text
        assert scene.background in words(text)
        for body in scene.bodies:
            assert f"{body.colour} {body.shape}" in text
    for body in scene.bodies:
        assert f"{body.size} {body.colour} {body.shape}" in dense
    # No shape, colour, size or background but the scene's own.
    said = set(words(dense)) | set(words(short))
    assert said & set(COLOURS) == {b.colour for b in scene.bodies}
    assert said & set(SHAPES) == {b.shape for b in scene.bodies}
    assert said & set(SIZES) == {b.size for b in scene.bodies}
    assert said & {"dark", "light"} == {scene.background}
    if scene.camera.motion != "still":
        for text in (dense, short):
            assert re.search("camera|view|shot", text.lower())


@given(seed=SEEDS, split=SPLITS)
@quick
def test_lengths(seed: int, split: str) -> None:
    scene = sample(seed, split=split)
    dense, short = (len(text.split()) for text in captions(scene, 0))
    assert 12 <= dense <= 64 + 24 * (len(scene.bodies) - 1)
    assert 5 <= short <= 36 + 14 * (len(scene.bodies) - 1)


OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@given(seed=SEEDS, split=SPLITS)
@quick
def test_a_lone_body_never_goes_the_other_way(seed: int, split: str) -> None:
    scene = sample(seed, kinds=["uniform", "roll", "throw"], bodies=1, split=split)
    _, short = captions(scene, 1)
    text = re.sub("from (the )?(right|left) to", "to", short)
    for part in str(scene.bodies[0].direction).split("-"):
        if part in ("left", "right"):
            assert part in text
            assert OPPOSITE[part] not in text


def test_one_kept_part_keeps_a_combination() -> None:
    assert joined(("to", "*into"), ("", "*far", "the left")) == (
        "to",
        "*to far",
        "to the left",
        "*into",
        "*into far",
        "*into the left",
    )


def test_thousands_of_paraphrases() -> None:
    scene = sample(1, kinds=["uniform"], bodies=1)
    assert len({captions(scene, telling)[0] for telling in range(3000)}) > 2500


def test_held_out_wording_is_never_trained_on() -> None:
    def said(grammar: dict[str, tuple[str, ...]]) -> set[str]:
        return {phrase for phrases in grammar.values() for phrase in phrases if spoken(phrase)}

    assert set(HELDOUT) <= set(TRAIN)
    assert len(said(HELDOUT)) > 100
    assert not said(HELDOUT) & (said(TRAIN) | said(VALIDATION))


def test_validation_is_worded_as_training_is_not() -> None:
    assert set(TRAIN) == set(VALIDATION)
    kept = [
        symbol for symbol, phrases in ORDINARY.items() if any(p[0] == "*" for p in phrases if p)
    ]
    assert {"move", "to:left", "by:up-right", "throw:verb", "rest:plain", "dense"} < set(kept)
    for symbol in kept:
        assert VALIDATION[symbol]
        assert not set(VALIDATION[symbol]) & set(TRAIN[symbol]), symbol


@pytest.mark.parametrize("grammar", [TRAIN, VALIDATION, HELDOUT])
def test_grammars_are_closed(grammar: dict[str, tuple[str, ...]]) -> None:
    bound = {"tone", "body", "place", "act", "acting", "more", "view", "manner", "way", "aside"}
    bound |= {"end", "begin", "across", "one", "two", "three", "meeting", "mover", "target"}
    bound |= {"first", "second", "fate one", "fate two"}
    for phrases in grammar.values():
        assert len(set(phrases)) == len(phrases)
        for phrase in phrases:
            for symbol in re.findall("<([^>]+)>", phrase):
                assert symbol.lower() in bound | set(grammar), phrase


def test_prompts_describe_their_scenes() -> None:
    asked = prompts(12, 5, bodies=2)
    assert asked == prompts(12, 5, bodies=2)
    assert asked != prompts(12, 6, bodies=2)
    for prompt, scene in asked:
        assert scene.split == "heldout"
        assert len(scene.bodies) == 2
        assert all(f"{b.colour} {b.shape}" in prompt for b in scene.bodies)
    dense, short = (prompts(12, 5, style=style) for style in ("dense", "short"))
    mixed = prompts(12, 5, style="mixed")
    assert mixed[::2] == dense[::2]
    assert mixed[1::2] == short[1::2]
    with pytest.raises(YozoraError, match="haiku"):
        prompts(1, 0, style="haiku")
