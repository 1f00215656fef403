"""Creating videos: from a request's fields to a queued job, in one transaction."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from yozora.errors import YozoraError
from yozora.service import fetch, jobs, prices, wishes
from yozora.service.api.errors import ApiError
from yozora.service.api.files import Stored, keep, own
from yozora.service.api.once import once
from yozora.service.api.service import SHOWN, Service
from yozora.service.keys import Identity
from yozora.service.schema import videos
from yozora.service.wishes import Finished, Upload, Wish, WishError

URL = "input_reference.image_url"
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
Build = Callable[[Connection], Wish]


async def order(
    service: Service,
    request: Request,
    who: Identity,
    asked: wishes.Prompted,
    build: Build,
    file: Stored | None = None,
) -> Any:
    """Queues what ``build`` makes of the request, unless this was done before; the video's row either way.

    Raises:
        WishError, LimitReached, ApiError: it cannot be had.
        Blocked, Unjudged: its prompt is refused.
    """
    await run_in_threadpool(service.moderate, asked.words)

    def make(tx: Connection, at: int) -> str:
        return create(service, tx, who, build, file, at)

    def find(tx: Connection, video: str) -> Any:
        found = select(*SHOWN).where(videos.c.id == video, videos.c.deleted_at.is_(None))
        return tx.execute(found).first()

    row, again = await once(service, request, who, asked, make, find)
    if again and file is not None:  # the first sending has its own copy
        await run_in_threadpool(service.uploads.delete, file.id)
    return row


def create(
    service: Service,
    tx: Connection,
    who: Identity,
    build: Build,
    file: Stored | None,
    at: int,
    priority: int = 0,
) -> str:
    """Makes the wish, sets its price aside and queues it; the video's id."""
    until = at + service.settings.retention
    if file is not None:
        keep(tx, who, file, "vision", at, until)
    wish = replace(build(tx), priority=priority)
    if not who.may_use(wish.model):
        raise ApiError(403, f"This key does not allow the model {wish.model}.", "model_not_allowed")
    try:
        price = prices.price(tx, wish.model, wish.size, wish.made, at)
    except YozoraError as error:
        raise WishError(str(error), "seconds") from None
    return jobs.create(tx, identity=who, wish=wish, price=price, at=at, expires_at=until)


# --- what a video starts from --------------------------------------------------------------------------


def finished(tx: Connection, who: Identity, video: str, param: str | None) -> Finished:
    """A finished video of one's own. Raises WishError where ``param`` names it, ApiError where the address does."""
    found = select(videos).where(
        videos.c.id == video, videos.c.org_id == who.org_id, videos.c.deleted_at.is_(None)
    )
    row = tx.execute(found).first()
    if row is None:
        message, code = f"There is no video '{video[:64]}'.", "video_not_found"
    elif row.status != "completed":
        message, code = f"The video {video} is not finished: it is {row.status}.", "video_not_ready"
    else:
        return Finished(row.id, row.model, row.seconds, row.size, row.params)
    if param is not None:
        raise WishError(message, param, code)
    raise ApiError(
        404 if row is None else 409, "There is no such video." if row is None else message, code
    )


def given(
    tx: Connection, who: Identity, source: wishes.Source, file: Stored | None
) -> tuple[Finished | None, str | None]:
    """The video to start from: one made here, or a file. Raises WishError when there is none."""
    if source.id is not None:
        return finished(tx, who, source.id, "video.id"), None
    return None, file.id if file else own(tx, who, str(source.file_id), "video.file_id").id


async def pictured(url: str, rules: fetch.Rules) -> Upload:
    """The file in a data URL, or at an address, as far as that may be asked. Raises WishError."""
    if url.startswith("data:"):
        return contained(url)
    if not rules.on:
        raise WishError(
            "Pictures are not fetched from other places here: send the file itself, or a data: URL.",
            URL,
            "url_not_allowed",
        )
    try:
        answer = await to_thread.run_sync(fetch.get, url, rules, limiter=few_at_once())
    except fetch.FetchError as error:
        raise WishError(str(error), URL, error.code) from None
    if not answer.body:
        raise WishError("There is nothing at the address.", URL, fetch.FetchError.code)
    digest = hashlib.sha256(answer.body).hexdigest()
    return Upload(io.BytesIO(answer.body), "picture", len(answer.body), digest)


@cache
def few_at_once() -> CapacityLimiter:
    """Strangers' addresses may be slow, so few threads of a process of the interface wait for them."""
    return CapacityLimiter(4)


def contained(url: str) -> Upload:
    """The file in a data URL. Raises WishError when it holds no picture."""
    head, comma, text = url[5:].partition(",")
    kind, _, coding = head.partition(";")
    if kind not in PICTURES or coding != "base64" or not comma:
        raise WishError(
            f"A data URL here is data:TYPE;base64,... with one of {', '.join(PICTURES)}.", URL
        )
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WishError("The data URL is no base64.", URL) from None
    if not data:
        raise WishError("The data URL is empty.", URL)
    digest = hashlib.sha256(data).hexdigest()
    return Upload(io.BytesIO(data), f"picture.{kind.partition('/')[2]}", len(data), digest)
