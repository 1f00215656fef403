"""What was generated, in files: one folder for each attempt at a video, which is whole or not there.

A folder is called after the video and the attempt, so that a worker that has lost its job overwrites nothing, and is
filled elsewhere, put on disk and renamed. No name comes from a client.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yozora.artifact import scratch, sync
from yozora.errors import YozoraError

NAME = re.compile(r"[a-z]+_[0-9a-z]+(-[0-9]+)?")
VIDEO, THUMBNAIL, SPRITESHEET = "video.mp4", "thumbnail.webp", "spritesheet.jpg"
CONTENT = "content"  # what the one file of an upload is called


def named(video_id: str, attempt: int) -> str:
    """What the folder of an attempt is called."""
    return f"{video_id}-{attempt}"


class Artifacts:
    """Folders of files under ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str, file: str = VIDEO) -> Path:
        """Where a file of an artifact is, or would be. Raises YozoraError when this is no name of ours."""
        if not NAME.fullmatch(name) or not file or file != Path(file).name:
            raise YozoraError(f"'{name}/{file}' is no name of a stored file.")
        return self._folder(name) / file

    @contextmanager
    def adding(self, name: str) -> Iterator[Path]:
        """Yields a folder to fill, which becomes the artifact ``name`` when the block ends without an error.

        All of it is on disk by then. An artifact of this name, left by a killed process, is replaced.
        """
        final = self.path(name).parent
        with scratch(final.parent, name) as folder:
            yield folder
            for path in folder.iterdir():
                sync(path)
            sync(folder)
            shutil.rmtree(final, ignore_errors=True)
            folder.replace(final)
            sync(final.parent)

    def delete(self, name: str) -> None:
        """Removes an artifact, and what is left of a killed attempt to add it; one that is not there is no error."""
        final = self.path(name).parent
        for path in (final, *final.parent.glob(f".{name}.building-*")):
            shutil.rmtree(path, ignore_errors=True)

    def names(self) -> Iterator[str]:
        """All artifacts that are whole."""
        return (path.name for path in self.root.glob("??/*") if NAME.fullmatch(path.name))

    def old(self, before: float) -> Iterator[str]:
        """The artifacts that were made before a time (seconds since 1970)."""
        return (
            path.name
            for path in untouched(self.root.glob("??/*"), before)
            if NAME.fullmatch(path.name)
        )

    def clear(self, before: float) -> None:
        """Removes what has been half made since then."""
        for path in untouched(self.root.glob("??/.*.building-*"), before):
            shutil.rmtree(path, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        return self.root / hashlib.sha256(name.encode()).hexdigest()[:2] / name


def untouched(paths: Iterable[Path], before: float) -> Iterator[Path]:
    """Those that nobody has changed since."""
    for path in paths:
        with suppress(FileNotFoundError):  # deleted meanwhile
            if path.stat().st_mtime < before:
                yield path
