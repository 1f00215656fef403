"""What the codec suite works on: held-out clips to code, and training clips that PCA is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.evaluation.suites import HeldOut, Rect
from yozora.world.dataset import make

Frames = NDArray[np.uint8]

SIZE, FPS, FRAMES = (112, 64), 8.0, 17  # the world's, and what codecs are trained on
WORLD_CLIPS, FOOTAGE_CLIPS = 100, 400  # to code, at most
PCA_CLIPS = 512  # twice as many change the PSNR of held-out clips by 0.02 dB
REAL_SHARE = 0.35  # of footage among a codec's training clips, as in its recipe


def held_out(corpus: str | Path | None, count: int, seed: int) -> dict[str, list[HeldOut]]:
    """Source -> clips to code: `count` (at most 100) of the world's, and the corpus' footage, spread evenly."""
    whole = (0, 0, *SIZE)
    clips = {
        "world": [
            HeldOut(make(i, seed, split="heldout")[0].frames, whole, f"world {i}")
            for i in range(min(count, WORLD_CLIPS))
        ]
    }
    if corpus is not None:
        opened = Corpus.open(corpus)
        rows = opened.rows(split="heldout", kind="footage", masters=False)
        if rows:
            step = -(-len(rows) // FOOTAGE_CLIPS)
            clips["footage"] = [_footage(opened, row) for row in rows[::step]]
    return clips


def training(corpus: str | Path | None) -> Iterator[Frames]:
    """Training clips [17, H, W, 3] for PCA in the codec's own mix, always the same PCA_CLIPS.

    They are drawn as training draws: of rows that are long enough, footage with its share. So stills
    enter as first frames of clips alone. What the corpus lacks of the world is rendered; without
    footage all is the world.
    """
    opened = None if corpus is None else Corpus.open(corpus)
    rows = opened.rows(split="train", masters=False) if opened else []
    long = [row for row in rows if row.seconds * FPS >= FRAMES - 0.5]
    world = [row for row in long if row.kind == "world"]
    real = [row for row in long if row.kind != "world"]
    rng = np.random.default_rng(0)
    share = round(REAL_SHARE * PCA_CLIPS) if real else 0
    chosen = _drawn(real, share, rng) + _drawn(world, PCA_CLIPS - share, rng)
    if opened:
        for row in chosen:
            yield _at_size(opened, row)[0][:FRAMES]
    for i in range(PCA_CLIPS - len(chosen)):
        yield make(i)[0].frames


def _drawn(rows: list[Row], amount: int, rng: np.random.Generator) -> list[Row]:
    """`amount` of the rows, without repetition while that is possible; none of none."""
    if not rows:
        return []
    return [rows[i] for i in rng.choice(len(rows), amount, replace=amount > len(rows))]


def _footage(corpus: Corpus, row: Row) -> HeldOut:
    """A row to be coded, with where its picture lies after the resizing, and the file it is a part of."""
    frames, rect, size = _at_size(corpus, row)
    content = row.labels.get("content", (0, 0, *size))
    return HeldOut(frames, within(content, size, rect), str(row.labels.get("file", row.source)))


def _at_size(corpus: Corpus, row: Row) -> tuple[Frames, Rect, tuple[int, int]]:
    """A row's 1 + 4n frames at the world's size and rate, where its canvas lies on them, and its canvas' size."""
    clip = corpus.read(row, fps=FPS)
    frames, rect = video.fit(clip.frames[: (len(clip) - 1) // 4 * 4 + 1], SIZE)
    return frames, rect, (clip.width, clip.height)


def within(content: Rect, size: tuple[int, int], rect: Rect) -> Rect:
    """The rectangle `content` of a canvas of `size` once that canvas fills `rect`: x, y, width, height.

    Rounded inward, so that no pixel of the padding counts, but to one pixel at least.
    """
    x, width = _span(content[0], content[2], size[0], rect[2])
    y, height = _span(content[1], content[3], size[1], rect[3])
    return rect[0] + x, rect[1] + y, width, height


def _span(start: int, length: int, size: int, target: int) -> tuple[int, int]:
    first = min(-(-int(start) * target // size), target - 1)
    return first, max(1, int(start + length) * target // size - first)
