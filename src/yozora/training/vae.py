"""Trains the codec: PCA first, then the residual path on top of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yozora.artifact import json_hash
from yozora.checkpoint import load_into, save_weights
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.augment import Augment
from yozora.models.precision import autocast, best_device
from yozora.models.vae import PATCH, PATCH_VALUES, Codec, CodecConfig, to_patches
from yozora.training.ema import Ema
from yozora.training.frames import augmented, busy_crop, prefetch, spread, whole
from yozora.training.optim import (
    optimizer_tensors,
    restore_optimizer,
    set_lr_factor,
    warmup_stable_decay,
)
from yozora.training.state import (
    Facts,
    Log,
    Parts,
    open_run,
    planned_steps,
    require_finite,
    save_state,
    step_rng,
    torch_rng,
)
from yozora.video import fit

Watch = Callable[[dict[str, Any]], None]
PCA_STREAM, TRAIN_STREAM, STATISTICS_STREAM, NOISE_STREAM = 0, 1, 2, 3


@dataclass(frozen=True)
class CodecRecipe:
    """Everything that determines a codec besides the corpus.

    A batch is ``batch`` crops of ``crop`` patches a side (see frames.busy_crop), ``crops`` of each clip that is read.
    ``real_share`` of the clips is footage (all or nothing where the corpus has but one of both). ``latent_noise`` is
    added to raw latents, whose scale is about 1. The latents' stored scale is std ** ``whiten``: 1 would make every
    channel equally loud, 0 leaves the pixels' own metric, where a channel is as loud as what it does to the picture.
    Footage is drawn in other crops, colours and directions, by ``augment``: a little of it teaches the codec more
    textures so. ``decoder_only`` leaves the encoder as it is, so that latents, and the models trained on them, stay
    valid.
    """

    name: str
    config: CodecConfig = field(default_factory=CodecConfig)
    size: tuple[int, int] = (112, 64)
    frames: int = 17
    fps: float = 8.0
    batch: int = 16
    crop: int = 3
    crops: int = 2
    steps: int = 2500
    lr: float = 1e-3
    linear_lr: float = 3e-5
    warmup: int = 50
    decay: float = 0.3
    ema: float = 0.998
    real_share: float = 0.35
    pca_clips: int = 1024
    latent_noise: float = 0.02
    whiten: float = 0.5
    decoder_only: bool = False
    seed: int = 1
    checkpoint_minutes: float = 3.0
    validate_every: int = 200
    augment: Augment = field(default_factory=lambda: Augment(0.4, 0.5, 0.5, 0.2, 0.0))


class FrameSource:
    """Batches [B, 3, T, H, W] of a corpus's clips, a pure function of (stream, step)."""

    def __init__(self, corpus: Corpus, recipe: CodecRecipe, split: str) -> None:
        self.corpus, self.recipe, self.split = corpus, recipe, split
        wanted = recipe.frames - 0.5  # half a frame is a matter of rounding
        rows = [
            row
            for row in corpus.rows(split=split, masters=False)
            if row.seconds * recipe.fps >= wanted
        ]
        self.world = [row for row in rows if row.kind == "world"]
        self.real = [row for row in rows if row.kind != "world"]
        if not rows:
            raise YozoraError(
                f"No clip of split '{split}' in {corpus.path} is {recipe.frames} frames long at {recipe.fps:g} fps, "
                f"so there would be 0 batches; `yozora corpus check {corpus.path}` lists the lengths it holds."
            )

    def batch(self, stream: int, step: int, size: int) -> Tensor:
        """``size`` whole clips."""
        return torch.stack(self.clips(step_rng(self.recipe.seed, step, stream), size))

    def crops(self, stream: int, step: int) -> Tensor:
        """The recipe's batch of crops where clips are busy."""
        r = self.recipe
        rng = step_rng(r.seed, step, stream)
        clips = self.clips(rng, -(-r.batch // r.crops))
        cut = [busy_crop(x, r.crop, PATCH, rng) for x in clips for _ in range(r.crops)]
        return torch.stack(cut[: r.batch])

    def clips(self, rng: np.random.Generator, size: int) -> list[Tensor]:
        """``size`` clips in the recipe's mix of world and footage."""
        share = 0.0 if not self.real else 1.0 if not self.world else self.recipe.real_share
        real = int(size * share + rng.random())
        rows = [self.real[i] for i in spread(len(self.real), real, rng)] if real else []
        if size > real:
            rows += [self.world[i] for i in spread(len(self.world), size - real, rng)]
        return [self.clip(row, rng) for row in rows]

    def clip(self, row: Row, rng: np.random.Generator | None = None) -> Tensor:
        """[3, T, H, W] in [-1, 1]; footage is augmented when there is an ``rng``."""
        frames = self.corpus.read(row, fps=self.recipe.fps).frames[: self.recipe.frames]
        if missing := self.recipe.frames - len(frames):
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        if row.width * self.recipe.size[1] != row.height * self.recipe.size[0]:
            frames, _ = fit(frames, self.recipe.size)  # another aspect is padded, not squashed
        if rng is None or row.kind == "world":
            return whole(frames, self.recipe.size)
        return augmented(frames, self.recipe.size, rng, self.recipe.augment)


def fit_pca(
    source: FrameSource, config: CodecConfig, watch: Watch
) -> tuple[Tensor, Tensor, Tensor]:
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
    """Mean over clips of the root of the squared error: between the squared error, which hears only busy clips, and
    its logarithm (the mean PSNR), which hears only plain ones. [B, 3, T, H, W] -> scalar."""
    error = (y.float() - x).square().flatten(1).mean(1)
    return (error + 1e-6).sqrt().mean()


def psnr(y: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB per clip, [B, 3, T, H, W] in [-1, 1] -> [B]."""
    error = ((y.float() - x) / 2).square().flatten(1).mean(1)
    return -10 * torch.log10(error + 1e-12)


@dataclass(frozen=True)
class Learner:
    """What training changes: the codec, its optimiser, and the average of its weights."""

    codec: Codec
    optimizer: torch.optim.Optimizer
    ema: Ema

    @classmethod
    def new(cls, recipe: CodecRecipe, source: FrameSource, watch: Watch) -> Learner:
        """At its start: the principal components and a residual path that does nothing yet."""
        learner = cls.blank(recipe)
        learner.codec.start_from_pca(*fit_pca(source, recipe.config, watch))
        learner.ema.load(dict(learner.codec.named_parameters()))
        return learner

    @classmethod
    def continued(cls, recipe: CodecRecipe, tensors: Mapping[str, Tensor]) -> Learner:
        """From another run's weights, with a fresh optimiser. A decoder may have fewer or more blocks than before."""
        learner = cls.blank(recipe)
        if recipe.decoder_only:
            tensors = with_other_blocks(learner.codec, tensors)
        load_into(learner.codec, tensors, "the codec to go on from")
        learner.ema.load(dict(learner.codec.named_parameters()))
        return learner

    @classmethod
    def resumed(cls, recipe: CodecRecipe, parts: Parts) -> Learner:
        """Where a checkpoint left off."""
        learner = cls.blank(recipe)
        learner.codec.load_state_dict(parts["weights"])
        learner.ema.load(parts["ema"])
        restore_optimizer(learner.optimizer, parts["optimizer"])
        return learner

    @classmethod
    def blank(cls, recipe: CodecRecipe) -> Learner:
        torch.manual_seed(recipe.seed)
        codec = Codec(recipe.config).to(best_device())
        if recipe.decoder_only:
            for part in (codec.linear_in, codec.linear_out, codec.encoder):
                part.requires_grad_(False)
        linear = [*codec.linear_in.parameters(), *codec.linear_out.parameters()]
        others = [*codec.encoder.parameters(), *codec.decoder.parameters()]
        optimizer = torch.optim.AdamW(
            [
                {"params": others, "lr": recipe.lr, "base_lr": recipe.lr},
                {"params": linear, "lr": recipe.linear_lr, "base_lr": recipe.linear_lr},
            ],
            betas=(0.9, 0.98),
            weight_decay=0.0,
            fused=True,
        )
        return cls(codec, optimizer, Ema(codec, recipe.ema))

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """A checkpoint's content."""
        return {
            "weights": self.codec.state_dict(),
            "ema": self.ema.weights,
            "optimizer": optimizer_tensors(self.optimizer),
        }


def with_other_blocks(codec: Codec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` of another codec, without the decoder's blocks that ``codec`` lacks, and with those it has besides:
    as ``codec`` holds them, but for the last layer, which is zero, so that they do nothing yet."""
    own = codec.state_dict()
    block = re.compile(r"decoder\.(fine|middle|coarse)\.\d+\.")
    kept = {name: t for name, t in tensors.items() if name in own or not block.match(name)}
    added = {name: t for name, t in own.items() if name not in kept and block.match(name)}
    return kept | {n: torch.zeros_like(t) if ".mix." in n else t for n, t in added.items()}


def train(
    recipe: CodecRecipe,
    corpus: Corpus,
    out: Path,
    *,
    start_from: Mapping[str, Tensor] | None = None,
    seen: Mapping[str, Any] | None = None,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    watch: Watch = lambda report: None,
) -> Path:
    """Trains a codec and writes ``out/codec.safetensors`` (averaged weights, at half precision); returns its path.

    Stops after ``steps`` (default the recipe's) or ``minutes``, whichever comes first. ``start_from`` are a codec's
    weights to go on from (``decoder_only`` needs them), ``seen`` the manifest of rights that they carry. ``resume``
    goes on from the newest checkpoint in ``out``, bit for bit as if the run had not been interrupted, unless ``steps``
    is another number than before. Raises YozoraError when the corpus has no usable clip, one that may not be trained
    on, or is another one than the resumed run's, or when loss or gradient is not finite; the last good checkpoint
    stays.
    """
    last = planned_steps(out, steps, recipe.steps, resume=resume)
    source = FrameSource(corpus, recipe, "train")
    clips = [row.id for row in corpus.rows(split="train", masters=False)]
    rights = corpus.cleared(clips)
    lists, inherited = corpus.inherited(seen or {})
    corpus.consumed("run", out, [*clips, *inherited])
    facts = Facts(json_hash(asdict(recipe)), corpus.identity(), last)
    done, parts = open_run(out, facts, resume=resume)
    if parts:
        learner = Learner.resumed(recipe, parts)
    elif start_from is not None:
        learner = Learner.continued(recipe, start_from)
    elif recipe.decoder_only:
        raise YozoraError(
            "decoder_only improves the decoder of a codec: name that codec with --from."
        )
    else:
        learner = Learner.new(recipe, source, watch)
    codec, optimizer, ema = learner.codec, learner.optimizer, learner.ema
    device = best_device()
    held_out = validation_batch(corpus, recipe)
    began = saved = time.monotonic()
    batches = prefetch(lambda step: source.crops(TRAIN_STREAM, step), range(done, last))
    with Log(out, done) as log, closing(batches):
        for step, drawn in enumerate(batches, done):
            x = drawn.to(device)
            factor = warmup_stable_decay(step, steps=last, warmup=recipe.warmup, decay=recipe.decay)
            set_lr_factor(optimizer, factor)
            y = with_noise(codec, x, recipe, step)
            loss = reconstruction_loss(y, x)
            require_finite(out, step, loss=loss.item())
            now = time.monotonic()
            if (
                step and now - saved > 60 * recipe.checkpoint_minutes
            ):  # their loss has proven the weights
                save_state(out, step, learner.parts(), facts)
                saved = now
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
            require_finite(out, step, gradient=norm.item())
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ema.update(codec, step)
            done = step + 1

            report = {"loss": loss.item(), "psnr": psnr(y.detach(), x).mean().item()}
            if done % recipe.validate_every == 0 and held_out is not None:
                report["validation_psnr"] = validate(codec, ema, held_out)
            log.write(done, report)
            watch({"phase": "train", "step": done, "steps": last, "clips": len(x), **report})
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                break
    save_state(out, done, learner.parts(), facts)
    codec.load_state_dict({**codec.state_dict(), **ema.weights})
    if not recipe.decoder_only:
        store_statistics(codec, source, recipe)
    provenance = {
        "recipe": asdict(recipe),
        "steps": done,
        "planned_steps": last,
        "corpus": facts.data,
        "rights": {**rights, "inherited": lists},
    }
    shape = {"size": recipe.size, "frames": recipe.frames, "fps": recipe.fps}
    save_weights(
        out / "codec.safetensors",
        codec.state_dict(),
        config={**asdict(recipe.config), **shape},
        provenance=provenance,
        dtype=torch.float16,
    )
    corpus.consumed("checkpoint", out, [*clips, *inherited])
    return out / "codec.safetensors"


def with_noise(codec: Codec, x: Tensor, recipe: CodecRecipe, step: int) -> Tensor:
    """Encodes and decodes, with a little noise on the latents, as the transformer's will have. Shaped as ``x``."""
    generator = torch_rng(step_rng(recipe.seed, step, NOISE_STREAM))
    with autocast(x.device):
        z = codec.encode_raw(x)
        noise = torch.randn(z.shape, generator=generator).to(z.device)
        return codec.decode_raw(z + recipe.latent_noise * noise)


def validation_batch(corpus: Corpus, recipe: CodecRecipe) -> Tensor | None:
    """Up to 16 world and 16 real clips of the validation split, unaugmented; None when there are none."""
    try:
        source = FrameSource(corpus, recipe, "validation")
    except YozoraError:
        return None
    rows = [*source.world[:16], *source.real[:16]]
    return torch.stack([source.clip(row) for row in rows]).to(best_device())


@torch.no_grad()
def validate(codec: Codec, ema: Ema, x: Tensor) -> float:
    """Mean PSNR in dB of the averaged weights."""
    with ema.applied(codec), autocast(x.device):
        parts = [psnr(codec.decode_raw(codec.encode_raw(y)), y) for y in x.split(8)]
    return torch.cat(parts).mean().item()


@torch.no_grad()
def store_statistics(codec: Codec, source: FrameSource, recipe: CodecRecipe) -> None:
    """Measures mean and scale of the raw latents over 512 training clips and stores them in the codec."""
    latents, device = [], best_device()
    for x in prefetch(lambda step: source.batch(STATISTICS_STREAM, step, 32), range(16)):
        with autocast(device):
            latents.append(codec.encode_raw(x.to(device)).float())
    codec.set_statistics(torch.cat(latents), recipe.whiten)
