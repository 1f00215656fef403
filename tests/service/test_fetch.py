"""Addresses of strangers: only public ones are asked, the one that was checked, and not for long."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.service import fetch
from yozora.service.fetch import FetchError, Rules, get, post, public

ON = Rules(on=True, seconds=5)
HERE = Rules(on=True, seconds=5, also=("127.0.0.1",))


@contextmanager
def server(*answers: bytes, drip: float = 0) -> Iterator[tuple[str, list[bytes]]]:
    """A server on this machine that gives one answer a connection; yields its address and what it was asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            with suppress(OSError):  # of those who have heard enough
                connection, _ = listener.accept()
                with connection:
                    asked.append(whole(connection))
                    size = 16 if drip else max(1, len(answer))
                    for at in range(0, len(answer), size):
                        connection.sendall(answer[at : at + size])
                        time.sleep(drip)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def whole(connection: socket.socket) -> bytes:
    """A request with its body, which may come in several pieces."""
    data = connection.recv(65536)
    length = re.search(rb"content-length: (\d+)", data, re.IGNORECASE)
    while length and len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
        data += connection.recv(65536)
    return data


def reply(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields])
    return head.encode() + b"\r\n\r\n" + body


def test_nothing_is_asked_unless_it_is_switched_on() -> None:
    with pytest.raises(FetchError, match="not fetched here"):
        get("https://example.org/picture.png", Rules())


HIDDEN = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1",
    "2001:0:7f00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", HIDDEN)
def test_addresses_that_are_not_public_are_known_and_refused(address: str) -> None:
    assert not public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(FetchError, match=r"not on the public internet|did not answer"):
        get(f"http://{host}/", ON)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_a_disguise_changes_nothing(address) -> None:  # type: ignore[no-untyped-def]
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert public(ip_address((prefix | int(address)).to_bytes(16))) == public(address)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "localhost."]
)
def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    with server(reply(b"secret")) as (address, asked):
        port = int(address.rpartition(":")[2])
        with pytest.raises(FetchError):
            get(f"http://{host}:{port}/", Rules(on=True, seconds=5, ports=(port,)))
        assert not asked


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "begins with http"),
        ("gopher://example.org/", "begins with http"),
        ("//example.org/", "begins with http"),
        ("http://", "begins with http"),
        ("http://example.org:22/", "Port 22"),
        ("http://example.org:99999/", "no address"),
        ("http://ann:secret@example.org/", "name or a password"),
        ("http://example.org\\@127.0.0.1/", "backslashes"),
        ("http://example.org/\r\nHost: x", "control characters"),
        ("http://[::1/", "no address"),
        ("http://" + "a" * 300 + ".org/", "did not answer"),
    ],
)
def test_what_is_no_sane_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        get(url, ON)


def test_an_answer_comes_back_and_a_redirection_is_followed() -> None:
    with server(reply(b"", "Location: /two?x=1", status="302 Found"), reply(b"picture")) as (
        at,
        asked,
    ):
        assert get(f"{at}/one#part", HERE).body == b"picture"
    assert [request.split()[1] for request in asked] == [b"/one", b"/two?x=1"]
    assert f"Host: {at[7:]}".encode() in asked[0]


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest/meta-data/", "http://localhost/", "file:///etc/passwd"]
)
def test_a_redirection_is_checked_like_the_first_address(to: str) -> None:
    with (
        server(reply(b"", f"Location: {to}", status="302 Found")) as (at, _),
        pytest.raises(FetchError, match=r"public internet|begins with http"),
    ):
        get(at, HERE)


def test_redirections_come_to_an_end() -> None:
    loop = reply(b"", "Location: /", status="301 Moved")
    with server(*[loop] * 5) as (at, asked), pytest.raises(FetchError, match="more than 3 times"):
        get(at, HERE)
    assert len(asked) == 4


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is public when it is checked and private when it is used: it is not looked up twice."""
    looked: list[str] = []
    reached: list[object] = []

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        looked.append(host)
        return [(2, 1, 6, "", ("8.8.8.8" if len(looked) == 1 else "127.0.0.1", port))]

    def create(address: object, timeout: float) -> socket.socket:
        reached.append(address)
        raise OSError

    monkeypatch.setattr(fetch.socket, "getaddrinfo", lookup)
    monkeypatch.setattr(fetch.socket, "create_connection", create)
    with pytest.raises(FetchError, match="did not answer"):
        get("http://rebinding.example/", ON)
    assert (looked, reached) == (["rebinding.example"], [("8.8.8.8", 80)])


def test_a_host_with_one_private_address_among_several_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(2, 1, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(FetchError, match="not on the public internet"):
        get("http://several.example/", ON)


def test_an_answer_has_a_length_and_a_time() -> None:
    short = Rules(on=True, seconds=5, bytes=1000, also=("127.0.0.1",))
    with server(reply(bytes(1001))) as (at, _), pytest.raises(FetchError, match="more than 1000"):
        get(at, short)
    hasty = Rules(on=True, seconds=0.5, also=("127.0.0.1",))
    with (
        server(reply(bytes(5000)), drip=0.1) as (at, _),
        pytest.raises(FetchError, match="in time"),
    ):
        get(at, hasty)
    head = b"HTTP/1.1 100 Continue\r\n\r\n" * 99 + b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 99
    for endless in (head, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000)):  # each piece comes in time
        with server(endless, drip=0.1) as (at, _), pytest.raises(FetchError, match="in time"):
            get(at, hasty)
    for nonsense in (
        b"not http\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 999 + b"\r\n",
    ):
        with server(nonsense) as (at, _), pytest.raises(FetchError, match="did not answer"):
            get(at, HERE)


def test_an_error_of_the_other_side_is_told() -> None:
    with (
        server(reply(b"", status="404 Not Found")) as (at, _),
        pytest.raises(FetchError, match="404"),
    ):
        get(at, HERE)


def test_posting_sends_and_follows_nowhere() -> None:
    with server(reply(b"", "Location: http://127.0.0.1:1/", status="307 Elsewhere")) as (at, asked):
        assert post(f"{at}/hook", b"{}", {"webhook-id": "msg_1"}, HERE).status == 307
    assert b"POST /hook" in asked[0]
    assert b"webhook-id: msg_1" in asked[0]
