from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import toys
from tests.training.toys import STEPS, Toys

from yozora.checkpoint import load_weights
from yozora.errors import YozoraError
from yozora.latents.state import answers
from yozora.models.text import TextEncoder
from yozora.training.state import read_log
from yozora.training.text import QUESTIONS, UNASKED, Exam, Learner, train
from yozora.world.caption import prompts


def exam(corpus: Toys | None = None) -> Exam:
    return Exam(corpus or Toys(Path()))  # type: ignore[arg-type]


def adapted(out: Path, **options: Any) -> Path:
    return train(toys.text_recipe(), Toys(out), out, **options)  # type: ignore[arg-type]


def test_what_is_asked_is_what_the_clips_world_holds() -> None:
    ours = exam()
    assert ours.answers == {
        "thing": ["blue ball", "green ball", "red ball", "white ball"],
        "motion": ["fall", "throw right"],
        "place": ["top centre", "top right"],
        "size": ["small"],
    }
    asked = ours.batch(seed=1, step=0, size=4)
    for caption, (thing, motion, _, size) in zip(*asked, strict=True):
        colour = ours.answers["thing"][thing].split()[0]
        assert colour in caption
        told = "throw right" if len(colour) < 5 else "fall"
        assert ours.answers["motion"][motion] == told
        assert size == 0


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    ours = exam()
    assert ours.batch(1, 3, 8).captions == exam().batch(1, 3, 8).captions
    for other in (ours.batch(1, 4, 8), ours.batch(2, 3, 8)):
        assert other.captions != ours.batch(1, 3, 8).captions


def test_what_training_lacks_is_not_asked() -> None:
    (asked,) = exam().held_out()  # cyan and black, which no clip of training is
    assert asked.right[:, 0].tolist() == [UNASKED, UNASKED]
    assert UNASKED not in asked.right[:, 1].tolist()


def test_of_several_things_nothing_is_asked() -> None:
    labels = toys.scene("red")
    twice = {"scene": {**labels["scene"], "bodies": labels["scene"]["bodies"] * 2}}
    assert answers(labels)["thing"] == "red ball"
    assert answers(twice) == answers({}) == {}


def test_the_worlds_own_captions_have_answers() -> None:
    for caption, scene in prompts(20, 3, split="train", bodies=1):
        facts = answers({"scene": scene.to_json()})
        assert f"{facts['size']} {facts['thing']}" in caption.lower()
        assert set(facts) - {"speed"} == set(QUESTIONS) - {"speed"}
        assert ("speed" in facts) == (scene.bodies[0].law == "uniform")


def test_a_corpus_without_the_world_is_a_sentence(tmp_path: Path) -> None:
    footage = Toys(tmp_path, tuple(c for c in Toys(tmp_path).clips if c.kind != "world"))
    with pytest.raises(YozoraError, match="world render"):
        exam(footage)


def test_it_learns_to_read(tmp_path: Path) -> None:
    path = adapted(tmp_path)
    lines = read_log(tmp_path)
    assert len(lines) == STEPS
    assert lines[-1]["loss"] < lines[0]["loss"]
    tensors, config, provenance = load_weights(path)
    assert config == {"text_encoder": "minilm"}
    assert provenance["steps"] == STEPS
    (before,), (after,) = TextEncoder()(["a ball"]), TextEncoder(adapter=tensors)(["a ball"])
    assert before.shape == after.shape
    assert not torch.equal(before, after)


def test_it_tells_what_it_understands_of_captions_it_has_not_read(tmp_path: Path) -> None:
    clips = (*Toys(tmp_path).clips, replace(toys.row("red", split="validation"), id="held out"))
    recipe = dataclasses.replace(toys.text_recipe(), steps=2)
    train(recipe, Toys(tmp_path, clips), tmp_path)  # type: ignore[arg-type]
    last = read_log(tmp_path)[-1]
    assert last["understood_thing"] in (0.0, 1.0)  # of one caption
    assert "understood_speed" not in last


def test_what_was_not_asked_is_not_heard() -> None:
    learner = Learner(toys.text_recipe(), exam())
    asked = exam().batch(1, 0, 4)
    motion = learner.questions.index("motion")
    right = asked.right.clone()
    right[:, motion] = UNASKED
    learner.loss(asked._replace(right=right)).backward()
    for number, answer in enumerate(learner.reader.answers):
        assert (answer.weight.grad is None) == (number == motion)
    for name, parameter in learner.adapter.named_parameters():
        if name.endswith("up"):  # down is heard once up is not 0
            assert parameter.grad is not None
            assert bool(parameter.grad.abs().sum())


@pytest.mark.parametrize("how", ["minutes", "steps"])
def test_it_stops_when_told(tmp_path: Path, how: str) -> None:
    adapted(tmp_path, **({"minutes": 1e-9} if how == "minutes" else {"steps": 1}))
    assert len(read_log(tmp_path)) == 1
    with pytest.raises(YozoraError, match="--resume"):
        adapted(tmp_path)
