"""A corpus, buckets and text states that live in memory, small enough that a training step takes milliseconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yozora import recipes
from yozora.corpus.schema import Row
from yozora.latents.buckets import Shape
from yozora.latents.state import STATE
from yozora.models.vae import PATCH_VALUES, CodecConfig
from yozora.training.dit import ModelRecipe
from yozora.training.text import TextRecipe
from yozora.training.vae import CodecRecipe
from yozora.video import Clip

STEPS = 14
FILM, STILL = recipes.debug().shapes


def model_recipe() -> ModelRecipe:
    """Debug, with a checkpoint at every step."""
    return replace(recipes.debug(), steps=STEPS, checkpoint_minutes=0.0, validate_every=5)


def codec_recipe() -> CodecRecipe:
    """Debug, with a checkpoint at every step."""
    return replace(recipes.debug_codec(), steps=STEPS, checkpoint_minutes=0.0, validate_every=5)


def text_recipe() -> TextRecipe:
    """Debug, with a checkpoint at every step."""
    return replace(recipes.debug_text(), steps=STEPS, checkpoint_minutes=0.0, validate_every=5)


def row(name: str, kind: str = "world", split: str = "train", frames: int = 9) -> Row:
    captions = (f"a {name} ball", f"{name} moves") if kind == "world" else (f"{name} from life",)
    return Row(
        id=name,
        path=f"{name}.mp4",
        captions=captions,
        split=split,
        kind=kind,
        source="toys",
        licence="CC0-1.0",
        holder="",
        url="",
        frames=frames,
        height=32,
        width=32,
        fps=8.0,
        labels_json=json.dumps(scene(name)) if kind == "world" else "{}",
    )


def scene(name: str) -> dict[str, Any]:
    """A ball of that colour that falls, or flies to the right if its name is short."""
    law, direction = ("throw", "right") if len(name) < 5 else ("fall", None)
    ball = {"colour": name, "shape": "ball", "law": law, "direction": direction, "amplitude": 0.0}
    ball |= {"size": "small", "speed": None, "x0": 0.2 * len(name), "y0": 0.1}
    return {"scene": {"bodies": [ball], "camera": {"motion": "still"}, "aspect": 1.0}}


def generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))


@dataclass(frozen=True)
class Toys:
    """A corpus: plain squares that move, with a little grain."""

    path: Path
    clips: tuple[Row, ...] = (
        *(row(name) for name in ("red", "blue", "green", "white")),
        *(row(name, "footage") for name in ("cat", "dog")),
        *(row(name, split="validation") for name in ("cyan", "black")),
    )

    def rows(self, split: str | None = None, *, masters: bool = True) -> list[Row]:
        clips = [clip for clip in self.clips if split in (None, clip.split)]
        return [clip for clip in clips if masters or clip.role != "master"]

    def read(self, row: Row, *, fps: float) -> Clip:
        rng = np.random.default_rng(int(hashlib.sha256(row.id.encode()).hexdigest()[:8], 16))
        frames = rng.integers(0, 40, (row.frames, row.height, row.width, 3), dtype=np.uint8)
        x, y = rng.integers(0, 16, 2)
        for k, frame in enumerate(frames):
            frame[y : y + 8, x + k : x + k + 8] += rng.integers(100, 200, 3).astype(np.uint8)
        return Clip(frames, fps)

    def identity(self) -> str:
        return "toys"

    def cleared(self, clips: Iterable[str]) -> dict[str, int]:
        return {"clips": len(list(clips))}

    def inherited(self, *rights: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        return [], []

    def consumed(self, by: str, name: str | Path, clips: Iterable[str]) -> None:
        """The toys keep no ledger."""


@dataclass(frozen=True)
class ToyBucket:
    """Latents that depend on the row's name; footage has no known state and two variants, the second one backwards."""

    shape: Shape
    rows: tuple[Row, ...]

    def latent(self, row: Row, variant: int = 0) -> Tensor:
        name = f"{row.id} {variant}" if variant else row.id
        return torch.randn(16, *self.shape.grid, generator=generator(name)).bfloat16()

    def versions(self, row: Row) -> int:
        return 3 if row.kind == "footage" else 1

    def caption(self, caption: str, row: Row, variant: int) -> str:
        return f"backwards {caption}" if variant == 2 and caption else caption

    def state(self, row: Row) -> tuple[Tensor, bool]:
        values = torch.rand(*self.shape.grid, STATE, generator=generator(row.id)).half()
        return values, row.kind == "world"


class ToyTexts:
    """Token states [words, 384] that depend on each word."""

    def states(self, caption: str) -> Tensor:
        words = ["<s>", *caption.split()]
        return torch.stack([torch.randn(384, generator=generator(word)) for word in words]).half()


def buckets(split: str = "train") -> list[ToyBucket]:
    rows = Toys(Path()).rows(split)
    stills = (row("stone", "footage", frames=1), row("sea", "footage", frames=1))
    films = [ToyBucket(FILM, tuple(rows))]
    return [ToyBucket(STILL, stills), *films] if split == "train" else films


def components(source: object, config: CodecConfig, watch: object) -> tuple[Tensor, Tensor, Tensor]:
    """In place of principal components: any orthonormal ones."""
    basis, _ = torch.linalg.qr(
        torch.randn(PATCH_VALUES, config.latent, generator=generator("basis"))
    )
    return torch.zeros(PATCH_VALUES), basis.T.contiguous(), torch.ones(config.latent)
