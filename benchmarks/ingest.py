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

import numpy as np

from common import Report, options, report, spread, verdict
from taps import bare
from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import ingest_into
from yozora.world.render import render
from yozora.world.scene import sample

FORMATS = {"112x64 at 8 fps": ((112, 64), 8.0), "640x360 at 25 fps": ((640, 360), 25.0)}
SECONDS = 2.125  # of a clip
FASTER = 3.0  # than the peer, at least
LONG = 30  # minutes of the film whose memory is looked at

# Takes a film in, in a process of its own, and prints its largest resident set in megabytes.
TAKE = """
import json, resource, sys
from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import ingest_into
report = ingest_into(Corpus.create(sys.argv[1]), [sys.argv[2]], licence="CC0-1.0", stride=20.0)
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


def ours(path: Path, size: tuple[int, int], fps: float) -> None:
    """Rights, shots, measures, the sieve, clips in their place, rows and ledger."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.create(Path(folder) / "corpus")
        ingest_into(corpus, [path], licence="CC0-1.0", size=size, fps=fps, seconds=SECONDS)


def peers(path: Path, size: tuple[int, int], fps: float) -> None:
    """What most public pipelines do: PySceneDetect for the cuts, then a call of ffmpeg for each clip."""
    import imageio_ffmpeg
    from scenedetect import ContentDetector, detect

    width, height = size
    fit = (
        f"scale={width}:{height}:force_original_aspect_ratio=decrease,"
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,fps={fps}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for begins, ends in detect(str(path), ContentDetector(), start_in_scene=True):
            start = begins.seconds
            while start + SECONDS <= ends.seconds + 0.05:
                subprocess.run(
                    [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", f"{start}", "-i", path,
                     "-t", f"{SECONDS}", "-vf", fit, "-an", "-c:v", "libx264", "-crf", "12",
                     Path(folder) / f"{start}.mp4"],
                    check=True,
                )  # fmt: skip
                start += SECONDS


def measure(page: Report) -> None:
    scenes, frames, rounds = (2, 60, 1) if page.quick else (8, 110, 5)
    peer = all(map(importlib.util.find_spec, ("scenedetect", "imageio_ffmpeg")))
    rows, least = [], float("inf")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "film.mp4"
        shots(path, (1280, 720), scenes, frames)
        for name, (size, fps) in FORMATS.items():
            works: dict[str, Callable[[], object]] = {
                "bare decode": lambda: bare(path),
                "yozora ingest": lambda size=size, fps=fps: ours(path, size, fps),
            }
            if peer:
                works["scenedetect + ffmpeg"] = lambda size=size, fps=fps: peers(path, size, fps)
            taken: dict[str, list[float]] = {work: [] for work in works}
            for number in range(rounds + 1):  # by turns; the first round warms up
                for work, call in works.items():
                    seconds = cpu_seconds(call)
                    if number:
                        taken[work].append(seconds)
            for work, seconds in taken.items():
                ratios = [a / b for a, b in zip(seconds, taken["bare decode"], strict=True)]
                rows.append([name, work, spread(seconds), spread(ratios)])
            if peer:
                gains = zip(taken["scenedetect + ffmpeg"], taken["yozora ingest"], strict=True)
                least = min(least, statistics.median(a / b for a, b in gains))
        page.say(
            f"A film of {scenes} shots, {scenes * frames} frames of 1280x720, H.264, into clips of {SECONDS} s; "
            f"CPU seconds with child processes, by turns, {rounds} rounds."
        )
        page.table(["clips", "pipeline", "CPU s", "of a bare decode"], rows)
        if peer:
            page.say(
                f"Against the peer, worse format: {least:.1f} times fewer, {verdict(least, FASTER, at_least=True)}. "
                "The peer cuts and converts; ingest also reads rights, measures, sieves and enters what it takes."
            )
        memory(page, Path(scratch))


def memory(page: Report, scratch: Path) -> None:
    """The largest resident set for a short and a long film."""
    minutes = (0.1, 0.3) if page.quick else (1, LONG)
    rows = []
    scene = sample(3, aspect=16 / 9, seconds=4.0)
    clip, _ = render(scene, size=(320, 180), frames=100, fps=25.0)
    for number in minutes:
        path = scratch / f"{number}.mp4"
        with video.Writer(path, fps=25.0, size=(320, 180)) as writer:
            for place in range(int(number * 60 * 25)):
                writer.write(clip.frames[place % 100])
        done = subprocess.run(
            [sys.executable, "-c", TAKE, scratch / f"c{number}", path],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        clips, megabytes = json.loads(done.stdout)
        rows.append([f"{number:g} min", str(clips), f"{megabytes:.0f}"])
    page.say("Memory of the process that takes a film in, 320x180:")
    page.table(["film", "clips", "largest resident set, MB"], rows)


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("ingest", "Taking footage in", arguments) as page:
        measure(page)
