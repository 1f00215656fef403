"""A server on this computer that plays an OpenAI-compatible endpoint, with all that can go wrong with one."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASKED = re.compile(r'"id": "([0-9a-f]+)"')


@dataclass(frozen=True)
class Answer:
    """What the server does: a status with headers and a body, after so many seconds."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


@dataclass(frozen=True)
class Request:
    """What was asked: for which clip, with which body and headers, and when."""

    clip: str
    body: dict[str, Any]
    headers: dict[str, str]
    path: str
    time: float


Play = Callable[[Request, int], Answer]  # a request, and how often its clip was asked for before


@dataclass
class Server:
    """A server that is running."""

    url: str
    requests: list[Request] = field(default_factory=list)
    busiest: int = 0
    busy: int = 0

    def times(self, clip: str) -> int:
        """How often a clip was asked for."""
        return sum(request.clip == clip for request in self.requests)


def says(clip: str, caption: str = "") -> Answer:
    """A fit answer."""
    text = json.dumps({"id": clip, "caption": caption or f"What clip {clip} shows."})
    return said(text)


def said(text: Any, **message: Any) -> Answer:
    """An answer with this content."""
    return Answer({"choices": [{"message": {"content": text, **message}, "finish_reason": "stop"}]})


@contextmanager
def serving(play: Play) -> Iterator[Server]:
    """The server, while it is needed."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            clip = ASKED.findall(body["messages"][-1]["content"][0]["text"])[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(clip, body, headers, self.path, time.monotonic())
            with lock:
                before = server.times(clip)
                server.requests.append(request)
                server.busy += 1
                server.busiest = max(server.busiest, server.busy)
            answer = play(request, before)
            time.sleep(answer.after)
            with lock:
                server.busy -= 1
            data = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # who asked has gone

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
