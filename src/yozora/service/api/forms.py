"""Bodies of requests: a form with files or JSON, read as one mapping, never more of it than is allowed.

The SDK sends forms whose names are flattened (``video[id]``, ``fill[]``) and whose values are strings.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from yozora.service.api.errors import ApiError
from yozora.service.wishes import Form, Upload, WishError

LARGEST = 64 * 2**20  # bytes of a body
SMALL = 64 * 2**10  # bytes of a form without files, from whoever it may be
FIELD = (
    16 * 2**20
)  # bytes of JSON, and of one field of a form: a picture may be in it as a data URL
FIELDS = 64
SILENCE = 30.0  # seconds that a client may take for the next bytes
SLOWEST = 600.0  # seconds for all of them
NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){0,2})")


class WholeParser(MultiPartParser):
    """A parser that knows whether the form came to its end: parts that were cut off would else be left out."""

    whole = False

    def on_end(self) -> None:
        self.whole = True

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self.whole:
            await form.close()
            raise MultiPartException("The form ends before its last boundary.")
        return form


@asynccontextmanager
async def body(request: Request) -> AsyncIterator[dict[str, Any]]:
    """The fields of a request; its files are there until the block ends. Raises ApiError and WishError."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/json":
        yield parsed(b"".join([chunk async for chunk in limited(request, FIELD)]))
    elif kind == b"application/x-www-form-urlencoded":
        yield await small(request, FIELD)
    elif kind == b"multipart/form-data":
        form = await received(request)
        try:
            yield nested([(name, await taken(value)) for name, value in form.multi_items()])
        finally:
            await form.close()
    else:
        raise ApiError(
            415, "Send a form (multipart/form-data) or JSON (application/json).", "unsupported_type"
        )


async def small(request: Request, most: int = SMALL) -> dict[str, Any]:
    """The fields of a form that holds no files, whatever its header says. Raises ApiError and WishError."""
    stream = limited(request, most)
    try:
        form = await FormParser(
            request.headers, stream, max_fields=FIELDS, max_part_size=most
        ).parse()
    except MultiPartException as error:
        raise ApiError(400, error.message, "invalid_form") from None
    return nested([(name, str(value)) for name, value in form.multi_items()])


async def limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """A body's bytes. Raises ApiError when there are too many of them, or they come too slowly."""
    too_large = ApiError(
        413,
        f"The body is larger than {most // 2**20} MiB."
        if most >= 2**20
        else "The body is too large.",
        "too_large",
        headers={"connection": "close"},
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 15 or int(length) > most):
        raise too_large
    received, late = 0, asyncio.get_running_loop().time() + SLOWEST
    async with aclosing(request.stream()) as stream:
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    chunk = await anext(stream, b"")
            except TimeoutError:
                raise ApiError(408, "The body did not come in time.", "timeout") from None
            except ClientDisconnect:
                raise ApiError(400, "The body did not come whole.", "incomplete") from None
            if not chunk:
                return
            received += len(chunk)
            if received > most:
                raise too_large
            if asyncio.get_running_loop().time() > late:
                raise ApiError(408, "The body did not come in time.", "timeout")
            yield chunk


async def received(request: Request) -> FormData:
    """A form, its files put aside on disk. Raises ApiError when it is none."""
    stream = limited(request, LARGEST)
    try:
        return await WholeParser(
            request.headers, stream, max_files=1, max_fields=FIELDS, max_part_size=FIELD
        ).parse()
    except MultiPartException as error:
        raise ApiError(400, error.message, "invalid_form") from None


async def taken(value: str | UploadFile) -> str | dict[str, Upload]:
    """A field's text, or a file with its hash."""
    if isinstance(value, str):
        return value

    def hashed() -> str:
        digest = hashlib.file_digest(value.file, "sha256").hexdigest()  # type: ignore[arg-type]
        value.file.seek(0)
        return digest

    name = (value.filename or "file").replace("\0", "")[:200]
    digest = await run_in_threadpool(hashed)
    return {"upload": Upload(value.file, name, value.size or 0, digest)}


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ApiError when it is none."""
    try:
        given = as_json(data)
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is no JSON in UTF-8.", "invalid_json") from None
    if not isinstance(given, dict):
        raise ApiError(400, "The body has to be a JSON object.", "invalid_json")
    return given


def as_json(data: bytes) -> Any:
    """What JSON says. Raises ValueError, also for NaN and what is infinite, which no database keeps in JSON."""
    return json.loads(data, parse_constant=finite, parse_float=finite)


def finite(text: str) -> float:
    """A number. Raises ValueError for what is infinite or none."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def nested(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """[('video[id]', 'a'), ('fill[]', '1'), ('fill[]', '2')] -> {'video': {'id': 'a'}, 'fill': ['1', '2']}.

    Raises WishError when a name is given twice, or with and without brackets.
    """
    given = Form()
    for name, value in items:
        found = NAME.fullmatch(name)
        if not found:
            raise WishError(f"Unknown parameter: '{name[:200]}'.", name[:200], "unknown_parameter")
        first, rest = found.groups()
        path = [first, *re.findall(r"\[([^\[\]]*)\]", rest)]
        if not placed(given, path, value):
            raise WishError(
                f"'{first[:200]}' is given twice, or in two ways.", first[:200], "given_twice"
            )
    return given


def placed(given: dict[str, Any], path: list[str], value: Any) -> bool:
    """Puts a value where its name says; False when there is something else."""
    name, *rest = path
    if not rest:
        free = name not in given
        given.setdefault(name, value)
        return free
    if rest == [""]:
        there = given.setdefault(name, [])
        if isinstance(there, list):
            there.append(value)
        return isinstance(there, list)
    there = given.setdefault(name, {})
    return isinstance(there, dict) and placed(there, rest, value)
