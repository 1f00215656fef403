"""Making something once, however often the request for it is sent: by any route that creates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from starlette.requests import Request

from yozora.service import idempotency, ids
from yozora.service.api.errors import ApiError
from yozora.service.api.service import Service
from yozora.service.idempotency import OtherRequest, Sending
from yozora.service.keys import Identity
from yozora.service.wishes import Fields

T = TypeVar("T")


async def once(
    service: Service,
    request: Request,
    who: Identity,
    asked: Fields,
    make: Callable[[Connection, int], str],
    find: Callable[[Connection, str], T | None],
) -> tuple[T, bool]:
    """What ``find`` sees of what was made of a request, and whether that was done by an earlier sending of it.

    ``make`` gives the id of what it makes, at a time, in the transaction that remembers it.

    Raises:
        ApiError: the request's name was used for another one, or what it made has been deleted.
    """
    sending = sent(request, who, asked)

    def work(tx: Connection) -> tuple[T | None, str, bool]:
        at = ids.now()
        before = idempotency.first(tx, sending, at)
        made = before or make(tx, at)
        if not before:
            idempotency.done(tx, sending, made)
        return find(tx, made), made.partition("_")[0], before is not None

    try:
        found, kind, again = await service.write(work)
    except OtherRequest as error:
        raise ApiError(422, str(error), "idempotency_key_reused") from None
    if found is None:
        raise ApiError(410, f"The {kind} that this request made was deleted.", f"{kind}_deleted")
    return found, again


def sent(request: Request, who: Identity, asked: Fields) -> Sending:
    """What is known of this sending of a request. Raises ApiError for a name that is none."""
    name = request.headers.get("idempotency-key")
    if name is not None and not 0 < len(name) <= 255:
        raise ApiError(
            400, "An Idempotency-Key has 1 to 255 characters.", "invalid_idempotency_key"
        )
    count = request.headers.get("x-stainless-retry-count", "0")
    said = {"path": request.url.path, "body": asked.model_dump(exclude_none=True)}
    body = json.dumps(said, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Sending(who.key_id, digest, name, again=count.isdecimal() and count.strip("0") != "")
