"""What reading costs: clips of a corpus, and long films streamed at full and at the model's size.

python benchmarks/decode.py [--quick]
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from common import Report, options, report, seconds, spread
from yozora import video
from yozora.world.dataset import make
from yozora.world.render import render
from yozora.world.scene import sample

FILMS = {"720p": (1280, 720), "1080p": (1920, 1080)}
SMALL = (112, 64)


def film(path: Path, size: tuple[int, int], frames: int) -> None:
    """A film of the world with a moving camera and film grain, so that it costs what footage costs."""
    scene = sample(7, aspect=size[0] / size[1], seconds=frames / 25)
    grain = np.random.default_rng(0).integers(0, 8, (size[1], size[0], 3), dtype=np.uint8)
    clip, _ = render(scene, size=size, frames=frames, fps=25.0)
    with video.Writer(path, fps=25.0, size=size) as writer:
        for number, frame in enumerate(clip.frames):
            shifted = np.roll(grain, number * 37, axis=(0, 1))
            writer.write(np.minimum(frame, 247) + shifted)


def measure(page: Report) -> None:
    clips, frames, rounds = (4, 6, 1) if page.quick else (200, 100, 7)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = [folder / f"{index}.mp4" for index in range(clips)]
        for index, path in enumerate(paths):
            video.write(make(index)[0], path, quality="exact")
        taken = seconds(lambda: [video.read(path) for path in paths], rounds)
        page.say(
            f"{clips} world clips of 112x64 and 17 frames as a corpus keeps them: "
            f"{clips / statistics.median(taken):.0f} clips/s, {spread([1e3 * t / clips for t in taken])} ms a clip."
        )
        for name, size in FILMS.items():
            path = folder / f"{name}.mp4"
            film(path, size, frames)
            for what, fitted in (("full size", None), (f"{SMALL[0]}x{SMALL[1]}", SMALL)):
                taken = seconds(
                    lambda path=path, fitted=fitted: [
                        None for _ in video.stream(path, size=fitted)
                    ],
                    rounds,
                )
                rows.append([name, what, spread([frames / t for t in taken], ".0f")])
    page.say(f"Films of {frames} frames, H.264, streamed:")
    page.table(["film", "frames as RGB of", "frames/s"], rows)


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("decode", "Reading clips", arguments) as page:
        measure(page)
