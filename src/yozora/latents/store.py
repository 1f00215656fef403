"""Latents and text states on disk: made once, found again by what they were made from.

    CORPUS/latents/<codec>-<shape>/NNNNN.safetensors    latents of some hundred clips, ids in the header
    CORPUS/text/<encoder>/NNNNN.safetensors             token states of some thousand captions, hashes in the header

Keys are content hashes (of the clip's file and of the codec's weights; of the caption and the encoder's name), so a
changed clip, codec or caption can never meet a stale entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from yozora.checkpoint import save_weights


class Shards:
    """Append-only safetensors files of equally named tensors; an entry is found by its key and read from the mapped file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.files: list[Any] = []
        self.place: dict[str, tuple[int, int]] = {}
        for path in sorted(folder.glob("[0-9]*.safetensors")):
            self._open(path)

    def _open(self, path: Path) -> None:
        file = safe_open(path, framework="pt").__enter__()  # stays mapped as long as we live
        for row, key in enumerate(json.loads(json.loads(file.metadata()["config"])["keys"])):
            self.place[key] = (len(self.files), row)
        self.files.append(file)

    def missing(self, keys: Iterable[str]) -> list[str]:
        return [key for key in dict.fromkeys(keys) if key not in self.place]

    def append(self, keys: Sequence[str], tensors: dict[str, Tensor]) -> None:
        path = self.folder / f"{len(self.files):05d}.safetensors"
        save_weights(path, tensors, config={"keys": json.dumps(list(keys))})
        self._open(path)

    def tensor(self, key: str, name: str) -> Tensor:
        file, row = self.place[key]
        value: Tensor = self.files[file].get_slice(name)[row]
        return value

    def span(self, key: str, name: str, offsets: str) -> Tensor:
        """The rows of ``name`` that belong to ``key`` when entries differ in length."""
        file, row = self.place[key]
        start, end = self.files[file].get_slice(offsets)[row : row + 2].tolist()
        value: Tensor = self.files[file].get_slice(name)[start:end]
        return value


def caption_key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:24]


class TextCache:
    """Token states of captions. ``encode`` maps sentences to one [L, E] tensor each."""

    def __init__(self, folder: Path) -> None:
        self.shards = Shards(folder)

    def missing(self, captions: Iterable[str]) -> bool:
        return bool(self.shards.missing(caption_key(c) for c in captions))

    def fill(
        self, captions: Iterable[str], encode: Callable[[Sequence[str]], list[Tensor]], progress: Callable[[int, int], None]
    ) -> None:
        """Encodes the captions that are not there yet."""
        wanted = {caption_key(c): c for c in captions}
        missing = sorted(self.shards.missing(wanted), key=lambda k: (len(wanted[k]), k))  # equal lengths: little padding
        for start in range(0, len(missing), 2048):
            keys = missing[start : start + 2048]
            states = [s for part in chunks(keys, 64) for s in encode([wanted[k] for k in part])]
            ends = torch.tensor([0, *(len(s) for s in states)]).cumsum(0)
            self.shards.append(keys, {"states": torch.cat(states), "offsets": ends})
            progress(start + len(keys), len(missing))

    def states(self, caption: str) -> Tensor:
        """[L, E] float16."""
        return self.shards.span(caption_key(caption), "states", "offsets")


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
