"""Which files are meant by a list of files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

from yozora.errors import YozoraError
from yozora.footage.item import read_item
from yozora.footage.manifest import MANIFESTS, read_manifest
from yozora.footage.sidecar import Sidecar

VIDEOS = "mp4 m4v mov mkv webm avi mpg mpeg ts m2ts mts flv ogv ogg wmv 3gp y4m mjpeg gif"
STILLS = "png jpg jpeg webp bmp tif tiff"
MEDIA = {f".{suffix}" for suffix in f"{VIDEOS} {STILLS}".split()}

SIDECARS = {".json", ".srt", ".vtt", ".txt", ".xml"}


@dataclass(frozen=True)
class Context:
    """What is known of a file before it is opened. root: the folder that was named, up to which its site's files count.
    listed: what a list says of it. item: what the archive's item it lies in says."""

    root: Path
    listed: Sidecar | None = None
    item: Sidecar | None = None

    def said(self, beside: Sidecar) -> Sidecar:
        """All that is said of the file, the list's word first, then that of the files beside it."""
        return reduce(Sidecar.or_else, self._speakers(beside))

    def licences(self, beside: Sidecar) -> list[str]:
        """The licences that are said of the file, by whomever: all of them hold."""
        return [speaker.licence for speaker in self._speakers(beside) if speaker.licence]

    def _speakers(self, beside: Sidecar) -> list[Sidecar]:
        return [one for one in (self.listed, beside, self.item) if one is not None]


@dataclass
class Found:
    """Files, in order, each with its context; paths that lead nowhere, with the reason; how many were passed over."""

    contexts: dict[Path, Context] = field(default_factory=dict)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    ignored: int = 0
    seen: dict[str, Path] = field(default_factory=dict)  # real path -> the name it was met under

    @property
    def files(self) -> list[Path]:
        """The files, in order."""
        return list(self.contexts)


def find(paths: Iterable[str | Path]) -> Found:
    """The media files in `paths`: a file as it is, a folder with all below it, sorted by name, a manifest's rows.

    In folders only files named like media count, and hidden ones are passed over; sidecars are passed over
    everywhere, so that `FOLDER/*` means what FOLDER does. Links are followed, each file and folder once, so that a
    loop of links ends. What a list says of a file holds however else the file is named.
    """
    found = Found()
    for path in map(Path, paths):
        try:
            one(path, found)
        except OSError as error:
            found.refused.append((path, f"It cannot be looked at: {error.strerror}."))
    return found


def one(path: Path, found: Found) -> None:
    """Add what a path that was named leads to."""
    if path.is_dir():
        walk(path, path, None, found)
    elif not path.exists():
        found.refused.append((path, "There is no such file or folder."))
    elif path.suffix.lower() in MANIFESTS:
        of_list(path, found)
    elif path.suffix.lower() in SIDECARS:
        found.ignored += 1
    else:
        take(path, Context(path.parent, item=read_item(path.parent)), found)


def walk(folder: Path, root: Path, item: Sidecar | None, found: Found) -> None:
    """Add what is in a folder and below."""
    if met(folder, found) is not None:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.refused.append((folder, f"The folder cannot be read: {error.strerror}."))
        return
    item = read_item(folder) or item
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            walk(entry, root, item, found)
        elif entry.suffix.lower() in MEDIA:
            take(entry, Context(root, item=item), found)
        else:
            found.ignored += 1


def of_list(manifest: Path, found: Found) -> None:
    """Add the files of a manifest, and what it says of them."""
    try:
        items, refused = read_manifest(manifest)
    except YozoraError as error:
        found.refused.append((manifest, str(error)))
        return
    found.refused += refused
    for file, said in items:
        try:
            there = file.is_file()
        except OSError:
            there = False
        if there:
            context = Context(manifest.parent, said, read_item(file.parent))
            take(file, context, found)
        else:
            found.refused.append((file, f"{manifest} names it, and there is no such file."))


def take(file: Path, context: Context, found: Found) -> None:
    """Add a file; of one that was met before keep what is newly said, and refuse it where two lists disagree."""
    before = met(file, found)
    if before is None:
        found.contexts[file] = context
    elif before in found.contexts and context.listed is not None:
        known = found.contexts[before]
        if known.listed not in (None, context.listed):
            del found.contexts[before]
            found.refused.append(
                (before, "Two lists say different things of it: mend one of them.")
            )
        else:
            found.contexts[before] = replace(known, listed=context.listed)


def met(path: Path, found: Found) -> Path | None:
    """Under which name this file or folder was met before; from now on it was, under this one."""
    real = os.path.realpath(path)
    before = found.seen.get(real)
    found.seen.setdefault(real, path)
    return before
