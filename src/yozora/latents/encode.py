"""Fills the cache of latents from a corpus: each clip is decoded and encoded once per codec and shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.buckets import Shape, bucket_of
from yozora.latents.state import STATE, state_map
from yozora.latents.store import Shards
from yozora.models.vae import Codec
from yozora.video import fit

SHARD = 512


@dataclass(frozen=True)
class Bucket:
    """Clips of one shape and where their latents are."""

    shape: Shape
    rows: tuple[Row, ...]
    shards: Shards

    def latent(self, row: Row) -> Tensor:
        """[Z, t, h, w] bfloat16, normalised."""
        return self.shards.tensor(row.id, "latents")

    def state(self, row: Row) -> tuple[Tensor, bool]:
        """[t, h, w, STATE] float16 and whether it is known (see latents/state.py)."""
        return self.shards.tensor(row.id, "state"), bool(self.shards.tensor(row.id, "known"))


def buckets(
    corpus: Corpus,
    codec: Codec,
    codec_id: str,
    shapes: Sequence[Shape],
    split: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Bucket]:
    """The buckets of ``split``, encoding what is not cached yet. Raises YozoraError, naming the filter that took them, when
    no clip is left."""
    groups: dict[Shape, list[Row]] = {}
    reasons: dict[str, int] = {}
    rows = corpus.rows(split=split)
    for row in rows:
        place = bucket_of(row, shapes)
        if isinstance(place, str):
            reasons[place] = reasons.get(place, 0) + 1
        else:
            groups.setdefault(place, []).append(row)
    if not groups:
        why = "; ".join(f"{n} x {reason}" for reason, n in sorted(reasons.items(), key=lambda r: -r[1])[:3])
        raise YozoraError(
            f"{corpus.path} gives 0 batches: of {len(rows)} clips of split '{split}' none fits a bucket"
            + (f" ({why})." if why else ".")
            + f" `yozora corpus check {corpus.path}` shows what it holds."
        )
    made = []
    for shape, members in sorted(groups.items(), key=lambda g: g[0]):
        folder = corpus.path / "latents" / f"{codec_id[:16]}-{shape.width}x{shape.height}x{shape.frames}@{shape.fps:g}"
        shards = Shards(folder)
        _fill(shards, corpus, codec, shape, members, progress)
        made.append(Bucket(shape, tuple(members), shards))
    return made


def clip_tensor(frames: np.ndarray, shape: Shape) -> Tensor:
    """uint8 [T, H, W, 3] -> [3, T, H, W] in [-1, 1] at the bucket's size; resized and padded."""
    pixels, _ = fit(frames[: shape.frames], (shape.width, shape.height))
    if len(pixels) < shape.frames:  # rounding of frame rates may cost the last frame
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], shape.frames - len(pixels), axis=0)])
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))).float() / 127.5 - 1


@torch.no_grad()
def _fill(
    shards: Shards, corpus: Corpus, codec: Codec, shape: Shape, rows: Sequence[Row], progress: Callable[[int, int], None]
) -> None:
    missing = set(shards.missing(row.id for row in rows))
    todo = [row for row in rows if row.id in missing]

    def load(row: Row) -> Tensor:
        return clip_tensor(corpus.read(row, fps=None if row.frames == 1 else shape.fps).frames, shape)

    with ThreadPoolExecutor(1) as pool:
        for start in range(0, len(todo), SHARD):
            part = todo[start : start + SHARD]
            latents = []
            clips = list(range(0, len(part), 16))
            ahead = pool.submit(lambda p=part: torch.stack([load(r) for r in p[:16]]))
            for k in clips:
                x = ahead.result()
                ahead = pool.submit(lambda p=part, k=k: torch.stack([load(r) for r in p[k + 16 : k + 32]] or [torch.zeros(1)]))
                with torch.autocast("cpu", torch.bfloat16):
                    latents.append(codec.encode(x).bfloat16())
                progress(start + min(k + 16, len(part)), len(todo))
            states = [state_map(row.labels, shape.grid) for row in part]
            empty = np.zeros((*shape.grid, STATE), np.float16)
            shards.append(
                [row.id for row in part],
                {
                    "latents": torch.cat(latents),
                    "state": torch.from_numpy(np.stack([empty if s is None else s for s in states])),
                    "known": torch.tensor([s is not None for s in states]),
                },
            )


def text_folder(corpus: Corpus, encoder: str) -> Path:
    return corpus.path / "text" / encoder.replace("/", "--")
