"""Trains the transformer on cached latents: rectified flow over a mix of tasks, one screen a step."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
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
from yozora.latents.augment import Augment
from yozora.latents.buckets import Shape
from yozora.latents.encode import Bucket
from yozora.latents.store import TextCache
from yozora.models.dit import DiT, DiTConfig, Text
from yozora.models.precision import autocast, best_device
from yozora.models.text import pad
from yozora.training.ema import Ema
from yozora.training.frames import prefetch, spread
from yozora.training.optim import MuonAdamW, warmup_stable_decay
from yozora.training.reading import Page, Reading, by_id
from yozora.training.state import (
    Facts,
    Log,
    Parts,
    open_run,
    planned_steps,
    read_log,
    require_finite,
    save_state,
    step_rng,
    torch_rng,
)

Watch = Callable[[dict[str, Any]], None]
Row = Any  # a corpus's row; this room knows it through its bucket alone
NANO_SHAPES = (Shape(17, 64, 112, 8.0), Shape(1, 64, 112, 8.0))
MIX = {
    "text": 0.64,
    "image": 0.08,
    "prefix": 0.08,
    "suffix": 0.06,
    "ends": 0.06,
    "keyframes": 0.02,
    "patches": 0.03,
    "region": 0.03,
}
COLLAPSED = 0.3  # of the best motion energy so far: previews below stand still


@dataclass(frozen=True)
class ModelRecipe:
    """Everything that determines a transformer besides the corpus and the codec.

    ``shapes``: the buckets clips are trained at. ``real_share`` of the clips drawn are footage. ``sigma_mean``,
    ``sigma_std``: the logit-normal density of noise levels; where bodies go is decided above 0.8, what they look like
    below. ``drop_text``: share of captions left empty, for guidance. ``state_weight``: of the auxiliary loss on the
    world's facts (latents/state.py). ``read_captions`` more captions a step are read without a picture (reading.py),
    which counts ``read_weight``. ``compile``: fuse element-wise work, which takes a C++ compiler and a minute before
    the first step. ``variants``: how many changed versions of each clip of footage there are besides itself, of which
    every step draws one (latents/augment.py). ``validate_every``, ``preview_every``: steps from one look at the run to
    the next.
    """

    name: str
    config: DiTConfig = field(default_factory=DiTConfig)
    text: str = "minilm"
    shapes: tuple[Shape, ...] = NANO_SHAPES
    mix: condition.Mix = field(default_factory=lambda: condition.Mix(MIX))
    batch: int = 32
    steps: int = 2000
    lr: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 60
    decay: float = 0.35
    ema: float = 0.998
    real_share: float = 0.08
    drop_text: float = 0.1
    sigma_mean: float = 1.2
    sigma_std: float = 1.1
    state_weight: float = 8.0
    read_captions: int = 64
    read_weight: float = 0.2
    clip: float = 1.0
    compile: bool = False
    seed: int = 1
    checkpoint_minutes: float = 4.0
    validate_every: int = 100
    preview_every: int = 250
    variants: int = 0
    augment: Augment = field(default_factory=Augment)


class Batch(NamedTuple):
    """One step's data: latents [B, Z, t, h, w], text, facts [B, 3] (see models/dit.py), known tokens and noise levels
    [B, t, h, w], noise shaped as the latents, state targets [B, t, h, w, S] and whether each clip has them [B]; the
    name of each clip's task, and how many of the clips are variants."""

    latents: Tensor
    text: Text
    facts: Tensor
    known: Tensor
    sigma: Tensor
    noise: Tensor
    state: Tensor
    has_state: Tensor
    tasks: tuple[str, ...]
    varied: int = 0

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``; batches are drawn on the processor, so that runs agree on any device."""
        tensors = (part.to(device) for part in self if isinstance(part, Tensor))
        latents, facts, known, sigma, noise, state, has_state = tensors
        text = Text(self.text.states.to(device), self.text.mask.to(device))
        return Batch(
            latents, text, facts, known, sigma, noise, state, has_state, self.tasks, self.varied
        )


@dataclass(frozen=True)
class Probe:
    """Something to run beside training: ``run(network, step)`` every ``every`` steps, on the averaged weights; what it
    returns is logged. A value named ``motion_energy`` is watched: when it collapses, log and caller are warned."""

    every: int
    run: Callable[[DiT, int], Mapping[str, float]]


class Draws:
    """Batches as a pure function of the step. Raises YozoraError when there are no clips."""

    def __init__(self, recipe: ModelRecipe, buckets: Sequence[Bucket], texts: TextCache) -> None:
        self.recipe, self.texts = recipe, texts
        self.groups = [
            (
                bucket,
                sorted((row for row in bucket.rows if row.kind == "world"), key=by_id),
                sorted((row for row in bucket.rows if row.kind != "world"), key=by_id),
            )
            for bucket in buckets
            if bucket.rows
        ]
        if not self.groups:
            raise YozoraError(
                "There are 0 batches: no bucket holds a clip; `yozora corpus check` shows what the corpus holds."
            )
        weights = np.array([self._weight(world, real) for _, world, real in self.groups])
        self.weights = weights / weights.sum()

    def _weight(self, world: Sequence[Row], real: Sequence[Row]) -> float:
        # Footage counts as real_share of the corpus, whatever its number, so that a few stills do not fill batches.
        worlds = sum(len(w) for _, w, _ in self.groups)
        reals = sum(len(r) for _, _, r in self.groups)
        share = 1.0 if not worlds else self.recipe.real_share
        return (1 - share) * len(world) / max(1, worlds) + share * len(real) / max(1, reals)

    def _rows(
        self, world: Sequence[Row], real: Sequence[Row], size: int, rng: np.random.Generator
    ) -> list[Row]:
        share = 1.0 if not world else 0.0 if not real else self.recipe.real_share
        count = int(size * share + rng.random())
        rows = [real[i] for i in spread(len(real), count, rng)] if count else []
        return rows + (
            [world[i] for i in spread(len(world), size - count, rng)] if size > count else []
        )

    def _caption(self, row: Row, rng: np.random.Generator) -> str:
        if rng.random() < self.recipe.drop_text or not row.captions:
            return ""
        return str(rng.choice(row.captions))

    def batch(
        self, step: int, steps: int, size: int | None = None, task: str | None = None
    ) -> Batch:
        """The batch of ``step`` of ``steps``; ``size`` and ``task`` replace the recipe's batch and mix."""
        r = self.recipe
        rng = step_rng(r.seed, step, stream=7)
        size = size or r.batch
        bucket, world, real = self.groups[int(rng.choice(len(self.groups), p=self.weights))]
        rows = self._rows(world, real, size, rng)
        chance = step_rng(r.seed, step, stream=13)
        variants = [int(chance.integers(bucket.versions(row))) for row in rows]
        drawn = list(zip(rows, variants, strict=True))
        latents = torch.stack([bucket.latent(row, n).float() for row, n in drawn])
        states = [bucket.state(row) for row in rows]
        captions = [bucket.caption(self._caption(row, rng), row, n) for row, n in drawn]
        text = Text(*pad([self.texts.states(c) for c in captions]))
        shape = bucket.shape
        facts = torch.tensor([[shape.fps, shape.frames / shape.fps, 0.0]]).expand(size, 3)

        tasks = tuple(task or r.mix.draw(rng, step / max(1, steps)) for _ in rows)
        known = torch.from_numpy(np.stack([condition.draw(t, shape.grid, rng) for t in tasks]))
        generator = torch_rng(rng)
        sigma = flow.draw_sigma(size, generator, mean=r.sigma_mean, std=r.sigma_std)
        drift = (
            torch.rand(size, generator=generator)
            * r.mix.drift
            * (torch.rand(size, generator=generator) < 0.5)
        )
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
            sum(n > 0 for n in variants),
        )


def losses(network: DiT, batch: Batch) -> tuple[Tensor, Tensor]:
    """(flow loss per clip [B], state loss per clip [B]; clips without known state count 0)."""
    x = flow.add_noise(batch.latents, batch.noise, batch.sigma)
    with autocast(x.device):
        v, state = network(x, batch.sigma, batch.text, batch.facts)
    per_clip = flow.loss(v, batch.latents, batch.noise, ~batch.known)
    if state is None:
        return per_clip, torch.zeros_like(per_clip)
    error = (state.float() - batch.state).square().flatten(1).mean(1)
    return per_clip, error * batch.has_state


@dataclass(frozen=True)
class Learner:
    """What training changes: the network, its optimiser, and the average of its weights."""

    network: DiT
    optimizer: MuonAdamW
    ema: Ema

    @classmethod
    def new(cls, recipe: ModelRecipe, start_from: Mapping[str, Tensor] | None) -> Learner:
        torch.manual_seed(recipe.seed)
        network = DiT(recipe.config).to(best_device())
        if start_from is not None:
            try:
                network.load_state_dict(start_from)
            except RuntimeError as error:
                raise YozoraError(
                    f"The weights to go on from do not fit recipe '{recipe.name}': {error}"
                ) from error
        optimizer = MuonAdamW(network, network.blocks, recipe.lr, recipe.weight_decay)
        return cls(network, optimizer, Ema(network, recipe.ema))

    def parts(self) -> dict[str, Mapping[str, Tensor]]:
        """A checkpoint's content."""
        return {
            "weights": self.network.state_dict(),
            "ema": self.ema.weights,
            "optimizer": self.optimizer.tensors(),
        }

    def restore(self, parts: Parts) -> None:
        self.network.load_state_dict(parts["weights"])
        self.ema.load(parts["ema"])
        self.optimizer.restore(parts["optimizer"])


def train(
    recipe: ModelRecipe,
    buckets: Sequence[Bucket],
    texts: TextCache,
    out: Path,
    *,
    validation: Sequence[Bucket] = (),
    start_from: Mapping[str, Tensor] | None = None,
    origin: str | None = None,
    adapter: str = "",
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    probe: Probe | None = None,
    provenance: Mapping[str, Any] | None = None,
    rights: Mapping[str, Any] | None = None,
    watch: Watch = lambda report: None,
) -> Path:
    """Trains a transformer and writes ``out/dit.safetensors`` (averaged weights); returns its path.

    Stops after ``steps`` (default the recipe's) or ``minutes``, whichever comes first. ``start_from`` are weights to
    go on from, ``origin`` their hash for the header; ``adapter`` is the fingerprint of what the text encoder had
    learned when it made ``texts``. ``resume`` goes on from the newest checkpoint in ``out``, bit for bit unless
    ``steps`` is another number than before. ``provenance`` says what the buckets were made from and stands in the
    header too, and so does the clips' ``rights`` manifest. Raises YozoraError when there are no clips, when a resumed
    run was another one, or when loss or gradient is not finite; the last good checkpoint stays.
    """
    last = planned_steps(out, steps, recipe.steps, resume=resume)
    draws = Draws(recipe, buckets, texts)
    facts = Facts(json_hash(asdict(recipe)), json_hash(dict(provenance or {})), last)
    done, parts = open_run(out, facts, resume=resume)
    learner = Learner.new(recipe, start_from if parts is None else None)
    if parts is not None:
        learner.restore(parts)
    network, optimizer, ema = learner.network, learner.optimizer, learner.ema
    if recipe.compile:
        compile_blocks(network)
    device = best_device()
    held_out = [batch.to(device) for batch in fixed_batches(recipe, validation, texts)]
    began = saved = time.monotonic()
    waited = 0.0
    reading = Reading(buckets, texts, recipe.read_captions, recipe.seed)

    def drawn(step: int) -> tuple[Batch, Page | None]:
        return draws.batch(step, last), reading.page(step, recipe.config.latent)

    batches = prefetch(drawn, range(done, last))
    with Log(out, done) as log, closing(batches):
        for step in range(done, last):
            asked = time.monotonic()
            batch, page = next(batches)
            batch = batch.to(device)
            waited += time.monotonic() - asked

            per_clip, state = losses(network, batch)
            loss = per_clip.mean() + recipe.state_weight * state.mean()
            if page is not None:
                read = reading.loss(network, page.to(device))
                loss = loss + recipe.read_weight * read
            require_finite(out, step, loss=loss.item())
            if (
                step and asked - saved > 60 * recipe.checkpoint_minutes
            ):  # their loss has proven the weights
                save_state(out, step, learner.parts(), facts)
                saved = asked
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            require_finite(out, step, gradient=norm.item())
            optimizer.step(
                warmup_stable_decay(step, steps=last, warmup=recipe.warmup, decay=recipe.decay)
            )
            ema.update(network, step)
            done = step + 1

            report: dict[str, Any] = {
                "loss": per_clip.mean().item(),
                "state_loss": state.mean().item(),
                "gradient": norm.item(),
            }
            if recipe.variants:
                report["augmented"] = batch.varied / len(batch.tasks)
            if page is not None:
                report["read_loss"] = read.item()
            if held_out and done % recipe.validate_every == 0:
                report |= validate(network, ema, held_out)
            if probe is not None and done % probe.every == 0:
                report |= preview(probe, network, ema, done, out)
            log.write(done, report)
            watch(
                {"step": done, "steps": last, "clips": len(batch.tasks), "waited": waited, **report}
            )
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                break
    save_state(out, done, learner.parts(), facts)
    made_by = {"recipe": asdict(recipe), "steps": done, "planned_steps": last, **(provenance or {})}
    made_by |= {"rights": rights} if rights else {}
    if origin is not None:
        made_by["from"] = origin
    return write_model(recipe, learner, adapter, made_by, out / "dit.safetensors")


def compile_blocks(network: DiT) -> None:
    """Has every block compiled when it first runs, once for all lengths of clips and captions.

    Raises YozoraError when there is no C++ compiler.
    """
    compilers = (os.environ.get("CXX", "g++"), "clang++", "cl")
    if not any(map(shutil.which, compilers)):
        raise YozoraError(
            f"compile=true needs a C++ compiler and found none of {', '.join(compilers)}: install one, "
            "or train without; only the speed differs."
        )
    for block in network.blocks:
        block.compile(dynamic=True)


def write_model(
    recipe: ModelRecipe,
    learner: Learner,
    adapter: str,
    provenance: Mapping[str, Any],
    path: Path,
) -> Path:
    """Writes the averaged weights, at half precision, and all that sampling has to know of them."""
    config = {
        **config_of(recipe.config),
        "text_encoder": recipe.text,
        "shapes": [asdict(s) for s in recipe.shapes],
        **({"adapter": adapter} if adapter else {}),
    }
    weights = {**learner.network.state_dict(), **learner.ema.weights}
    save_weights(path, weights, config=config, provenance=provenance, dtype=torch.float16)
    return path


def fixed_batches(
    recipe: ModelRecipe, validation: Sequence[Bucket], texts: TextCache
) -> list[Batch]:
    """One batch per task with noise that is the same at every validation: losses a task at a time, comparable over a
    run. Videos where there are any, since stills know few tasks; nothing without validation clips."""
    held_out = [bucket for bucket in validation if bucket.rows]
    if not held_out:
        return []
    videos = [bucket for bucket in held_out if bucket.shape.frames > 1]
    draws = Draws(recipe, videos or held_out, texts)
    size = min(32, recipe.batch)
    return [draws.batch(10**9 + n, 1, size, task) for n, task in enumerate(recipe.mix.weights)]


@torch.no_grad()
def validate(network: DiT, ema: Ema, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean loss of the averaged weights for each task."""
    with ema.applied(network):
        return {f"validation_{b.tasks[0]}": losses(network, b)[0].mean().item() for b in batches}


def preview(probe: Probe, network: DiT, ema: Ema, step: int, run: Path) -> dict[str, Any]:
    """What the probe finds, with a warning when the previews' motion has collapsed since the best in the run's log."""
    with ema.applied(network):
        found: dict[str, Any] = dict(probe.run(network, step))
    if "motion_energy" in found:
        best = max((line.get("motion_energy", 0.0) for line in read_log(run)), default=0.0)
        if found["motion_energy"] < COLLAPSED * best:
            found["warning"] = (
                "motion energy of the previews has collapsed to under a third of its best"
            )
    return found
