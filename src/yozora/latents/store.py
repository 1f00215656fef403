"""Latents and text states on disk: made once, found again by what they were made from.

    CORPUS/latents/<version>-<codec>-<shape>/<name>.safetensors    latents of some hundred clips
    CORPUS/text/<encoder>/<name>.safetensors                       token states of some thousand captions

Keys are content hashes (of the clip's frames and of the codec's weights; of the caption), so a changed clip, codec or
caption can never meet a stale entry. A text encoder is known by its content only when it is given as a directory, else
by its name, and by its adapter (encode.text_folder). A file's header lists its keys and its name is their hash: files
that two processes write at once never take each other's place, unless they hold the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from yozora.artifact import json_hash
from yozora.checkpoint import save_weights
from yozora.errors import YozoraError

CAPTIONS = 2048  # captions a file
BATCH = 64  # captions encoded at once


class Shards:
    """Append-only safetensors files of equally named tensors.

    An entry is found by its key and read from the mapped file, so a cache may be larger than memory.
    Raises YozoraError when a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.files: list[Any] = []
        self.place: dict[str, tuple[int, int]] = {}  # key -> file, row
        for path in sorted(folder.glob("[0-9a-f]*.safetensors")):
            self._open(path)

    def _open(self, path: Path) -> None:
        keys = self.keys_of(path)
        self.place |= {key: (len(self.files), row) for row, key in enumerate(keys)}
        self.files.append(safe_open(path, framework="pt").__enter__())  # stays mapped while we live

    @staticmethod
    def keys_of(path: Path) -> list[str]:
        """The keys of a file's entries, in order. Raises YozoraError when the file is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                keys: list[str] = json.loads(json.loads(file.metadata()["config"])["keys"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise YozoraError(
                f"{path} is damaged ({error}); delete it, and what it held is made again."
            ) from error
        return keys

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that have no entry, each once, in their order."""
        return [key for key in dict.fromkeys(keys) if key not in self.place]

    def append(self, keys: Sequence[str], tensors: dict[str, Tensor]) -> None:
        """Writes one file, complete or not at all: row i of every tensor belongs to ``keys[i]``."""
        path = self.folder / f"{json_hash(list(keys))[:16]}.safetensors"
        save_weights(path, tensors, config={"keys": json.dumps(list(keys))})
        self._open(path)

    def tensor(self, key: str, name: str) -> Tensor:
        """The row of tensor ``name`` that belongs to ``key``."""
        file, row = self.place[key]
        value: Tensor = self.files[file].get_slice(name)[row]
        return value

    def span(self, key: str, name: str, offsets: str) -> Tensor:
        """The rows of ``name`` that belong to ``key`` when entries differ in length."""
        file, row = self.place[key]
        start, end = self.files[file].get_slice(offsets)[row : row + 2].tolist()
        value: Tensor = self.files[file].get_slice(name)[start:end]
        return value


def prune(folder: Path, wanted: Collection[str]) -> int:
    """Rewrites the files of a cache without the entries of other keys than these; returns how many there were.

    A file's rest is in place before the file goes, so that nothing else is lost whenever this is interrupted. Who has
    the cache open still sees the old files. Raises YozoraError when a file is damaged.
    """
    removed = 0
    shards = Shards(folder)
    for path in sorted(folder.glob("[0-9a-f]*.safetensors")):
        held = shards.keys_of(path)
        kept = [row for row, key in enumerate(held) if key in wanted]
        if len(kept) == len(held):
            continue
        if kept:
            shards.append([held[row] for row in kept], rows_of(load_file(path), kept))
        path.unlink()
        removed += len(held) - len(kept)
    return removed


def rows_of(tensors: dict[str, Tensor], kept: Sequence[int]) -> dict[str, Tensor]:
    """Some rows of a file's tensors; with "offsets" the rows of "states" are stretches of its first dimension."""
    if "offsets" not in tensors:
        return {name: tensor[list(kept)] for name, tensor in tensors.items()}
    ends = tensors["offsets"].tolist()
    parts = [tensors["states"][ends[row] : ends[row + 1]] for row in kept]
    offsets = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
    return {"states": torch.cat(parts), "offsets": offsets}


def caption_key(caption: str) -> str:
    """96 bits of the caption's SHA-256, in hex."""
    return hashlib.sha256(caption.encode()).hexdigest()[:24]


class TextCache:
    """Token states of captions."""

    def __init__(self, folder: Path) -> None:
        self.shards = Shards(folder)

    def missing(self, captions: Iterable[str]) -> bool:
        """Whether any caption is still to be encoded."""
        return bool(self.shards.missing(caption_key(c) for c in captions))

    def fill(
        self,
        captions: Iterable[str],
        encode: Callable[[Sequence[str]], list[Tensor]],
        progress: Callable[[int, int], None],
    ) -> None:
        """Encodes the captions that are not there yet; ``encode`` gives one [L, E] tensor each."""
        wanted = {caption_key(c): c for c in captions}
        # Captions of about equal length are encoded together, which takes little padding.
        missing = sorted(self.shards.missing(wanted), key=lambda k: (len(wanted[k]), k))
        for start in range(0, len(missing), CAPTIONS):
            keys = missing[start : start + CAPTIONS]
            states = [s for part in chunks(keys, BATCH) for s in encode([wanted[k] for k in part])]
            ends = torch.tensor([0, *(len(s) for s in states)]).cumsum(0)
            self.shards.append(keys, {"states": torch.cat(states), "offsets": ends})
            progress(start + len(keys), len(missing))

    def states(self, caption: str) -> Tensor:
        """[L, E] float16."""
        return self.shards.span(caption_key(caption), "states", "offsets")


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """``items`` in parts of ``size``, the last perhaps shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
