"""The parser's floor: what it gets wrong on the world's own clips, where the truth is known.

python -m yozora.evaluation.floor --clips 300            # as rendered
python -m yozora.evaluation.floor --clips 300 --through h264
python -m yozora.evaluation.floor --clips 300 --through codec30   # blur and noise, about 30 dB
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from yozora import video
from yozora.evaluation.alignment import Verdict, accuracy, judge
from yozora.evaluation.expected import of_scene
from yozora.evaluation.parse import parse
from yozora.video import Clip
from yozora.world.render import render
from yozora.world.scene import SPLITS, Scene, sample

Through = Callable[[Clip], Clip]


def as_rendered(clip: Clip) -> Clip:
    """The clip itself."""
    return clip


def h264(clip: Clip) -> Clip:
    """The clip through an MP4 file of standard quality (H.264, yuv420p)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        video.write(clip, path)
        return video.read(path)


def codec30(clip: Clip) -> Clip:
    """Blurred by one pixel, with soft noise: about 30 dB, as from a small learned codec."""
    frames = gaussian_filter(clip.frames.astype(np.float32), (0, 1, 1, 0))
    rng = np.random.default_rng(int(clip.frames.sum()) % 2**32)
    noise = gaussian_filter(rng.standard_normal(frames.shape).astype(np.float32), (0.7, 1, 1, 0))
    noisy = frames + noise * (6 / noise.std())
    return Clip(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), clip.fps)


THROUGH: dict[str, Through] = {"raw": as_rendered, "h264": h264, "codec30": codec30}


def true_verdict(
    scene: Scene,
    *,
    size: tuple[int, int] = (112, 64),
    frames: int = 17,
    fps: float = 8.0,
    through: Through = as_rendered,
) -> Verdict:
    """What the parser says of a true clip of the scene, judged as a generated one would be."""
    clip, _ = render(scene, size=size, frames=frames, fps=fps)
    return judge(of_scene(scene), parse(through(clip)))


def main() -> None:
    """Print the floor as a table: attributes down, splits across."""
    arguments = argparse.ArgumentParser(description="What the parser gets wrong on true clips.")
    arguments.add_argument(
        "--clips", type=int, default=300, help="clips per split and number of bodies"
    )
    arguments.add_argument(
        "--through", choices=list(THROUGH), default="raw", help="what the clips went through"
    )
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    columns = {}
    for split in SPLITS:
        for bodies in (1, 2, 3):
            scenes = (
                sample(given.seed + i, split=split, bodies=bodies) for i in range(given.clips)
            )
            columns[f"{split}/{bodies}"] = accuracy(
                [true_verdict(s, through=THROUGH[given.through]) for s in scenes]
            )
    print(f"through {given.through}, {given.clips} clips each; per cent right [95 % interval]")
    for column, scores in columns.items():
        print(f"\n{column.split('/')[0]}, bodies: {column.split('/')[1]}")
        for name, score in scores.items():
            print(
                f"  {name:10s} {100 * score.value:6.2f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"
            )


if __name__ == "__main__":
    main()
