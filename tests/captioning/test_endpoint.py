"""A real server on this computer plays the endpoint with its failures."""

from __future__ import annotations

import base64
import email.utils
import socket
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.captioning.clips import row, seen, travelling
from tests.captioning.server import Answer, Play, Request, Server, said, says, serving

from yozora.captioning import endpoint as room
from yozora.captioning.captioner import CaptionerError, Subject
from yozora.captioning.endpoint import Endpoint, asked_wait, parts
from yozora.errors import YozoraError

SUBJECT = Subject(row(), travelling(2), seen())
CLIP = SUBJECT.row.id[:12]
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST_WAIT", 0.01)


def asked(server: Server, **options: Any) -> str:
    return Endpoint(server.url, "toy-vl", "Describe the clip.", **options).caption(SUBJECT)


def first(*answers: Answer) -> Play:
    """These answers, then a fit one."""
    return lambda request, before: answers[before] if before < len(answers) else says(request.clip)


def test_a_clip_is_sent_as_frames_with_the_prompt_and_a_form() -> None:
    with serving(first()) as server:
        assert asked(server, secret=SECRET) == f"What clip {CLIP} shows."
        (request,) = server.requests
    system, user = request.body["messages"]
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "toy-vl"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert (system["role"], system["content"]) == ("system", "Describe the clip.")
    text, *images = user["content"]
    assert "6 frames over 1.1 seconds" in text["text"]
    assert "A tram crosses a bridge." in text["text"]
    assert len(images) == 6
    head, _, data = images[0]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (252, 448, 3)
    error = np.abs(cv2.resize(picture, (64, 36)).astype(float) - SUBJECT.clip.frames[0])
    assert error.mean() < 8


def test_without_a_key_none_is_sent() -> None:
    with serving(first()) as server:
        asked(server)
    assert "authorization" not in server.requests[0].headers


PASSING = [
    Answer({"error": "busy"}, 500),
    Answer(b"<html>bad gateway</html>", 502),
    Answer({}, 429),
    Answer({}, 429, {"Retry-After": "soon"}),
    Answer({}, 408),
    said("A tram crosses a bridge."),
    said('{"caption": "A tram."}'),
    says("ba9876543210"),
    said("I'm sorry, I can't help with that."),
    said(None, refusal="I won't."),
    said(""),
    said("long " * 9999),
    Answer(b"\xff\xfe not JSON"),
    Answer({"choices": []}),
]


@pytest.mark.parametrize("failure", PASSING, ids=str)
def test_what_may_pass_is_asked_again(failure: Answer) -> None:
    with serving(first(failure)) as server:
        assert asked(server) == f"What clip {CLIP} shows."
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("failure", "times", "why"),
    [
        (Answer({"error": {"message": "out of\nmemory"}}, 500), 5, r"status 500 \(out of memory\)"),
        (
            Answer({"error": {"message": "image too large"}}, 400),
            1,
            r"refuses this clip .*too large",
        ),
        (Answer([], 422), 1, "refuses this clip with status 422"),
        (said("I cannot describe people."), 3, "no fit answer in 3: the model refuses"),
        (says("ba9876543210"), 3, "is for 'ba9876543210', not for"),
        (Answer(b"x" * (room.MOST + 1)), 5, "larger than 4 MiB"),
    ],
    ids=str,
)
def test_a_clip_that_fails_says_why(failure: Answer, times: int, why: str) -> None:
    with serving(lambda *_: failure) as server:
        with pytest.raises(YozoraError, match=why) as caught:
            asked(server)
        assert not isinstance(caught.value, CaptionerError)
        assert len(server.requests) == times


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (Answer({"error": {"message": f"Incorrect key {SECRET}"}}, 401), "--key-env"),
        (Answer({}, 403), "--key-env"),
        (Answer({"error": "model 'toy-vl' not found"}, 404), "not found.*--url or --model"),
        (Answer({}, 302, {"Location": "http://127.0.0.1:9/elsewhere"}), "not followed"),
        (Answer({}, 429, {"Retry-After": "7200"}), "left alone for 120 minutes"),
    ],
    ids=str,
)
def test_what_any_clip_would_meet_ends_the_run_at_once(failure: Answer, why: str) -> None:
    with serving(lambda *_: failure) as server:
        with pytest.raises(CaptionerError, match=why) as caught:
            asked(server, secret=SECRET)
        assert len(server.requests) == 1
    assert SECRET not in str(caught.value)


def test_nobody_there_ends_the_run() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(CaptionerError, match="Nothing answers at "):
        Endpoint(url, "toy-vl", "Describe.").caption(SUBJECT)


def test_what_hangs_is_left_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TIMEOUT", 0.3)
    with serving(first(Answer({}, after=1.5))) as server:
        assert asked(server) == f"What clip {CLIP} shows."
        assert len(server.requests) == 2


def test_the_wait_that_is_asked_for_is_kept_by_all_requests() -> None:
    later = Answer({}, 429, {"Retry-After": "0.4"})

    def play(request: Request, before: int) -> Answer:
        return says(request.clip) if before or request.clip != CLIP else later

    with serving(play) as server:
        one = Endpoint(server.url, "toy-vl", "Describe.")
        thread = threading.Thread(target=one.caption, args=(SUBJECT,))
        thread.start()
        while not one._rest_until:
            time.sleep(0.005)
        one.caption(Subject(row(id="cd" * 32), SUBJECT.clip, SUBJECT.look))
        thread.join()
    asked_at = [request.time for request in server.requests]
    assert asked_at[1] - asked_at[0] > 0.39
    assert len(asked_at) == 3


def test_waits_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Endpoint, "_pause", lambda self, seconds: waits.append(seconds))
    monkeypatch.setattr(room, "FIRST_WAIT", 1.0)
    with serving(lambda *_: Answer({}, 503)) as server, pytest.raises(YozoraError, match="503"):
        asked(server)
    assert len(waits) == 4
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits))
    assert len({wait / 2**n for n, wait in enumerate(waits)}) == 4


def test_closed_in_the_middle_it_ends_at_once() -> None:
    with serving(lambda *_: Answer({}, after=30.0)) as server:
        one = Endpoint(server.url, "toy-vl", "Describe.")
        caught: list[BaseException] = []

        def ask() -> None:
            try:
                one.caption(SUBJECT)
            except YozoraError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.requests:
            time.sleep(0.005)
        one.close()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(caught[0], CaptionerError)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000", (False, "localhost", 8000, "/v1/chat/completions")),
        ("http://localhost:8000/v1/", (False, "localhost", 8000, "/v1/chat/completions")),
        ("https://[::1]/v1", (True, "::1", 443, "/v1/chat/completions")),
        ("https://a.example/api/v3", (True, "a.example", 443, "/api/v3/chat/completions")),
        ("http://a/v1/chat/completions", (False, "a", 80, "/v1/chat/completions")),
    ],
)
def test_addresses_as_they_are_given(url: str, expected: tuple[bool, str, int, str]) -> None:
    assert parts(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://a", "http://", "http://a:port", "http://a b/", "http://a\n/v1",
     f"http://me:{SECRET}@a/v1", f"http://a/v1?key={SECRET}", "http://[::1", "http://ä.example"],
)  # fmt: skip
def test_what_is_no_address_is_said_without_its_secrets(url: str) -> None:
    with pytest.raises(YozoraError, match="--url") as caught:
        parts(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("secret", ["a\nb", "ключ", "a b"])
def test_a_key_that_cannot_be_sent_is_not_shown(secret: str) -> None:
    with pytest.raises(YozoraError, match="The key") as caught:
        Endpoint("http://a", "m", "p", secret=secret)
    assert secret not in str(caught.value)


def test_the_waits_that_servers_ask_for() -> None:
    assert asked_wait("3") == 3
    assert asked_wait("0.5") == 0.5
    later = email.utils.format_datetime(email.utils.localtime() + _minute())
    assert 50 < asked_wait(later) <= 60
    assert [
        asked_wait(text) for text in ("", "soon", "-3", "²", "Wed, 21 Oct 2015 07:28:00 GMT")
    ] == [0] * 5


def _minute() -> Any:
    import datetime

    return datetime.timedelta(minutes=1)


def test_the_key_is_of_clip_prompt_model_and_words() -> None:
    def key(model: str = "m", prompt: str = "p", **changes: Any) -> str:
        return Endpoint("http://a", model, prompt, secret=SECRET).key(row(**changes))

    others = [key("n"), key(prompt="q"), key(id="cd" * 32), key(captions=("Other words.",))]
    assert len({key(), *others}) == 5
    assert key() == Endpoint("https://elsewhere/v1", "m", "p", parallel=9).key(row())


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(first()) as server:
        assert asked(server)


def test_requests_carry_nothing_of_where_the_clip_lies() -> None:
    def play(request: Request, before: int) -> Answer:
        assert "clips/ab.mp4" not in str(request.body)
        assert "tram.mp4" not in str(request.body)
        return says(request.clip)

    with serving(play) as server:
        assert asked(server)
