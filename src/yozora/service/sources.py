"""The files that a video starts from: uploads, and videos that were made before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select

from yozora.errors import YozoraError
from yozora.service.artifacts import CONTENT, Artifacts
from yozora.service.database import Database
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
