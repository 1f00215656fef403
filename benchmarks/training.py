"""A training step of nano's transformer beside diffusers' transformers of the same size, in one run.

    python benchmarks/training.py [--quick]

All networks have the same width, depth, heads, tokens, feed-forward and text widths; they see the same batch in the
same precision, with the same loss, gradient clipping and AdamW, one step each in turn. Peers run in the eager mode
and with the attention that diffusers chooses by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from diffusers import LTXVideoTransformer3DModel, WanTransformer3DModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from common import Report, options, report, spread, verdict
from yozora import condition, flow
from yozora.latents.state import STATE
from yozora.models.dit import DiT, DiTConfig, Text
from yozora.models.precision import autocast, has_bfloat16
from yozora.recipes import debug, nano
from yozora.training.dit import Batch, ModelRecipe, losses
from yozora.training.ema import Ema
from yozora.training.optim import MuonAdamW

WORDS = 45  # tokens of a caption, about the longest of the world's
ROUNDS, WARM_UP = 9, 2
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Contender:
    """A network and how it predicts the velocity [B, Z, t, h, w] of a batch."""

    name: str
    network: nn.Module
    velocity: Callable[[Batch, Tensor], Tensor]


def contenders(config: DiTConfig, grid: tuple[int, int, int]) -> list[Contender]:
    """Yozora's transformer first, then the peers: with a noise level a token, as yozora needs, and with one a clip."""
    sizes = {
        "in_channels": config.latent,
        "out_channels": config.latent,
        "num_attention_heads": config.heads,
        "attention_head_dim": config.width // config.heads,
        "num_layers": config.depth,
    }
    ours = DiT(config)
    ltx = LTXVideoTransformer3DModel(
        cross_attention_dim=config.width, caption_channels=config.text, **sizes
    )
    wan = WanTransformer3DModel(
        patch_size=(1, 1, 1),
        text_dim=config.text,
        ffn_dim=config.mlp * config.width,
        rope_max_seq_len=32,
        **sizes,
    )

    def yozora(batch: Batch, x: Tensor) -> Tensor:
        return ours(x, batch.sigma, batch.text, batch.facts)[0]

    def levels(batch: Batch, per_token: bool) -> Tensor:
        sigma = batch.sigma.flatten(1)
        return 1000 * (sigma if per_token else sigma.amax(1))

    def with_ltx(batch: Batch, x: Tensor, *, per_token: bool) -> Tensor:
        t, h, w = grid
        tokens = ltx(
            rearrange(x, "b z t h w -> b (t h w) z"),
            encoder_hidden_states=batch.text.states,
            timestep=levels(batch, per_token),
            encoder_attention_mask=batch.text.mask.long(),
            num_frames=t,
            height=h,
            width=w,
            return_dict=False,
        )[0]
        return rearrange(tokens, "b (t h w) z -> b z t h w", t=t, h=h, w=w)

    def with_wan(batch: Batch, x: Tensor, *, per_token: bool) -> Tensor:
        return wan(x, levels(batch, per_token), batch.text.states, return_dict=False)[0]

    return [
        Contender("yozora DiT", ours, yozora),
        Contender("LTX, a level a token", ltx, partial(with_ltx, per_token=True)),
        Contender("Wan, a level a token", wan, partial(with_wan, per_token=True)),
        Contender("LTX, a level a clip", ltx, partial(with_ltx, per_token=False)),
        Contender("Wan, a level a clip", wan, partial(with_wan, per_token=False)),
    ]


def made_up(recipe: ModelRecipe) -> Batch:
    """A batch of the recipe's shapes, tasks and noise levels; latents, text and states are noise."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    size, grid = recipe.batch, recipe.shapes[0].grid
    latents = torch.randn(size, recipe.config.latent, *grid, generator=generator)
    lengths = torch.randint(WORDS // 3, WORDS + 1, (size,), generator=generator)
    lengths[0] = WORDS
    mask = torch.arange(WORDS) < lengths[:, None]
    states = torch.randn(size, WORDS, recipe.config.text, generator=generator) * mask[..., None]
    tasks = tuple(recipe.mix.draw(rng, 1.0) for _ in range(size))
    known = torch.from_numpy(np.stack([condition.draw(task, grid, rng) for task in tasks]))
    sigma = flow.draw_sigma(size, generator)
    drift = torch.rand(size, generator=generator) * recipe.mix.drift
    return Batch(
        latents,
        Text(states, mask),
        torch.tensor([[8.0, 2.125, 0.0]]).expand(size, 3),
        known,
        condition.noise_levels(known, sigma, drift),
        torch.randn(latents.shape, generator=generator),
        torch.randn(size, *grid, STATE, generator=generator),
        torch.ones(size, dtype=torch.bool),
        tasks,
    )


# --- steps -----------------------------------------------------------------------------------

Laps = dict[str, float]


class AdamWStep:
    """A step that is the same for every contender: velocity loss, clipped gradients, fused AdamW."""

    def __init__(self, contender: Contender, batch: Batch) -> None:
        self.contender, self.batch = contender, batch
        self.optimizer = torch.optim.AdamW(contender.network.parameters(), lr=1e-4, fused=True)

    def __call__(self) -> Laps:
        began = time.perf_counter()
        b = self.batch
        with autocast(CPU):
            v = self.contender.velocity(b, flow.add_noise(b.latents, b.noise, b.sigma))
        flow.loss(v, b.latents, b.noise, ~b.known).mean().backward()
        middle = time.perf_counter()
        nn.utils.clip_grad_norm_(self.contender.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        end = time.perf_counter()
        return {"network": middle - began, "update": end - middle}


class RecipeStep:
    """The step that training/dit.py takes: the auxiliary loss, Muon with AdamW, averaged weights."""

    def __init__(self, recipe: ModelRecipe, batch: Batch) -> None:
        self.recipe, self.batch = recipe, batch
        self.network = DiT(recipe.config)
        self.optimizer = MuonAdamW(
            self.network, self.network.blocks, recipe.lr, recipe.weight_decay
        )
        self.ema = Ema(self.network, recipe.ema)
        self.steps = 0

    def __call__(self) -> Laps:
        began = time.perf_counter()
        per_clip, state = losses(self.network, self.batch)
        (per_clip.mean() + self.recipe.state_weight * state.mean()).backward()
        middle = time.perf_counter()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step(0.1)
        self.ema.update(self.network, self.steps)
        self.steps += 1
        end = time.perf_counter()
        return {"network": middle - began, "update": end - middle}


def alternate(
    steps: Mapping[str, Callable[[], Laps]], rounds: int, warm_up: int
) -> dict[str, list[Laps]]:
    """Runs all steps once a round, so that whatever slows the machine down slows all of them."""
    laps: dict[str, list[Laps]] = {name: [] for name in steps}
    for number in range(warm_up + rounds):
        for name, step in steps.items():
            lap = step()
            if number >= warm_up:
                laps[name].append(lap)
        print(f"round {number + 1} of {warm_up + rounds}", flush=True)
    return laps


# --- arithmetic ------------------------------------------------------------------------------


def forward_flops(contender: Contender, batch: Batch) -> int:
    """Floating-point operations of the matrix products of one forward pass, attention's included.

    Counted by torch.utils.flop_counter with attention written out, which it cannot look into when fused.
    """
    x = flow.add_noise(batch.latents, batch.noise, batch.sigma)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        contender.velocity(batch, x)
    return counter.get_total_flops()


def matmul_peak(sizes: Sequence[int], rounds: int) -> tuple[float, str]:
    """FLOP/s of the best product of two square matrices, in the precision that training uses."""
    dtype = torch.bfloat16 if has_bfloat16("cpu") else torch.float32
    best = 0.0
    for size in sizes:
        a, b = torch.randn(2, size, size, dtype=dtype)
        for _ in range(rounds):
            began = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best, "bf16" if dtype == torch.bfloat16 else "fp32"


# --- the report ------------------------------------------------------------------------------


def measure(page: Report) -> None:
    recipe = debug() if page.quick else nano()
    rounds, sizes = (1, (64,)) if page.quick else (ROUNDS, (1024, 2048, 4096))
    batch = made_up(recipe)
    grid = recipe.shapes[0].grid
    field = contenders(recipe.config, grid)
    flops = {c.name: 3 * forward_flops(c, batch) for c in field}
    peak, precision = matmul_peak(sizes, 12)

    real = f"yozora DiT, {recipe.name}'s own step"
    flops[real] = flops[field[0].name]
    steps: dict[str, Callable[[], Laps]] = {c.name: AdamWStep(c, batch) for c in field}
    steps[real] = RecipeStep(recipe, batch)
    laps = alternate(steps, rounds, WARM_UP if not page.quick else 1)
    peak = max(peak, matmul_peak(sizes, 12)[0])

    config = recipe.config
    page.say(
        f"Batch {recipe.batch}, {np.prod(grid)} tokens of {config.latent} channels a clip, width {config.width}, "
        f"depth {config.depth}, {config.heads} heads, {WORDS} tokens of text; "
        f"{precision} where autocast takes it, weights in fp32; "
        f"{torch.get_num_threads()} threads; {rounds} rounds, one step of each in turn. Medians, with ranges."
    )
    whole = {name: [sum(lap.values()) for lap in taken] for name, taken in laps.items()}
    rows = []
    for name, taken in whole.items():
        network = [lap["network"] for lap in laps[name]]
        rows.append(
            [
                name,
                spread(taken),
                f"{recipe.batch / np.median(taken):.1f}",
                f"{np.median(network):.3g}",
                f"{flops[name] / 1e9 / recipe.batch:.2f}",
                f"{flops[name] / np.median(taken) / peak:.1%}",
                f"{flops[name] / np.median(network) / peak:.1%}",
            ]
        )
    page.table(
        [
            "step",
            "seconds",
            "clips/s",
            "of it forward and backward, s",
            "GFLOP a clip",
            "MFU",
            "MFU of forward and backward",
        ],
        rows,
    )
    ours, *peers = whole
    rows = [
        [name, spread(np.divide(taken, whole[ours])), verdict(ratio, 1.3, at_least=True)]
        for name, taken in whole.items()
        if name in peers[:-1] and (ratio := float(np.median(taken) / np.median(whole[ours])))
    ]
    page.table(["seconds over yozora's, both with AdamW", "ratio in a round", "target"], rows)
    mfu = flops[ours] / float(np.median(whole[ours])) / peak
    page.say(
        f"Peak: {peak / 1e9:.0f} GFLOP/s, the best {precision} product of two square matrices in this run. "
        f"MFU (the whole step, optimiser included): {mfu:.1%}; target {verdict(mfu, 0.5, at_least=True)}. "
        "GFLOP a clip: three times the matrix products of a forward pass, attention's included, by "
        "torch.utils.flop_counter; element-wise work and the optimiser's products count as none. yozora takes a noise "
        "level for every token, which extension and filling need. LTX and Wan can, too (upper rows: the same task); "
        "with one a clip (lower rows) they solve an easier one. Wan masks no padding of the text. "
        "nano's own step adds the loss on the world's facts, Muon and the averaged weights."
    )


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("training", "Training step", arguments) as page:
        measure(page)
