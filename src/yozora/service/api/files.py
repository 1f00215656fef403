"""/v1/files: stills and clips to start from, and the lines of a batch; and how uploads are kept.

Nothing here looks into a file. What a client calls it is kept as a word, and never becomes a path.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from yozora.service import ids, wishes
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import missing
from yozora.service.api.forms import body
from yozora.service.api.once import once
from yozora.service.api.pages import Page
from yozora.service.api.service import Service, named, of
from yozora.service.artifacts import CONTENT
from yozora.service.keys import Identity
from yozora.service.schema import files
from yozora.service.wishes import Upload, WishError

routes = Routes("files")


# --- keeping them --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """An upload that lies in the store, and is not yet in the database."""

    id: str
    name: str
    bytes: int
    sha256: str


@asynccontextmanager
async def stored(service: Service, upload: Upload | None) -> AsyncIterator[Stored | None]:
    """Puts an upload into the store, and takes it away again when the block fails."""
    if upload is None:
        yield None
        return
    kept = Stored(ids.new("file"), upload.name, upload.bytes, upload.sha256)

    def put() -> None:
        with service.uploads.adding(kept.id) as folder, open(folder / CONTENT, "wb") as out:
            shutil.copyfileobj(upload.file, out)

    await run_in_threadpool(put)
    try:
        yield kept
    except BaseException:
        await run_in_threadpool(service.uploads.delete, kept.id)
        raise


def keep(tx: Connection, who: Identity, file: Stored, purpose: str, at: int, until: int) -> None:
    """Writes an upload into the database."""
    row: dict[str, Any] = {"id": file.id, "org_id": who.org_id, "key_id": who.key_id}
    row |= {"name": file.name, "purpose": purpose, "bytes": file.bytes, "sha256": file.sha256}
    tx.execute(insert(files).values(row | {"created_at": at, "expires_at": until}))


def own(tx: Connection, who: Identity, file: str, param: str) -> Row[Any]:
    """A file of one's own. Raises WishError when there is none."""
    row = found(tx, who.org_id, file)
    if row is None:
        raise WishError(f"There is no file '{file[:64]}'.", param, "file_not_found")
    return row


def found(tx: Connection, org: str, file: str) -> Row[Any] | None:
    """An organisation's file."""
    mine = (files.c.id == file, files.c.org_id == org, files.c.deleted_at.is_(None))
    return tx.execute(select(files).where(*mine)).first()


# --- the routes ----------------------------------------------------------------------------------------


@routes.add(
    "POST", "/v1/files", **says(document.File, 408, 410, 413, 415, 422, body=document.UPLOAD)
)
async def upload(request: Request) -> Response:
    """Send a file for later requests."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.NewFile, fields)
        async with stored(service, asked.file.upload) as file:
            assert file is not None

            def make(tx: Connection, at: int) -> str:
                after = asked.expires_after
                life = after.seconds * 1000 if after else service.settings.retention
                keep(tx, who, file, asked.purpose, at, at + life)
                return file.id

            row, again = await once(
                service, request, who, asked, make, lambda tx, made: found(tx, who.org_id, made)
            )
            if again:  # the first sending has its own copy
                await run_in_threadpool(service.uploads.delete, file.id)
    return shown.answer(described(row))


@routes.add("GET", "/v1/files", **says(document.Files, query=document.FILES))
async def listing(request: Request) -> Response:
    """One's files, the newest first."""
    service = of(request)
    who = await service.identify(request, "videos:read")
    page, purpose = Page.of(request, "purpose"), request.query_params.get("purpose")
    asked = select(files).where(files.c.org_id == who.org_id, files.c.deleted_at.is_(None))
    if purpose is not None:
        asked = asked.where(files.c.purpose == wishes.clean(purpose, "purpose"))
    rows, more = await service.read(
        lambda tx: page.rows(tx, asked, files, files.c.org_id == who.org_id)
    )
    return shown.answer(shown.page([described(row) for row in rows], more))


@routes.add("GET", "/v1/files/{file_id}", **says(document.File, 404))
async def retrieve(request: Request) -> Response:
    """A file's name, size and purpose."""
    return shown.answer(described(await asked_for(request)))


@routes.add("GET", "/v1/files/{file_id}/content", **says(None, 404, content=document.ANY))
async def content(request: Request) -> Response:
    """What is in a file."""
    row = await asked_for(request)
    path = of(request).uploads.path(row.id, CONTENT)
    try:
        stat = path.stat()
    except OSError:
        raise missing("content") from None
    headers = {"cache-control": "private", "etag": f'"{row.sha256}"'}
    return FileResponse(
        path, 200, headers, "application/octet-stream", filename=row.id, stat_result=stat
    )


@routes.add("DELETE", "/v1/files/{file_id}", **says(document.DeletedFile, 404))
async def delete(request: Request) -> Response:
    """Delete a file. Videos that were made from it stay; those that are still waiting for it fail."""
    service, file = of(request), named(request, "file_id")
    who = await service.identify(request, "videos:write")
    mine = (files.c.id == file, files.c.org_id == who.org_id, files.c.deleted_at.is_(None))
    gone = update(files).where(*mine)
    if await service.write(lambda tx: tx.execute(gone.values(deleted_at=ids.now())).rowcount) != 1:
        raise missing("file")
    await run_in_threadpool(service.uploads.delete, file)
    return shown.answer({"id": file, "object": "file", "deleted": True})


async def asked_for(request: Request) -> Any:
    """The file that the address names. Raises ApiError when there is none."""
    service = of(request)
    who = await service.identify(request, "videos:read")
    row = await service.read(lambda tx: found(tx, who.org_id, named(request, "file_id")))
    if row is None:
        raise missing("file")
    return row


def described(row: Any) -> dict[str, Any]:
    """A file as the SDK reads it."""
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": shown.whole(row.created_at),
        "expires_at": shown.whole(row.expires_at),
        "filename": row.name,
        "purpose": row.purpose,
        "status": "processed",
    }
