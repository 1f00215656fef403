"""The page on which reviewers label the clips of a sample.

It works as plain forms; scripts add the keys and save without a flash. Whoever has the token in the address may answer,
and nobody else: a page of another site can neither read it (the Host header is checked, against DNS rebinding) nor post
to it (the Origin header is). No path of a request reaches the file system: static files are in memory under fixed
names, and a clip is looked up in the sample by its id.
"""

from __future__ import annotations

import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.page import STYLE, htmx
from yozora.review.answers import Answer, Review, check_reviewer
from yozora.review.questions import CLIP, DESCRIBED, NOTE, PERSON, Said, read_form
from yozora.review.turns import Turn, turn

try:
    import uvicorn
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, RedirectResponse, Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as error:
    raise YozoraError(
        f"The review page needs the package {error.name}: pip install 'yozora[review]'."
    ) from error

PAGES = files("yozora.review") / "pages"
KINDS = {"review.css": "text/css", "review.js": "text/javascript", "htmx.min.js": "text/javascript"}
LARGEST = 2**16  # bytes of a form
KEPT = 24  # clips in memory, as browsers can play them
MONTH = 30 * 86400
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all, browsers would send no Origin with forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def serve(
    corpus: Corpus,
    review: Review,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Serves the page until it is interrupted; ``say`` is told its address.

    Raises YozoraError when nothing can listen there.
    """
    with listen(host, port) as listener:
        port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
        name = f"[{host}]" if ":" in host else host
        say(f"http://{name}:{port}/?token={token}")
        app = application(corpus, review, token, hosts(name, port))
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none"
        )  # fmt: skip
        uvicorn.Server(settings).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket at one address. Raises YozoraError when there can be none."""
    if host in ("", "0.0.0.0", "::"):
        raise YozoraError(
            "The page listens at one address, so that it knows its own name: give --host 127.0.0.1, or that "
            "of one network."
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise YozoraError(
            f"Nothing can listen at {host}, port {port}: {error.strerror}. Choose another --port."
        ) from error


def hosts(name: str, port: int) -> frozenset[str]:
    """The Host headers that mean this server."""
    local = ("127.0.0.1", "localhost", "[::1]")
    return frozenset(f"{one}:{port}" for one in (local if name in local else (name,)))


def application(corpus: Corpus, review: Review, token: str, known_hosts: frozenset[str]) -> ASGIApp:
    """The page as an ASGI application."""
    desk = Desk(corpus, review, token)
    routes = [
        Route("/", desk.home),
        Route("/name", desk.name, methods=["POST"]),
        Route("/clip/{clip}", desk.clip, methods=["GET"]),
        Route("/clip/{clip}", desk.save, methods=["POST"]),
        Route("/video/{clip}", desk.video),
        Route("/static/{name}", static),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, YozoraError: failed})
    return Guard(app, known_hosts)


# --- what holds for every request ------------------------------------------------------------------


class Guard:
    """Lets requests through that are meant for this server and come from its own page."""

    def __init__(self, app: ASGIApp, known_hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, known_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [
                    (k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own
                ]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        why = self.objection(Request(scope)) if scope["type"] == "http" else "No such thing here."
        app = document("Not from here", f"<p>{why}</p>", 403) if why else self.app
        await app(scope, receive, sealed)

    def objection(self, request: Request) -> str:
        """Why a request is refused; empty when it is not."""
        host = request.headers.get("host", "")
        if host not in self.hosts or len(request.headers.getlist("host")) != 1:
            return "Open the page by the address that yozora printed."
        origin = request.headers.get("origin")
        if origin is None:
            return "" if request.method in ("GET", "HEAD") else "Answers come from this page only."
        return "" if origin == f"http://{host}" else "Answers come from this page only."


def refused(_request: Request, error: Exception) -> Response:
    """What is not there, or not for everybody."""
    assert isinstance(error, HTTPException)
    return document(
        "This did not work", escaped("<p>{{ text }}</p>", text=error.detail), error.status_code
    )


def failed(_request: Request, error: Exception) -> Response:
    """What cannot be done now; going back in the browser finds the form as it was filled in."""
    text = "<p>{{ text }}</p><p>Go back to find your answers, or <a href='/'>go on</a>.</p>"
    return document("This did not work", escaped(text, text=str(error)), 409)


def document(title: str, text: str, status: int = 200) -> HTMLResponse:
    """A short page of text that is HTML already."""
    return HTMLResponse(escaped(template("message.html"), title=title, text=text), status)


def static(request: Request) -> Response:
    """A script or style sheet, by one of three names."""
    content = static_files().get(request.path_params["name"])
    if content is None:
        raise HTTPException(404, "There is no such file.")
    kind = KINDS[request.path_params["name"]]
    return Response(content, media_type=kind, headers={"cache-control": "no-cache"})


@lru_cache(maxsize=1)
def static_files() -> dict[str, bytes]:
    """The scripts and the style sheet, which begins as every page of yozora's does."""
    return {
        "review.css": STYLE.encode() + (PAGES / "review.css").read_bytes(),
        "review.js": (PAGES / "review.js").read_bytes(),
        "htmx.min.js": htmx(),
    }


def template(name: str) -> str:
    """The source of a template."""
    return (PAGES / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def templates() -> Environment:
    """How templates are read: everything is escaped, and what is not there is an error."""
    return Environment(
        autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(template),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def escaped(source: str, **values: object) -> str:
    """A template with its values."""
    return templates().from_string(source).render(values)


# --- the pages -------------------------------------------------------------------------------------


class Desk:
    """A sample on the table of its reviewers."""

    def __init__(self, corpus: Corpus, review: Review, token: str) -> None:
        self.corpus, self.review, self.token = corpus, review, token
        wanted = {one.clip for one in review.sample().clips}
        self.rows = {row.id: row for row in corpus.rows() if row.id in wanted}
        self.playable = lru_cache(maxsize=KEPT)(self._playable)

    def home(self, request: Request) -> Response:
        """Takes the token out of the address; then the next clip, or the reviewer's name where it is not known."""
        if given := request.query_params.get("token"):
            if not self.admits(given):
                raise HTTPException(
                    403, "This address is of another day: yozora printed a new one."
                )
            answer = RedirectResponse("/", 303)
            self.keep(request, answer, "token", given)
            return answer
        if not (reviewer := self.reviewer(request)):
            return self.ask_name()
        way = self.turn(reviewer)
        if way.following:
            return RedirectResponse(f"/clip/{way.following}", 303)
        return self.page("done.html", way, reviewer)

    async def name(self, request: Request) -> Response:
        """Takes the reviewer's name."""
        self.admit(request)
        (given,) = (await fields(request)).get("reviewer", [""])[:1]
        try:
            reviewer = check_reviewer(given)
        except YozoraError as error:
            return self.ask_name(given, str(error))
        answer = RedirectResponse("/", 303)
        self.keep(request, answer, "reviewer", quote(reviewer))
        return answer

    def clip(self, request: Request) -> Response:
        """The form for one clip, with what the reviewer said of it before."""
        if not (reviewer := self.reviewer(request)):
            return RedirectResponse("/", 303)
        row = self.row(request)
        mine = [
            one for one in self.review.answers() if (one.clip, one.reviewer) == (row.id, reviewer)
        ]
        said, note = (mine[-1].said, mine[-1].note) if mine else ({}, "")
        return self.form(row, reviewer, said, note)

    async def save(self, request: Request) -> Response:
        """Stores an answer and goes on; one that is not whole comes back with what it lacks."""
        self.admit(request)
        given = await fields(request)
        return await run_in_threadpool(self._save, request, given)

    def _save(self, request: Request, given: Mapping[str, list[str]]) -> Response:
        if not (reviewer := self.reviewer(request)):
            return RedirectResponse("/", 303)
        row = self.row(request)
        note = "".join(given.get("note", [])).strip()
        said, wrong = read_form(given)
        if len(note) > NOTE:
            wrong["note"] = f"A note has {NOTE} characters at most."
        if wrong:
            return self.form(row, reviewer, said, note, wrong)
        self.review.add(Answer(row.id, reviewer, said, note))
        following = self.turn(reviewer).following
        return RedirectResponse(f"/clip/{following}" if following else "/", 303)

    def video(self, request: Request) -> Response:
        """A clip's film, or the part of it that is asked for."""
        self.admit(request)
        return part(self.playable(self.row(request).id), request.headers.get("range", ""))

    def _playable(self, clip: str) -> bytes:
        """A clip as browsers play it: corpora hold H.264 in RGB, which they do not."""
        frames = self.corpus.read(self.rows[clip])
        with tempfile.TemporaryDirectory() as folder:  # not in the corpus, which may be taken back
            return video.write(frames, Path(folder) / "clip.mp4").read_bytes()

    # --- who asks for what -------------------------------------------------------------------------

    def admits(self, token: str) -> bool:
        """Whether this is the token."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def admit(self, request: Request) -> None:
        """Raises HTTPException unless the request has the token."""
        if not self.admits(request.cookies.get(cookie(request, "token"), "")):
            raise HTTPException(403, "Open the page by the address that yozora printed.")

    def reviewer(self, request: Request) -> str:
        """Who asks; empty when the name is not known yet. Raises HTTPException without the token."""
        self.admit(request)
        try:
            return check_reviewer(unquote(request.cookies.get(cookie(request, "reviewer"), "")))
        except YozoraError:
            return ""

    def row(self, request: Request) -> Row:
        """The clip that is asked for. Raises HTTPException when it is not in the sample, or not any more."""
        clip = request.path_params["clip"]
        if clip not in self.rows or not self.review.holds(clip):
            raise HTTPException(404, "This clip is not in the sample, or was taken back.")
        return self.rows[clip]

    def turn(self, reviewer: str) -> Turn:
        """The reviewer's way through the sample."""
        return turn(self.review.sample(), self.review.answers(), reviewer)

    def keep(self, request: Request, answer: Response, name: str, value: str) -> None:
        """Has the browser remember something for this page alone."""
        answer.set_cookie(
            cookie(request, name), value, max_age=MONTH, httponly=True, samesite="lax"
        )

    # --- what is shown -----------------------------------------------------------------------------

    def ask_name(self, given: str = "", wrong: str = "") -> Response:
        """The first page."""
        clips = len(self.review.sample().clips)
        text = templates().get_template("name.html")
        shown = text.render(sample=self.review.name, clips=clips, given=given, wrong=wrong)
        return HTMLResponse(shown, 422 if wrong else 200)

    def form(
        self, row: Row, reviewer: str, said: Said, note: str, wrong: Mapping[str, str] | None = None
    ) -> Response:
        """The page of one clip."""
        way = self.turn(reviewer)
        return self.page(
            "clip.html", way, reviewer, 422 if wrong else 200,
            row=row, said=said, note=note, wrong=wrong or {}, known=row.id in way.done,
            before=way.beside(row.id, -1), after=way.beside(row.id, 1),
            first=CLIP[0], rest=CLIP[1:], person=PERSON, described=DESCRIBED, longest=NOTE,
        )  # fmt: skip

    def page(
        self, name: str, way: Turn, reviewer: str, status: int = 200, **values: object
    ) -> Response:
        """A page with the reviewer's progress."""
        facts: dict[str, Any] = {
            "sample": self.review.name, "reviewer": reviewer,
            "done": len(way.done), "clips": len(way.done) + len(way.todo), "last": (way.done or ("",))[-1],
        }  # fmt: skip
        return HTMLResponse(templates().get_template(name).render(facts | values), status)


def cookie(request: Request, name: str) -> str:
    """A cookie's name on this port: browsers share cookies between all ports of a host."""
    return f"yozora-review-{name}-{request.url.port}"


async def fields(request: Request) -> dict[str, list[str]]:
    """The fields of a form. Raises HTTPException when it is none, or too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, "This form is too large.")
    try:
        return parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
        )
    except ValueError:
        raise HTTPException(400, "This is no form.") from None


def part(data: bytes, wanted: str) -> Response:
    """A film, or the one range of its bytes that is wanted (RFC 9110, section 14)."""
    headers = {"accept-ranges": "bytes"}
    size = len(data)
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", wanted, re.ASCII)
    if not found or not (found[1] or found[2]):
        return Response(data, media_type="video/mp4", headers=headers)
    start = int(found[1]) if found[1] else max(0, size - int(found[2]))
    end = min(size, int(found[2]) + 1) if found[1] and found[2] else size
    if start >= end:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(data[start:end], 206, headers, "video/mp4")
