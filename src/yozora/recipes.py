"""Complete runs as plain functions: everything that determines a codec or a model besides the corpus.

    yozora train codec nano --corpus DIR --out runs/codec
    yozora train model nano --corpus DIR --codec runs/codec/codec.safetensors --out runs/nano
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from yozora.errors import YozoraError
from yozora.latents.buckets import Shape
from yozora.latents.state import STATE
from yozora.models.dit import DiTConfig
from yozora.models.vae import CodecConfig
from yozora.training.dit import ModelRecipe
from yozora.training.vae import CodecRecipe

AnyRecipe = TypeVar("AnyRecipe", CodecRecipe, ModelRecipe)


def nano_codec() -> CodecRecipe:
    """The shipped codec: 4x16x16 pixels to 64 channels, 140 tokens for a clip of 112x64 and 17 frames."""
    return CodecRecipe("nano")


def debug_codec() -> CodecRecipe:
    """Trains in seconds; for tests and for looking at every part."""
    config = CodecConfig(latent=16, channels=(8, 16, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    return CodecRecipe("debug", config, size=(32, 32), frames=9, batch=4, steps=20, pca_clips=8, warmup=2, validate_every=10)


def nano() -> ModelRecipe:
    """The shipped model."""
    return ModelRecipe("nano", DiTConfig(state=STATE))


def small() -> ModelRecipe:
    """About ten times nano, for one GPU."""
    config = DiTConfig(width=768, depth=12, heads=12, state=STATE, state_block=6)
    return ModelRecipe("small", config, batch=256, steps=60_000, lr=1e-3, warmup=1000)


def base() -> ModelRecipe:
    """About one billion parameters, for several GPUs."""
    config = DiTConfig(width=1792, depth=24, heads=28, state=STATE, state_block=12)
    return ModelRecipe("base", config, batch=1024, steps=200_000, lr=5e-4, warmup=2000)


def debug() -> ModelRecipe:
    """Trains in seconds; for tests and for looking at every part."""
    config = DiTConfig(latent=16, width=32, depth=2, heads=2, state=STATE, state_block=1)
    shapes = (Shape(9, 32, 32, 8.0), Shape(1, 32, 32, 8.0))
    return ModelRecipe("debug", config, shapes=shapes, batch=4, steps=20, warmup=2, validate_every=10)


CODECS = {"nano": nano_codec, "debug": debug_codec}
MODELS = {"nano": nano, "small": small, "base": base, "debug": debug}


def codec_recipe(name: str, settings: Mapping[str, str] | None = None) -> CodecRecipe:
    """The codec recipe of that name with ``key=value`` settings applied. Raises YozoraError for unknown names."""
    return override(_lookup(CODECS, name)(), settings or {})


def model_recipe(name: str, settings: Mapping[str, str] | None = None) -> ModelRecipe:
    """The model recipe of that name with ``key=value`` settings applied. Raises YozoraError for unknown names."""
    return override(_lookup(MODELS, name)(), settings or {})


def override(recipe: AnyRecipe, settings: Mapping[str, str]) -> AnyRecipe:
    """Fields changed by name, as in {"lr": "1e-3", "config.width": "128"}; values are read as JSON, else as text.

    Raises YozoraError when a field does not exist or its value has the wrong type.
    """
    for key, text in settings.items():
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        recipe = _replace(recipe, key.split("."), value, key)
    return recipe


def _lookup(recipes: Mapping[str, Any], name: str) -> Any:
    if name not in recipes:
        raise YozoraError(f"There is no recipe '{name}'; recipes are {', '.join(recipes)}.")
    return recipes[name]


def _replace(target: Any, path: list[str], value: Any, key: str) -> Any:
    name, *rest = path
    if name not in {f.name for f in dataclasses.fields(target)}:
        known = ", ".join(f.name for f in dataclasses.fields(target))
        raise YozoraError(f"--set {key}: there is no setting '{name}' here; settings are {known}.")
    old = getattr(target, name)
    if rest:
        if not dataclasses.is_dataclass(old):
            raise YozoraError(f"--set {key}: '{name}' is a value, it has no settings of its own.")
        return dataclasses.replace(target, **{name: _replace(old, rest, value, key)})
    if isinstance(old, bool) != isinstance(value, bool) or not isinstance(value, _accepted(old)):
        raise YozoraError(f"--set {key}: {value!r} is not of the type of {old!r}.")
    fitted = tuple(value) if isinstance(old, tuple) else float(value) if isinstance(old, float) else value
    return dataclasses.replace(target, **{name: fitted})


def _accepted(old: Any) -> tuple[type, ...]:
    if isinstance(old, float):
        return (int, float)
    return (list,) if isinstance(old, tuple) else (type(old),)
