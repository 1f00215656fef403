"""Trains the codec: PCA first, then the residual path on top of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yozora.artifact import json_hash
from yozora.checkpoint import save_weights
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.models.vae import PATCH, PATCH_VALUES, Codec, CodecConfig, to_patches
from yozora.training.ema import Ema
from yozora.training.frames import augmented, busy_crop, prefetch, spread, whole
from yozora.training.optim import optimizer_tensors, restore_optimizer, set_lr_factor, warmup_stable_decay
from yozora.training.state import (
    Log,
    latest_state,
    load_state,
    save_state,
    step_rng,
    torch_rng,
)

Watch = Callable[[dict[str, Any]], None]
PCA_STREAM, TRAIN_STREAM, STATISTICS_STREAM = 0, 1, 2


@dataclass(frozen=True)
class CodecRecipe:
    """Everything that determines a codec besides the corpus.

    Training sees crops of ``crop`` patches a side (see frames.busy_crop). ``real_share`` of every batch is footage (the corpus's own share when it lacks one of both). The latents'
    stored scale is std ** ``whiten``: 1 would make every channel equally loud, 0 leaves the pixels' own metric,
    where a channel is as loud as what it does to the picture.
    """

    name: str
    config: CodecConfig = CodecConfig()
    size: tuple[int, int] = (112, 64)
    frames: int = 17
    fps: float = 8.0
    batch: int = 16
    crop: int = 3
    steps: int = 4000
    lr: float = 1e-3
    linear_lr: float = 3e-5
    warmup: int = 50
    decay: float = 0.3
    ema: float = 0.998
    real_share: float = 0.35
    pca_clips: int = 1024
    latent_noise: float = 0.02
    whiten: float = 0.5
    seed: int = 1
    checkpoint_minutes: float = 3.0
    validate_every: int = 200


class FrameSource:
    """Batches [B, 3, T, H, W] of a corpus's clips, a pure function of (stream, step)."""

    def __init__(self, corpus: Corpus, recipe: CodecRecipe, split: str) -> None:
        self.corpus, self.recipe, self.split = corpus, recipe, split
        rows = [row for row in corpus.rows(split=split) if row.frames / row.fps * recipe.fps >= recipe.frames - 0.5]
        self.world = [row for row in rows if row.kind == "world"]
        self.real = [row for row in rows if row.kind != "world"]
        if not rows:
            raise YozoraError(
                f"No clip of split '{split}' in {corpus.path} is {recipe.frames} frames long at {recipe.fps:g} fps, "
                f"so there would be 0 batches; `yozora corpus check {corpus.path}` lists the lengths it holds."
            )

    def batch(self, stream: int, step: int, size: int | None = None, crop: bool = False) -> Tensor:
        rng = step_rng(self.recipe.seed, step, stream)
        size = size or self.recipe.batch
        share = 0.0 if not self.real else 1.0 if not self.world else self.recipe.real_share
        real = int(size * share + rng.random())
        rows = [self.real[i] for i in spread(len(self.real), real, rng)] if real else []
        rows += [self.world[i] for i in spread(len(self.world), size - real, rng)] if size > real else []
        clips = [self.clip(row, rng) for row in rows]
        if crop:
            clips = [busy_crop(x, self.recipe.crop, PATCH, rng) for x in clips]
        return torch.stack(clips)

    def clip(self, row: Row, rng: Any = None) -> Tensor:
        frames = self.corpus.read(row, fps=self.recipe.fps).frames[: self.recipe.frames]
        if rng is None or row.kind == "world":
            return whole(frames, self.recipe.size)
        return augmented(frames, self.recipe.size, rng)


def fit_pca(source: FrameSource, config: CodecConfig, watch: Watch) -> tuple[Tensor, Tensor, Tensor]:
    """(mean [3072], components [Z, 3072], their standard deviations [Z]) of the training patches."""
    total, outer, count = torch.zeros(PATCH_VALUES), torch.zeros(PATCH_VALUES, PATCH_VALUES), 0
    batches = max(1, source.recipe.pca_clips // 32)
    for x in prefetch(lambda step: source.batch(PCA_STREAM, step, 32), range(batches)):
        patches = to_patches(x).reshape(-1, PATCH_VALUES)
        total += patches.sum(0)
        outer += patches.T @ patches
        count += len(patches)
        watch({"phase": "pca", "patches": count})
    mean = total / count
    values, vectors = torch.linalg.eigh(outer / count - torch.outer(mean, mean))
    std = values[-config.latent :].flip(0).clamp(min=1e-6).sqrt()
    return mean, vectors[:, -config.latent :].flip(1).T.contiguous(), std


def reconstruction_loss(y: Tensor, x: Tensor) -> Tensor:
    """Mean over clips of the root of the squared error: between the squared error, which hears only busy clips, and its
    logarithm (the mean PSNR), which hears only plain ones. [B, 3, T, H, W] -> scalar."""
    error = (y.float() - x).square().flatten(1).mean(1)
    return (error + 1e-6).sqrt().mean()


def psnr(y: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB per clip, [B, 3, T, H, W] in [-1, 1] -> [B]."""
    error = ((y.float() - x) / 2).square().flatten(1).mean(1)
    return -10 * torch.log10(error + 1e-12)


def train(
    recipe: CodecRecipe,
    corpus: Corpus,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    watch: Watch = lambda report: None,
) -> Path:
    """Trains a codec and writes ``out/codec.safetensors`` (EMA weights); returns its path.

    Stops after ``steps`` (default the recipe's) or ``minutes``, whichever comes first. ``resume`` goes on from the
    newest checkpoint in ``out``, bit for bit as if the run had not been interrupted. Raises YozoraError when the
    corpus has no usable clip or the loss is not finite.
    """
    last = steps or recipe.steps
    recipe_id = json_hash(asdict(recipe))
    source = FrameSource(corpus, recipe, "train")
    torch.manual_seed(recipe.seed)
    codec = Codec(recipe.config)
    linear = [*codec.linear_in.parameters(), *codec.linear_out.parameters()]
    others = [p for p in codec.parameters() if all(p is not q for q in linear)]
    optimizer = torch.optim.AdamW(
        [
            {"params": others, "lr": recipe.lr, "base_lr": recipe.lr},
            {"params": linear, "lr": recipe.linear_lr, "base_lr": recipe.linear_lr},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    begun = latest_state(out)
    start = 0
    if begun is not None and not resume:
        raise YozoraError(f"{out} already holds a run; go on with --resume or choose another --out.")
    if begun is None:
        codec.start_from_pca(*fit_pca(source, recipe.config, watch))
        ema = Ema(codec, recipe.ema)
    else:
        start, parts = load_state(begun, recipe_id)
        codec.load_state_dict(parts["weights"])
        ema = Ema(codec, recipe.ema)
        ema.load(parts["ema"])
        restore_optimizer(optimizer, parts["optimizer"])

    def checkpoint(step: int) -> None:
        parts = {"weights": codec.state_dict(), "ema": ema.weights, "optimizer": optimizer_tensors(optimizer)}
        save_state(out, step, parts, {"recipe": recipe_id})

    log = Log(out, start)
    held_out = validation_batch(corpus, recipe)
    began = saved = time.monotonic()
    step = start
    for step, x in enumerate(prefetch(lambda s: source.batch(TRAIN_STREAM, s, crop=True), range(start, last)), start):
        set_lr_factor(optimizer, warmup_stable_decay(step, steps=last, warmup=recipe.warmup, decay=recipe.decay))
        generator = torch_rng(step_rng(recipe.seed, step, 3))
        with torch.autocast("cpu", torch.bfloat16):
            z = codec.encode_raw(x)
            noise = torch.randn(z.shape, generator=generator)
            y = codec.decode_raw(z + recipe.latent_noise * noise)
        loss = reconstruction_loss(y, x)
        if not math.isfinite(loss.item()):
            raise YozoraError(
                f"The codec's loss is not finite at step {step}; {latest_state(out)} holds the last good weights. "
                "Lower the learning rate (--set lr=...) and resume from there."
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(codec, step)

        report = {"loss": loss.item(), "psnr": psnr(y.detach(), x).mean().item()}
        if (step + 1) % recipe.validate_every == 0 and held_out is not None:
            report["validation_psnr"] = validate(codec, ema, held_out)
        log.write(step + 1, report)
        watch({"phase": "train", "step": step + 1, "steps": last, "clips": len(x), **report})
        now = time.monotonic()
        finished = minutes is not None and now - began > 60 * minutes
        if finished or now - saved > 60 * recipe.checkpoint_minutes:
            checkpoint(step + 1)
            saved = now
        if finished:
            break
    log.close()
    checkpoint(step + 1)
    codec.load_state_dict({**codec.state_dict(), **ema.weights})
    store_statistics(codec, source, recipe)
    provenance = {"recipe": asdict(recipe), "steps": step + 1, "corpus": corpus.identity()}
    config = {**asdict(recipe.config), "size": recipe.size, "frames": recipe.frames, "fps": recipe.fps}
    save_weights(out / "codec.safetensors", codec.state_dict(), config=config, provenance=provenance)
    return out / "codec.safetensors"


def validation_batch(corpus: Corpus, recipe: CodecRecipe) -> Tensor | None:
    """Up to 16 world and 16 real clips of the validation split, unaugmented; None when there are none."""
    try:
        source = FrameSource(corpus, recipe, "validation")
    except YozoraError:
        return None
    return torch.stack([source.clip(row) for row in [*source.world[:16], *source.real[:16]]])


@torch.no_grad()
def validate(codec: Codec, ema: Ema, x: Tensor) -> float:
    """Mean PSNR in dB of the averaged weights."""
    trained = {name: p.detach().clone() for name, p in codec.named_parameters()}
    codec.load_state_dict({**codec.state_dict(), **ema.weights})
    with torch.autocast("cpu", torch.bfloat16):
        value = torch.cat([psnr(codec.decode_raw(codec.encode_raw(part)), part) for part in x.split(8)]).mean().item()
    codec.load_state_dict({**codec.state_dict(), **trained})
    return value


@torch.no_grad()
def store_statistics(codec: Codec, source: FrameSource, recipe: CodecRecipe) -> None:
    """Measures mean and scale of the raw latents over 512 training clips and stores them in the codec."""
    latents = []
    for x in prefetch(lambda step: source.batch(STATISTICS_STREAM, step, 32), range(16)):
        with torch.autocast("cpu", torch.bfloat16):
            latents.append(codec.encode_raw(x).float())
    codec.set_statistics(torch.cat(latents), recipe.whiten)
