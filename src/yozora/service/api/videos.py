"""/v1/videos: the routes of the contract, and cancelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from yozora.service import ids, jobs, wishes
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, Video, says
from yozora.service.api.errors import ApiError, missing
from yozora.service.api.files import own, stored
from yozora.service.api.forms import body
from yozora.service.api.orders import finished, given, order, pictured
from yozora.service.api.pages import Page, query
from yozora.service.api.service import SHOWN, named, of
from yozora.service.artifacts import SPRITESHEET, THUMBNAIL, VIDEO
from yozora.service.schema import videos
from yozora.service.wishes import WishError

VARIANTS = {
    "video": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/webp"),
    "spritesheet": (SPRITESHEET, "image/jpeg"),
}
routes = Routes("videos")


@routes.add("GET", "/v1/videos/{video_id}", **says(Video, 404))
async def retrieve(request: Request) -> Response:
    """A video: how far it is, and what became of it."""
    who, row = await of(request).identify_with(request, named(request, "video_id"))
    if row.video_id is None:
        raise missing()
    return shown.video_answer(row, "video_")


@routes.add("POST", "/v1/videos", **says(Video, 408, 410, 413, 415, 422, body=document.CREATE))
async def create(request: Request) -> Response:
    """Ask for a video, from words and perhaps a first frame."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.Create, fields)
        picture = asked.input_reference or wishes.Picture.model_construct()
        upload = picture.upload
        if picture.image_url:
            upload = await pictured(picture.image_url, service.fetching)
        async with stored(service, upload) as file:

            def build(tx: Connection) -> wishes.Wish:
                image = file.id if file else None
                if picture.file_id:
                    image = own(tx, who, picture.file_id, "input_reference.file_id").id
                return wishes.create(asked, service.offered(who), image)

            row = await order(service, request, who, asked, build, file)
    return shown.video_answer(row)


@routes.add("GET", "/v1/videos", **says(document.Videos, query=document.PAGE))
async def listing(request: Request) -> Response:
    """One's videos, the newest first."""
    service = of(request)
    who = await service.identify(request, "videos:read")
    page = Page.of(request)
    asked = select(*SHOWN).where(videos.c.org_id == who.org_id, videos.c.deleted_at.is_(None))
    rows, more = await service.read(
        lambda tx: page.rows(tx, asked, videos, videos.c.org_id == who.org_id)
    )
    return shown.answer(shown.page([shown.video(row) for row in rows], more))


@routes.add(
    "GET",
    "/v1/videos/{video_id}/content",
    **says(None, 404, 409, query=document.VARIANT, content=document.BYTES),
)
async def content(request: Request) -> Response:
    """The video itself, a thumbnail, or a sheet of its frames; in parts where a Range is asked for."""
    service, video = of(request), named(request, "video_id")
    _, row = await service.identify_with(request, video)
    variant = query(request, "variant").get("variant", "video")
    if row.video_id is None:
        raise missing()
    if variant not in VARIANTS:
        raise WishError(f"A variant is {wishes.listed(VARIANTS)}.", "variant")
    if row.video_status != "completed" or row.video_file is None:
        raise ApiError(409, f"The video is {row.video_status}.", "video_not_ready")
    name, kind = VARIANTS[variant]
    path = service.artifacts.path(row.video_file, name)
    try:
        stat = path.stat()
    except OSError:
        raise missing("content") from None
    headers = {"cache-control": "private", "etag": f'"{row.video_sha256}-{variant}"'}
    return FileResponse(
        path, 200, headers, kind,
        filename=f"{video}{Path(name).suffix}", stat_result=stat, content_disposition_type="inline",
    )  # fmt: skip


@routes.add("DELETE", "/v1/videos/{video_id}", **says(document.Deleted, 404, 409))
async def delete(request: Request) -> Response:
    """Delete a video that is finished or failed, and its files."""
    service, video = of(request), named(request, "video_id")
    who = await service.identify(request, "videos:write")

    def work(tx: Connection) -> None:
        status = state(tx, who.org_id, video)
        if not jobs.delete(tx, video, at=ids.now()):
            raise ApiError(409, f"The video is {status}: cancel it, or wait.", "video_not_finished")

    await service.write(work)
    return shown.answer({"id": video, "object": "video.deleted", "deleted": True})


@routes.add("POST", "/v1/videos/{video_id}/cancel", **says(Video, 404, 409))
async def cancel(request: Request) -> Response:
    """Stop a video that is queued or in progress; nothing is charged. Its status is then failed, its code cancelled."""
    service, video = of(request), named(request, "video_id")
    who = await service.identify(request, "videos:write")

    def work(tx: Connection) -> Any:
        state(tx, who.org_id, video)
        stopped = jobs.cancel(tx, video, at=ids.now())
        row = tx.execute(select(*SHOWN).where(videos.c.id == video)).one()
        if not stopped and row.error_code != "cancelled":
            raise ApiError(409, f"The video is {row.status} already.", "video_finished")
        return row

    return shown.video_answer(await service.write(work))


def state(tx: Connection, org: str, video: str) -> str:
    """The status of an organisation's video. Raises ApiError when there is none."""
    mine = (videos.c.id == video, videos.c.org_id == org, videos.c.deleted_at.is_(None))
    status = tx.execute(select(videos.c.status).where(*mine)).scalar()
    if status is None:
        raise missing()
    return str(status)


@routes.add(
    "POST",
    "/v1/videos/{video_id}/remix",
    **says(Video, 404, 408, 409, 410, 413, 415, 422, body=document.REMIX),
)
async def remix(request: Request) -> Response:
    """The same video with other words: the same model, seed, size, length and conditions."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.Remix, fields)

    def build(tx: Connection) -> wishes.Wish:
        source = finished(tx, who, named(request, "video_id"), None)
        return wishes.remix(asked, source, service.offered(who))

    return shown.video_answer(await order(service, request, who, asked, build))


@routes.add("POST", "/v1/videos/edits", **says(Video, 408, 410, 413, 415, 422, body=document.EDIT))
async def edit(request: Request) -> Response:
    """Make a video anew from its first frame, or with ``fill`` a span of it."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.Edit, fields)
        async with stored(service, asked.video.upload) as file:

            def build(tx: Connection) -> wishes.Wish:
                source, name = given(tx, who, asked.video, file)
                return wishes.edit(asked, source, name, service.offered(who))

            row = await order(service, request, who, asked, build, file)
    return shown.video_answer(row)


@routes.add(
    "POST", "/v1/videos/extensions", **says(Video, 408, 410, 413, 415, 422, body=document.EXTEND)
)
async def extend(request: Request) -> Response:
    """Go on from a video, at its end or its beginning or both; the result is the whole."""
    service = of(request)
    who = await service.identify(request, "videos:write")
    async with body(request) as fields:
        asked = wishes.read(wishes.Extend, fields)
        async with stored(service, asked.video.upload) as file:

            def build(tx: Connection) -> wishes.Wish:
                source, name = given(tx, who, asked.video, file)
                return wishes.extend(asked, source, name, service.offered(who))

            row = await order(service, request, who, asked, build, file)
    return shown.video_answer(row)


@routes.add("POST", "/v1/videos/characters", **says(None, 501))
@routes.add("GET", "/v1/videos/characters/{character_id}", **says(None, 501))
async def characters(request: Request) -> Response:
    """Characters mean nothing to the models here."""
    await of(request).identify(request, "videos:read")
    raise ApiError(501, "The models here know no characters.", "not_implemented")
