"""Trains the transformer on cached latents: rectified flow over a mix of tasks, one screen a step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yozora import condition, flow
from yozora.artifact import json_hash
from yozora.checkpoint import config_of, save_weights
from yozora.errors import YozoraError
from yozora.latents.encode import Bucket
from yozora.latents.buckets import Shape
from yozora.latents.store import TextCache
from yozora.models.dit import DiT, DiTConfig, Text
from yozora.models.text import pad
from yozora.training.ema import Ema
from yozora.training.frames import prefetch, spread
from yozora.training.optim import MuonAdamW, warmup_stable_decay
from yozora.training.state import Log, latest_state, load_state, save_state, step_rng, torch_rng

Watch = Callable[[dict[str, Any]], None]
MIX = condition.Mix(
    {"text": 0.64, "image": 0.08, "prefix": 0.08, "suffix": 0.06, "ends": 0.06, "keyframes": 0.02, "patches": 0.03, "region": 0.03}
)


@dataclass(frozen=True)
class ModelRecipe:
    """Everything that determines a transformer besides the corpus and the codec.

    ``shapes``: the buckets clips are trained at. ``real_share`` of the clips drawn are footage. ``sigma_mean``,
    ``sigma_std``: the logit-normal density of noise levels. ``drop_text``: share of captions left empty, for guidance.
    ``state_weight``: of the auxiliary loss on the world's facts (latents/state.py).
    """

    name: str
    config: DiTConfig = DiTConfig()
    text: str = "minilm"
    shapes: tuple[Shape, ...] = (Shape(17, 64, 112, 8.0), Shape(1, 64, 112, 8.0))
    mix: condition.Mix = field(default_factory=lambda: MIX)
    batch: int = 32
    steps: int = 2000
    lr: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 60
    decay: float = 0.35
    ema: float = 0.998
    real_share: float = 0.08
    drop_text: float = 0.1
    sigma_mean: float = 0.2
    sigma_std: float = 1.0
    state_weight: float = 8.0
    clip: float = 1.0
    seed: int = 1
    checkpoint_minutes: float = 4.0
    validate_every: int = 100


class Batch(NamedTuple):
    """One step's data: latents [B, Z, t, h, w], text, facts [B, 3], known tokens and noise levels [B, t, h, w], drift-free
    noise, state targets [B, t, h, w, S] and whether each clip has them [B]; tasks by name."""

    latents: Tensor
    text: Text
    facts: Tensor
    known: Tensor
    sigma: Tensor
    noise: Tensor
    state: Tensor
    has_state: Tensor
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """Something to run beside training: ``run(network, step)`` every ``every`` steps, on the averaged weights; what it returns
    is logged. A value named ``motion_energy`` is watched: when it collapses, the log and the caller are warned."""

    every: int
    run: Callable[[DiT, int], Mapping[str, float]]


class Draws:
    """Batches as a pure function of the step."""

    def __init__(self, recipe: ModelRecipe, buckets: Sequence[Bucket], texts: TextCache) -> None:
        self.recipe, self.texts = recipe, texts
        self.groups = [
            (bucket, [r for r in bucket.rows if r.kind == "world"], [r for r in bucket.rows if r.kind != "world"])
            for bucket in buckets
        ]
        self.weights = np.array([self._weight(world, real) for _, world, real in self.groups])

    def _weight(self, world: Sequence[Any], real: Sequence[Any]) -> float:
        # Footage counts as if it were real_share of the corpus, whatever its number, so a few stills do not fill batches.
        worlds = sum(len(w) for _, w, _ in self.groups)
        reals = sum(len(r) for _, _, r in self.groups)
        share = 1.0 if not worlds else self.recipe.real_share
        return (1 - share) * len(world) / max(1, worlds) + share * len(real) / max(1, reals)

    def batch(self, step: int, steps: int, size: int | None = None, task: str | None = None) -> Batch:
        r = self.recipe
        rng = step_rng(r.seed, step, stream=7)
        size = size or r.batch
        bucket, world, real = self.groups[int(rng.choice(len(self.groups), p=self.weights / self.weights.sum()))]
        share = 1.0 if not world else 0.0 if not real else r.real_share
        count = int(size * share + rng.random())
        rows = [real[i] for i in spread(len(real), count, rng)] if count else []
        rows += [world[i] for i in spread(len(world), size - count, rng)] if size > count else []

        latents = torch.stack([bucket.latent(row).float() for row in rows])
        states = [bucket.state(row) for row in rows]
        captions = ["" if rng.random() < r.drop_text else str(rng.choice(row.captions)) for row in rows]
        text = Text(*pad([self.texts.states(c) for c in captions]))
        shape = bucket.shape
        facts = torch.tensor([[shape.fps, shape.frames / shape.fps, 0.0]]).expand(size, 3)

        tasks = tuple(task or r.mix.draw(rng, step / max(1, steps)) for _ in rows)
        known = torch.from_numpy(np.stack([condition.draw(t, shape.grid, rng) for t in tasks]))
        generator = torch_rng(rng)
        sigma = flow.draw_sigma(size, generator, mean=r.sigma_mean, std=r.sigma_std)
        drift = torch.rand(size, generator=generator) * r.mix.drift * (torch.rand(size, generator=generator) < 0.5)
        noise = torch.randn(latents.shape, generator=generator)
        return Batch(
            latents,
            text,
            facts,
            known,
            condition.noise_levels(known, sigma, drift),
            noise,
            torch.stack([s for s, _ in states]).float(),
            torch.tensor([k for _, k in states]),
            tasks,
        )


def losses(network: DiT, batch: Batch) -> tuple[Tensor, Tensor]:
    """(flow loss per clip [B], state loss per clip [B]; clips without known state count 0)."""
    x = flow.add_noise(batch.latents, batch.noise, batch.sigma)
    with torch.autocast("cpu", torch.bfloat16):
        v, state = network(x, batch.sigma, batch.text, batch.facts)
    per_clip = flow.loss(v, batch.latents, batch.noise, ~batch.known)
    if state is None:
        return per_clip, torch.zeros_like(per_clip)
    error = (state.float() - batch.state).square().flatten(1).mean(1)
    return per_clip, error * batch.has_state


def train(
    recipe: ModelRecipe,
    buckets: Sequence[Bucket],
    texts: TextCache,
    out: Path,
    *,
    validation: Sequence[Bucket] = (),
    start_from: Mapping[str, Tensor] | None = None,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    probe: Probe | None = None,
    provenance: Mapping[str, Any] | None = None,
    watch: Watch = lambda report: None,
) -> Path:
    """Trains a transformer and writes ``out/dit.safetensors`` (averaged weights); returns its path.

    Stops after ``steps`` (default the recipe's) or ``minutes``, whichever comes first. ``start_from`` are weights to go on
    from; ``resume`` goes on from the newest checkpoint in ``out``, bit for bit. Raises YozoraError when the loss is not finite;
    the last good checkpoint stays.
    """
    last = steps or recipe.steps
    recipe_id = json_hash(asdict(recipe))
    draws = Draws(recipe, buckets, texts)
    torch.manual_seed(recipe.seed)
    network = DiT(recipe.config)
    if start_from is not None:
        network.load_state_dict(start_from)
    optimizer = MuonAdamW(network, network.blocks, recipe.lr, recipe.weight_decay)
    ema = Ema(network, recipe.ema)
    out.mkdir(parents=True, exist_ok=True)
    begun = latest_state(out)
    first = 0
    if begun is not None and not resume:
        raise YozoraError(f"{out} already holds a run; go on with --resume or choose another --out.")
    if begun is not None:
        first, parts = load_state(begun, recipe_id)
        network.load_state_dict(parts["weights"])
        ema.load(parts["ema"])
        optimizer.restore(parts["optimizer"])

    def checkpoint(step: int) -> None:
        parts = {"weights": network.state_dict(), "ema": ema.weights, "optimizer": optimizer.tensors()}
        save_state(out, step, parts, {"recipe": recipe_id})

    log = Log(out, first)
    held_out = fixed_batches(recipe, validation, texts)
    began = saved = time.monotonic()
    waited = 0.0
    strongest = 0.0
    step = first
    batches = prefetch(lambda s: draws.batch(s, last), range(first, last))
    for step in range(first, last):
        asked = time.monotonic()
        batch = next(batches)
        waited += time.monotonic() - asked

        per_clip, state = losses(network, batch)
        loss = per_clip.mean() + recipe.state_weight * state.mean()
        if not math.isfinite(loss.item()):
            raise YozoraError(
                f"The loss is not finite at step {step}; {latest_state(out)} holds the last good weights. "
                "Lower the learning rate (--set lr=...) and resume from there."
            )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step(warmup_stable_decay(step, steps=last, warmup=recipe.warmup, decay=recipe.decay))
        ema.update(network, step)

        now = time.monotonic()
        report: dict[str, Any] = {"loss": per_clip.mean().item(), "state_loss": state.mean().item(), "gradient": norm.item()}
        if held_out and (step + 1) % recipe.validate_every == 0:
            report |= validate(network, ema, held_out)
        if probe is not None and (step + 1) % probe.every == 0:
            with averaged(network, ema):
                found = dict(probe.run(network, step + 1))
            report |= found
            strongest = max(strongest, found.get("motion_energy", 0.0))
            if found.get("motion_energy", strongest) < 0.3 * strongest:
                report["warning"] = "motion energy of the previews has collapsed to under a third of its best"
        log.write(step + 1, report)
        watch({"step": step + 1, "steps": last, "clips": len(batch.tasks), "waited": waited, **report})
        finished = minutes is not None and now - began > 60 * minutes
        if finished or now - saved > 60 * recipe.checkpoint_minutes:
            checkpoint(step + 1)
            saved = now
        if finished:
            break
    batches.close()
    log.close()
    checkpoint(step + 1)
    facts = {"recipe": asdict(recipe), "steps": step + 1, **(provenance or {})}
    weights = {**network.state_dict(), **ema.weights}
    config = {**config_of(recipe.config), "text_encoder": recipe.text, "shapes": [asdict(s) for s in recipe.shapes]}
    save_weights(out / "dit.safetensors", weights, config=config, provenance=facts)
    return out / "dit.safetensors"


class averaged:  # noqa: N801 (reads as a statement: with averaged(network, ema))
    """The network with its averaged weights for the length of a ``with`` block."""

    def __init__(self, network: DiT, ema: Ema) -> None:
        self.network, self.ema = network, ema

    def __enter__(self) -> DiT:
        self.trained = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.network.load_state_dict(self.ema.weights, strict=False)
        return self.network

    def __exit__(self, *_: object) -> None:
        self.network.load_state_dict(self.trained, strict=False)


def fixed_batches(recipe: ModelRecipe, validation: Sequence[Bucket], texts: TextCache) -> list[Batch]:
    """One batch per task with noise that is the same at every validation: losses a task at a time, comparable over a run."""
    if not validation:
        return []
    draws = Draws(recipe, [b for b in validation if b.shape.frames > 1] or list(validation), texts)
    return [draws.batch(10**9 + n, 1, min(32, recipe.batch), task) for n, task in enumerate(recipe.mix.weights)]


@torch.no_grad()
def validate(network: DiT, ema: Ema, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean loss of the averaged weights for each task."""
    with averaged(network, ema):
        return {f"validation_{b.tasks[0]}": losses(network, b)[0].mean().item() for b in batches}
