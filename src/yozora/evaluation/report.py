"""Evaluate a model or a folder of clips: scores.json for machines, report.html for people."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora import __version__
from yozora.artifact import building
from yozora.errors import YozoraError
from yozora.evaluation import suites as run
from yozora.evaluation.material import held_out, training
from yozora.evaluation.page import page
from yozora.evaluation.results import Suite
from yozora.evaluation.samples import Canvas, Model, Progress, Sample, from_folder, from_model

SUITES = ("align", "motion", "physics", "codec")
STAGE = "evaluation/1"

Frames = NDArray[np.uint8]


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def evaluate(
    target: Model | str | Path,
    suites: Sequence[str] = SUITES,
    *,
    out: str | Path,
    prompts: int = 300,
    seed: int = 0,
    corpus: str | Path | None = None,
    style: str = "dense",
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Run suites on a model (an object, a name or a directory) or on a folder of MP4s with prompts.

    suites: all four means those that apply; a folder of clips has no codec. prompts: held-out prompts
    with one body, and as many with two. corpus: whose held-out footage the codec suite codes beside
    world clips, and on whose training clips PCA is fitted. style: of the prompts a model is given, the
    world's captions that are "dense", "short", or "mixed" (in turn); a folder has prompts of its own.
    progress(what, done, total) is called as work proceeds. Writes out/report.html, out/scores.json
    and, for a model, out/clips/NNNN.mp4; `out` appears when all is written. Returns what scores.json
    holds. Raises YozoraError for an unknown suite or style, an empty folder, prompts that are missing,
    a codec suite that is asked of what has no codec, and an `out` that exists.
    """
    unknown = [s for s in suites if s not in SUITES]
    if unknown or not suites:
        raise YozoraError(
            f"there is no suite {unknown[0] if unknown else '(none given)'!r}: choose among {', '.join(SUITES)}"
        )
    if prompts < 1:
        raise YozoraError(f"{prompts} prompts measure nothing: ask for at least one")
    began = time.time()
    folder = _folder(target)
    model = None if folder else _model(target)
    names = _applicable(suites, model)
    parameters = {"suites": names, "prompts": prompts, "seed": seed}
    if model:
        parameters["style"] = style
    inputs = {"target": str(target) if isinstance(target, str | Path) else type(target).__name__}
    with building(out, stage=STAGE, inputs=inputs, parameters=parameters) as work:
        samples: list[Sample] = []
        if folder:
            samples = from_folder(folder, seed, progress)
        elif set(names) - {"codec"}:
            assert model is not None
            seconds = Canvas.of(model).seconds
            samples = from_model(model, prompts, seed, seconds, work / "clips", progress, style)
        asked = style if model else None
        found = _run(names, model, samples, prompts, seed, corpus, asked, progress)
        scores = {
            **inputs, **parameters, "yozora": __version__,
            "seconds": round(time.time() - began, 1),
            "scores": {suite.name: suite.to_json() for suite in found},
        }  # fmt: skip
        (work / "scores.json").write_text(
            json.dumps(scores, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        (work / "report.html").write_text(page(scores, found, samples), encoding="utf-8")
    return scores


def _folder(target: object) -> Path | None:
    """The target as a folder of MP4s, if that is what it is."""
    if not isinstance(target, str | Path) or not Path(target).is_dir():
        return None
    path = Path(target)
    weights = any(path.glob("*.safetensors"))
    return None if weights or (not any(path.glob("*.mp4")) and any(path.iterdir())) else path


def _applicable(suites: Sequence[str], model: Model | None) -> list[str]:
    """The suites to run: without a codec not its suite, and an error where that was asked for by name."""
    names = [name for name in suites if name != "codec" or _reconstruct(model)]
    if len(names) < len(suites) and set(suites) != set(SUITES):
        what = "this model shows no codec (encode and decode)" if model else "a folder has no codec"
        raise YozoraError(
            f"{what}: ask for align, motion or physics alone, or evaluate a model that yozora trained"
        )
    return names


def _model(target: Any) -> Model:
    if not isinstance(target, str | Path):
        model: Model = target
        return model
    from yozora.sampling.pipeline import load

    loaded: Model = load(target)
    return loaded


def _run(
    names: Sequence[str],
    model: Model | None,
    samples: list[Sample],
    prompts: int,
    seed: int,
    corpus: str | Path | None,
    style: str | None,
    progress: Progress,
) -> list[Suite]:
    """The suites in order; a folder cannot be asked to continue a clip."""
    reconstruct = _reconstruct(model)
    canvas, some = Canvas.of(model), min(max(prompts // 5, 6), prompts)
    found = []
    for name in names:
        if name == "align":
            found.append(run.align(samples, style))
        elif name == "motion":
            laws = ("uniform", "fall", "throw", "bounce", "pendulum", "roll")
            scenes = run.moving_scenes(some, seed, laws, canvas) if model else []
            tasks = run.do_tasks(model, scenes, run.TASKS, canvas, seed, progress) if model else []
            found.append(run.motion(samples, tasks, reconstruct))
        elif name == "physics":
            scenes = run.moving_scenes(some, seed + 1, ("uniform",), canvas) if model else []
            tasks = (
                run.do_tasks(model, scenes, ("forward",), canvas, seed, progress) if model else []
            )
            found.append(run.physics(samples, tasks))
        elif reconstruct:
            clips, learned = held_out(corpus, prompts, seed), training(corpus)
            found.append(run.codec(reconstruct, clips, learned, _latent(model), progress))
    return found


def _latent(model: Any) -> int:
    """The channels of the model's latent: what PCA may keep. 64 when it does not show its codec."""
    config = getattr(getattr(model, "codec", None), "config", None)
    return int(getattr(config, "latent", 64))


def _reconstruct(model: Any) -> run.Reconstruct | None:
    """Frames through the model's codec and back, when it shows one (encode and decode)."""
    if not hasattr(model, "encode") or not hasattr(model, "decode"):
        return None

    def reconstruct(frames: Frames) -> Frames:
        restored: Frames = model.decode(model.encode(frames)[None])[0]
        return restored

    return reconstruct
