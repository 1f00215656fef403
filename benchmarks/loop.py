"""The training loop as a user runs it, on a small corpus: how long it waits for data, and its peak memory.

python benchmarks/loop.py [--quick]
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from common import Report, memory, model, options, report, verdict
from yozora.corpus.catalogue import Corpus
from yozora.rights.intake import admit_named
from yozora.world.dataset import LICENCE, SOURCE, make


class Figures(NamedTuple):
    """Of one run: clips a step, seconds and seconds waited for data (of the steps after the warm-up), and memory in GB:
    the largest after encoding the corpus and at the end, and how much of the last is files mapped from the disk."""

    batch: int
    parameters: int
    seconds: list[float]
    waited: list[float]
    memory_encoded: float
    memory_peak: float
    memory_files: float


def train_once(folder: Path, quick: bool, steps: int) -> Figures:
    """Encodes the corpus and trains; run it in a process of its own, since it reports that process's memory."""
    import torch

    from yozora.models.dit import DiT
    from yozora.recipes import debug, nano
    from yozora.sampling.pipeline import load_codec
    from yozora.training.dit import train
    from yozora.training.prepare import prepare

    recipe = debug() if quick else nano()
    codec = model(quick, folder).directory / "codec.safetensors"
    data = prepare(recipe, Corpus.open(folder / "corpus"), load_codec(codec), codec)
    encoded = memory()
    ticks: list[tuple[float, float]] = []

    def watch(told: dict[str, Any]) -> None:
        ticks.append((time.perf_counter(), told["waited"]))

    train(
        recipe,
        data.train,
        data.texts,
        folder / "run",
        validation=data.validation,
        steps=steps,
        watch=watch,
    )
    ticks = ticks[2:]  # the first batch is waited for in any case, and kernels are chosen once
    seconds = [after[0] - before[0] for before, after in itertools.pairwise(ticks)]
    waited = [after[1] - before[1] for before, after in itertools.pairwise(ticks)]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in DiT(recipe.config).parameters())
    return Figures(recipe.batch, parameters, seconds, waited, encoded, memory(), memory("RssFile"))


def alone(work: Callable[..., Figures], *arguments: object) -> Figures:
    """The result of ``work`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def render(folder: Path, quick: bool, clips: int) -> None:
    shape = {"size": (32, 32), "frames": 9} if quick else {}
    corpus = Corpus.create(folder / "corpus")
    admit_named(corpus.ledger, corpus.policy, SOURCE, LICENCE)
    for split, count in (("train", clips), ("validation", clips // 8)):
        corpus.add(make(index, split=split, **shape) for index in range(count))


def measure(page: Report) -> None:
    clips, steps = (16, 6) if page.quick else (768, 44)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        render(folder, page.quick, clips)
        run = alone(train_once, folder, page.quick, steps)
    total, waited = sum(run.seconds), sum(run.waited)
    share = waited / total
    page.say(
        f"{len(run.seconds)} steps of batch {run.batch} after a warm-up, on {clips} world clips; "
        f"{run.parameters / 1e6:.1f} M parameters, the recipe's own optimiser, averages, logs and checkpoints."
    )
    whole = "peak memory of the process, encoding the corpus and training"
    page.table(
        ["figure", "value", "target"],
        [
            ["clips/s", f"{run.batch * len(run.seconds) / total:.1f}", ""],
            ["of it waiting for data", f"{share:.2%}", verdict(share, 0.02, at_least=False)],
            ["peak memory after encoding the corpus", f"{run.memory_encoded:.2f} GB", ""],
            [whole, f"{run.memory_peak:.2f} GB", verdict(run.memory_peak, 4, at_least=False)],
            ["of the end's, files mapped from the disk", f"{run.memory_files:.2f} GB", ""],
        ],
    )


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("loop", "Training loop", arguments) as page:
        measure(page)
