from __future__ import annotations

from dataclasses import replace

import pytest

from yozora.evaluation.alignment import ATTRIBUTES, accuracy, judge
from yozora.evaluation.expected import Expected, Wanted, of_scene, of_words
from yozora.evaluation.parse import Parsed, parse
from yozora.world.caption import prompts
from yozora.world.render import render
from yozora.world.scene import sample

SCENE = sample(5, bodies=2, kinds=["uniform", "throw"])
EXPECTED = of_scene(SCENE)


@pytest.fixture(scope="module")
def parsed() -> Parsed:
    return parse(render(SCENE)[0])


def test_a_true_clip_is_right_in_everything(parsed: Parsed) -> None:
    assert set(judge(EXPECTED, parsed).values()) == {1.0}


@pytest.mark.parametrize(
    ("attribute", "other"),
    [("colour", "none"), ("shape", "none"), ("motion", "none:up"), ("size", "none")],
)
def test_one_wrong_attribute_costs_that_body_alone(
    parsed: Parsed, attribute: str, other: str
) -> None:
    wrong = replace(
        parsed, bodies=(replace(parsed.bodies[0], **{attribute: other}), parsed.bodies[1])
    )
    verdict = judge(EXPECTED, wrong)
    assert verdict[attribute] == 0.5
    assert verdict["binding"] == (0 if attribute in ("colour", "shape") else 1)
    assert verdict["all"] == (1 if attribute == "size" else 0)


def test_swapped_shapes_are_no_binding(parsed: Parsed) -> None:
    first, second = parsed.bodies
    swapped = replace(
        parsed, bodies=(replace(first, shape=second.shape), replace(second, shape=first.shape))
    )
    verdict = judge(EXPECTED, swapped)
    assert verdict["binding"] == (first.shape == second.shape)
    assert verdict["colour"] == 1


def test_the_same_body_twice_is_no_binding(parsed: Parsed) -> None:
    assert judge(EXPECTED, replace(parsed, bodies=(parsed.bodies[0],) * 2))["binding"] == 0


def test_a_body_more_does_not_help_binding(parsed: Parsed) -> None:
    first, second = parsed.bodies
    faint = replace(second, visibility=second.visibility / 4)
    wrong = replace(second, shape="none")
    verdict = judge(EXPECTED, replace(parsed, bodies=(first, wrong, faint)))
    assert verdict["binding"] == verdict["count"] == 0


def test_the_order_of_bodies_does_not_matter(parsed: Parsed) -> None:
    assert judge(EXPECTED, replace(parsed, bodies=parsed.bodies[::-1])) == judge(EXPECTED, parsed)


def test_showing_more_than_asked_is_miscounted(parsed: Parsed) -> None:
    one = Expected(EXPECTED.bodies[:1])
    assert judge(one, parsed)["count"] == 0
    assert judge(one, parsed)["all"] == 0


def test_what_a_prompt_leaves_open_is_not_judged(parsed: Parsed) -> None:
    verdict = judge(Expected((Wanted(colour="red"),)), parsed)
    assert set(verdict) == {"colour", "count", "all"}


def test_dense_captions_say_all_sizes_and_short_ones_those_they_name() -> None:
    for bodies in (1, 2, 3):
        for text, scene in prompts(40, 9, bodies=bodies):
            assert of_scene(scene, text) == of_scene(scene)
        for text, scene in prompts(40, 9, bodies=bodies, style="short"):
            sizes = {b.size for b in of_scene(scene, text).bodies}
            assert sizes == {b.size for b in of_words(text).bodies}


def test_accuracy_averages_over_the_clips_an_attribute_applies_to() -> None:
    scores = accuracy([{"colour": 1.0, "all": 0.0}, {"colour": 0.0, "speed": 1.0, "all": 0.0}])
    assert (scores["colour"].value, scores["colour"].n) == (0.5, 2)
    assert scores["speed"].n == 1
    assert [name for name in ATTRIBUTES if name in scores] == list(scores)


@pytest.mark.parametrize(
    ("words", "bodies", "background"),
    [
        ("a red ball bounces on a dark background", [("red", "ball", "bounce", None)], "dark"),
        ("Small yellow star moving slowly to the left", [("yellow", "star", "uniform:left", "slow")], None),
        ("a blue box moves from left to right, black background", [("blue", "square", "uniform:right", None)], "dark"),
        (
            "a green ring swings, and a white triangle falls",
            [("green", "ring", "pendulum", None), ("white", "triangle", "fall", None)],
            None,
        ),
        ("a purple cube collides with an orange sphere",
         [("purple", "square", "collision", None), ("orange", "ball", "collision", None)], None),
        ("a red ball drops to the floor without bouncing", [("red", "ball", "fall", None)], None),
        (
            "upon a light background a blue star rocks to and fro on a string",
            [("blue", "star", "pendulum", None)],
            "light",
        ),
        (
            "a white ring is flung in a parabola to the left, starting by the bottom right",
            [("white", "ring", "throw:left", None)],
            None,
        ),
        ("a cyan disc trundles down a ramp to the right", [("cyan", "ball", "roll:right", None)], None),
        ("the sea at night", [], None),
    ],
)  # fmt: skip
def test_plain_words_are_understood(
    words: str, bodies: list[tuple[str, str, str | None, str | None]], background: str | None
) -> None:
    read = of_words(words)
    assert [(b.colour, b.shape, b.motion, b.speed) for b in read.bodies] == bodies
    assert read.background == background


def test_the_worlds_motions_are_seldom_misread() -> None:
    read, right = 0, 0
    for text, scene in prompts(400, 9, split="train", style="mixed"):
        motion = of_words(text).bodies[0].motion
        read += motion is not None
        right += motion == scene.bodies[0].motion
    assert read > 0.65 * 400
    assert right > 0.95 * read


def test_the_worlds_captions_are_never_misread_about_colour_shape_and_background() -> None:
    for split in ("train", "heldout"):
        for bodies in (1, 2, 3):
            for text, scene in prompts(40, 9, split=split, bodies=bodies, style="mixed"):
                read, true = of_words(text), of_scene(scene)
                assert {(b.colour, b.shape) for b in read.bodies} == {
                    (b.colour, b.shape) for b in true.bodies
                }
                assert read.background == true.background
