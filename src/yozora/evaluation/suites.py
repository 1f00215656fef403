"""The suites: align, motion, physics, codec. Each turns clips or a model into tables of scores."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora.evaluation.alignment import accuracy, pair
from yozora.evaluation.fidelity import LinearCodec, psnr, ssim
from yozora.evaluation.intervals import Interval, bootstrap
from yozora.evaluation.motion import Continuation, Seam, continuation, follow, seam
from yozora.evaluation.parse import parse
from yozora.evaluation.physics import FALLING, effective_gravity, velocity_error
from yozora.evaluation.results import Score, Suite, Table
from yozora.evaluation.samples import Canvas, Model, Progress, Sample
from yozora.video import Clip
from yozora.world.caption import captions
from yozora.world.physics import Truth, project
from yozora.world.render import render
from yozora.world.scene import Scene, sample

Frames = NDArray[np.uint8]
Reconstruct = Callable[[Frames], Frames]
Rect = tuple[int, int, int, int]  # x, y, width, height in pixels

STYLES = {
    "dense": "Asked in dense captions only, which say size and place too; people write shorter ones.",
    "short": "Asked in short captions only, which say no place and seldom a size.",
    "mixed": "Asked in dense and short captions in turn.",
}
COUNTS = {0: "no body named", 1: "one body", 2: "two bodies", 3: "three bodies"}


# --- align -------------------------------------------------------------------------------------


def align(samples: Sequence[Sample], style: str | None = None) -> Suite:
    """Prompt alignment per attribute, by the number of bodies asked for.

    style: the kind of captions that were asked, for the tables' notes; None for prompts of any kind.
    """
    tables = []
    note = (
        "Share of bodies (or clips) that are as the prompt says; floor: the parser on true clips."
    )
    if style:
        note = f"{STYLES[style]} {note}"
    for count, title in COUNTS.items():
        some = [s for s in samples if min(len(s.expected.bodies), 3) == count]
        if some:
            made = accuracy([s.made.verdict for s in some])
            floor = accuracy([s.truth.verdict for s in some if s.truth])
            scores = [
                Score(name, interval, beside={"floor": floor[name]} if name in floor else {})
                for name, interval in made.items()
            ]
            tables.append(Table(title, note, tuple(scores)))
    return Suite(
        "align",
        tuple(tables),
        {name: _confusion(samples, name) for name in ("colour", "shape", "law")},
    )


def _confusion(samples: Sequence[Sample], name: str) -> dict[str, dict[str, int]]:
    """Wanted -> seen -> count, over all bodies of all samples."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for s in samples:
        for wanted, track in pair(s.expected, s.made.parsed):
            attribute = "motion" if name == "law" else name
            said, seen = (
                getattr(wanted, attribute),
                getattr(track, attribute) if track else "nothing",
            )
            if said:
                counts[said.partition(":")[0]][seen.partition(":")[0]] += 1
    return {said: dict(seen) for said, seen in counts.items()}


# --- motion ------------------------------------------------------------------------------------


def motion(
    samples: Sequence[Sample], tasks: Sequence[Made] = (), codec: Reconstruct | None = None
) -> Suite:
    """Steadiness and persistence of clips, and how well given frames are kept and continued."""
    tables = [_steadiness(samples)] if samples else []
    for task in TASKS:
        some = [m for m in tasks if m.task == task]
        if some:
            tables.append(_task_table(task, some, codec))
    return Suite("motion", tuple(tables))


def _steadiness(samples: Sequence[Sample]) -> Table:
    both = [(s.made, s.truth) for s in samples if s.truth]
    scores = []
    for name, unit in (("flicker", "levels"), ("jitter", "heights"), ("energy", "levels")):
        made = bootstrap([getattr(s.made, name) for s in samples])
        beside = {}
        if both:
            beside["truth"] = bootstrap([getattr(t, name) for _, t in both])
            beside["excess"] = bootstrap([getattr(m, name) - getattr(t, name) for m, t in both])
        scores.append(Score(name, made, unit, beside))
    for flag in ("persists", "vanishes", "appears", "recolours", "reshapes"):
        made = bootstrap([float(getattr(s.made.persistence, flag)) for s in samples])
        beside = (
            {"floor": bootstrap([float(getattr(t.persistence, flag)) for _, t in both])}
            if both
            else {}
        )
        scores.append(Score(flag, made, "%", beside))
    note = (
        "flicker: second differences of the background; jitter: third differences of paths; energy: change per "
        "frame, 0 when frozen; the rest: share of clips in which a body vanishes, appears late or changes."
    )
    return Table("steadiness", note, tuple(scores))


TASKS = ("image", "forward", "backward", "fill")


def known_frames(task: str, count: int) -> NDArray[np.bool_] | None:
    """Which of 1 + 4n frames a task gives [T]; None when a clip is too short for it.

    Codecs see groups of four frames after the first: 1 + 4k from the start, 4k at the end.
    """
    groups = (count - 1) // 4
    if groups < {"image": 1, "forward": 2, "backward": 2, "fill": 3}[task]:
        return None
    start, end = {
        "image": (1, 0),
        "forward": (1 + 4 * (groups // 2), 0),
        "backward": (0, 4 * (groups // 2)),
        "fill": (1 + 4 * max(1, groups // 4), 4 * max(1, groups // 4)),
    }[task]
    index = np.arange(count)
    return (index < start) | (index >= count - end)


@dataclass(frozen=True)
class Made:
    """One task done: the true clip and its scene, what was given of it, and what came back."""

    task: str
    scene: Scene
    source: Clip
    truth: Truth
    made: Clip
    known: NDArray[np.bool_]


def moving_scenes(count: int, seed: int, kinds: Sequence[str], canvas: Canvas) -> list[Scene]:
    """Held-out scenes of one body, of these kinds in turn."""
    aspect = min(max(canvas.width / canvas.height, 1.0), 3.0)
    return [
        sample(
            seed * 7_919 + i,
            split="heldout",
            kinds=[kinds[i % len(kinds)]],
            bodies=1,
            aspect=aspect,
            seconds=canvas.seconds,
        )
        for i in range(count)
    ]


def do_tasks(
    model: Model,
    scenes: Sequence[Scene],
    tasks: Sequence[str],
    canvas: Canvas,
    seed: int,
    progress: Progress,
) -> list[Made]:
    """Have the model animate, extend and fill true clips of the scenes, see `known_frames`."""
    done: list[Made] = []
    size = (canvas.width, canvas.height)
    for scene in scenes:
        source, truth = render(scene, size=size, frames=canvas.frames, fps=canvas.fps)
        for task in tasks:
            progress("continuing", len(done), len(scenes) * len(tasks))
            known = known_frames(task, canvas.frames)
            if known is None:
                continue
            prompt, _ = captions(scene, seed)
            made = model.generate(prompt, seed=seed + len(done), **_given(task, source, known))
            done.append(Made(task, scene, source, truth, _fitted(made, len(source), task), known))
    return done


def _given(task: str, source: Clip, known: NDArray[np.bool_]) -> dict[str, Any]:
    """The arguments of `generate` that hand over the known frames."""
    if task == "image":
        return {"image": source.frames[0], "seconds": source.seconds}
    new = np.flatnonzero(~known)
    if task == "fill":
        gap = (new[0] / source.fps, (new[-1] + 1) / source.fps)
        return {"video": source, "fill": gap, "seconds": source.seconds}
    return {
        "video": Clip(source.frames[known], source.fps),
        "extend": task,
        "seconds": len(new) / source.fps,
    }


def _fitted(made: Clip, length: int, task: str) -> Clip:
    """The `length` frames of a made clip that lie beside the source's: its end when extended backwards."""
    frames = made.frames[-length:] if task == "backward" else made.frames[:length]
    return Clip(frames, made.fps)


def _task_table(task: str, some: Sequence[Made], codec: Reconstruct | None) -> Table:
    seams = [seam(m.source, m.made, m.known) for m in some]
    paths = [_continued(m) for m in some]
    kept: dict[str, Interval] = {}
    if codec:
        through = [psnr(m.source.frames[m.known], codec(m.source.frames)[m.known]) for m in some]
        kept["codec"] = bootstrap(through)
    scores = (
        Score("known frames", bootstrap([s.known_psnr for s in seams]), "dB", kept),
        Score("seam", _ratio(seams, "jump"), "of change", {"truth": _ratio(seams, "true_jump")}),
        Score(
            "path error",
            bootstrap([p.made for p in paths]),
            "heights",
            {
                "linear": bootstrap([p.linear for p in paths]),
                "copy": bootstrap([p.copy for p in paths]),
            },
        ),
    )
    note = (
        "known frames: PSNR against what was given; seam: change across the seam over the clip's mean change per "
        "frame; path error: mean distance from the true path in the made frames, beside linear extrapolation "
        "(interpolation when filling) and standing still."
    )
    return Table(_TITLES[task], note, scores)


_TITLES = {
    "image": "image to video",
    "forward": "extension forwards",
    "backward": "extension backwards",
    "fill": "filling",
}


def _ratio(seams: Sequence[Seam], name: str) -> Interval:
    """Mean jump over mean change, clips resampled together."""
    jumps = np.array([getattr(s, name) for s in seams])
    changes = np.array([s.change for s in seams])
    draws = np.random.default_rng(0).integers(0, len(seams), (2000, len(seams)))
    ratios = jumps[draws].mean(1) / np.maximum(changes[draws].mean(1), 1e-9)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(
        float(jumps.mean() / max(changes.mean(), 1e-9)), float(low), float(high), len(seams)
    )


def _continued(m: Made) -> Continuation:
    true_screen = project(m.scene, m.truth.position, m.truth.times)
    track = follow(true_screen, parse(m.made), m.known)[0]
    observed = follow(true_screen, parse(m.source), m.known)[0]
    path = observed.positions if observed else true_screen[0]
    return continuation(true_screen[0], track, path, m.known)


# --- physics -----------------------------------------------------------------------------------


def physics(samples: Sequence[Sample], tasks: Sequence[Made] = ()) -> Suite:
    """Velocity error when the first frames are given, and gravity as the clips have it."""
    tables = []
    moving = [m for m in tasks if m.scene.bodies[0].law == "uniform" and m.task == "forward"]
    if moving:
        tables.append(_velocities(moving))
    falling = _gravities(samples)
    if falling:
        tables.append(falling)
    return Suite("physics", tuple(tables))


def _velocities(moving: Sequence[Made]) -> Table:
    errors: list[float] = []
    floor: list[float] = []
    for m in moving:
        screen = project(m.scene, m.truth.position, m.truth.times)
        for clip, into in ((m.made, errors), (m.source, floor)):
            track = follow(screen, parse(clip), m.known)[0]
            into.append(velocity_error(track, m.truth.velocity[0], ~m.known, clip.fps))
    score = Score("velocity error", bootstrap(errors), "heights/s", {"floor": bootstrap(floor)})
    note = (
        "Uniform motion continued from the given first half: mean |v - v_true| over the made ones, as in arXiv "
        "2411.02385 but in heights/s; floor: the parser on the true clips."
    )
    return Table("velocity", note, (score,))


def _gravities(samples: Sequence[Sample]) -> Table | None:
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for s in samples:
        if s.scene is None or s.truth is None:
            continue
        for (wanted, track), (_, true) in zip(
            pair(s.expected, s.made.parsed), pair(s.expected, s.truth.parsed), strict=True
        ):
            law = (wanted.motion or "").partition(":")[0]
            if law in FALLING:
                fps = s.made.parsed.fps
                values[law].append(
                    (effective_gravity(track, law, fps), effective_gravity(true, law, fps))
                )
    scores = []
    for law in (*FALLING, "all"):
        both = values[law] if law != "all" else [v for some in values.values() for v in some]
        read = [made for made, _ in both if math.isfinite(made)]
        if read:
            floor = [t for _, t in both if math.isfinite(t)]
            scores += [
                Score(f"g of {law}", bootstrap(read), "of g", {"floor": bootstrap(floor)}),
                Score(
                    f"error of {law}",
                    bootstrap([abs(v - 1) for v in read]),
                    "of g",
                    {"floor": bootstrap([abs(v - 1) for v in floor])},
                ),
            ]
    note = "Acceleration fitted to the paths of bodies that should fall, over the world's g (1 is right)."
    return Table("effective gravity", note, tuple(scores)) if scores else None


# --- codec -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldOut:
    """A clip to code: frames [T, H, W, 3], T = 1 + 4n, where its picture lies, and the file it is cut from."""

    frames: Frames
    rect: Rect
    file: str


def codec(
    reconstruct: Reconstruct,
    held_out: Mapping[str, Sequence[HeldOut]],
    training: Iterable[Frames],
    components: int,
    progress: Progress,
) -> Suite:
    """What a codec keeps of held-out clips, by source, beside PCA of the same latent size.

    held_out: source -> clips; padding is coded but not scored. Stills are first frames, and what has one
    frame is a still alone. training: the frames PCA is fitted on, the codec's own kind of training clips;
    components: the channels of the codec's latent.
    """
    progress("fitting PCA", 0, 1)
    linear = LinearCodec.fit(training, components)
    parts: dict[str, list[HeldOut]] = {}
    for source, clips in held_out.items():
        parts[source] = [c for c in clips if len(c.frames) > 1]
        parts[f"{source}, stills"] = [replace(c, frames=c.frames[:1]) for c in clips]
    tables: list[Table] = []
    done, total = 0, sum(map(len, parts.values()))
    for title, clips in parts.items():
        rows = []
        for clip in clips:
            progress("coding", done, total)
            done += 1
            rows.append(_coded(clip, reconstruct, linear))
        if rows:
            tables.append(_codec_table(title, rows, [c.file for c in clips], components))
    return Suite("codec", tuple(tables))


def _coded(
    clip: HeldOut, reconstruct: Reconstruct, linear: LinearCodec
) -> tuple[float, float, float, float]:
    """PSNR and SSIM through the codec, then through PCA."""
    x, y, w, h = clip.rect
    pictures = (clip.frames, reconstruct(clip.frames), linear.reconstruct(clip.frames))
    true, ours, theirs = (p[:, y : y + h, x : x + w] for p in pictures)
    return psnr(true, ours), ssim(true, ours), psnr(true, theirs), ssim(true, theirs)


def _codec_table(
    title: str,
    rows: Sequence[tuple[float, float, float, float]],
    files: Sequence[str],
    components: int,
) -> Table:
    ours_psnr, ours_ssim, pca_psnr, pca_ssim = (list(column) for column in zip(*rows, strict=True))
    gain = [a - b for a, b in zip(ours_psnr, pca_psnr, strict=True)]

    def mean(values: Sequence[float]) -> Interval:
        return bootstrap(values, groups=files)

    scores = (
        Score("PSNR", mean(ours_psnr), "dB", {"pca": mean(pca_psnr)}),
        Score("gain over PCA", mean(gain), "dB"),
        Score("SSIM", mean(ours_ssim), "", {"pca": mean(pca_ssim)}),
    )
    note = (
        f"Mean over {len(rows)} clips of {len(set(files))} files, which are resampled whole (one alone has no "
        f"interval). PCA keeps {components} components of each 4x16x16 patch."
    )
    return Table(title, note, scores)
