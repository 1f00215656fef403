"""What a run keeps on disk: checkpoints that are complete or absent, and a log that never runs ahead of them.

Every random number of a training step is a pure function of (seed, step), so the state of a run is its tensors and
its step; nothing else has to be saved for a resumed run to be bit-identical.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yozora.artifact import building, write_atomic
from yozora.checkpoint import load_weights, save_weights
from yozora.errors import YozoraError

KEEP = 2  # checkpoints of a run that stay on disk

Parts = dict[str, dict[str, Tensor]]  # what a checkpoint holds: file name -> its tensors


def step_rng(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of one step: counter-based, so that a resumed run draws the same ones."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))


def torch_rng(rng: np.random.Generator) -> torch.Generator:
    """A generator for tensors, seeded by the next number of ``rng``."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


class Facts(NamedTuple):
    """What determines a run besides its code: hashes of its recipe and of what it trains on, its length in steps."""

    recipe: str
    data: str
    steps: int


def planned_steps(run: Path, asked: int | None, recipe: int, *, resume: bool) -> int:
    """How long the run's schedule is: as asked, else as long as the resumed run began with, else as the recipe says."""
    newest = latest_state(run) if resume and asked is None else None
    return asked or (read_state(newest)[1].steps if newest else recipe)


def open_run(run: Path, facts: Facts, *, resume: bool) -> tuple[int, Parts | None]:
    """Makes the run's directory; returns its newest checkpoint's step and parts, or (0, None) when there is none.

    Raises YozoraError when there is one and ``resume`` was not asked for, or it is of another recipe or other data.
    """
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    for left in (run / "checkpoints").glob(
        ".*"
    ):  # hidden: a killed process was writing or removing it
        shutil.rmtree(left, ignore_errors=True)
    newest = latest_state(run)
    if newest is None:
        return 0, None
    if not resume:
        raise YozoraError(
            f"{run} already holds a run; go on with --resume or choose another --out."
        )
    return load_state(newest, facts)


def save_state(
    run: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Facts
) -> Path:
    """Writes checkpoint ``run/checkpoints/<step>`` with one safetensors file per part; drops older ones."""
    final = run / "checkpoints" / f"{step:08d}"
    if not final.exists():
        with building(final, stage="training", inputs={}, parameters=facts._asdict()) as folder:
            for name, tensors in parts.items():
                save_weights(folder / f"{name}.safetensors", tensors)
            (folder / "state.json").write_text(json.dumps({"step": step, **facts._asdict()}))
    for old in checkpoints(run)[:-KEEP]:
        hidden = old.rename(old.with_name(f".{old.name}"))  # half removed is never visible either
        shutil.rmtree(hidden, ignore_errors=True)
    return final


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("[0-9]*"))


def latest_state(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    found = checkpoints(run)
    return found[-1] if found else None


def read_state(checkpoint: Path) -> tuple[int, Facts]:
    """A checkpoint's step and what determines its run."""
    found = json.loads((checkpoint / "state.json").read_text())
    return int(found["step"]), Facts(**{name: found[name] for name in Facts._fields})


def load_state(checkpoint: Path, facts: Facts) -> tuple[int, Parts]:
    """Returns (step, parts). Raises YozoraError when the checkpoint belongs to another recipe or other data.

    The number of steps may differ: a run may be prolonged, if not bit for bit, since its learning rate falls later.
    """
    step, found = read_state(checkpoint)
    if found.recipe != facts.recipe:
        raise YozoraError(
            f"{checkpoint} was written by another recipe or other settings; resume with the settings the run "
            "was started with, or choose a new --out directory."
        )
    if found.data != facts.data:
        raise YozoraError(
            f"{checkpoint} was trained on something else: the corpus, the codec or the weights it started from have "
            "changed since. Give what the run began with, or go on in a new --out directory with --from."
        )
    parts = {path.stem: load_weights(path)[0] for path in sorted(checkpoint.glob("*.safetensors"))}
    return step, parts


def require_finite(run: Path, step: int, **values: float) -> None:
    """Raises YozoraError, naming the last good checkpoint, when one of ``values`` is not a finite number."""
    for name, value in values.items():
        if not math.isfinite(value):
            good = latest_state(run)
            raise YozoraError(
                f"The {name} is not finite at step {step}; "
                + (
                    f"{good} holds the last good weights: "
                    if good
                    else "there is no checkpoint yet: "
                )
                + "lower the learning rate (--set lr=...) and start anew from there."
            )


class Log:
    """log.jsonl, one object a step, and TensorBoard events beside it when tensorboard is installed.

    Lines after ``step`` are dropped: they were written after the checkpoint that the run resumes from.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / "log.jsonl"
        kept = [line for line in read_log(run) if line["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self.file = self.path.open("a")
        self.events = _events(run / "tensorboard", step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        self.file.write(json.dumps({"step": step, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            if self.events is not None and isinstance(value, int | float):
                self.events.add_scalar(name, value, step)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self.events is not None:
            self.events.close()


def read_log(run: Path) -> list[dict[str, Any]]:
    """The complete lines of a run's log.jsonl (a killed run may leave half a line)."""
    path = run / "log.jsonl"
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _events(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
