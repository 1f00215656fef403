"""What the invisible mark survives, how often it is seen where there is none, and what marking and signing cost.

python benchmarks/marks.py [--quick]        FOOTAGE names a folder of films; without it the world alone is marked
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from common import Report, options, report, spread, verdict
from yozora import Clip, read, write
from yozora.errors import YozoraError
from yozora.service import mark
from yozora.service.provenance import Facts, Sealer
from yozora.video import probe
from yozora.world import dataset

PAYLOAD = 0xDEADBEEF
SIZES = ((112, 64, 8.0), (480, 270, 24.0))
Change = Callable[[Clip], Clip]


def films(page: Report, width: int, height: int, fps: float) -> Iterator[tuple[str, Clip]]:
    """Two-second clips of the world and of footage, without bars, at this size; of large ones, a few."""
    every = 1 if width < 200 else 4
    for number in range(0, 2 if page.quick else 12, every):
        clip, _ = dataset.make(number, 77, size=(width, height), frames=round(2.1 * fps), fps=fps)
        yield "world", clip
    folder = os.environ.get("FOOTAGE")
    found = sorted(Path(folder).iterdir()) if folder and not page.quick else []
    for path in [path for path in found if moves(path)][::every]:
        info = probe(path)
        scale = max(width / info.width, height / info.height)
        size = (max(width, round(info.width * scale)), max(height, round(info.height * scale)))
        clip = read(path, fps=fps, size=size, seconds=2.1)
        yield "footage", Clip(np.ascontiguousarray(clip.frames[:, :height, :width]), fps)


def moves(path: Path) -> bool:
    """Whether this is a film."""
    try:
        return not probe(path).still
    except YozoraError:
        return False


def coded(crf: int) -> Change:
    """Encoded by x264 once more."""

    def change(clip: Clip) -> Clip:
        height, width = (side // 2 * 2 for side in clip.frames.shape[1:3])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            with av.open(str(path), "w") as out:
                rate = Fraction(clip.fps).limit_denominator(1001)
                video = out.add_stream("libx264", rate, {"crf": str(crf), "preset": "medium"})
                video.width, video.height, video.pix_fmt = width, height, "yuv420p"
                for frame in clip.frames[:, :height, :width]:
                    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
                    out.mux(video.encode(picture))
                out.mux(video.encode(None))
            return read(path)

    return change


def gif(clip: Clip) -> Clip:
    """As a GIF of 256 colours."""
    with tempfile.TemporaryDirectory() as folder:
        return read(write(clip, Path(folder) / "clip.gif"))


def scaled(factor: float) -> Change:
    """At another size."""

    def change(clip: Clip) -> Clip:
        size = (round(clip.width * factor), round(clip.height * factor))
        small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in clip.frames]
        return coded(23)(Clip(np.stack(small), clip.fps))

    return change


def cut(top: float, bottom: float, left: float, right: float) -> Change:
    """With these shares of its sides cut off."""

    def change(clip: Clip) -> Clip:
        rows = slice(round(top * clip.height), round((1 - bottom) * clip.height))
        columns = slice(round(left * clip.width), round((1 - right) * clip.width))
        return coded(23)(Clip(np.ascontiguousarray(clip.frames[:, rows, columns]), clip.fps))

    return change


def at_30(clip: Clip) -> Clip:
    """At 30 frames a second, frames shown again."""
    which = (np.arange(round(clip.seconds * 30)) * clip.fps / 30).astype(int)
    return coded(23)(Clip(clip.frames[np.minimum(which, len(clip) - 1)], 30.0))


CHANGES: dict[str, Change] = {
    "as made (x264, crf 18)": lambda clip: clip,
    "x264, crf 23": coded(23),
    "x264, crf 28": coded(28),
    "half size, crf 23": scaled(0.5),
    "three quarters, crf 23": scaled(0.75),
    "5 % cut off, centred, crf 23": cut(0.025, 0.025, 0.025, 0.025),
    "5 % cut off at a corner, crf 23": cut(0.05, 0.0, 0.05, 0.0),
    "at 30 fps, crf 23": at_30,
    "GIF": gif,
}


def survival(page: Report) -> None:
    """Found, and read right, after each change."""
    table, quality, grown = [], [], []
    for width, height, fps in SIZES:
        for kind in ("world", "footage"):
            clips = [clip for of, clip in films(page, width, height, fps) if of == kind]
            if not clips:
                continue
            marked = [mark.embed(clip, PAYLOAD) for clip in clips]
            quality += [psnr(a, b) for a, b in zip(clips, marked, strict=True)]
            grown += [bytes_of(b) / bytes_of(a) for a, b in zip(clips, marked, strict=True)]
            made = [coded(18)(clip) for clip in marked]
            for name, change in CHANGES.items():
                found = [mark.find(change(clip)) for clip in made]
                right = sum(one is not None and one.payload == PAYLOAD for one in found)
                seen = sum(one is not None for one in found)
                table.append(
                    [f"{width}x{height}", kind, name, f"{seen} of {len(found)}", f"{right}"]
                )
    page.table(["size", "clips", "change", "mark found", "bits all right"], table)
    enough = verdict(min(quality), 42, at_least=True)
    page.say(f"PSNR of marked against unmarked frames: {spread(quality, '.1f')} dB ({enough}).")
    page.say(f"Files of x264 at crf 18 are longer by a factor of {spread(grown, '.2f')}.")


def psnr(one: Clip, other: Clip) -> float:
    """In dB, over all frames."""
    error = np.mean((one.frames.astype(np.float64) - other.frames) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def bytes_of(clip: Clip) -> int:
    """How long the file is."""
    with tempfile.TemporaryDirectory() as folder:
        return write(clip, Path(folder) / "clip.mp4").stat().st_size


def false_alarms(page: Report) -> None:
    """Marks seen in clips without one, by many keys."""
    keys = 3 if page.quick else 200
    clips = [clip for _, clip in films(page, *SIZES[0])]
    lumas = [mark.small_luma(clip) for clip in clips]
    whole = [
        mark.clearest(luma, ((0.0,),) * 4, f"key {number}".encode()).chance
        for number in range(keys)
        for luma in lumas
    ]
    searched = [mark.find(clip) for clip in clips]
    page.table(
        ["clips without a mark", "looked at", "mark found", "least chance seen"],
        [
            [
                "uncut, many keys",
                f"{len(whole)}",
                f"{sum(c < mark.CHANCE for c in whole)}",
                f"{min(whole):.1e}",
            ],
            [
                "with the search for cut edges, our key",
                f"{len(searched)}",
                f"{sum(map(bool, searched))}",
                "",
            ],
        ],
    )


def costs(page: Report) -> None:
    """What marking, signing and looking take, beside writing the file."""
    table, rounds = [], 2 if page.quick else 15
    for width, height, fps in SIZES:
        clip = next(films(page, width, height, fps))[1]
        with tempfile.TemporaryDirectory() as folder:
            for name, work in works(clip, Path(folder)).items():
                taken = spread(burnt(work, rounds))
                table.append([f"{width}x{height}, {len(clip)} frames", name, taken])
    page.table(["clip", "what", "ms of a processor"], table)


def works(clip: Clip, folder: Path) -> dict[str, Callable[[], object]]:
    """What is done to a clip, in order."""
    facts = Facts("nano", "a red ball falls", at=0, weights="ab" * 32, seed=1)
    path, out, sealer = folder / "clip.mp4", folder / "signed.mp4", Sealer(folder / "signing")
    marked = sealer.mark(clip, facts)
    return {
        "mark": lambda: sealer.mark(clip, facts),
        "encode": lambda: write(marked, path),
        "sign": lambda: sealer.seal(path, out, facts),
        "find": lambda: mark.find(marked),
        "find nothing": lambda: mark.find(clip),
    }


def burnt(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of all cores together that each call takes, after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - began))
    return taken[1:]


def measure(page: Report) -> None:
    """All of it."""
    costs(page)
    false_alarms(page)
    survival(page)


if __name__ == "__main__":
    chosen = options(__doc__)
    with report("marks", "The mark and the signature", chosen) as page:
        measure(page)
