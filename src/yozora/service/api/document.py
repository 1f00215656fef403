"""The OpenAPI document: what the routes take and give.

FastAPI writes it, and Starlette serves: handlers read bodies and write answers themselves, because a form of the
SDK and JSON are one thing here, and because a video that is asked for a thousand times a second need not be validated.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from yozora import __version__
from yozora.service import wishes
from yozora.service.wishes import Fields

Schema = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
SUMMARY = "Videos from words, by models of one's own: compatible with the OpenAI Videos API."
REF = "#/components/schemas/{model}"
BODIES: tuple[type[Fields], ...] = (
    wishes.Create,
    wishes.Remix,
    wishes.Edit,
    wishes.Extend,
    wishes.NewBatch,
    wishes.NewWebhook,
)


# --- what answers look like --------------------------------------------------------------------------


class Answer(BaseModel):
    """All keys are always there."""

    model_config = ConfigDict(extra="forbid")


class Failure(Answer):
    """Why a video could not be made."""

    code: str
    message: str


class Video(Answer):
    """A video that was asked for. Times are seconds since 1970."""

    id: str
    object: Literal["video"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str
    size: str
    seconds: str
    remixed_from_video_id: str | None
    error: Failure | None


class Videos(Answer):
    """A page of videos; the next one begins ``after`` its ``last_id``."""

    object: Literal["list"]
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Answer):
    """What is no longer there."""

    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class Lengths(Answer):
    """Seconds of a video."""

    usual: str
    longest: float


class Range(Answer):
    """What a number may be."""

    least: float
    most: float


class Capabilities(Answer):
    """What can be asked of a model."""

    tasks: list[str]
    sizes: list[str]
    fps: float
    seconds: Lengths
    steps: Range
    guidance: Range


class Price(Answer):
    """Micro-units of the currency."""

    per_second: int
    per_video: int


class Model(Answer):
    """A model; what is known of its rights, scores and bias is shown as it came with it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    capabilities: Capabilities
    price: dict[str, Price]
    rights: dict[str, Any] | None
    scores: dict[str, Any] | None
    bias: dict[str, Any] | None


class Models(Answer):
    """All models."""

    object: Literal["list"]
    data: list[Model]


class File(Answer):
    """A file that was sent. Times are seconds since 1970."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]


class Files(Answer):
    """A page of files."""

    object: Literal["list"]
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(Answer):
    """A file that is no longer there."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class LineError(Answer):
    """What is wrong with a line of a batch's file."""

    code: str
    line: int | None
    message: str
    param: str | None


class LineErrors(Answer):
    """All that is wrong with a batch's file."""

    object: Literal["list"]
    data: list[LineError]


class Counts(Answer):
    """How far a batch is."""

    total: int
    completed: int
    failed: int


class Batch(Answer):
    """Many videos that were asked for by one file. Times are seconds since 1970."""

    id: str
    object: Literal["batch"]
    endpoint: str
    input_file_id: str
    completion_window: str
    status: Literal["failed", "in_progress", "completed", "expired", "cancelling", "cancelled"]
    errors: LineErrors | None
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: Counts
    metadata: dict[str, str] | None


class Batches(Answer):
    """A page of batches."""

    object: Literal["list"]
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Webhook(Answer):
    """An address that is told what happens to videos."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    created_at: int
    disabled_at: int | None


class MadeWebhook(Webhook):
    """A receiver that was just named, with the secret that its signatures are checked with."""

    secret: str


class Webhooks(Answer):
    """A page of receivers."""

    object: Literal["list"]
    data: list[Webhook]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Delivery(Answer):
    """What a receiver is told, and what it has answered so far. Times are seconds since 1970."""

    id: str
    object: Literal["webhook.delivery"]
    webhook_id: str
    type: str
    data: dict[str, Any]
    status: Literal["waiting", "delivered", "given_up"]
    attempts: int
    answer: str | None
    created_at: int
    next_attempt_at: int | None
    delivered_at: int | None


class Deliveries(Answer):
    """A page of deliveries."""

    object: Literal["list"]
    data: list[Delivery]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Problem(Answer):
    """What went wrong: a sentence, the kind, the parameter that caused it, and a code for programs."""

    message: str
    type: str
    param: str | None
    code: str


class Error(Answer):
    """The answer to every request that fails."""

    error: Problem


# --- what routes say of themselves -------------------------------------------------------------------


def parameter(name: str, schema: Schema, where: str = "query") -> Schema:
    """A parameter that may be left out."""
    return {"name": name, "in": where, "required": False, "schema": schema}


def asked(kind: type[Fields], **flat: Schema) -> Schema:
    """A body as JSON or as a form, in which ``flat`` stands for what is nested."""
    whole = kind.model_json_schema(ref_template=REF)
    single = {name: field for name, field in whole["properties"].items() if name not in flat}
    form = {name: plain(field) for name, field in single.items() if name not in NESTED}
    required = [name for name in whole["required"] if name not in NESTED]
    named = {name.replace("__", "[") + "]" if "__" in name else name: s for name, s in flat.items()}
    return {
        "application/json": {"schema": {"$ref": REF.format(model=kind.__name__)}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": form | named,
                "required": required,
                "additionalProperties": False,
            }
        },
    }


def plain(field: Schema) -> Schema:
    """A field that is left out rather than null: forms know no null."""
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else field


NESTED = ("input_reference", "video", "fill")
TEXT: Schema = {"type": "string", "minLength": 1}
FILE: Schema = {"type": "string", "format": "binary"}
CREATE = asked(
    wishes.Create,
    input_reference=FILE,
    input_reference__file_id=TEXT,
    input_reference__image_url=TEXT,
)
REMIX = asked(wishes.Remix)
BATCH: Schema = {"application/json": {"schema": {"$ref": REF.format(model="NewBatch")}}}
WEBHOOK: Schema = {"application/json": {"schema": {"$ref": REF.format(model="NewWebhook")}}}
EDIT = asked(wishes.Edit, video=FILE, video__id=TEXT, video__file_id=TEXT)
EXTEND = asked(wishes.Extend, video=FILE, video__id=TEXT, video__file_id=TEXT)
PAGE = (
    parameter("after", {"type": "string"}),
    parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
    parameter("order", {"enum": ["asc", "desc"]}),
)
FILES = (*PAGE, parameter("purpose", {"type": "string"}))
SINCE = (parameter("Last-Event-ID", {"type": "integer", "minimum": 0}, "header"),)
UPLOAD: Schema = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "file": FILE,
                "purpose": {"enum": ["vision", "user_data", "batch"]},
                "expires_after[anchor]": {"enum": ["created_at"]},
                "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
            },
            "required": ["file", "purpose"],
            "dependentRequired": {
                "expires_after[anchor]": ["expires_after[seconds]"],
                "expires_after[seconds]": ["expires_after[anchor]"],
            },
            "additionalProperties": False,
        }
    }
}
STREAM: Schema = {"text/event-stream": {"schema": {"type": "string"}}}
ANY: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
VARIANT = (parameter("variant", {"enum": ["video", "thumbnail", "spritesheet"]}),)
BYTES: Schema = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in ("video/mp4", "image/webp", "image/jpeg")
}


# --- routes --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Described:
    """A handler, where it is found, and what the document says of it."""

    method: str
    path: str
    handler: Handler
    said: Mapping[str, Any]


class Routes(list[Described]):
    """The routes of one kind of thing."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag

    def add(self, method: str, path: str, **said: Any) -> Callable[[Handler], Handler]:
        """A decorator of handlers."""

        def decorate(handler: Handler) -> Handler:
            self.append(Described(method, path, handler, {"tags": [self.tag], **said}))
            return handler

        return decorate


def served(routes: Sequence[Described]) -> list[Route]:
    """The routes as Starlette takes them: one a path, so that an unknown method is answered with all that are known."""
    paths: dict[str, dict[str, Handler]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = route.handler
    return [Route(path, by_method(found), methods=list(found)) for path, found in paths.items()]


def by_method(handlers: Mapping[str, Handler]) -> Handler:
    """One handler for several methods."""
    if len(handlers) == 1:
        return next(iter(handlers.values()))

    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return handle


def says(
    answer: type[BaseModel] | None,
    *errors: int,
    body: Schema | None = None,
    query: tuple[Schema, ...] = (),
    content: Schema | None = None,
    empty: bool = False,
) -> Schema:
    """What the document says of a route: its answer, the statuses of its errors, and what may be sent.

    Any route may answer 400, 401, 403, 429, 500 and 503. ``content`` describes an answer that is not JSON.
    """
    statuses = sorted({400, 401, 403, 429, 500, 503, *errors})
    said: dict[int, Any] = {
        status: {"model": Error, "description": "An error"} for status in statuses
    }
    if empty:
        said[204] = {"description": "Nothing is left to say"}
    if content is not None:
        said |= {200: {"description": "The content", "content": content}}
    extra: Schema = {"security": [{"key": []}]}
    if query:
        extra["parameters"] = list(query)
    if body is not None:
        extra["requestBody"] = {"required": True, "content": body}
    return {"response_model": answer, "responses": said, "openapi_extra": extra}


# --- the document ------------------------------------------------------------------------------------


def write(routes: Sequence[Described]) -> Schema:
    """The document of all routes."""
    described = [
        APIRoute(one.path, one.handler, methods=[one.method], **one.said) for one in routes
    ]
    made = get_openapi(title="yozora", version=__version__, routes=described, summary=SUMMARY)
    _, bodies = models_json_schema([(kind, "validation") for kind in BODIES], ref_template=REF)
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {}).update(bodies["$defs"])
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in made["paths"].items():
        named = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ]
        for method in methods.values():
            if named:
                method["parameters"] = named + method.get("parameters", [])
    return made
