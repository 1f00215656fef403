"""Other services whose models are offered here: read from a file, and kept an eye on.

    [[provider]]
    name = "north"
    url = "https://videos.north.example/v1"
    key = "env:NORTH_KEY"            # or "file:/etc/yozora/north.key"

    [[provider.model]]
    name = "nano"                    # as it is called there
    here = "north-nano"              # as it is called here
    sizes = ["112x64"]
    longest = 20

Several providers may have the same model ``here``: the first that takes a video makes it.
"""

from __future__ import annotations

import os
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from yozora.errors import YozoraError
from yozora.service.wishes import TASKS, Model

FAILURES = 3  # one after the other, until a provider is left alone
PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds for which it is: at first, and at most
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Entry(BaseModel):
    """A table of the file; a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Offered(Entry):
    """A model of a provider's: its name there and here, and what may be asked of it."""

    name: Name
    here: str = ""
    sizes: Annotated[tuple[str, ...], Field(min_length=1)]
    fps: Annotated[float, Field(gt=0)] = 24.0
    usual: str = "4"
    longest: Annotated[float, Field(gt=0)] = 20.0
    tasks: tuple[str, ...] = ("create", "remix")

    @property
    def alias(self) -> str:
        """What it is called here."""
        return self.here or self.name


class Provider(Entry):
    """A service that speaks the same interface.

    key: env:VARIABLE or file:PATH; the file of providers holds no secret itself. timeout: seconds until an answer is
    given up. concurrency: videos that are with the provider at once. parameters: what may be sent besides words, length
    and size; services that know only those refuse more.
    """

    name: Name
    url: HttpUrl
    key: Annotated[str, Field(pattern=r"^(env|file):.+")]
    timeout: Annotated[float, Field(gt=0)] = 60.0
    concurrency: Annotated[int, Field(ge=1, le=100)] = 4
    parameters: tuple[str, ...] = ()
    model: Annotated[tuple[Offered, ...], Field(min_length=1)]

    def secret(self) -> str:
        """The key, read anew each time so that it can be exchanged. Raises YozoraError when it is not there."""
        kind, _, place = self.key.partition(":")
        try:
            found = os.environ.get(place, "") if kind == "env" else Path(place).read_text("utf-8")
        except OSError as error:
            raise YozoraError(
                f"The key of the provider {self.name} cannot be read: {error}."
            ) from error
        if not found.strip():
            raise YozoraError(f"The key of the provider {self.name} is missing: set {self.key}.")
        return found.strip()


class Listing(Entry):
    """The whole file."""

    provider: tuple[Provider, ...] = ()


@dataclass
class Breaker:
    """Leaves a provider alone for a while when it fails several times in a row; then one attempt decides."""

    failures: int = 0
    until: float = 0.0  # of time.monotonic

    @property
    def open(self) -> bool:
        """Whether it is left alone now."""
        return time.monotonic() < self.until

    def note(self, *, worked: bool) -> None:
        """Take note of how an attempt went."""
        if worked:
            self.failures, self.until = 0, 0.0
            return
        self.failures += 1
        if self.failures >= FAILURES:
            pause = min(LONGEST_PAUSE, PAUSE * 2 ** (self.failures - FAILURES))
            self.until = time.monotonic() + pause


@dataclass
class Providers:
    """All providers, in the order of the file, each with its breaker and the number of videos that are with it."""

    all: Sequence[Provider] = ()
    breakers: dict[str, Breaker] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.breakers = {one.name: Breaker() for one in self.all}
        self._lock = threading.Lock()

    def free(self, one: Provider) -> bool:
        """Whether a provider can be given another video: after failures in a row one at a time."""
        breaker = self.breakers[one.name]
        most = one.concurrency if breaker.failures < FAILURES else 1
        return not breaker.open and self.busy[one.name] < most

    def enter(self, one: Provider) -> bool:
        """Take a place at a provider, to be given back by `leave`; False when there is none."""
        with self._lock:
            if not self.free(one):
                return False
            self.busy[one.name] += 1
            return True

    def resume(self, one: Provider) -> None:
        """Take the place of a video that a provider has already, whether there is one or not."""
        with self._lock:
            self.busy[one.name] += 1

    def leave(self, one: Provider) -> None:
        """Give a place back."""
        with self._lock:
            self.busy[one.name] -= 1

    @property
    def models(self) -> dict[str, Model]:
        """What is offered here of others, by the name it has here; the first provider of several describes it."""
        found: dict[str, Model] = {}
        for one in self.all:
            for offered in one.model:
                card = {"provider": one.name}
                found.setdefault(
                    offered.alias,
                    Model(
                        offered.alias, offered.sizes, offered.fps, offered.usual, offered.longest,
                        offered.tasks, card=card,
                    ),
                )  # fmt: skip
        return found

    def of(self, model: str) -> list[tuple[Provider, Offered]]:
        """Who has a model, and what it is called there."""
        return [
            (one, offered) for one in self.all for offered in one.model if offered.alias == model
        ]

    def named(self, name: str) -> Provider | None:
        """The provider of that name, if there still is one."""
        return next((one for one in self.all if one.name == name), None)

    @property
    def ready(self) -> list[str]:
        """The models that some provider can be asked for now."""
        return [model for model in self.models if any(self.free(one) for one, _ in self.of(model))]


def read_providers(path: Path | None) -> Providers:
    """The providers of a file; none of no file.

    Raises:
        YozoraError: the file cannot be read, says something else, or two providers have one name.
    """
    if path is None:
        return Providers()
    try:
        listing = Listing.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise YozoraError(f"The providers in {path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise YozoraError(f"The providers in {path}: {place}: {first['msg']}.") from None
    names = [one.name for one in listing.provider]
    if twice := {name for name in names if names.count(name) > 1}:
        raise YozoraError(f"Two providers in {path} are called {', '.join(sorted(twice))}.")
    for one in listing.provider:
        for offered in one.model:
            if unknown := set(offered.tasks) - set(TASKS):
                raise YozoraError(
                    f"The model {offered.name} of {one.name} in {path} has unknown tasks {', '.join(sorted(unknown))}: "
                    f"there are {', '.join(TASKS)}."
                )
    return Providers(listing.provider)
