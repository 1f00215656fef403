"""What taking footage in costs: CPU time as a multiple of a bare decode, against a cut-then-convert pipeline; memory.

python benchmarks/ingest.py [--quick]
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import Report, options, report, spread, verdict
from taps import bare
from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.footage.cut import Format
from yozora.footage.ingest import ingest_into
from yozora.video import Canvas
from yozora.video.clip import Frames
from yozora.video.encoders import Quality
from yozora.world.render import render
from yozora.world.scene import sample

SECONDS = 2.125  # of a clip for training
FORMATS = {
    "112x64@8": Format(),
    "640x360@25": Format((Canvas(640, 360, 25.0),)),
    "1280x720@25 whole, and 112x64@8": Format(canvas=Canvas(1280, 720, 25.0)),
}
CRF = "23"  # the peer's quality: x264's usual one, with its usual preset, which is below ours (docs/journal.md)
PEER = "scenedetect + ffmpeg + OpenCV"
FASTER = 3.0  # than the peer, at least
LONG = 30  # minutes of the film whose memory is looked at

# Takes a film in, in a process of its own, and prints its largest resident set in megabytes.
TAKE = """
import json, resource, sys
from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import ingest_into
from yozora.video import Canvas
canvas = Canvas.parse(sys.argv[3]) if sys.argv[3:] else None
report = ingest_into(Corpus.create(sys.argv[1]), [sys.argv[2]], licence="CC0-1.0", stride=20.0, canvas=canvas)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([report.added, int(status["VmHWM"].split()[0]) / 1024]))
"""


def shots(path: Path, size: tuple[int, int], scenes: int, frames: int) -> None:
    """A film of so many scenes of the world with film grain, cut hard, at 25 fps."""
    grain = np.random.default_rng(0).integers(0, 8, (size[1], size[0], 3), dtype=np.uint8)
    with video.Writer(path, fps=25.0, size=size) as writer:
        for number in range(scenes):
            scene = sample(number, aspect=size[0] / size[1], seconds=frames / 25)
            clip, _ = render(scene, size=size, frames=frames, fps=25.0)
            for place, frame in enumerate(clip.frames):
                writer.write(np.minimum(frame, 247) + np.roll(grain, place * 37, axis=(0, 1)))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of a call, with that of the processes it has waited for."""
    before = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - before


def ours(path: Path, format: Format) -> None:
    """Rights, shots, measures, the sieve, clips in their place, rows and ledger."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.create(Path(folder) / "corpus")
        ingest_into(
            corpus, [path], licence="CC0-1.0", renditions=format.renditions, canvas=format.canvas
        )


def peers(path: Path, format: Format) -> None:
    """What most public pipelines do: PySceneDetect for the cuts, a call of ffmpeg for each clip, scores of that.

    Where shots are kept whole, what is cut from them is not scored again.
    """
    from scenedetect import ContentDetector, detect

    with tempfile.TemporaryDirectory() as folder:
        for begins, ends in detect(str(path), ContentDetector(), start_in_scene=True):
            start, end = begins.seconds, ends.seconds
            if format.canvas:
                score(call(path, start, end - start, format.canvas, Path(folder)))
            while start + SECONDS <= end + 0.05:
                clip = call(path, start, SECONDS, format.renditions[0], Path(folder))
                start += SECONDS
                if not format.canvas:
                    score(clip)


def score(path: Path) -> tuple[float, float, float]:
    """Light, sharpness and motion of a clip, from two frames a second by OpenCV: about the least that is done."""
    film = cv2.VideoCapture(str(path))
    every = max(1, round(film.get(cv2.CAP_PROP_FPS) / 2))
    light, sharpness, motion = [], [], []
    before, number = None, 0
    while film.grab():
        if number % every == 0:
            grey = cv2.cvtColor(film.retrieve()[1], cv2.COLOR_BGR2GRAY)
            light.append(grey.mean())
            sharpness.append(cv2.Laplacian(grey, cv2.CV_32F).var())
            small = cv2.resize(grey, (160, 90), interpolation=cv2.INTER_AREA)
            if before is not None:
                flow = cv2.calcOpticalFlowFarneback(before, small, None, 0.5, 3, 15, 3, 5, 1.2, 0)
                motion.append(np.linalg.norm(flow, axis=-1).mean())
            before = small
        number += 1
    return tuple(float(np.mean(values)) for values in (light, sharpness, motion))


def call(path: Path, start: float, seconds: float, canvas: Canvas, folder: Path) -> Path:
    """One clip by ffmpeg."""
    import imageio_ffmpeg

    fit = (
        f"scale={canvas.width}:{canvas.height}:force_original_aspect_ratio=decrease,"
        f"pad={canvas.width}:{canvas.height}:(ow-iw)/2:(oh-ih)/2,fps={canvas.fps}"
    )
    file = folder / f"{start}-{canvas}.mp4"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", f"{start}", "-i", path, "-t", f"{seconds}",
         "-vf", fit, "-an", "-c:v", "libx264", "-crf", CRF, file],
        check=True,
    )  # fmt: skip
    return file


def encoded(pictures: dict[Canvas, list[Frames]]) -> None:
    """The clips' pictures to files, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        for canvas, frames in pictures.items():
            quality: Quality = "exact" if canvas.exact else "film"
            file = Path(folder) / f"{canvas}.mp4"
            with video.Writer(file, fps=canvas.fps, size=canvas.size, quality=quality) as writer:
                for frame in frames:
                    writer.write(frame)


def developed(path: Path, canvases: tuple[Canvas, ...]) -> dict[Canvas, list[Frames]]:
    """A film's pictures on each canvas."""
    found: dict[Canvas, list[Frames]] = {canvas: [] for canvas in canvases}
    for view in video.watch(path, canvases):
        for canvas, (pixels, shown) in zip(canvases, view.pictures, strict=True):
            found[canvas] += [pixels] * shown if pixels is not None else []
    return found


def measure(page: Report) -> None:
    scenes, frames, rounds = (
        (2, 53, 1) if page.quick else (4, 106, 5)
    )  # two clips a shot, for either
    peer = all(map(importlib.util.find_spec, ("scenedetect", "imageio_ffmpeg")))
    rows, least = [], float("inf")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "film.mp4"
        shots(path, (1280, 720), scenes, frames)
        for name, format in FORMATS.items():
            pictures = developed(path, format.canvases)
            works: dict[str, Callable[[], object]] = {
                "bare decode": lambda: bare(path),
                "bare encode": lambda pictures=pictures: encoded(pictures),
                "yozora ingest": lambda format=format: ours(path, format),
            }
            if peer:
                works[PEER] = lambda format=format: peers(path, format)
            taken: dict[str, list[float]] = {work: [] for work in works}
            for number in range(rounds + 1):  # by turns; the first round warms up
                for work, call in works.items():
                    seconds = cpu_seconds(call)
                    if number:
                        taken[work].append(seconds)
            for work, seconds in taken.items():
                ratios = [a / b for a, b in zip(seconds, taken["bare decode"], strict=True)]
                over = [a / b for a, b in zip(seconds, taken["bare encode"], strict=True)]
                rows.append([name, work, spread(seconds), spread(ratios), spread(over)])
            if peer:
                gains = zip(taken[PEER], taken["yozora ingest"], strict=True)
                least = min(least, statistics.median(a / b for a, b in gains))
        page.say(
            f"A film of {scenes} shots, {scenes * frames} frames of 1280x720, H.264, into clips of {SECONDS} s; "
            f"CPU seconds with child processes, by turns, {rounds} rounds."
        )
        page.table(["clips", "pipeline", "CPU s", "of a bare decode", "of a bare encode"], rows)
        if peer:
            page.say(
                f"Against the peer, worst format: {least:.1f} times fewer, {verdict(least, FASTER, at_least=True)}. "
                f"The peer cuts, converts at crf {CRF} and scores two frames a second; ingest reads rights, measures "
                "all frames, sieves and enters what it takes, at a higher quality. A bare encode takes the same "
                "pictures from memory."
            )
        memory(page, Path(scratch))


def memory(page: Report, scratch: Path) -> None:
    """The largest resident set for a short and a long film."""
    films: list[tuple[float, tuple[int, int], str]] = [
        (0.1 if page.quick else 1, (320, 180), ""),
        (0.3 if page.quick else LONG, (320, 180), ""),
        (0.1 if page.quick else 0.25, (1920, 1080), "1920x1080@30"),
        (0.2 if page.quick else 1, (1920, 1080), "1920x1080@30"),
    ]
    rows = []
    scene = sample(3, aspect=16 / 9, seconds=4.0)
    for number, (minutes, size, canvas) in enumerate(films):
        clip, _ = render(scene, size=(320, 180), frames=100, fps=25.0)
        frames = clip.frames.repeat(size[1] // 180, 1).repeat(size[0] // 320, 2)
        path = scratch / f"{number}.mp4"
        with video.Writer(path, fps=25.0, size=size) as writer:
            for place in range(int(minutes * 60 * 25)):
                turn = place % 198
                writer.write(frames[min(turn, 198 - turn)])
        done = subprocess.run(
            [sys.executable, "-c", TAKE, scratch / f"c{number}", path, *([canvas] if canvas else [])],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        clips, megabytes = json.loads(done.stdout)
        rows.append(
            [
                f"{minutes:g} min",
                "x".join(map(str, size)),
                canvas or "none",
                str(clips),
                f"{megabytes:.0f}",
            ]
        )
    page.say("Memory of the process that takes a film in:")
    page.table(["film", "size", "shots kept whole", "clips", "largest resident set, MB"], rows)


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("ingest", "Taking footage in", arguments) as page:
        measure(page)
