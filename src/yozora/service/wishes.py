"""What is asked for: a request's fields are checked, held against what the model can do, and become a wish.

Requests come from strangers, as JSON or as strings of a form; both are one mapping here, and one pydantic model each
for creating, remixing, editing and extending says what may stand in it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from yozora.errors import YozoraError

TASKS = ("create", "remix", "edit", "extend")
STEPS, GUIDANCE, SEEDS = 100, 50.0, 2**32
FORMS = {
    "seconds": "must be a number of seconds such as 2 or 2.5",
    "size": "must be width x height such as 112x64",
}


class WishError(YozoraError):
    """A request that cannot be fulfilled as it is: which parameter, and a code that programs can read."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param, self.code = param, code


# --- what models can do, and what a worker is given -----------------------------------------------


@dataclass(frozen=True)
class Model:
    """What a model can be asked for. ``card`` is shown as it is: rights, scores, who made it."""

    name: str
    sizes: tuple[str, ...]  # WxH; the first is the usual one
    fps: float
    usual: str = "2"  # seconds, when nothing is said
    longest: float = 60.0  # seconds of a finished video
    tasks: tuple[str, ...] = TASKS
    created: int = 0  # ms
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """A video that somebody asked for.

    ``params`` is what a worker needs besides: ``seed``; the other fields of `Sampling` where they are asked for;
    ``image``, the id of a file whose picture is the first frame; ``video``, ``{"file": id}`` or ``{"video": id}``, with

    - ``extend`` (forward, backward, both) and ``added``, the seconds to go on by at each side;
    - ``fill`` [a, b], the span in seconds to make anew;
    - neither: the video's first frame is kept.

    ``seconds`` is the length of the finished video, as a decimal number in the client's own writing. What is made from
    a file that was sent is as long as that file lets it be, which the worker finds out.
    """

    model: str
    prompt: str
    seconds: str
    size: str
    params: Mapping[str, Any]
    remixed_from: str | None = None
    priority: int = 0

    @property
    def made(self) -> float:
        """Seconds that have to be made; what is kept of another video is not among them."""
        added, fill = self.params.get("added"), self.params.get("fill")
        if fill is not None:
            return float(fill[1]) - float(fill[0])
        sides = 2 if self.params.get("extend") == "both" else 1
        return float(self.seconds) if added is None else float(added) * sides


@dataclass(frozen=True)
class Upload:
    """A file that came with a request, received but not looked into. ``name`` is the client's word, never a path."""

    file: BinaryIO
    name: str
    bytes: int
    sha256: str


# --- the fields of requests -------------------------------------------------------------------------


def plain(value: str) -> str:
    """Text that every database can keep. Raises ValueError."""
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("must be text without NUL characters and lone surrogates")
    return value


class Form(dict[str, Any]):
    """The fields of a form: what would be numbers and lists in JSON are strings."""


def number(value: object, info: ValidationInfo) -> object:
    """Refuses what pydantic would take for a number though nobody meant one. Raises ValueError."""
    if isinstance(value, bool) or (isinstance(value, str) and not info.context):
        raise ValueError("must be a number")
    return value


def decimal(value: object) -> object:
    """A number of seconds as text, which is what the contract calls for; numbers are let through."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{value:.3f}".rstrip("0").rstrip(".") if 0 <= value < 1e5 else "out of range"


def span(value: object, info: ValidationInfo) -> object:
    """'0.5,1.2', as a form may say it -> ['0.5', '1.2']."""
    return value.strip("[] ").split(",") if isinstance(value, str) and info.context else value


Text = Annotated[str, AfterValidator(plain)]
Prompt = Annotated[Text, StringConstraints(min_length=1, max_length=32_000)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Short = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Note = Annotated[Text, StringConstraints(max_length=512)]
LENGTH = r"^[0-9]{1,5}(\.[0-9]{1,3})?$"
LENGTHS: Any = [
    {"type": "string", "pattern": LENGTH},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e5},
]
Seconds = Annotated[
    str,
    StringConstraints(pattern=LENGTH, max_length=9),
    BeforeValidator(decimal),
    WithJsonSchema({"anyOf": LENGTHS}),
]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]
# What is checked before stands last, where pydantic runs it first and the document still has the limits.
Seed = Annotated[int, Field(ge=0, lt=SEEDS), BeforeValidator(number)]
Steps = Annotated[int, Field(ge=1, le=STEPS), BeforeValidator(number)]
Guidance = Annotated[float, Field(ge=0, le=GUIDANCE, allow_inf_nan=False), BeforeValidator(number)]
Instant = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False), BeforeValidator(number)]
Span = Annotated[tuple[Instant, Instant], BeforeValidator(span)]
Came = Annotated[
    InstanceOf[Upload], PlainSerializer(lambda upload: upload.sha256)
]  # with the request
File = SkipJsonSchema[Came | None]


def either(*names: str) -> Any:
    """What JSON Schema says of fields of which exactly one is given."""
    text = {"type": "string", "minLength": 1}
    return {"oneOf": [{"required": [name], "properties": {name: text}} for name in names]}


Kinds = Literal["video.completed", "video.failed"]  # webhooks.KINDS


class Fields(BaseModel):
    """A request's fields; one that is not known is an error, as it would else be left out in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Picture(Fields):
    """A still to start from: a file that was uploaded before, or a URL that holds it (data:image/png;base64,...)."""

    model_config = ConfigDict(json_schema_extra=either("file_id", "image_url"))

    file_id: Name | None = None
    image_url: Annotated[Text, StringConstraints(min_length=1)] | None = None
    upload: File = None

    @model_validator(mode="after")
    def _one(self) -> Picture:
        return one_of(self, "file_id", "image_url", "upload")


class Source(Fields):
    """A video to work on: one that was made here, or a file that was uploaded before."""

    model_config = ConfigDict(json_schema_extra=either("id", "file_id"))

    id: Name | None = None
    file_id: Name | None = None
    upload: File = None

    @model_validator(mode="after")
    def _one(self) -> Source:
        return one_of(self, "id", "file_id", "upload")


class Prompted(Fields):
    """What the video is to show, and the style that it is to show it in."""

    prompt: Prompt
    style: Annotated[Text, StringConstraints(min_length=1, max_length=500)] | None = None

    @property
    def words(self) -> str:
        """All that a model is told."""
        return worded(self.prompt, self.style)


class Sampling(Prompted):
    """How the video is sampled; what is left out is drawn (the seed) or as the model likes it."""

    seed: Seed | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None
    negative_prompt: Annotated[Text, StringConstraints(max_length=32_000)] | None = None


class Create(Sampling):
    """POST /v1/videos."""

    model: Name | None = None
    seconds: Seconds | None = None
    size: Size | None = None
    input_reference: Picture | None = None


class Remix(Prompted):
    """POST /v1/videos/{id}/remix. The style stays, if there is no other."""


class Edit(Sampling):
    """POST /v1/videos/edits. ``model`` and ``seconds`` are for files; videos made here have their own."""

    video: Source
    fill: Span | None = None
    model: Name | None = None
    seconds: Seconds | None = None


class Extend(Sampling):
    """POST /v1/videos/extensions. ``seconds`` are added at each side that is asked for."""

    video: Source
    seconds: Seconds
    extend: Literal["forward", "backward", "both"] = "forward"
    model: Name | None = None


class Sent(Fields):
    """A file of a form."""

    upload: Came


class Life(Fields):
    """How long a file is kept."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=30 * 24 * 3600), BeforeValidator(number)]


class NewFile(Fields):
    """POST /v1/files."""

    file: Sent
    purpose: Literal["vision", "user_data", "batch"]
    expires_after: Life | None = None


class NewBatch(Fields):
    """POST /v1/batches."""

    input_file_id: Name
    endpoint: Literal["/v1/videos"]
    completion_window: Literal["24h"]
    metadata: Annotated[dict[Short, Note], Field(max_length=16)] | None = None


class NewWebhook(Fields):
    """POST /v1/webhooks."""

    url: Annotated[Text, StringConstraints(min_length=1, max_length=2000)]
    events: Annotated[list[Kinds], Field(min_length=1, max_length=2)] = [
        "video.completed",
        "video.failed",
    ]


class Line(Fields):
    """A line of a batch's file."""

    custom_id: Name
    method: Literal["POST"]
    url: Literal["/v1/videos"]
    body: dict[str, Any]


One = TypeVar("One", bound=BaseModel)
Kind = TypeVar("Kind", bound=Fields)


def one_of(fields: One, *names: str) -> One:
    """The fields, when exactly one of them is given. Raises ValueError."""
    if sum(getattr(fields, name) is not None for name in names) != 1:
        raise ValueError(f"must have exactly one of {', '.join(n for n in names if n != 'upload')}")
    return fields


def read(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """A request's fields as ``kind``. Raises WishError with the first thing that is wrong."""
    try:
        return kind.model_validate(given, context=isinstance(given, Form))
    except ValidationError as error:
        raise refusal(error) from None


def clean(text: str, param: str) -> str:
    """A word of a query that a database can be asked for. Raises WishError."""
    try:
        return plain(text)
    except ValueError as error:
        raise WishError(f"Invalid '{param}': {error}.", param) from None


def refusal(error: ValidationError) -> WishError:
    """What is wrong first, in a sentence with the name of the parameter."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"])[:200] or None
    said = FORMS.get(str(first["loc"][-1])) if first["type"] == "string_pattern_mismatch" else None
    said = said or first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return WishError(
            f"Missing required parameter: '{param}'.", param, "missing_required_parameter"
        )
    if first["type"] == "extra_forbidden":
        return WishError(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    code = "invalid_type" if first["type"].endswith(("_type", "_parsing")) else "invalid_value"
    return WishError(f"Invalid '{param}': {said[:1].lower()}{said[1:]}.", param, code)


# --- from fields to wishes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """The video that another one is made from, or goes on from."""

    id: str
    model: str
    seconds: str
    size: str
    params: Mapping[str, Any]


def create(asked: Create, models: Mapping[str, Model], image: str | None) -> Wish:
    """A new video; ``image`` is the file of its first frame. Raises WishError."""
    model = choose(asked.model, models, "create")
    size = asked.size or model.sizes[0]
    if size not in model.sizes:
        raise WishError(f"{model.name} makes videos of {listed(model.sizes)}, not {size}.", "size")
    seconds = lasting(asked.seconds or model.usual, model)
    params = sampling(asked) | ({"image": image} if image else {})
    return Wish(model.name, asked.prompt, seconds, size, {"task": "create", **params})


def remix(asked: Remix, source: Finished, models: Mapping[str, Model]) -> Wish:
    """The same again, seed and all, with other words, perhaps in another style. Raises WishError."""
    model = choose(source.model, models, "remix")
    params = dict(source.params) | ({"style": asked.style} if asked.style else {})
    return Wish(model.name, asked.prompt, source.seconds, source.size, params, source.id)


def edit(
    asked: Edit, source: Finished | None, file: str | None, models: Mapping[str, Model]
) -> Wish:
    """A video with its first frame kept, or with a span made anew. Raises WishError."""
    model = of_source(asked.model, source, models, "edit")
    if source is not None and asked.seconds not in (None, source.seconds):
        raise WishError(f"An edit is as long as its video, {source.seconds} s.", "seconds")
    seconds = lasting(source.seconds if source else asked.seconds or model.usual, model)
    params: dict[str, Any] = {
        "task": "edit", **sampling(asked), "video": reference(source, file)
    }  # fmt: skip
    if asked.fill is not None:
        start, end = asked.fill
        whole = float(seconds) if source else math.inf  # a worker sees how long a file is
        if not start < end <= whole or end - start >= whole:
            raise WishError(
                f"The span {start:g}, {end:g} is no part of the video{f', of {seconds} s' if source else ''}: "
                "it begins before it ends, and leaves some of the video as it is.",
                "fill",
            )
        params["fill"] = [start, end]
    size = source.size if source else model.sizes[0]
    return Wish(model.name, asked.prompt, seconds, size, params, source.id if source else None)


def extend(
    asked: Extend, source: Finished | None, file: str | None, models: Mapping[str, Model]
) -> Wish:
    """A video that goes on. Raises WishError."""
    model = of_source(asked.model, source, models, "extend")
    added = float(lasting(asked.seconds, model))
    sides = 2 if asked.extend == "both" else 1
    before = float(source.seconds) if source else 0.0
    seconds = lasting(str(decimal(before + sides * added)), model)
    params = {
        "task": "extend", **sampling(asked),
        "video": reference(source, file), "extend": asked.extend, "added": added,
    }  # fmt: skip
    size = source.size if source else model.sizes[0]
    return Wish(model.name, asked.prompt, seconds, size, params, source.id if source else None)


def choose(name: str | None, models: Mapping[str, Model], task: str) -> Model:
    """The model of that name, or the first. Raises WishError when there is none or it does not know the task."""
    found = models.get(name) if name else next(iter(models.values()), None)
    if found is None:
        raise WishError(
            f"There is no model '{name}' here; there is {listed(models)}."
            if name
            else "No model is served here at present.",
            "model",
            "model_not_found",
        )
    if task not in found.tasks:
        raise WishError(
            f"The model {found.name} cannot {task} videos.", "model", "unsupported_task"
        )
    return found


def of_source(
    name: str | None, source: Finished | None, models: Mapping[str, Model], task: str
) -> Model:
    """The model to work on a video with: that which made it."""
    if source is not None and name not in (None, source.model):
        raise WishError(
            f"The video was made by {source.model}, which also has to {task} it.", "model"
        )
    return choose(source.model if source else name, models, task)


def reference(source: Finished | None, file: str | None) -> dict[str, str]:
    """How a worker finds the video to start from."""
    return {"video": source.id} if source else {"file": str(file)}


def sampling(asked: Sampling) -> dict[str, Any]:
    """What is given of how to sample; a seed is drawn where none is, so that a remix can have the same one."""
    seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    kept = set(Sampling.model_fields) - {"prompt"}
    given = asked.model_dump(include=kept, exclude_none=True)
    return given | {"seed": seed}


def worded(prompt: str, style: str | None) -> str:
    """A prompt with a style, as people write both in one."""
    return f"{prompt.rstrip()}\nStyle: {style}" if style else prompt


def lasting(seconds: str, model: Model) -> str:
    """A length that the model can make, as it was written. Raises WishError."""
    if not 0 < float(seconds) <= model.longest:
        raise WishError(
            f"{model.name} makes videos of more than 0 and up to {model.longest:g} seconds, not {seconds}.",
            "seconds",
        )
    return seconds


def listed(names: Collection[str]) -> str:
    """'a, b or c', or 'none'."""
    *most, last = names or ["none"]
    return f"{', '.join(most)} or {last}" if most else last
