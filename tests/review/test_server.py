"""The page over real HTTP, from a server in a thread."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
import uvicorn
from tests.corpus.test_catalogue import clip, record
from tests.review.test_questions import whole

from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.review.answers import Review, forget
from yozora.review.sample import draw
from yozora.review.server import application, hosts, listen
from yozora.video import read

TOKEN = "a-token"
HOSTILE = '</p><script>alert(1)</script><img src=x onerror="alert(2)">'


@dataclass
class Served:
    """A server that runs, and what it serves."""

    corpus: Corpus
    review: Review
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cookies(self, reviewer: str = "Ann", token: str = TOKEN) -> str:
        mine = f"yozora-review-{{}}-{self.port}={{}}"
        return f"{mine.format('token', token)}; {mine.format('reviewer', reviewer)}"

    def ask(
        self, path: str, form: Mapping[str, object] | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; a header that is None is not sent."""
        usual: dict[str, str | None] = {"cookie": self.cookies()}
        if form is not None:
            usual |= {"origin": self.origin, "content-type": "application/x-www-form-urlencoded"}
        sent = {k: v for k, v in (usual | headers).items() if v is not None}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = None if form is None else urlencode(form, doseq=True)
        connection.putrequest("GET" if form is None else "POST", path, skip_host="host" in sent)
        for name, value in sent.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body.encode() if body else None)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found


@contextmanager
def serving(corpus: Corpus, review: Review) -> Iterator[Served]:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        app = application(corpus, review, TOKEN, hosts("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(corpus, review, port)
        finally:
            server.should_exit = True
            thread.join()


def reviewed(folder: Path, clips: int = 3) -> tuple[Corpus, Review]:
    corpus = Corpus.create(folder / "c")
    said = {"captions": (HOSTILE,), "source": HOSTILE}
    corpus.add([(clip(i, frames=9, height=64, width=112), record(i, **said)) for i in range(clips)])
    return corpus, Review.create(corpus.path, "first", draw(corpus.rows(), clips))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(*reviewed(tmp_path)) as found:
        yield found


def test_the_token_is_taken_out_of_the_address_and_the_name_asked_once(served: Served) -> None:
    status, headers, _ = served.ask(f"/?token={TOKEN}", cookie=None)
    assert (status, headers["location"]) == (303, "/")
    assert "httponly" in headers["set-cookie"].lower()
    assert "samesite=lax" in headers["set-cookie"].lower()
    token = headers["set-cookie"].split(";")[0]
    status, headers, page = served.ask("/", cookie=token)
    assert status == 200
    assert b'name="reviewer"' in page
    status, headers, _ = served.ask("/name", {"reviewer": " Åsa  Öberg "}, cookie=token)
    assert status == 303
    name = headers["set-cookie"].split(";")[0]
    status, headers, _ = served.ask("/", cookie=f"{token}; {name}")
    assert headers["location"].startswith("/clip/")
    assert "Åsa Öberg" in served.ask(headers["location"], cookie=f"{token}; {name}")[2].decode()


def test_answers_are_stored_and_the_sample_comes_to_an_end(served: Served) -> None:
    for done in range(3):
        place = served.ask("/")[1]["location"]
        page = served.ask(place)[2].decode()
        assert f"{done} of 3" in page
        status, headers, _ = served.ask(place, {**whole("1"), "note": " seen <b> "})
        assert status == 303
    assert headers["location"] == "/"
    assert b"All done" in served.ask("/")[2]
    answers = served.review.answers()
    assert len(answers) == 3
    assert {(one.reviewer, one.note, one.said["tone-1"][0]) for one in answers} == {
        ("Ann", "seen <b>", "1")
    }

    page = served.ask(place)[2].decode()
    assert re.search(r'id="tone-1-1"[^>]*checked', page)
    assert "seen &lt;b&gt;" in page
    served.ask(place, {**whole("0"), "note": ""})
    assert len(served.review.history()) == 4
    assert len(served.review.answers()) == 3


def test_what_is_left_out_is_asked_for_and_nothing_is_lost(served: Served) -> None:
    place = served.ask("/")[1]["location"]
    form = {key: value for key, value in whole("1").items() if key not in ("quality", "role-1")}
    status, _, page = served.ask(place, {**form, "note": "kept"})
    assert status == 422
    text = page.decode()
    assert "2 questions left" in text
    assert text.count("Choose an answer") == 2
    assert "kept</textarea>" in text
    assert re.search(r'id="region-northern-africa"[^>]*checked', text)
    assert served.review.history() == []
    assert served.ask(place, {**whole("0"), "note": "x" * 501})[0] == 422


def test_films_play_in_browsers_and_in_parts(served: Served, tmp_path: Path) -> None:
    place = served.ask("/")[1]["location"].replace("/clip/", "/video/")
    status, headers, film = served.ask(place)
    assert (status, headers["content-type"], headers["accept-ranges"]) == (
        200,
        "video/mp4",
        "bytes",
    )
    (tmp_path / "film.mp4").write_bytes(film)
    assert read(tmp_path / "film.mp4").frames.shape == (9, 64, 112, 3)
    size = len(film)
    for wanted, start, end in [
        ("0-", 0, size),
        ("5-9", 5, 10),
        ("-7", size - 7, size),
        (f"3-{size * 9}", 3, size),
    ]:
        status, headers, part = served.ask(place, range=f"bytes={wanted}")
        assert (status, part) == (206, film[start:end])
        assert headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for wanted in (f"{size}-", "9-5", "-0"):
        assert served.ask(place, range=f"bytes={wanted}")[0] == 416
    for wanted in ("-", "a-b", "0-1,3-4", "1" * 99 + "-"):
        assert served.ask(place, range=f"bytes={wanted}")[::2] == (200, film)


def test_only_the_address_that_was_printed_opens_the_page(served: Served) -> None:
    place = served.ask("/")[1]["location"]
    for path in ("/", place, place.replace("clip", "video"), "/?token=wrong", "/?token=%C3%A5"):
        for cookie in (None, served.cookies(token="wrong"), served.cookies(token="")):
            assert served.ask(path, cookie=cookie)[0] == 403
    assert served.ask(place, whole("0"), cookie=served.cookies(token="wrong"))[0] == 403
    assert served.ask("/name", {"reviewer": "Eve"}, cookie=None)[0] == 403
    assert served.review.history() == []


def test_a_page_of_another_site_can_neither_read_nor_post(served: Served) -> None:
    place = served.ask("/")[1]["location"]
    for host in (
        "evil.example",
        f"evil.example:{served.port}",
        "127.0.0.1",
        f"127.0.0.1:{served.port}.evil",
        "",
    ):
        assert served.ask(place, host=host)[0] in (400, 403)
    for name in ("localhost", "127.0.0.1"):
        there = f"{name}:{served.port}"
        assert served.ask(place, host=there)[0] == 200
    for origin in (
        None,
        "null",
        "http://evil.example",
        served.origin.replace("http:", "https:"),
        "http://127.0.0.1:1",
    ):
        assert served.ask(place, whole("0"), origin=origin)[0] == 403
    assert served.ask(place, origin="http://evil.example")[0] == 403
    assert served.review.history() == []


def test_no_path_reaches_the_file_system(served: Served) -> None:
    (row, *_) = served.corpus.rows()
    paths = [
        "../catalogue.lance",
        "..%2f..%2frights.ledger",
        "%2e%2e/review/first.sqlite",
        "x",
        "",
        "%00",
        row.path,
    ]
    paths += [row.id[:16], row.id.upper(), f"{row.id}/..", "server.py", "base.html", "LICENSE"]
    for path in paths:
        for folder in ("static", "video", "clip"):
            assert served.ask(f"/{folder}/{path}")[0] == 404, path
    assert served.ask("/static/htmx.min.js")[1]["content-type"].startswith("text/javascript")


def test_captions_are_text_and_nothing_else_runs(served: Served) -> None:
    _, headers, page = served.ask(served.ask("/")[1]["location"])
    assert b"&lt;script&gt;alert(1)" in page
    assert b"<script>" not in page
    assert b"<img" not in page
    assert not re.search(rb"<[^>]*\s(style|on\w+)=", page)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for name in ("x-content-type-options", "referrer-policy", "cross-origin-resource-policy"):
        assert name in headers
    assert headers["cache-control"] == "no-store"
    for answer in (served.ask("/nothing"), served.ask("/", host="evil.example")):
        assert answer[1]["content-security-policy"] == policy


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "", "x" * 99, "a\r\nset-cookie: b=c"]
)
def test_a_name_that_is_none_is_asked_for_again(served: Served, name: str) -> None:
    status, headers, page = served.ask("/name", {"reviewer": name})
    if status == 422:
        assert b"A reviewer&#39;s name" in page
        assert b"<script>alert" not in page
    else:
        assert "\n" not in headers["set-cookie"]
        assert "b=c" not in headers
    assert served.ask("/", cookie=served.cookies("<b>"))[0] == 200  # asks for the name


def test_forms_that_are_none_are_refused(served: Served) -> None:
    place = served.ask("/")[1]["location"]
    assert served.ask(place, {"note": "x" * 2**17})[0] == 413
    assert served.ask(place, {f"f{n}": "" for n in range(300)})[0] == 400
    assert served.ask(place, {"people": "%ff"})[0] == 422
    assert served.review.history() == []


def test_a_clip_that_was_taken_back_is_shown_and_answered_no_more(served: Served) -> None:
    place = served.ask("/")[1]["location"]
    film = place.replace("clip", "video")
    assert served.ask(film)[0] == 200
    forget(served.corpus.path, [place.rpartition("/")[2]])
    assert served.ask(place)[0] == served.ask(film)[0] == served.ask(place, whole("0"))[0] == 404
    assert served.ask("/")[1]["location"] != place
    assert served.review.history() == []


def test_a_file_that_is_gone_is_said(served: Served) -> None:
    for row in served.corpus.rows():
        served.corpus.file(row).unlink()
    status, _, page = served.ask(served.ask("/")[1]["location"].replace("clip", "video"))
    assert status == 409
    assert b"is missing" in page


def test_an_address_that_cannot_be_had_is_said() -> None:
    with listen("127.0.0.1", 0) as one, pytest.raises(YozoraError, match="Choose another --port"):
        listen("127.0.0.1", one.getsockname()[1])
    for host in ("0.0.0.0", "::", ""):
        with pytest.raises(YozoraError, match="at one address"):
            listen(host, 0)
    assert hosts("192.0.2.1", 80) == {"192.0.2.1:80"}
    assert hosts("[::1]", 80) == {"127.0.0.1:80", "localhost:80", "[::1]:80"}
