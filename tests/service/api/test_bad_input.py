"""What strangers send: refused with a sentence, and nothing is made, kept or broken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

import pytest
from sqlalchemy import func, select
from tests.service.api.conftest import Site

from yozora.service.api import forms
from yozora.service.schema import files, requests, videos

JSON = {"content-type": "application/json"}


@contextmanager
def nothing_kept(site: Site) -> Iterator[None]:
    """What happens in the block leaves no row and no file."""

    def kept() -> list[int]:
        with site.database.read() as tx:
            rows = [
                tx.scalar(select(func.count()).select_from(t)) for t in (videos, files, requests)
            ]
        return [*(row or 0 for row in rows), len(list(site.settings.uploads.glob("*/*")))]

    before = kept()
    yield
    assert kept() == before


def refused(answer: Any, status: int, code: str | None = None, param: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert code is None or error["code"] == code
    assert param is None or error["param"] == param


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
        ({"prompt": "x", "seconds": -1}, "seconds"),
        ({"prompt": "x", "seconds": 0}, "seconds"),
        ({"prompt": "x", "seconds": "NaN"}, "seconds"),
        ({"prompt": "x", "seconds": 10**400}, "seconds"),
        ({"prompt": "x", "seconds": "٤"}, "seconds"),
        ({"prompt": "x", "seconds": True}, "seconds"),
        ({"prompt": "x", "seconds": [4]}, "seconds"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "seed": 2**32}, "seed"),
        ({"prompt": "x", "seed": 10**4000}, "seed"),
        ({"prompt": "x", "seed": 1.5}, "seed"),
        ({"prompt": "x", "seed": True}, "seed"),
        ({"prompt": "x", "steps": 10**9}, "steps"),
        ({"prompt": "x", "guidance": "inf"}, "guidance"),
        ({"prompt": "x", "guidance": -1e308}, "guidance"),
        ({"prompt": "x", "size": "112X64"}, "size"),
        ({"prompt": "x", "size": "0x0"}, "size"),
        ({"prompt": "x", "size": {}}, "size"),
        ({"prompt": "x", "model": "../../nano"}, "model"),
        ({"prompt": "x", "model": ""}, "model"),
        ({"prompt": "x", "input_reference": "a.png"}, "input_reference"),
        ({"prompt": "x", "input_reference": {}}, "input_reference"),
        ({"prompt": "x", "input_reference": {"upload": {"file": "/etc/passwd"}}}, "input_reference.upload"),
        ({"prompt": "x", "input_reference": {"image_url": "file:///etc/passwd"}}, "input_reference.image_url"),
        ({"prompt": "x", "input_reference": {"image_url": "data:text/html;base64,AAAA"}}, "input_reference.image_url"),
        ({"prompt": "x", "input_reference": {"image_url": "data:image/png;base64,?"}}, "input_reference.image_url"),
        ({"prompt": "x", "__class__": 1}, "__class__"),
    ],
)  # fmt: skip
def test_wrong_fields(sqlite_site: Site, given: dict[str, Any], param: str) -> None:
    with nothing_kept(sqlite_site):
        refused(sqlite_site.http().post("/v1/videos", json=given), 400, param=param)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b'{"prompt": "x", "guidance": NaN}', b"\xff\xfe", b"[" * 100_000, b'"x"'],
)  # fmt: skip
def test_what_is_no_json(sqlite_site: Site, text: bytes) -> None:
    refused(sqlite_site.http().post("/v1/videos", content=text, headers=JSON), 400, "invalid_json")


def test_text_that_cannot_be_kept(site: Site) -> None:
    for prompt in (b'"\\ud800"', b'"\\u0000"'):
        content = b'{"prompt": ' + prompt + b"}"
        refused(site.http().post("/v1/videos", content=content, headers=JSON), 400, param="prompt")
    made = site.http().post("/v1/videos", json={"prompt": "<b>日本 🎬\x1b\u202e</b>"}).json()
    assert made["prompt"] == "<b>日本 🎬\x1b\u202e</b>"
    wrong = ["after=%00", "after=%ff%fe", "limit=0" + "0" * 5000 + "1", "order=up", "after="]
    for query in (*wrong, "limit=1&limit=2", "limits=1"):
        refused(site.http().get(f"/v1/videos?{query}"), 400)
    for path in (
        "/v1/videos/%00",
        "/v1/videos/..%2f..%2fetc%2fpasswd",
        "/v1/../openapi.json%00",
        "/v2",
    ):
        refused(site.http().get(path), 404)


PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
ENDS = b"--b--\r\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (PART % (b"prompt", b"x"), "multipart/form-data; boundary=b"),  # has no end
        (PART % (b"prompt", b"x") + ENDS, "multipart/form-data"),
        (PART % (b"prompt", b"x") + ENDS, "multipart/form-data; boundary=c"),
        (b"--b\r\n\r\nx\r\n" + ENDS, "multipart/form-data; boundary=b"),
        (PART % (b"prompt", b"x") * 2 + ENDS, "multipart/form-data; boundary=b"),
        (PART % (b"prompt[a][b][c]", b"x") + ENDS, "multipart/form-data; boundary=b"),
        (PART % (b"prompt", b"x") + PART % (b"prompt[a]", b"x") + ENDS, "multipart/form-data; boundary=b"),
        (PART % (b"prompt", b"x") + PART % (b"seed[]", b"1") + ENDS, "multipart/form-data; boundary=b"),
        ((PART % (b"a", b"x")) * 200 + ENDS, "multipart/form-data; boundary=b"),
        (b"\0" * 100, "multipart/form-data; boundary=b"),
        (b"prompt=x&prompt=y", "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
def test_wrong_forms(sqlite_site: Site, text: bytes, kind: str) -> None:
    headers = {"content-type": kind}
    with nothing_kept(sqlite_site):
        refused(sqlite_site.http().post("/v1/videos", content=text, headers=headers), 400)


def test_other_types(sqlite_site: Site) -> None:
    http = sqlite_site.http()
    for kind in ("text/plain", "application/xml", ""):
        refused(http.post("/v1/videos", content=b"x", headers={"content-type": kind}), 415)
    refused(http.put("/v1/videos"), 405, "method_not_allowed")
    form = http.post("/v1/videos", data={"prompt": "x"})  # as curl -d sends it
    assert form.status_code == 200


def connected(site: Site) -> socket.socket:
    place = urlparse(site.address)
    return socket.create_connection((place.hostname, place.port), timeout=30)


def answered(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except OSError:
        pass
    return found


@pytest.mark.parametrize("said", [True, False])
def test_a_gigabyte_is_cut_off(sqlite_site: Site, said: bool) -> None:
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {sqlite_site.keys['a']}\r\n"
        "content-type: multipart/form-data; boundary=b\r\n"
    )
    size = 2**30
    head += f"content-length: {size}\r\n\r\n" if said else "transfer-encoding: chunked\r\n\r\n"
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    part, sent = b"\0" * 2**20, 0
    with connected(sqlite_site) as connection:
        try:
            connection.sendall(head.encode())
            for piece in (file, *[part] * 1024):
                connection.sendall(piece if said else b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
        except OSError:
            pass  # it was cut off
        assert sent < 2 * forms.LARGEST
        found = answered(connection)
    assert not found or b" 413 " in found.splitlines()[0]
    assert not list(sqlite_site.settings.uploads.glob("*/*"))


def test_slow_clients_wait_alone(sqlite_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "SILENCE", 0.5)
    head = (
        f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {sqlite_site.keys['a']}\r\n"
        'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"prompt"'
    )
    slow = [connected(sqlite_site) for _ in range(50)]
    for connection in slow:
        connection.sendall(head.encode())
    assert sqlite_site.http().get("/v1/videos").status_code == 200
    for connection in slow:
        with connection:
            assert b" 408 " in connection.recv(65536).splitlines()[0]


def test_hosts_and_headers_change_nothing(sqlite_site: Site) -> None:
    http = sqlite_site.http()
    video = http.post("/v1/videos", json={"prompt": "x"}).json()["id"]
    for headers in (
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-for": "127.0.0.1"},
        {"x-original-url": "/v1/models"},
        {"x-http-method-override": "DELETE"},
    ):
        answer = http.get(f"/v1/videos/{video}", headers=headers)
        assert answer.json()["id"] == video
        assert "evil" not in str(answer.headers) + answer.text
        assert http.get(f"/v1/videos/{video}/", headers=headers).status_code == 404  # no redirect


def test_no_key_no_reading(sqlite_site: Site) -> None:
    """A body is not received from somebody whose key is wrong."""
    with connected(sqlite_site) as connection:
        connection.sendall(
            b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: 1000000\r\n\r\n"
        )
        began = time.monotonic()
        assert b" 401 " in connection.recv(65536).splitlines()[0]
        assert time.monotonic() - began < forms.SILENCE
