"""Runs that are killed (SIGKILL) at ten moments and resumed each time, beside runs that nobody disturbed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import toys

from yozora import artifact
from yozora.checkpoint import load_weights
from yozora.training import dit, state, text, vae

KILLS = 10
RESULTS = {
    "codec": "codec.safetensors",
    "text": "text.safetensors",
    "model": "dit.safetensors",
}
PARTS = {
    "codec": ("weights", "ema", "optimizer"),
    "text": ("weights", "optimizer"),
    "model": ("weights", "ema", "optimizer"),
}
# Processes are forked from a server that has imported all of this: a run starts in milliseconds.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "tests.training.toys",
        *(f"yozora.training.{part}" for part in ("dit", "text", "vae")),
        "torch.utils.tensorboard",
    ]
)
MOMENTS = (
    "the log has a line",
    "half the files are written",
    "all but the name",
    "an old one goes",
)


def run(what: str, out: Path, kill: tuple[int, str] | None) -> None:
    """A whole run in this process, which kills itself from step ``kill[0]`` on at the moment ``kill[1]``."""
    torch.set_num_threads(1)
    watch = dying(*kill) if kill else lambda report: None
    if what == "codec":
        vae.fit_pca = toys.components  # the real ones take seconds, and are no part of the loop
        vae.train(toys.codec_recipe(), toys.Toys(out), out, resume=True, watch=watch)  # type: ignore[arg-type]
    elif what == "text":
        text.train(toys.text_recipe(), toys.Toys(out), out, resume=True, watch=watch)  # type: ignore[arg-type]
    else:
        dit.train(
            toys.model_recipe(),
            toys.buckets(),  # type: ignore[arg-type]
            toys.ToyTexts(),  # type: ignore[arg-type]
            out,
            validation=toys.buckets("validation"),  # type: ignore[arg-type]
            resume=True,
            watch=watch,
        )


def dying(step: int, moment: str) -> Callable[[dict[str, Any]], None]:
    """Arms the trap; returns the run's ``watch``."""
    reached = [0]

    def die() -> None:
        if reached[0] >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(report: dict[str, Any]) -> None:
        reached[0] = report.get("step", 0)
        if moment == MOMENTS[0]:
            die()

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def dies_first(*arguments: Any, **options: Any) -> Any:
            die()
            return function(*arguments, **options)

        return dies_first

    def half(path: Path, tensors: Any, **options: Any) -> None:
        save(path, tensors, **options)
        if path.stem == "weights":
            die()

    save = state.save_weights
    if moment == MOMENTS[1]:
        state.save_weights = half  # type: ignore[assignment]
    elif moment == MOMENTS[2]:
        artifact.sync = before(artifact.sync)
    elif moment == MOMENTS[3]:
        state.shutil.rmtree = before(state.shutil.rmtree)  # type: ignore[assignment]
    return watch


def finish(what: str, out: Path, kill: tuple[int, str] | None = None) -> int:
    """Runs it in a process of its own; its exit code."""
    process = SERVER.Process(target=run, args=(what, out, kill))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def steps_of_complete_checkpoints(what: str, out: Path) -> list[int]:
    """Every checkpoint that is visible can be loaded whole."""
    steps = []
    for folder in sorted((out / "checkpoints").glob("[!.]*")):
        artifact.read_provenance(folder)
        facts = json.loads((folder / "state.json").read_text())
        for part in PARTS[what]:
            assert load_weights(folder / f"{part}.safetensors")[0]
        steps.append(facts["step"])
        assert folder.name == f"{facts['step']:08d}"
    return steps


@pytest.mark.parametrize("what", RESULTS)
def test_a_run_killed_ten_times_is_the_run_that_was_not(what: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(what, whole) == 0
    result = RESULTS[what]
    rng = np.random.default_rng(2026)
    steps = sorted(rng.choice(np.arange(1, toys.STEPS - 2), KILLS, replace=False).tolist())
    for step in steps:
        moment = MOMENTS[int(rng.integers(len(MOMENTS)))]
        assert finish(what, killed, (step, moment)) == -signal.SIGKILL, (step, moment)
        found = steps_of_complete_checkpoints(what, killed)
        assert max(found, default=0) <= step + 3
        assert not (killed / result).exists()
    assert finish(what, killed) == 0

    assert (killed / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    lines = state.read_log(whole)
    assert [line["step"] for line in lines] == list(range(1, toys.STEPS + 1))
    assert len({line["loss"] for line in lines}) == toys.STEPS
    ours, _, _ = load_weights(killed / result)
    theirs, _, _ = load_weights(whole / result)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert steps_of_complete_checkpoints(what, killed) == [toys.STEPS - 1, toys.STEPS]
    assert not list((killed / "checkpoints").glob(".*"))
