"""Complete runs as plain functions: everything that determines a codec or a model besides the corpus.

yozora train codec nano --corpus DIR --out runs/codec
yozora train text nano --corpus DIR --out runs/text
yozora train model nano --corpus DIR --codec runs/codec/codec.safetensors --out runs/nano
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from yozora.errors import YozoraError
from yozora.footage.sieve import Sieve
from yozora.latents.buckets import Shape
from yozora.latents.state import STATE
from yozora.models.dit import DiTConfig
from yozora.models.vae import CodecConfig
from yozora.training.dit import ModelRecipe
from yozora.training.text import TextRecipe
from yozora.training.vae import CodecRecipe

AnyRecipe = TypeVar("AnyRecipe", CodecRecipe, TextRecipe, ModelRecipe, Sieve)
FROM_ZERO = {
    "seed",
    "state",
    "warmup",
    "read_captions",
    "duplicate_bits",
    "variants",
}  # whole numbers that may be 0; all others count from 1


def nano_codec() -> CodecRecipe:
    """The shipped codec: 4x16x16 pixels to 64 channels, 140 tokens for a clip of 112x64 and 17 frames."""
    return CodecRecipe("nano")


def debug_codec() -> CodecRecipe:
    """Trains in seconds; for tests and for looking at every part."""
    config = CodecConfig(
        latent=16, channels=(8, 16, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
    )
    return CodecRecipe(
        "debug",
        config,
        size=(32, 32),
        frames=9,
        batch=4,
        steps=20,
        pca_clips=8,
        warmup=2,
        validate_every=10,
    )


def nano_text() -> TextRecipe:
    """The shipped model's: 74,000 numbers of the text encoder."""
    return TextRecipe("nano")


def debug_text() -> TextRecipe:
    """Trains in seconds; for tests and for looking at every part."""
    return TextRecipe(
        "debug", rank=1, width=32, heads=2, depth=1, batch=8, steps=20, warmup=2, validate_every=10
    )


def nano() -> ModelRecipe:
    """The shipped model."""
    return ModelRecipe("nano", DiTConfig(state=STATE))


def small() -> ModelRecipe:
    """About ten times nano, for a GPU."""
    config = DiTConfig(width=768, depth=12, heads=12, state=STATE, state_block=6)
    return ModelRecipe("small", config, batch=256, steps=60_000, lr=1e-3, warmup=1000)


def base() -> ModelRecipe:
    """About one billion parameters, for a large GPU."""
    config = DiTConfig(width=1792, depth=24, heads=28, state=STATE, state_block=12)
    return ModelRecipe("base", config, batch=1024, steps=200_000, lr=5e-4, warmup=2000)


def debug() -> ModelRecipe:
    """Trains in seconds; for tests and for looking at every part."""
    config = DiTConfig(latent=16, width=32, depth=2, heads=2, state=STATE, state_block=1)
    shapes = (Shape(9, 32, 32, 8.0), Shape(1, 32, 32, 8.0))
    return ModelRecipe(
        "debug", config, shapes=shapes, batch=4, steps=20, warmup=2, validate_every=10, variants=2
    )


def usual() -> Sieve:
    """Leaves out what teaches nothing: frozen, black, blown out, blurred, shaken, broken up, or there already."""
    return Sieve()


def everything() -> Sieve:
    """Keeps all clips."""
    thresholds = (field.name for field in dataclasses.fields(Sieve) if field.type == "float")
    open_wide = {name: 0.0 if name.startswith("min_") else math.inf for name in thresholds}
    return Sieve("everything", duplicate_bits=0, **open_wide)


SIEVES = {"usual": usual, "everything": everything}
CODECS = {"nano": nano_codec, "debug": debug_codec}
TEXTS = {"nano": nano_text, "debug": debug_text}
MODELS = {"nano": nano, "small": small, "base": base, "debug": debug}


def codec_recipe(name: str, settings: Mapping[str, str] | None = None) -> CodecRecipe:
    """The codec recipe of that name with ``key=value`` settings applied.

    Raises YozoraError for an unknown name, as :func:`override` does, and for a size that has no whole patches.
    """
    recipe = override(_named(CODECS, name), settings or {})
    width, height = recipe.size
    Shape(recipe.frames, height, width, recipe.fps)
    return recipe


def text_recipe(name: str, settings: Mapping[str, str] | None = None) -> TextRecipe:
    """The recipe of that name for adapting a text encoder, with ``key=value`` settings applied.

    Raises YozoraError for an unknown name, and as :func:`override` does.
    """
    return override(_named(TEXTS, name), settings or {})


def model_recipe(name: str, settings: Mapping[str, str] | None = None) -> ModelRecipe:
    """The model recipe of that name with ``key=value`` settings applied.

    Raises YozoraError for an unknown name, and as :func:`override` does.
    """
    return override(_named(MODELS, name), settings or {})


def sieve_recipe(name: str, settings: Mapping[str, str] | None = None) -> Sieve:
    """The sieve of that name with ``key=value`` settings applied.

    Raises YozoraError for an unknown name, and as :func:`override` does.
    """
    return override(_named(SIEVES, name), settings or {})


def override(recipe: AnyRecipe, settings: Mapping[str, str]) -> AnyRecipe:
    """Fields changed by name, as in {"lr": "1e-3", "config.width": "128"}; values are read as JSON, else as text.

    All are changed at once, so that a width and a number of heads that only fit each other can be given in any order.
    Raises YozoraError when a field does not exist or its value has the wrong type.
    """
    changed: AnyRecipe = _changed(recipe, settings)
    return changed


def _named(recipes: Mapping[str, Callable[[], AnyRecipe]], name: str) -> AnyRecipe:
    if name not in recipes:
        raise YozoraError(f"There is no recipe '{name}'; recipes are {', '.join(recipes)}.")
    return recipes[name]()


def _changed(target: Any, settings: Mapping[str, str], above: str = "") -> Any:
    """A dataclass with some fields changed; ``above`` is its own place in the recipe, as in "config."."""
    known = [field.name for field in dataclasses.fields(target)]
    grouped: dict[str, dict[str, str]] = {}
    for key, text in settings.items():
        name, _, below = key.partition(".")
        grouped.setdefault(name, {})[below] = text
    values = {}
    for name, inner in grouped.items():
        key = above + name
        if name not in known:
            raise _refused(key, f"there is no such setting; settings here are {', '.join(known)}")
        old = getattr(target, name)
        if dataclasses.is_dataclass(old):
            if "" in inner:
                raise _refused(key, f"it has settings of its own, such as {key}.{_first(old)}")
            values[name] = _changed(old, inner, key + ".")
        elif list(inner) != [""]:
            raise _refused(key, "it is a value and has no settings of its own")
        else:
            values[name] = _fitted(old, _read(inner[""]), key)
    return dataclasses.replace(target, **values)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _fitted(old: Any, value: Any, key: str) -> Any:
    """``value`` in the type of ``old``, which it replaces."""
    if isinstance(old, tuple):
        return _fitted_tuple(old, value, key)
    accepted = (int, float) if isinstance(old, float) else type(old)
    if isinstance(value, bool) != isinstance(old, bool) or not isinstance(value, accepted):
        raise _refused(key, f"{value!r} is not of the type of {old!r}")
    if isinstance(old, float):
        if not math.isfinite(value):
            raise _refused(key, f"{value!r} is no finite number")
        return float(value)
    least = 0 if key.rpartition(".")[2] in FROM_ZERO else 1
    if isinstance(old, int) and not isinstance(old, bool) and value < least:
        raise _refused(key, f"{value} is less than {least}")
    return value


def _fitted_tuple(old: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    """As many numbers as before, or any number of objects with the fields of the old ones."""
    kind = type(old[0])
    if not isinstance(value, list) or not value:
        raise _refused(key, f"{value!r} is no list such as {json.dumps(old, default=vars)}")
    if dataclasses.is_dataclass(kind):
        try:
            return tuple(kind(**item) for item in value)
        except TypeError as error:
            example = json.dumps(vars(old[0]))
            raise _refused(
                key, f"each of the list has to be an object such as {example}"
            ) from error
    if len(value) != len(old):
        raise _refused(key, f"{value!r} does not have {len(old)} values")
    return tuple(_fitted(before, item, key) for before, item in zip(old, value, strict=True))


def _first(target: Any) -> str:
    return dataclasses.fields(target)[0].name


def _refused(key: str, reason: str) -> YozoraError:
    return YozoraError(f"--set {key}: {reason}.")
