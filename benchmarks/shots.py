"""How many transitions each shot detector finds: recall and precision on films spliced from real clips and photographs.

python benchmarks/shots.py [--quick]

The clips are those of examples/fetch_footage.py --all --stills, in the folder that FOOTAGE names, or ./footage.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import Report, options, report
from yozora import video
from yozora.footage.taps.learned import DETECTORS

FOOTAGE = Path(os.environ.get("FOOTAGE", "footage"))
FPS, SIZE = 25, (64, 36)
CUTS = {"bikes.mp4": [30, 76, 137, 187, 242], "city.mpg": [116], "ocean.mp4": [144]}
FILMS = "bigbuckbunny.mp4 bikes.mp4 box.mp4 cap12.mp4 cap13.mp4 carphone.mp4 city.mpg cup.mp4 franck.mp4 ocean.mp4"
STILLS = (
    "palace.jpg flower.jpg coffee.png cat.png astronaut.png rocket.jpg photographer.png grass.png galaxies.jpg "
    "brick.png gravel.png"
)
KINDS = {  # lengths of a transition in frames; of a fade, the way down and up together
    "hard cut": (0, 1),
    "dissolve, 8 to 15": (8, 16),
    "dissolve, 16 to 31": (16, 32),
    "dissolve, 32 to 45": (32, 46),
    "fade, 8 to 39": (8, 40),
}
SHOTS = 12  # in a film
NEAR = {"hard cut": 1}  # frames by which what is found may lie beside what was spliced; else 3

Frames = np.ndarray[Any, np.dtype[np.uint8]]
Shot = tuple[str, Frames]  # the source and its frames [T, 36, 64, 3], one shot
Spans = list[tuple[int, int]]


def real_shots() -> list[Shot]:
    """The shots of the real films, and slow pans over the photographs."""
    found: list[Shot] = []
    for name in FILMS.split():
        frames = np.stack([*video.stream(FOOTAGE / name, size=SIZE)])
        edges = [0, *CUTS.get(name, []), len(frames)]
        parts = (frames[a:b] for a, b in pairwise(edges))
        found += [(name, part) for part in parts if len(part) >= 40]
    return found + [(name, pan(video.read_image(FOOTAGE / name))) for name in STILLS.split()]


def pan(picture: Frames) -> Frames:
    """Sixty views of a picture, from one corner to the opposite one."""
    height, width = picture.shape[:2]
    scale = max(1.0, min(height, width) / 220)
    picture = cv2.resize(picture, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    w = min(int(width * 0.85), int(height * 0.85) * 16 // 9)
    h = w * 9 // 16
    views = []
    for step in np.linspace(0, 1, 60):
        x, y = int((width - w) * step), int((height - h) * (1 - step))
        views.append(cv2.resize(picture[y : y + h, x : x + w], SIZE, interpolation=cv2.INTER_AREA))
    return np.stack(views)


def clouds() -> list[Shot]:
    """Blurred noise, to show that the script works."""
    rng = np.random.default_rng(0)
    noise = [cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (240, 160)) for _ in range(5)]
    return [(str(number), pan(picture)) for number, picture in enumerate(noise)]


def spliced(shots: list[Shot], kind: str, seed: int) -> tuple[Frames, Spans]:
    """A film of SHOTS shots, with (first frame, first frame after) of each transition."""
    rng = np.random.default_rng(seed)
    film, truth, before = np.zeros((0, SIZE[1], SIZE[0], 3), np.float32), Spans(), ""
    while len(truth) < SHOTS - 1 or not before:
        name, frames = shots[rng.integers(len(shots))]
        if name == before:
            continue
        length = int(rng.integers(*KINDS[kind]))
        need = min(len(frames), int(rng.integers(20, 60)) + 2 * length)
        start = int(rng.integers(len(frames) - need + 1))
        part = frames[start : start + need].astype(np.float32)
        if before:
            film, span = JOINS[kind.split(",")[0]](
                film, part, length, truth[-1][1] if truth else 0, rng
            )
            truth.append(span)
        else:
            film = part
        before = name
    noisy = film + rng.normal(0, 0.4, film.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8), truth


Joined = tuple[Any, tuple[int, int]]


def cut(a: Any, b: Any, length: int, free: int, rng: Any) -> Joined:
    return np.concatenate([a, b]), (len(a), len(a))


def dissolve(a: Any, b: Any, length: int, free: int, rng: Any) -> Joined:
    n = max(6, min(length, len(b) - 6, len(a) - free - 4))
    share = ramp(n)
    mixed = (1 - share) * a[-n:] + share * b[:n]
    return np.concatenate([a[:-n], mixed, b[n:]]), (len(a) - n, len(a))


def fade(a: Any, b: Any, length: int, free: int, rng: Any) -> Joined:
    n = min(max(4, length // 2), len(b) // 2 - 2, (len(a) - free) // 2)
    black = np.zeros((int(rng.integers(1, 6)), *a.shape[1:]), np.float32)
    parts = [a[:-n], a[-n:] * (1 - ramp(n)), black, b[:n] * ramp(n), b[n:]]
    return np.concatenate(parts), (len(a) - n, len(a) + len(black) + n)


def ramp(n: int) -> Any:
    return ((np.arange(n) + 1) / (n + 1))[:, None, None, None]


JOINS: dict[str, Callable[..., Joined]] = {"hard cut": cut, "dissolve": dissolve, "fade": fade}


def found(name: str, film: Frames) -> Spans:
    """What a detector finds."""
    detector = DETECTORS[name]()
    for number, frame in enumerate(film):
        if detector.thumb is None:
            small = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        else:
            small = cv2.resize(frame, detector.thumb, interpolation=cv2.INTER_AREA)
        detector.see(small, number / FPS)
    transitions = detector.result().transitions
    return [(round(one.start * FPS), round(one.end * FPS)) for one in transitions]


def hits(truth: Spans, seen: Spans, near: int) -> int:
    """How many transitions were found, each by something else."""
    left = list(seen)
    for start, end in truth:
        match = next((s for s in left if s[0] <= end + near and s[1] >= start - near), None)
        if match is not None:
            left.remove(match)
    return len(seen) - len(left)


def measure(page: Report) -> None:
    shots = clouds() if page.quick else real_shots()
    films = 1 if page.quick else 6
    kinds = list(KINDS)[:2] if page.quick else list(KINDS)
    rows = []
    for kind in kinds:
        made = [spliced(shots, kind, seed) for seed in range(films)]
        for name in DETECTORS:
            right = there = said = 0
            began = time.process_time()
            for film, truth in made:
                seen = found(name, film)
                right += hits(truth, seen, NEAR.get(kind, 3))
                there, said = there + len(truth), said + len(seen)
            each = (time.process_time() - began) / sum(len(film) for film, _ in made)
            rows.append(
                [
                    kind,
                    name,
                    str(there),
                    f"{right / there:.3f}",
                    f"{right / max(1, said):.3f}",
                    f"{1e3 * each:.2f}",
                ]
            )
            print(rows[-1], flush=True)
    page.say(f"Films of {SHOTS} shots at {FPS} frames a second, a little noise added.")
    page.table(
        ["transition, in frames", "detector", "there", "recall", "precision", "ms a frame"], rows
    )
    if not page.quick:
        inside = [
            (name, sum(len(found(name, part)) for _, part in shots), len(shots))
            for name in DETECTORS
        ]
        page.say(
            "Within shots, found where there is none: "
            + "; ".join(f"{name} {wrong} in {of} shots" for name, wrong, of in inside)
            + "."
        )


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("shots", "Finding shots", arguments) as page:
        measure(page)
