from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from yozora import recipes
from yozora.errors import YozoraError
from yozora.latents.buckets import Shape
from yozora.latents.state import STATE
from yozora.models.dit import DiT
from yozora.models.reader import Reader
from yozora.models.vae import Codec


@pytest.mark.parametrize("name", recipes.MODELS)
def test_models_can_be_built_and_written_down(name: str) -> None:
    recipe = recipes.model_recipe(name)
    assert recipe.name == name
    json.dumps(asdict(recipe))
    with torch.device("meta"):
        network = DiT(recipe.config)
    assert recipe.config.state == STATE
    assert network.state is not None


@pytest.mark.parametrize("name", recipes.CODECS)
def test_codecs_can_be_built_and_written_down(name: str) -> None:
    recipe = recipes.codec_recipe(name)
    assert recipe.name == name
    json.dumps(asdict(recipe))
    with torch.device("meta"):
        Codec(recipe.config)


@pytest.mark.parametrize("name", recipes.TEXTS)
def test_text_encoders_can_be_adapted_and_written_down(name: str) -> None:
    recipe = recipes.text_recipe(name, {"rank": "3"})
    assert (recipe.name, recipe.rank) == (name, 3)
    json.dumps(asdict(recipe))
    counts = [2, 3]
    with torch.device("meta"):
        Reader(384, recipe.width, recipe.heads, recipe.depth, counts)
    assert recipe.text == recipes.model_recipe(name).text


def test_sizes_are_what_the_recipes_say() -> None:
    def millions(name: str) -> float:
        with torch.device("meta"):
            network = DiT(recipes.model_recipe(name).config)
        return sum(p.numel() for p in network.parameters()) / 1e6

    assert 5 <= millions("nano") <= 15
    assert 8 * millions("nano") < millions("small") < 14 * millions("nano")
    assert 900 < millions("base") < 1500
    assert millions("debug") < 1
    tokens = Shape(17, 64, 112, 8.0).grid
    assert tokens[0] * tokens[1] * tokens[2] == 140


def test_models_read_the_latents_of_their_codec() -> None:
    for name in ("nano", "debug"):
        model, codec = recipes.model_recipe(name), recipes.codec_recipe(name)
        assert model.config.latent == codec.config.latent
        film = max(model.shapes)
        assert (film.frames, film.width, film.height) == (codec.frames, *codec.size)


def test_settings_reach_every_level_and_kind_of_field() -> None:
    settings = {
        "lr": "1",
        "steps": "7",
        "seed": "0",
        "text": "my/encoder",
        "config.depth": "4",
        "mix.ramp": "0.5",
        "mix.weights": '{"text": 1, "image": 2}',
        "shapes": '[{"frames": 5, "height": 32, "width": 48, "fps": 12}]',
    }
    recipe = recipes.model_recipe("nano", settings)
    plain = recipes.nano()
    assert recipe == replace(
        plain,
        lr=1.0,
        steps=7,
        seed=0,
        text="my/encoder",
        config=replace(plain.config, depth=4),
        mix=replace(plain.mix, ramp=0.5, weights={"text": 1, "image": 2}),
        shapes=(Shape(5, 32, 48, 12.0),),
    )
    assert isinstance(recipe.lr, float)
    codec = recipes.codec_recipe("debug", {"size": "[48, 64]", "config.channels": "[4, 4, 4]"})
    assert codec.size == (48, 64)
    assert codec.config.channels == (4, 4, 4)


def test_settings_that_only_fit_together_may_come_in_any_order() -> None:
    settings = {"config.width": "384", "config.heads": "6"}
    for order in (settings, dict(reversed(settings.items()))):
        config = recipes.model_recipe("nano", order).config
        assert (config.width, config.heads) == (384, 6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": "1"}, r"--set learning_rate: there is no such setting; .*\blr\b"),
        ({"config.deep": "1"}, r"--set config.deep: there is no such setting; .*\bdepth\b"),
        ({"lr.x": "1"}, "--set lr: it is a value and has no settings of its own"),
        ({"config": "3"}, "--set config: it has settings of its own, such as config.latent"),
        ({"": "3"}, "--set : there is no such setting"),
        ({"steps": "1.5"}, "1.5 is not of the type of 2000"),
        ({"steps": "many"}, "'many' is not of the type of 2000"),
        ({"steps": "true"}, "True is not of the type of 2000"),
        ({"steps": "0"}, "0 is less than 1"),
        ({"seed": "-1"}, "-1 is less than 0"),
        ({"lr": "NaN"}, "no finite number"),
        ({"lr": "fast"}, "'fast' is not of the type"),
        ({"lr": "null"}, "None is not of the type"),
        ({"text": "3"}, "3 is not of the type of 'minilm'"),
        ({"shapes": "[]"}, r"\[\] is no list such as \[{\"frames\": 17"),
        ({"shapes": "[[17, 64, 112, 8]]"}, "has to be an object such as"),
        ({"shapes": '[{"frames": 17}]'}, "has to be an object such as"),
        ({"shapes": '[{"frames": 16, "height": 64, "width": 112, "fps": 8}]'}, r"1 \+ 4n frames"),
        ({"mix.weights": '{"jump": 1}'}, "no task 'jump'"),
        ({"config.heads": "3"}, "width 320 cannot be cut into 3 heads"),
        ({"config.depth": "2"}, "no block 3 to predict the state from"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, str], words: str) -> None:
    with pytest.raises(YozoraError, match=words):
        recipes.model_recipe("nano", settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "[112]"}, "does not have 2 values"),
        ({"size": "112"}, r"112 is no list such as \[112, 64\]"),
        ({"size": "[100, 64]"}, "multiples of 16"),
        ({"frames": "16"}, r"1 \+ 4n frames"),
        ({"config.channels": '[1, 2, "x"]'}, "'x' is not of the type"),
        ({"config.channels": "[1, 2, 0]"}, "0 is less than 1"),
    ],
)
def test_wrong_settings_of_codecs_are_told(settings: dict[str, str], words: str) -> None:
    with pytest.raises(YozoraError, match=words):
        recipes.codec_recipe("nano", settings)


def test_unknown_recipes_are_told_with_those_there_are() -> None:
    with pytest.raises(YozoraError, match="no recipe 'huge'; recipes are nano, small, base, debug"):
        recipes.model_recipe("huge")
    with pytest.raises(YozoraError, match="no recipe 'base'; recipes are nano, debug"):
        recipes.codec_recipe("base")
