"""The models on this machine: what each can do, read from its header, and the ones in use, loaded.

A model is a folder with codec.safetensors, dit.safetensors and perhaps text.safetensors. When its files change it is
loaded anew with the next job; while the new files cannot be read, as they are half copied, the one in memory goes on.
What was used longest ago is dropped when memory is short.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yozora
from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.service.wishes import Model

if TYPE_CHECKING:
    from yozora.sampling.pipeline import Pipeline

SHIPPED = Path(yozora.__file__).parent / "weights"
FILES = ("dit.safetensors", "codec.safetensors", "text.safetensors")
Version = tuple[tuple[int, int, int], ...]  # of each file: inode, time of change, bytes
log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """A model in memory, of the version that its files were then."""

    pipeline: Pipeline
    version: Version
    weights: str  # SHA-256 of the transformer's file, in hex

    @property
    def bytes(self) -> int:
        """What its weights take."""
        parts = (self.pipeline.network, self.pipeline.codec)
        return sum(tensor.nbytes for part in parts for tensor in part.state_dict().values())


class Models:
    """The models called ``names``: shipped ones, folders, or NAME=FOLDER. ``memory``: GB of weights to keep loaded.

    Raises YozoraError when one is not there, or two have one name.
    """

    def __init__(self, names: Sequence[str], memory: float = 4.0) -> None:
        self.folders: dict[str, Path] = {}
        self.memory = memory
        self._loaded: dict[str, Loaded] = {}  # the one used last comes last
        self._described: dict[str, tuple[Version, Model]] = {}  # as of the version looked at last
        for given in names:
            name, folder = found(given)
            if name in self.folders:
                raise YozoraError(f"Two models are called {name}: say NAME=FOLDER for one of them.")
            self.folders[name] = folder
            self.describe(name)

    @property
    def names(self) -> list[str]:
        """All of them, in the order they were given."""
        return list(self.folders)

    def describe(self, name: str) -> Model:
        """What a model can be asked for, from its header: nothing is loaded.

        While its file cannot be read, as it is half copied, that is what it was before. Raises YozoraError when there
        is no before, or no such model.
        """
        folder = self._folder(name)
        now, kept = version(folder), self._described.get(name)
        if kept is not None and kept[0] == now:
            return kept[1]
        try:
            model = described(name, folder, now)
        except YozoraError as error:
            if kept is None:
                raise
            log.warning("%s is described as before: %s", name, error)
            model = kept[1]
        self._described[name] = (now, model)
        return model

    def get(self, name: str) -> Pipeline:
        """A model, loaded. Raises YozoraError when that cannot be done."""
        folder = self._folder(name)
        now, kept = version(folder), self._loaded.pop(name, None)
        if kept is None or kept.version != now:
            kept = self._load(folder, now, kept)
        self._loaded[name] = kept
        while len(self._loaded) > 1 and self.used > self.memory * 1e9:
            oldest = next(iter(self._loaded))
            del self._loaded[oldest]
            log.info("dropped %s from memory", oldest)
        return kept.pipeline

    def weights(self, name: str) -> str:
        """SHA-256, in hex, of the weights that a loaded model has."""
        return self._loaded[name].weights

    @property
    def used(self) -> int:
        """Bytes of all weights in memory."""
        return sum(one.bytes for one in self._loaded.values())

    @property
    def loaded(self) -> list[str]:
        """The models in memory, the one used last at the end."""
        return list(self._loaded)

    def _load(self, folder: Path, now: Version, before: Loaded | None) -> Loaded:
        from yozora.sampling.pipeline import load

        try:
            made = Loaded(load(folder), now, content_hash(folder / FILES[0]))
        except YozoraError as error:
            if before is None:
                raise
            log.warning("the model in %s stays as it was: %s", folder, error)
            return before
        log.info("loaded %s", folder)
        return made

    def _folder(self, name: str) -> Path:
        if name not in self.folders:
            raise YozoraError(f"There is no model '{name}' here; there is {', '.join(self.names)}.")
        return self.folders[name]


def found(given: str) -> tuple[str, Path]:
    """Name and folder of a model as one names it. Raises YozoraError when it is not there."""
    name, equals, place = given.partition("=")
    shipped = SHIPPED / name
    folder = Path(place) if equals else shipped if shipped.is_dir() else Path(given)
    name = name if equals else folder.name
    if not folder.is_dir() or not name:
        raise YozoraError(
            f"There is no model '{given}': give the name of a shipped model, a folder, or NAME=FOLDER."
        )
    return name, folder


def version(folder: Path) -> Version:
    """What changes when a model's files do; of a file that is missing, zeros."""
    facts = []
    for name in FILES:
        try:
            stat = (folder / name).stat()
            facts.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        except OSError:
            facts.append((0, 0, 0))
    return tuple(facts)


def described(name: str, folder: Path, now: Version) -> Model:
    """A model by what its transformer's header says. Raises YozoraError when there is none."""
    config, provenance = header(folder / FILES[0])
    try:
        shape: Mapping[str, Any] = max(config["shapes"], key=lambda s: int(s["frames"]))
        sizes = (f"{int(shape['width'])}x{int(shape['height'])}",)
        fps = float(shape["fps"])
    except (KeyError, TypeError, ValueError) as error:
        raise YozoraError(
            f"The header of {folder / FILES[0]} does not describe a model ({error})."
        ) from error
    tasks = ("create", "remix", "edit", "extend") if int(shape["frames"]) > 1 else ("create",)
    return Model(name, sizes, fps, tasks=tasks, created=now[0][1] // 1_000_000, card=provenance)


def header(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Configuration and provenance of a file of weights, without its weights. Raises YozoraError when it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
        return json.loads(facts.get("config", "{}")), json.loads(facts.get("provenance", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise YozoraError(f"The weights in {path} cannot be read ({error}).") from error
