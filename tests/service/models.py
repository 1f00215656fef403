"""A model of the debug recipes' size on disk: it generates in milliseconds, and nothing that is worth seeing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from yozora import recipes
from yozora.checkpoint import config_of, save_weights
from yozora.models.dit import DiT
from yozora.models.vae import Codec


def debug_model(folder: Path, seed: int = 0) -> Path:
    """Writes it into ``folder``, as training would."""
    torch.manual_seed(seed)
    codec, recipe = recipes.debug_codec(), recipes.debug()
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(
        folder / "codec.safetensors", Codec(codec.config).state_dict(), config=asdict(codec.config)
    )
    config = {**config_of(recipe.config), "text_encoder": recipe.text}
    config["shapes"] = [asdict(shape) for shape in recipe.shapes]
    save_weights(folder / "dit.safetensors", DiT(recipe.config).state_dict(), config=config)
    return folder
