"""What all pages share: who is signed in, forms and their tokens, templates, and how a page says what went wrong.

Everything is escaped; scripts and styles come from this server alone. A form is taken when the browser says that it
comes from a page of ours (Origin) and it brings its session's token. No path of a request reaches the file system.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FunctionLoader, StrictUndefined
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from yozora.errors import YozoraError
from yozora.page import STYLE, htmx
from yozora.service import accounts, ids
from yozora.service.accounts import Session
from yozora.service.amounts import money
from yozora.service.api import errors, forms
from yozora.service.api.service import Service, of

HERE = files("yozora.service.pages")
KINDS = {
    "service.css": "text/css", "page.js": "text/javascript", "playground.js": "text/javascript",
    "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml",
}  # fmt: skip
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all, browsers would send no Origin with forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
Form = Mapping[str, Any]
T = TypeVar("T")


class Refused(YozoraError):  # noqa: N818
    """A page that is not shown, or a form that is not taken; ``status`` is the answer's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


# --- who asks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in."""

    request: Request
    session: Session
    wrong: str = ""  # what was wrong with the form that was sent; ``given`` is what was in it
    given: Form | None = None

    @property
    def service(self) -> Service:
        """The database, the models and the files."""
        return of(self.request)

    @property
    def org(self) -> str:
        """The organisation whose pages these are."""
        return self.session.org_id

    def may(self, what: str) -> bool:
        """Whether the role allows something; ``operator`` is no role, but who runs the service."""
        return self.session.operator if what == "operator" else self.session.may(what)

    def require(self, what: str) -> None:
        """Raises Refused when the role does not allow something."""
        if not self.may(what):
            raise Refused(f"Your role here, {self.session.role}, does not allow this.", 403)

    async def count(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds where it may have to look at many rows: in a thread, so that nobody else waits for it."""

        def run() -> T:
            with self.service.database.read() as tx:
                return work(tx)

        return await run_in_threadpool(run)

    def query(self, name: str) -> str:
        """A parameter of the address; empty when it is not there."""
        return self.request.query_params.get(name, "")

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page."""
        about: dict[str, Any] = {
            "visit": self, "session": self.session, "here": self.request.url.path, "wrong": self.wrong,
            "given": self.given or {}, "done": DONE.get(self.query("done"), ""),
        }  # fmt: skip
        status = 422 if self.wrong and status == 200 else status
        return HTMLResponse(rendered(template, **about | values), status)


def cookie(request: Request) -> str:
    """The cookie's name: browsers share cookies between the ports of a host, and keep __Host- ones to themselves."""
    if request.url.scheme == "https":
        return "__Host-yozora"
    return f"yozora-{request.url.port or 80}"


def keep_cookie(request: Request, answer: Response, value: str) -> None:
    """Has the browser stay signed in."""
    answer.set_cookie(
        cookie(request), value, max_age=accounts.SESSION // 1000, path="/",
        httponly=True, samesite="lax", secure=request.url.scheme == "https",
    )  # fmt: skip


async def signed_in(request: Request) -> Session | None:
    """The session of a request."""
    value = request.cookies.get(cookie(request), "")
    return (
        await of(request).read(lambda tx: accounts.session(tx, value, ids.now())) if value else None
    )


def from_our_pages(request: Request) -> bool:
    """Whether a browser says that a form is ours. The scheme is left out: a proxy may speak TLS for us."""
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "-")


def inside(path: str) -> str:
    """An address on this server to go on to, or the first page when it leads anywhere else."""
    local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if local else "/"


# --- pages and forms -----------------------------------------------------------------------------------

Page = Callable[[Visit], Awaitable[Response]]
Taker = Callable[[Visit, Form], Awaitable[Response]]


class Pages(list[Route]):
    """The pages of one kind of thing."""

    def open(self, path: str, methods: tuple[str, ...] = ("GET",)) -> Callable[..., Any]:
        """A decorator for what is there without being signed in: it gets the request alone."""

        def decorate(handler: Callable[[Request], Awaitable[Response]]) -> Any:
            self.append(Route(path, sealed(handler), methods=list(methods)))
            return handler

        return decorate

    def get(self, path: str, needs: str = "videos:read") -> Callable[[Page], Page]:
        """A decorator of pages; ``needs`` is what the role has to allow."""

        def decorate(page: Page) -> Page:
            async def handle(request: Request) -> Response:
                session = await signed_in(request)
                if session is None:
                    wanted = request.url.path + (
                        f"?{request.url.query}" if request.url.query else ""
                    )
                    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303)
                visit = Visit(request, session)
                visit.require(needs)
                return await page(visit)

            self.append(Route(path, sealed(handle), methods=["GET"]))
            return page

        return decorate

    def post(
        self, path: str, needs: str = "videos:read", back: Page | None = None
    ) -> Callable[[Taker], Taker]:
        """A decorator of what takes a form; where it cannot be done, the page ``back`` says why."""

        def decorate(take: Taker) -> Taker:
            async def handle(request: Request) -> Response:
                session = await signed_in(request)
                if session is None:
                    return RedirectResponse("/sign-in", 303)
                visit = Visit(request, session)
                async with forms.body(request) as form:
                    token = form.pop("csrf", "")
                    if not (
                        from_our_pages(request)
                        and isinstance(token, str)
                        and accounts.genuine(session, token)
                    ):
                        raise Refused(
                            "This form is of another time or place: go back, load the page again.",
                            403,
                        )
                    visit.require(needs)
                    try:
                        return await take(visit, form)
                    except Refused:
                        raise
                    except YozoraError as error:
                        if back is None:
                            raise
                        return await back(Visit(request, session, str(error), form))

            self.append(Route(path, sealed(handle), methods=["POST"]))
            return take

        return decorate


def sealed(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The handler, which answers with a page whatever happens, and tells browsers what the page may do."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            answer = await handler(request)
        except Refused as error:
            answer = message("This is not for here", str(error), error.status)
        except errors.EXPECTED as error:
            known = errors.described(error)
            answer = message("This did not work", str(known), known.status)
        except YozoraError as error:
            answer = message("This did not work", str(error), 409)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    return handle


def message(title: str, text: str, status: int) -> Response:
    """A short page for whoever it may be."""
    return HTMLResponse(rendered("message.html", title=title, text=text), status)


def go(path: str, done: str = "") -> Response:
    """On to another page, which says what was ``done`` (a key of DONE)."""
    return RedirectResponse(f"{path}?done={done}" if done else path, 303)


async def slowly(work: Callable[[], T]) -> T:
    """What ``work`` with a password gives: two at once, as each takes 64 MiB and a processor on purpose."""
    return await to_thread.run_sync(work, limiter=two_at_once())


@cache
def two_at_once() -> CapacityLimiter:
    """How many passwords a process of the interface looks at."""
    return CapacityLimiter(2)


def text(form: Form, name: str) -> str:
    """A field of a form; empty when it is not there, or is no text."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def several(form: Form, name: str) -> list[str]:
    """The values of a field whose name ends in []."""
    value = form.get(name, [])
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


DONE = {
    "revoked": "The key is revoked: it is not taken any more.",
    "all-revoked": "The keys are revoked: they are not taken any more.",
    "disabled": "The webhook is told nothing more.",
    "replayed": "The delivery is sent again.",
    "member": "The members are changed.",
    "limit": "The limit is set.",
    "price": "The price is set.",
    "password": "Your password is changed.",
}


# --- templates ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def templates() -> Environment:
    """How templates are read: everything is escaped, and what is not there is an error."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=FunctionLoader(lambda name: (HERE / "templates" / name).read_text(encoding="utf-8")),
    )  # fmt: skip
    made.filters |= {"money": money, "when": when, "iso": iso, "size": size, "count": "{:,}".format}
    return made


def rendered(template: str, **values: Any) -> str:
    """A template with its values."""
    return templates().get_template(template).render(values)


def when(ms: int) -> str:
    """2026-11-23 14:05, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def iso(ms: int) -> str:
    """As HTML's time elements want it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 1e6:.1f} MB" if count >= 10**5 else f"{count / 1e3:.1f} kB"


async def static(request: Request) -> Response:
    """A script, the style sheet or the icon, by one of a few names."""
    name = request.path_params["name"]
    content = static_files().get(name)
    if content is None:
        raise Refused("There is no such file.", 404)
    return Response(content, media_type=KINDS[name], headers={"cache-control": "no-cache"})


@lru_cache(maxsize=1)
def static_files() -> dict[str, bytes]:
    """The static files, in memory; the style sheet begins as every page of yozora's does."""
    own = {name: (HERE / "static" / name).read_bytes() for name in KINDS if name != "htmx.min.js"}
    return own | {"service.css": STYLE.encode() + own["service.css"], "htmx.min.js": htmx()}
