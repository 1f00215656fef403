"""Which files are meant by a list of files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from yozora.errors import YozoraError
from yozora.footage.item import read_item
from yozora.footage.manifest import MANIFESTS, read_manifest
from yozora.footage.sidecar import Sidecar

VIDEOS = "mp4 m4v mov mkv webm avi mpg mpeg ts m2ts mts flv ogv ogg wmv 3gp y4m mjpeg gif"
STILLS = "png jpg jpeg webp bmp tif tiff"
MEDIA = {f".{suffix}" for suffix in f"{VIDEOS} {STILLS}".split()}

SIDECARS = {".json", ".srt", ".vtt", ".txt", ".xml"}


@dataclass
class Found:
    """files, in order; what manifests and items say of them; paths that lead nowhere, with the reason; how many other
    files were passed over."""

    files: list[Path] = field(default_factory=list)
    said: dict[Path, Sidecar] = field(default_factory=dict)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    ignored: int = 0


def find(paths: Iterable[str | Path]) -> Found:
    """The media files in `paths`: a file as it is, a folder with all below it, sorted by name, a manifest's rows.

    In folders only files named like media count, and hidden ones are passed over; sidecars are passed over
    everywhere, so that `FOLDER/*` means what FOLDER does. Links are followed, each file and folder once, so that a
    loop of links ends.
    """
    found = Found()
    seen: set[str] = set()
    for path in map(Path, paths):
        if path.is_dir():
            walk(path, found, seen)
        elif not path.exists():
            found.refused.append((path, "There is no such file or folder."))
        elif path.suffix.lower() in MANIFESTS:
            listed(path, found, seen)
        elif path.suffix.lower() in SIDECARS:
            found.ignored += 1
        else:
            take(path, found, seen)
    return found


def walk(folder: Path, found: Found, seen: set[str]) -> None:
    """Add what is in a folder and below."""
    if once(folder, seen):
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.refused.append((folder, f"The folder cannot be read: {error.strerror}."))
        return
    item = read_item(folder)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if item is not None:
            found.said[entry] = item
        if entry.is_dir():
            walk(entry, found, seen)
        elif entry.suffix.lower() in MEDIA:
            take(entry, found, seen)
        else:
            found.ignored += 1


def listed(manifest: Path, found: Found, seen: set[str]) -> None:
    """Add the files of a manifest, and what it says of them."""
    try:
        items = read_manifest(manifest)
    except YozoraError as error:
        found.refused.append((manifest, str(error)))
        return
    for file, said in items:
        if file.is_file():
            take(file, found, seen)
            found.said[file] = said
        else:
            found.refused.append((file, f"{manifest} names it, and there is no such file."))


def take(file: Path, found: Found, seen: set[str]) -> None:
    """Add a file unless it was met under another name."""
    if not once(file, seen):
        found.files.append(file)


def once(path: Path, seen: set[str]) -> bool:
    """Whether this path was met before; it is from now on."""
    real = os.path.realpath(path)
    met = real in seen
    seen.add(real)
    return met
