"""What all routes share: the database, the stores of files, the models, and who is asking."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection, bindparam, select
from starlette.requests import Request

from yozora.service import ids, keys, limits
from yozora.service.api.errors import ApiError
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.fetch import Rules
from yozora.service.keys import Identity
from yozora.service.lookup import Lookup
from yozora.service.moderation import Moderator
from yozora.service.offer import Offer
from yozora.service.schema import keys as table
from yozora.service.schema import limits as limited
from yozora.service.schema import videos
from yozora.service.settings import Settings
from yozora.service.wishes import Model

T = TypeVar("T")
ID = re.compile(rf"[a-z]+_[{ids.ALPHABET}]{{26}}")
KEY = [column for column in table.c if column.name not in ("name", "created_by", "created_at")]
CHANGING = ("POST", "DELETE")
SHOWN = [
    videos.c.id, videos.c.model, videos.c.status, videos.c.progress, videos.c.created_at, videos.c.started_at,
    videos.c.completed_at, videos.c.expires_at, videos.c.prompt, videos.c.size, videos.c.seconds, videos.c.remixed_from,
    videos.c.error_code, videos.c.error_message, videos.c.file, videos.c.sha256,
]  # fmt: skip


@dataclass
class Service:
    """One process of the interface. Made by `create_app`, and found by handlers as ``of(request)``."""

    settings: Settings
    database: Database
    artifacts: Artifacts
    uploads: Artifacts
    models: Offer
    pepper: bytes
    moderate: Moderator
    fetching: Rules
    limiter: CapacityLimiter | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Prepares what is asked with almost every request: the key, and the key together with a video."""
        key = select(*KEY).where(table.c.id == bindparam("key"))
        self._key = Lookup(self.database, key)
        shown = [column.label(f"video_{column.name}") for column in SHOWN]
        mine = (videos.c.id == bindparam("video")) & (videos.c.org_id == table.c.org_id)
        both = key.add_columns(*shown).outerjoin_from(
            table, videos, mine & videos.c.deleted_at.is_(None)
        )
        self._both = Lookup(self.database, both)
        scopes: list[Any] = [bindparam(name) for name in ("key", "project", "org")]
        counted = (limited.c.measure == "requests") & limited.c.scope.in_(scopes)
        self._limits = Lookup(self.database, select(limited.c.scope).where(counted))

    # --- the database ------------------------------------------------------------------------------

    async def ask(self, lookup: Lookup, **values: Any) -> list[Any]:
        """The rows of a lookup: at once where the database is a file, in a thread where it is a server."""
        if self.database.sqlite:
            return lookup.all(**values)
        return await to_thread.run_sync(lambda: lookup.all(**values))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds in a transaction that changes nothing."""

        def run() -> T:
            with self.database.read() as tx:
                return work(tx)

        return run() if self.database.sqlite else await to_thread.run_sync(run)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` gives in a write transaction: undone when it raises.

        SQLite has one writer at a time, so a process sends it one: waiting in line here takes less time than there.
        """
        if self.limiter is None:
            self.limiter = CapacityLimiter(1 if self.database.sqlite else 16)

        def run() -> T:
            with self.database.write() as tx:
                return work(tx)

        return await to_thread.run_sync(run, limiter=self.limiter)

    # --- who asks ----------------------------------------------------------------------------------

    async def identify(self, request: Request, scope: str) -> Identity:
        """Whose key a request has; one that changes something is counted.

        Raises:
            Unauthorised: it has none that is taken.
            LimitReached: there were too many requests.
            ApiError: the key does not allow the scope.
        """
        presented = bearer(request)
        rows = await self.ask(self._key, key=keys.named(presented))
        who = await self._known(rows, presented)
        await self._count(request, who)
        return allowed(who, scope)

    async def identify_with(self, request: Request, video: str) -> tuple[Identity, Any]:
        """Whose key a request that reads a video has, and the video's row, whose columns begin with ``video_``.

        Both are one query. ``video_id`` is None when there is no such video in the organisation of the key.
        """
        presented = bearer(request)
        rows = await self.ask(self._both, key=keys.named(presented), video=video)
        return allowed(await self._known(rows, presented), "videos:read"), rows[0]

    async def _count(self, request: Request, who: Identity) -> None:
        """Count a request that changes something, whatever becomes of it. Raises LimitReached."""
        scopes = dict(zip(("key", "project", "org"), who.limited_by, strict=True))
        if request.method in CHANGING and await self.ask(self._limits, **scopes):
            await self.write(
                lambda tx: limits.count_request(tx, scopes=who.limited_by, at=ids.now())
            )

    async def _known(self, rows: list[Any], presented: str) -> Identity:
        at = ids.now()
        who = keys.judged(rows[0] if rows else None, self.pepper, presented, at)
        if not who.used:
            await self.write(lambda tx: keys.touch(tx, who.key_id, at))
        return who

    # --- models ------------------------------------------------------------------------------------

    def offered(self, who: Identity) -> dict[str, Model]:
        """The models that a key may use."""
        return {name: self.models.describe(name) for name in self.models.names if who.may_use(name)}


def allowed(who: Identity, scope: str) -> Identity:
    """Who asks, when the key allows the scope. Raises ApiError."""
    if not who.may(scope):
        raise ApiError(403, f"This key does not allow {scope}.", "scope_missing")
    return who


def of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service


def named(request: Request, param: str) -> str:
    """The id in a request's address; one that cannot be an id is that of nothing."""
    given = str(request.path_params[param])
    return given if ID.fullmatch(given) else ""


def bearer(request: Request) -> str:
    """The key of a request, or nothing."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""
