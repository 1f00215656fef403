"""How fast the world is: scenes, physics, pictures and captions of nano clips on one core.

python benchmarks/world.py [--quick]
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np

from common import Report, options, report, spread, verdict
from yozora.world.caption import captions
from yozora.world.dataset import make, record
from yozora.world.physics import simulate
from yozora.world.render import render
from yozora.world.scene import sample

SIZE, FRAMES, FPS = (112, 64), 17, 8.0


def one_core() -> str:
    """Keeps this process on one core where the system can; says whether it does."""
    if not hasattr(os, "sched_setaffinity"):
        return "one thread"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return "one core"


def rates(
    works: Mapping[str, Callable[[int], object]], blocks: int, clips: int
) -> dict[str, list[float]]:
    """Clips per second of each block of clips; all works take their turn with a block. The first block warms up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for block in range(blocks + 1):
        for name, work in works.items():
            began = time.perf_counter()
            for index in range(block * clips, (block + 1) * clips):
                work(index)
            if block:
                found[name].append(clips / (time.perf_counter() - began))
    return found


def measure(page: Report) -> None:
    blocks, clips = (2, 4) if page.quick else (9, 200)
    where = one_core()
    scenes = [
        sample(index, aspect=SIZE[0] / SIZE[1], seconds=FRAMES / FPS)
        for index in range((blocks + 1) * clips)
    ]
    times = np.arange(FRAMES) / FPS
    truths = [simulate(scene, times) for scene in scenes]
    found = rates(
        {
            "whole clip with its record": lambda i: make(i, size=SIZE, frames=FRAMES, fps=FPS),
            "scene": lambda i: sample(i, aspect=SIZE[0] / SIZE[1], seconds=FRAMES / FPS),
            "physics and pictures": lambda i: render(scenes[i], size=SIZE, frames=FRAMES, fps=FPS),
            "of these, physics alone": lambda i: simulate(scenes[i], times),
            "captions and labels": lambda i: record(scenes[i], truths[i], 0),
            "of these, captions alone": lambda i: captions(scenes[i], 0),
        },
        blocks,
        clips,
    )
    page.say(
        f"{blocks} blocks of {clips} clips of {SIZE[0]}x{SIZE[1]} and {FRAMES} frames, {where}. "
        "Medians of the blocks, with ranges."
    )
    medians = {name: statistics.median(values) for name, values in found.items()}
    whole = next(iter(medians))
    reached = {whole: verdict(medians[whole], 300, at_least=True)}
    page.table(
        ["part", "clips/s", "ms a clip", "share", "target"],
        [
            [
                name,
                spread(found[name], ".0f"),
                f"{1e3 / rate:.2f}",
                f"{medians[whole] / rate:.0%}",
                reached.get(name, ""),
            ]
            for name, rate in medians.items()
        ],
    )


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("world", "World clips", arguments) as page:
        measure(page)
