"""Fills the cache of latents from a corpus: each clip is decoded and encoded once per codec and shape."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yozora.artifact import content_hash, json_hash
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.augment import Augment, is_backwards, told_backwards, version
from yozora.latents.buckets import Shape, grouped
from yozora.latents.state import STATE, state_map
from yozora.latents.store import Shards
from yozora.models.adapter import Tensors, fingerprint
from yozora.models.precision import autocast
from yozora.models.text import MINILM
from yozora.models.vae import Codec
from yozora.video import fit

VERSION = 1  # to be raised when what is stored beside a clip changes, such as the facts of state.py
SHARD = 512  # clips a file: what a killed run has to do again at most
BATCH = 16  # clips encoded at once

Item = TypeVar("Item")
Made = TypeVar("Made")
Progress = Callable[[int, int], None]  # done, total


class NothingFitsError(YozoraError):
    """No clip of a split fits any bucket: there would be 0 batches."""


@dataclass(frozen=True)
class Variant:
    """One variant of each clip of footage: where its latents are, and which of the clips it plays backwards."""

    shards: Mapping[str, Shards]
    backwards: frozenset[str]


@dataclass(frozen=True)
class Bucket:
    """Clips of one shape and where their latents are."""

    shape: Shape
    rows: tuple[Row, ...]
    shards: Shards
    variants: tuple[Variant, ...] = ()  # of its footage

    def latent(self, row: Row, variant: int = 0) -> Tensor:
        """[Z, t, h, w] bfloat16, normalised; of a variant from 1 on, of the clip as it is for 0."""
        shards = self.variants[variant - 1].shards[row.id] if variant else self.shards
        return shards.tensor(row.id, "latents")

    def versions(self, row: Row) -> int:
        """How many there are of a clip: itself and its variants."""
        return 1 + len(self.variants) * (row.kind != "world")

    def caption(self, caption: str, row: Row, variant: int) -> str:
        """What a caption of the clip says of one of its versions."""
        backwards = variant and row.id in self.variants[variant - 1].backwards
        return told_backwards(caption, row, variant) if backwards and caption else caption

    def state(self, row: Row) -> tuple[Tensor, bool]:
        """[t, h, w, STATE] float16 and whether it is known (see latents/state.py)."""
        return self.shards.tensor(row.id, "state"), bool(self.shards.tensor(row.id, "known"))


def buckets(
    corpus: Corpus,
    codec: Codec,
    codec_id: str,
    shapes: Sequence[Shape],
    split: str,
    progress: Progress = lambda done, total: None,
    *,
    variants: int = 0,
    augment: Augment | None = None,
) -> list[Bucket]:
    """The buckets of ``split``, encoding what is not cached yet.

    ``codec_id`` is the content hash of the codec's weights; ``progress`` is told of each shape's clips. Footage has so
    many ``variants`` besides, changed by ``augment``.
    Raises NothingFitsError, naming the filter that took them, when no clip is left, and YozoraError when a clip cannot
    be read.
    """
    rows = corpus.rows(split=split)
    groups, left_out = grouped(rows, shapes)
    if not groups:
        reasons = Counter({reason: len(members) for reason, members in left_out.items()})
        why = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        raise NothingFitsError(
            f"{corpus.path} gives 0 batches: of {len(rows)} clips of split '{split}' none fits a bucket"
            + (f" ({why})." if why else ".")
            + f" `yozora corpus check {corpus.path} --recipe NAME` says what a recipe takes of it."
        )
    made = []
    for shape, members in sorted(groups.items(), key=lambda group: group[0]):
        shards = Shards(latents_folder(corpus, codec_id, shape))
        _fill(shards, corpus, codec, shape, members, progress)
        footage = [row for row in members if row.kind != "world"]
        changed = [
            _variant(
                corpus, codec, codec_id, shape, footage, augment or Augment(), number, progress
            )
            for number in range(1, variants + 1)
        ]
        made.append(Bucket(shape, tuple(members), shards, tuple(changed)))
    return made


def latents_folder(corpus: Corpus, codec_id: str, shape: Shape, variant: str = "") -> Path:
    """Where a corpus keeps the latents of a codec and shape, or those of a variant."""
    size = f"{shape.width}x{shape.height}x{shape.frames}@{shape.fps:g}"
    name = f"v{VERSION}-{codec_id[:16]}-{size}"
    return corpus.path / "latents" / (f"{name}-{variant}" if variant else name)


def _variant(
    corpus: Corpus,
    codec: Codec,
    codec_id: str,
    shape: Shape,
    rows: Sequence[Row],
    augment: Augment,
    number: int,
    progress: Progress,
) -> Variant:
    """A variant of each of these clips, encoding what is not cached yet.

    Its folder names all that determines it. Clips that are played backwards lie in one of their own: when labels come
    to say that there is speech in one, it is encoded anew.
    """
    settings = json_hash({**asdict(augment), "reverse": 0, "reverse_unheard": False})[:12]
    shards: dict[str, Shards] = {}
    turned = frozenset(row.id for row in rows if is_backwards(row, augment, number))
    for name in (f"a{settings}.{number}", f"a{settings}.{number}.backwards"):
        chosen = [row for row in rows if (row.id in turned) == name.endswith("backwards")]
        if chosen:
            place = Shards(latents_folder(corpus, codec_id, shape, name))
            _fill(
                place,
                corpus,
                codec,
                shape,
                chosen,
                progress,
                partial(version, augment=augment, number=number),
            )
            shards |= {row.id: place for row in chosen}
    return Variant(shards, turned)


def text_folder(corpus: Corpus, encoder: str, adapter: Tensors | None = None) -> Path:
    """Where a corpus keeps the token states of a text encoder.

    An encoder in a directory is known by the hash of its files. The default one, and any that Hugging Face's cache
    holds under a name, is known by that name alone: when its weights change, this folder has to be deleted. What it
    has learned of captions, its ``adapter``, is known by its content.
    """
    name = encoder.replace("/", "--")
    if encoder != MINILM and Path(encoder).is_dir():
        name = f"{Path(encoder).resolve().name}-{content_hash(encoder)[:16]}"
    if adapter:
        name = f"{name}-adapted-{fingerprint(adapter)}"
    return corpus.path / "text" / name


def clip_tensor(frames: NDArray[np.uint8], shape: Shape) -> Tensor:
    """uint8 [T, H, W, 3] -> [3, T, H, W] in [-1, 1] at the bucket's size; resized and padded."""
    pixels, _ = fit(frames[: shape.frames], (shape.width, shape.height))
    if (short := shape.frames - len(pixels)) > 0:  # rounding of rates may cost the last frame
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], short, axis=0)])
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))).float() / 127.5 - 1


@torch.no_grad()
def _fill(
    shards: Shards,
    corpus: Corpus,
    codec: Codec,
    shape: Shape,
    rows: Sequence[Row],
    progress: Progress,
    change: Callable[..., NDArray[np.uint8]] = lambda row, frames: frames,
) -> None:
    """Encodes the rows that have no entry and writes a file for every few hundred of them."""
    missing = set(shards.missing(row.id for row in rows))
    todo = [row for row in rows if row.id in missing]
    parts = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]

    def load(part: Sequence[Row]) -> Tensor:
        return torch.stack([_pixels(corpus, row, shape, change) for row in part])

    latents: list[Tensor] = []
    encoded: list[Row] = []
    for number, (part, x) in enumerate(zip(parts, _ahead(load, parts), strict=True), 1):
        with autocast(x.device):
            latents.append(codec.encode(x).bfloat16())
        encoded += part
        if len(encoded) >= SHARD or number == len(parts):
            facts = _states(encoded, shape)
            corpus.encoded([row.id for row in encoded], shards.folder.name)
            shards.append([row.id for row in encoded], {"latents": torch.cat(latents), **facts})
            latents, encoded = [], []
        progress(min(number * BATCH, len(todo)), len(todo))


def _pixels(
    corpus: Corpus, row: Row, shape: Shape, change: Callable[..., NDArray[np.uint8]]
) -> Tensor:
    clip = corpus.read(row, fps=None if row.frames == 1 else shape.fps)
    return clip_tensor(change(row, frames=clip.frames[: shape.frames]), shape)


def _states(rows: Sequence[Row], shape: Shape) -> dict[str, Tensor]:
    """State maps of ``rows`` and whether they are known; zeros where they are not."""
    maps = [state_map(row.labels, shape.grid) if _as_it_was(row, shape) else None for row in rows]
    empty = np.zeros((*shape.grid, STATE), np.float16)
    return {
        "state": torch.from_numpy(np.stack([empty if m is None else m for m in maps])),
        "known": torch.tensor([m is not None for m in maps]),
    }


def _as_it_was(row: Row, shape: Shape) -> bool:
    """Whether the clip's frames and places are the bucket's: a record's truth is of its own frames, without bars."""
    return row.fps == shape.fps and row.width * shape.height == row.height * shape.width


def _ahead(make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """make(item) for every item, in order; a thread makes the next one while this one is used."""
    coming: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for item in items:
            coming.append(pool.submit(make, item))
            if len(coming) > 1:
                yield coming.popleft().result()
        for future in coming:
            yield future.result()
