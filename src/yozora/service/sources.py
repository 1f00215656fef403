"""The files that a video starts from: uploads, and videos that were made before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import select

from yozora.errors import YozoraError
from yozora.service.artifacts import CONTENT, Artifacts
from yozora.service.database import Database
from yozora.service.intake import LIMITS, admit
from yozora.service.schema import videos
from yozora.service.settings import Settings


def find(database: Database, settings: Settings, source: Mapping[str, str]) -> Path:
    """The file of ``{"file": id}`` or ``{"video": id}``. Raises YozoraError when it is gone."""
    if "file" in source:
        path = Artifacts(settings.uploads).path(source["file"], CONTENT)
    else:
        with database.read() as tx:
            name = tx.scalar(select(videos.c.file).where(videos.c.id == source["video"]))
        path = Artifacts(settings.artifacts).path(name) if name else Path()
    if not path.is_file():
        raise YozoraError("What this video was to start from has been deleted meanwhile.")
    return path


def admitted(
    database: Database, settings: Settings, folder: Path, source: Mapping[str, str]
) -> Path:
    """As `find`; what is seen in an upload is decoded by a confined process, and written into ``folder``.

    Raises:
        IntakeError: the upload cannot be used; the sentence is for whoever sent it.
        YozoraError: the file is gone.
    """
    path = find(database, settings, source)
    if "file" not in source:
        return path
    limits = replace(LIMITS, patience=settings.lease / 2000)  # the lease is not renewed meanwhile
    return admit(path, Path(mkdtemp(dir=folder)), limits).path
