"""Servers in processes of their own, and clients that take so little time themselves that they can run beside them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

CLIENTS = 8  # connections that are kept open


@contextmanager
def served(target: Callable[..., None], *args: object) -> Iterator[tuple[int, int]]:
    """The port and the process id of a server that runs meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=target, args=(port, *args))
    process.start()
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port, int(process.pid or 0)
    finally:
        process.terminate()
        process.join()


class Client(asyncio.Protocol):
    """Sends a request again and again over one connection, and counts the answers.

    A polite one waits as long as each answer asks, and ends with the first that asks for nothing, as the SDK does.
    """

    def __init__(self, request: bytes, status: bytes = b"200", polite: bool = False) -> None:
        self.request, self.status, self.answers = request, b"HTTP/1.1 " + status, 0
        self.pending, self.polite, self.transport = b"", polite, asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Send the next when an answer is whole."""
        self.pending += data
        head, ended, rest = self.pending.partition(b"\r\n\r\n")
        if not ended or len(rest) < int(header(head, b"content-length") or 0):
            return
        if not head.startswith(self.status):
            raise SystemExit(self.pending.decode())
        self.answers, self.pending = self.answers + 1, b""
        if not self.polite:
            self.transport.write(self.request)
        elif wait := header(head, b"openai-poll-after-ms"):
            loop = asyncio.get_running_loop()
            loop.call_later(int(wait) / 1000, self.transport.write, self.request)


def header(head: bytes, name: bytes) -> bytes:
    """A header's value; nothing where there is none."""
    _, found, rest = head.lower().partition(b"\r\n" + name + b": ")
    return rest.split(b"\r\n", 1)[0] if found else b""


async def load(port: int, request: bytes, duration: float, status: bytes = b"200") -> float:
    """Requests a second that a server answers."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Client(request, status), "127.0.0.1", port)
        for _ in range(CLIENTS)
    ]
    await asyncio.sleep(0.2)
    before, began = sum(c.answers for _, c in made), time.perf_counter()
    await asyncio.sleep(duration)
    rate = (sum(c.answers for _, c in made) - before) / (time.perf_counter() - began)
    for transport, _ in made:
        transport.abort()
    return rate


@contextmanager
def polling(port: int, requests: Sequence[bytes]) -> Iterator[None]:
    """Meanwhile, a polite client for each of these requests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)

    async def begin() -> None:
        for request in requests:
            await loop.create_connection(
                lambda r=request: Client(r, polite=True), "127.0.0.1", port
            )

    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(begin(), loop).result()
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def asked(method: str, path: str, key: str, body: object = None) -> bytes:
    """A request's bytes."""
    data = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {key}"]
    if data:
        lines += ["content-type: application/json", f"content-length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data
