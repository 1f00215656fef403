"""The API guide: every operation of the OpenAPI document, with the same request for curl and for the openai SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from yozora.service.pages.web import Pages, Visit
from yozora.service.wishes import Model

pages = Pages()
Schema = Mapping[str, Any]
VERBS = ("get", "post", "delete")
PROMPT = "a red ball bounces on a dark background"
# What the SDK calls an operation, and what examples ask for; other operations are called by their address.
CALLS = {
    "POST /v1/videos": "videos.create",
    "GET /v1/videos": "videos.list",
    "GET /v1/videos/{video_id}": "videos.retrieve",
    "DELETE /v1/videos/{video_id}": "videos.delete",
    "GET /v1/videos/{video_id}/content": "videos.download_content",
    "POST /v1/videos/{video_id}/remix": "videos.remix",
    "POST /v1/videos/edits": "videos.edit",
    "POST /v1/videos/extensions": "videos.extend",
    "GET /v1/models": "models.list",
    "GET /v1/models/{model}": "models.retrieve",
    "POST /v1/files": "files.create",
    "GET /v1/files": "files.list",
    "GET /v1/files/{file_id}/content": "files.content",
    "GET /v1/files/{file_id}": "files.retrieve",
    "DELETE /v1/files/{file_id}": "files.delete",
    "GET /v1/batches": "batches.list",
    "POST /v1/batches": "batches.create",
    "GET /v1/batches/{batch_id}": "batches.retrieve",
    "POST /v1/batches/{batch_id}/cancel": "batches.cancel",
}
Samples = Mapping[str, dict[str, Any]]
ORDER = {"post": 0, "get": 1, "delete": 2}


@dataclass(frozen=True)
class Field:
    """A field of a request, or a parameter of an address."""

    name: str
    kind: str
    required: bool
    text: str = ""


@dataclass(frozen=True)
class Operation:
    """What can be asked, and how."""

    method: str
    path: str
    text: str
    group: str
    fields: list[Field]
    gives: str
    errors: list[str]
    curl: str = ""
    python: str = ""

    @property
    def id(self) -> str:
        """Where it is on the page."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.method} {self.path}".lower()).strip("-")


@pages.get("/docs", "models:read")
async def guide(visit: Visit) -> Response:
    """The guide."""
    base, models = str(visit.request.base_url).rstrip("/"), visit.service.models
    shown = samples(models.describe(models.names[0]))
    found = list(operations(visit.request.app.state.document(), base, shown))
    groups = {one.group: [other for other in found if other.group == one.group] for one in found}
    return visit.show("guide.html", groups=groups, base=base, sample=shown["POST /v1/videos"])


def samples(model: Model) -> Samples:
    """What examples send, for a model that is served here; words in capitals are ids that stand in variables."""
    first = {"model": model.name, "seconds": model.usual, "size": model.sizes[0]}
    return {
        "POST /v1/videos": {"prompt": PROMPT, **first},
        "POST /v1/videos/{video_id}/remix": {"prompt": "a blue ball bounces on a dark background"},
        "POST /v1/videos/edits": {"prompt": PROMPT, "video": {"id": "VIDEO"}},
        "POST /v1/videos/extensions": {"prompt": PROMPT, "video": {"id": "VIDEO"}, "seconds": "1"},
        "POST /v1/batches": {
            "input_file_id": "FILE", "endpoint": "/v1/videos", "completion_window": "24h",
        },
        "POST /v1/webhooks": {"url": "https://receiver.example/yozora"},
    }  # fmt: skip


def operations(document: Schema, base: str, samples: Samples) -> Iterator[Operation]:
    """All operations of a document that may succeed."""
    for path, methods in document["paths"].items():
        for method in sorted(VERBS, key=ORDER.__getitem__):
            said = methods.get(method)
            if said is None or "501" in said["responses"]:
                continue
            yield operation(document, method, path, said, base, samples)


def operation(
    document: Schema, method: str, path: str, said: Schema, base: str, samples: Samples
) -> Operation:
    """One operation."""
    name = f"{method.upper()} {path}"
    fields = [
        Field(
            one["name"], kind(document, one["schema"]), one["required"], one.get("description", "")
        )
        for one in said.get("parameters", [])
    ]
    bodies = said.get("requestBody", {}).get("content", {})
    body = bodies.get("application/json") or bodies.get("multipart/form-data") or {}
    shape = resolved(document, body.get("schema", {}))
    required = shape.get("required", [])
    for field, schema in shape.get("properties", {}).items():
        fields.append(
            Field(field, kind(document, schema), field in required, schema.get("description", ""))
        )
    answer = said["responses"].get("200", {}).get("content", {})
    return Operation(
        method.upper(), path, said.get("description", ""), said["tags"][0],
        sorted(fields, key=lambda one: not one.required), gives(answer),
        [status for status in said["responses"] if status >= "400"],
        curl(method, path, base, bodies, samples.get(name)),
        python(CALLS.get(name), method, path, bodies, samples.get(name, {})),
    )  # fmt: skip


def resolved(document: Schema, schema: Schema) -> Schema:
    """A schema, or the one that it points at."""
    at = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][at] if at else schema


def kind(document: Schema, schema: Schema) -> str:
    """What may stand in a field, in a few words."""
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if len(options) > 1:
        return " or ".join(kind(document, one) for one in options)
    one = options[0]
    if "$ref" in one:
        inner = resolved(document, one)
        return (
            f"one of {', '.join(inner['properties'])}"
            if "properties" in inner
            else str(inner.get("type", ""))
        )
    if "enum" in one:
        return ", ".join(map(str, one["enum"]))
    if one.get("format") == "binary":
        return "file"
    return str(one.get("const", one.get("type", "anything")))


def gives(answer: Schema) -> str:
    """What an operation answers with."""
    for mime, one in answer.items():
        at = one.get("schema", {}).get("$ref", "").rpartition("/")[2]
        return at or mime
    return ""


# --- examples ------------------------------------------------------------------------------------------


def variables(path: str) -> str:
    """'/v1/videos/{video_id}' -> '/v1/videos/$VIDEO'."""
    return re.sub(r"\{(\w+?)(_id)?\}", lambda found: f"${found[1].upper()}", path)


def curl(
    method: str, path: str, base: str, bodies: Schema, sample: Mapping[str, Any] | None
) -> str:
    """The request for a shell."""
    parts = [f'curl "{base}{variables(path)}"', '-H "Authorization: Bearer $YOZORA_KEY"']
    if method == "delete":
        parts.insert(1, "-X DELETE")
    if sample:
        body = re.sub(r'"(VIDEO|FILE)"', "\"'$\\1'\"", json.dumps(sample))
        parts += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    elif "multipart/form-data" in bodies:
        parts += ["-F file=@clip.mp4", "-F purpose=vision"]
    elif method == "post":
        parts.insert(1, "-X POST")
    if path.endswith("/content"):
        parts.append(f"-o {saved(path)}")
    if path.endswith("/events"):
        parts.insert(1, "-N")
    return " \\\n  ".join(parts)


def saved(path: str) -> str:
    """What the content of a video or a file is written to."""
    return "out.mp4" if path.startswith("/v1/videos") else "out.bin"


def python(
    call: str | None, method: str, path: str, bodies: Schema, sample: Mapping[str, Any]
) -> str:
    """The request for the SDK."""
    names = [found.lower().removesuffix("_id") for found in re.findall(r"\{(\w+)\}", path)]
    source = sample.get("video")
    given = [f"{one}_id" if one in ("video", "file", "batch") else one for one in names]
    fields = {field: value for field, value in sample.items() if field != "video"}
    given += [
        f"{field}={'file_id' if value == 'FILE' else json.dumps(value)}"
        for field, value in fields.items()
    ]
    if source:  # the SDK takes a file there, and sends an id from extra_body
        given += ["video=openai.omit", 'extra_body={"video": {"id": video_id}}']
    if call is not None and "multipart/form-data" in bodies and not given and not source:
        given = ['file=open("clip.mp4", "rb")', 'purpose="vision"']
    if call is None:
        address = re.sub(r"\{(\w+)\}", r"{\1}", path).removeprefix("/v1")
        formatted = f'f"{address}"' if names else f'"{address}"'
        kind = "str" if path.endswith("/events") else "object"
        body = f", body={json.dumps(sample)}" if sample else ""
        return f"client.{method}({formatted}, cast_to={kind}{body})"
    text = f"client.{call}({', '.join(given)})"
    if len(text) > 88:
        text = f"client.{call}(\n" + "".join(f"    {one},\n" for one in given) + ")"
    return text + (f'.write_to_file("{saved(path)}")' if path.endswith("/content") else "")
