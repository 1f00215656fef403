"""From jobs to files: generating, alone or together, and what is kept of each clip beside its MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from yozora.errors import YozoraError
from yozora.sampling.pipeline import Pipeline
from yozora.sampling.solvers import Step
from yozora.service.artifacts import SPRITESHEET, THUMBNAIL, VIDEO
from yozora.service.intake import IntakeError
from yozora.service.jobs import Job
from yozora.video import Clip, contact_sheet, probe, read, write
from yozora.video.clip import Frames

SAMPLING = ("steps", "guidance", "negative_prompt", "shift", "solver")
PREVIEWS = (
    3  # parts of a pass; a preview is made between two of them, at a hundredth of a generation each
)
FRAMES = 10  # of a spritesheet
Find = Callable[[Mapping[str, str]], Path]  # {"file": id} or {"video": id} -> its file
Watch = Callable[
    [int, Sequence[bytes]], None
]  # progress 0 to 99, and a preview of each job or none


def make(pipeline: Pipeline, batch: Sequence[Job], find: Find, watch: Watch) -> Iterator[Clip]:
    """The clips of jobs that go together, in order. ``watch`` is told after each step; what it raises ends the work.

    Raises YozoraError when something that was given cannot be used.
    """
    job = batch[0]
    tracker = Tracker(pipeline, watch, len(batch), work(pipeline, batch))
    options = {name: job.params[name] for name in SAMPLING if name in job.params}
    start = given(job.params, find)
    if start:
        seed = int(job.params.get("seed", 0))
        yield pipeline.generate(
            job.words, seconds=added(job), seed=seed, watch=tracker, **start, **options
        )
    else:
        yield from pipeline.generate_many(
            [one.words for one in batch],
            seconds=float(job.seconds),
            seeds=[int(one.params.get("seed", 0)) for one in batch],
            batch=len(batch),
            watch=tracker,
            **options,
        )


def given(params: Mapping[str, Any], find: Find) -> dict[str, Any]:
    """The arguments of `Pipeline.generate` for what a job starts from; empty when it starts from nothing."""
    if params.get("image") is not None:
        return {"image": find({"file": params["image"]})}
    if params.get("video") is None:
        return {}
    video = find(params["video"])
    if params.get("extend") is not None:
        return {"video": video, "extend": params["extend"]}
    if params.get("fill") is not None:
        return {"video": video, "fill": within(video, *params["fill"])}
    return {"image": read(video, max_frames=1).frames}


def within(video: Path, start: float, end: float) -> tuple[float, float]:
    """A span of a video's seconds. Raises IntakeError when it is none, or all of it."""
    whole = probe(video).seconds
    if not 0 <= start < end <= whole + 1e-3 or end - start >= whole - 1e-3:
        raise IntakeError(
            f"The span {start:g}, {end:g} is no part of the video, which lasts {whole:.3g} seconds, or is all of it."
        )
    return start, end


def added(job: Job) -> float:
    """The seconds to generate."""
    return float(job.params.get("added") or job.seconds)


def work(pipeline: Pipeline, batch: Sequence[Job]) -> int:
    """How many passes it takes, about: the first is one for the whole batch."""
    sides = 2 if batch[0].params.get("extend") == "both" else 1
    return 1 + len(batch) * (sides * pipeline.passes(added(batch[0])) - 1)


@dataclass
class Tracker:
    """Follows the sampler through ``passes`` passes, and shows how the clips look on the way."""

    pipeline: Pipeline
    watch: Watch
    jobs: int
    passes: int
    steps: int = 0

    def __call__(self, step: Step) -> None:
        """After a step."""
        self.steps += 1
        progress = min(99, 100 * self.steps // (step.total * self.passes))
        marks = {step.total * part // PREVIEWS for part in range(1, PREVIEWS)}
        whole = self.steps == step.done  # the first pass, which all jobs share
        seen = self.previews(step) if whole and step.done in marks else []
        self.watch(progress, seen)

    def previews(self, step: Step) -> list[bytes]:
        """The first frame of each clip as it looks by now, as WebP. One latent frame is all that is decoded."""
        return [
            picture(frames[0], "webp", quality=60) for frames in self.pipeline.decode(step.clean[:, :, :1])
        ]  # fmt: skip


def save(clip: Clip, folder: Path) -> None:
    """Write a clip with its thumbnail and its spritesheet."""
    write(clip, folder / VIDEO)
    middle = clip.frames[len(clip) // 2]
    (folder / THUMBNAIL).write_bytes(picture(middle, "webp", quality=80))
    sheet = contact_sheet([clip], columns=1, frames=min(FRAMES, len(clip)))
    (folder / SPRITESHEET).write_bytes(picture(sheet, "jpeg", quality=85))


def picture(image: Frames, kind: str, **options: Any) -> bytes:
    """An image [H, W, 3] as a small file, which loses a little."""
    out = BytesIO()
    try:
        Image.fromarray(image).save(out, kind, **options)
    except (OSError, ValueError) as error:
        raise YozoraError(f"A picture could not be written as {kind}: {error}.") from error
    return out.getvalue()
