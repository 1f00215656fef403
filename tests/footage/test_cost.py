"""What is measured of a film costs little beside decoding it: a gate against accidents, loose; benchmarks measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from yozora import Clip, video, write
from yozora.footage.survey import Survey

MOST = 2.5  # of a bare decode's processor time; benchmarks/taps.py asks for 1.5


def bare(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def surveyed(path: Path) -> None:
    survey = Survey()
    for _ in survey.follow(video.watch(path)):
        pass
    survey.findings()


def cost(work: Callable[[Path], None], path: Path) -> float:
    began = time.process_time()
    work(path)
    return time.process_time() - began


def test_measuring_costs_little_beside_decoding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (90, 180, 3), dtype=np.uint8), (1600, 800))
    frames = np.stack([scene[2 * n : 2 * n + 720, 4 * n : 4 * n + 1280] for n in range(40)])
    film = write(
        Clip(frames + rng.integers(0, 6, frames.shape, dtype=np.uint8), 25.0), tmp_path / "film.mp4"
    )
    surveyed(film)  # what is loaded and compiled once does not count
    ratios = [cost(surveyed, film) / cost(bare, film) for _ in range(3)]
    assert min(ratios) <= MOST, ratios
