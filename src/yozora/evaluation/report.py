"""Evaluate a model or a folder of clips: scores.json for machines, report.html for people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora import __version__, video
from yozora.artifact import building
from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.evaluation import suites as run
from yozora.evaluation.page import page
from yozora.evaluation.results import Suite
from yozora.evaluation.samples import Canvas, Model, Progress, Sample, from_folder, from_model
from yozora.world.dataset import make

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
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Run suites on a model (an object, a name or a directory) or on a folder of MP4s with prompts.

    prompts: held-out prompts with one body, and as many with two. corpus: whose held-out footage the
    codec suite codes beside world clips, and on whose training clips PCA is fitted. progress(what,
    done, total) is called as work proceeds. Writes out/report.html, out/scores.json and, for a
    model, out/clips/NNNN.mp4; `out` appears when all is written. Returns what scores.json holds.
    Raises YozoraError for an unknown suite, an empty folder, prompts that are missing, a folder that
    is asked for its codec alone, and an `out` that exists.
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
    parameters = {"suites": list(suites), "prompts": prompts, "seed": seed}
    inputs = {"target": str(target) if isinstance(target, str | Path) else type(target).__name__}
    with building(out, stage=STAGE, inputs=inputs, parameters=parameters) as work:
        samples: list[Sample] = []
        if folder:
            samples = from_folder(folder, seed, progress)
        elif set(suites) - {"codec"}:
            assert model is not None
            seconds = Canvas.of(model).seconds
            samples = from_model(model, prompts, seed, seconds, work / "clips", progress)
        found = _run(suites, model, samples, prompts, seed, corpus, progress)
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
    progress: Progress,
) -> list[Suite]:
    """The suites in order; a folder has no codec and cannot be asked to continue a clip."""
    reconstruct = _reconstruct(model)
    canvas, some = Canvas.of(model), min(max(prompts // 10, 6), prompts)
    found = []
    for name in names:
        if name == "align":
            found.append(run.align(samples))
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
            clips = _held_out(corpus, prompts, seed)
            found.append(
                run.codec(reconstruct, clips, _training(corpus, prompts, seed), 64, progress)
            )
    if not found:
        raise YozoraError(
            "a folder of clips has no codec: ask for align, motion or physics, or evaluate a model"
        )
    return found


def _reconstruct(model: Any) -> run.Reconstruct | None:
    """Frames through the model's codec and back, when it shows one (encode and decode)."""
    if not hasattr(model, "encode") or not hasattr(model, "decode"):
        return None

    def reconstruct(frames: Frames) -> Frames:
        restored: Frames = model.decode(model.encode(frames)[None])[0]
        return restored

    return reconstruct


WORLD = (112, 64)
ROWS = 400  # of footage, at most, to fit PCA on and as many to score


def _held_out(
    corpus: str | Path | None, count: int, seed: int
) -> dict[str, list[tuple[Frames, run.Rect]]]:
    """Held-out clips to code: the world's, and the corpus' footage by source."""
    whole = (0, 0, *WORLD)
    clips = {
        "world": [(make(i, seed, split="heldout")[0].frames, whole) for i in range(min(count, 100))]
    }
    for frames, rect in _footage(corpus, "heldout"):
        clips.setdefault("footage", []).append((frames, rect))
    return clips


def _training(corpus: str | Path | None, count: int, seed: int) -> Iterator[Frames]:
    """Training clips for PCA: the world's, and the corpus' footage."""
    for i in range(min(4 * count, 400)):
        yield make(i, seed + 1)[0].frames
    for frames, _ in _footage(corpus, "train"):
        yield frames


def _footage(corpus: str | Path | None, split: str) -> Iterator[tuple[Frames, run.Rect]]:
    """Footage of a split at the world's size, cut to 1 + 4n frames, with its picture's rectangle."""
    if corpus is None:
        return
    opened = Corpus.open(corpus)
    for row in opened.rows(split=split, kind="footage")[:ROWS]:
        clip = opened.read(row)
        frames, rect = video.fit(clip.frames[: (len(clip) - 1) // 4 * 4 + 1], WORLD)
        x, y, w, h = row.labels.get("content", rect)
        yield frames, (int(x), int(y), int(w), int(h))
