"""The service's HTTP interface: reading a video beside a bare route, listing few and many, creating.

python benchmarks/service_api.py [--quick]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import Report, options, report, spread, verdict
from yozora.service import ids, keys
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.schema import orgs, projects, videos
from yozora.service.settings import Settings

CLIENTS = 8  # connections that are kept open
ROUNDS = 7


# --- servers -----------------------------------------------------------------------------------------


def bare(port: int, body: bytes) -> None:
    """One Starlette route that answers with these bytes."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(_: Request) -> Response:
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/v1/videos/{video_id}", answer)])
    uvicorn.run(app, port=port, log_level="error", access_log=False)


def ours(port: int, data: Path) -> None:
    """The service's interface in one process, as `yozora serve` runs it."""
    import uvicorn

    from yozora.service.api.app import create_app

    settings = Settings(data)
    app = create_app(settings, Database(settings.database), Artifacts(settings.artifacts))
    uvicorn.run(app, port=port, log_level="error", access_log=False)


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


# --- a client that takes little time itself ----------------------------------------------------------


class Client(asyncio.Protocol):
    """Sends a request again and again over one connection, and counts the answers."""

    def __init__(self, request: bytes, status: bytes) -> None:
        self.request, self.status, self.answers = request, b"HTTP/1.1 " + status, 0
        self.pending, self.transport = b"", asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Send the next when an answer is whole."""
        self.pending += data
        head, ended, rest = self.pending.partition(b"\r\n\r\n")
        if not ended:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        if not head.startswith(self.status):
            raise SystemExit(self.pending.decode())
        self.answers, self.pending = self.answers + 1, b""
        self.transport.write(self.request)


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


def asked(method: str, path: str, key: str, body: object = None) -> bytes:
    """A request's bytes."""
    data = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {key}"]
    if data:
        lines += ["content-type: application/json", f"content-length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def processor(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# --- what is measured --------------------------------------------------------------------------------


def filled(data: Path, rows: int) -> tuple[str, str]:
    """A service with so many finished videos; a key, and the id of one of them."""
    settings = Settings(data)
    database = Database(settings.database)
    database.upgrade()
    at = ids.now()
    with database.write() as tx:
        tx.execute(orgs.insert(), {"id": "org_a", "name": "a", "created_at": at})
        tx.execute(
            projects.insert(), {"id": "proj_a", "org_id": "org_a", "name": "p", "created_at": at}
        )
        pepper = keys.pepper(settings.data)
        row, key = keys.create(
            tx, pepper, org_id="org_a", project_id="proj_a", name="k", created_by="benchmark", at=at
        )
        common = {"org_id": "org_a", "project_id": "proj_a", "key_id": row.id, "model": "nano"}
        common |= {
            "prompt": "A red ball falls onto a grey floor and bounces twice.",
            "seconds": "2",
        }
        common |= {"size": "112x64", "status": "completed", "progress": 100}
        made = [
            common | {"id": ids.new("video"), "params": {"seed": n}, "created_at": at - n * 100}
            for n in range(rows)
        ]
        tx.execute(videos.insert(), made)
    database.close()
    return key, str(made[rows // 2]["id"])


def reading(made: Report, rows: int, duration: float, rounds: int) -> None:
    """GET /v1/videos/{id} beside a bare route with the same bytes, in turns."""
    import httpx2

    with tempfile.TemporaryDirectory() as folder:
        key, video = filled(Path(folder), rows)
        request = asked("GET", f"/v1/videos/{video}", key)
        with served(ours, Path(folder)) as (port, pid):
            headers = {"authorization": f"Bearer {key}"}
            answer = httpx2.get(f"http://127.0.0.1:{port}/v1/videos/{video}", headers=headers)
            with served(bare, answer.content) as (other, other_pid):
                rates: dict[str, list[float]] = {"bare": [], "ours": []}
                cost: dict[str, list[float]] = {"bare": [], "ours": []}
                for _ in range(rounds):
                    for name, at, who in (("bare", other, other_pid), ("ours", port, pid)):
                        before = processor(who)
                        rate = asyncio.run(load(at, request, duration))
                        rates[name].append(rate)
                        cost[name].append((processor(who) - before) / (rate * duration) * 1e6)
    shares = [b / a for a, b in zip(rates["bare"], rates["ours"], strict=True)]
    made.say(
        f"Reading one of {rows} videos with its key's check, beside a bare Starlette route that answers with the same "
        f"bytes; each in one process, {CLIENTS} connections, {rounds} rounds in turns."
    )
    made.table(
        ["route", "requests/s", "processor µs a request"],
        [[name, spread(rates[name]), spread(cost[name])] for name in rates],
    )
    share = statistics.median(shares)
    made.say(f"Share: {spread(shares)}; {verdict(share, 0.5, at_least=True)}.")


def growing(made: Report, counts: list[int], duration: float) -> None:
    """GET /v1/videos with few and with many rows, at the beginning and in the middle; and POST /v1/videos."""
    table = []
    for rows in counts:
        with tempfile.TemporaryDirectory() as folder:
            key, video = filled(Path(folder), rows)
            wish = {"prompt": "A red ball falls.", "model": "nano", "seconds": "2"}
            calls = {
                "list": asked("GET", "/v1/videos?limit=20", key),
                "list after the middle": asked("GET", f"/v1/videos?limit=20&after={video}", key),
                "create": asked("POST", "/v1/videos", key, wish),
            }
            with served(ours, Path(folder)) as (port, _):
                found = [asyncio.run(load(port, call, duration)) for call in calls.values()]
            table.append([str(rows), *(f"{rate:.0f}" for rate in found)])
    made.say("Requests a second with so many videos in the database, 20 a page.")
    made.table(["rows", *calls], table)


def main() -> None:
    args = options(__doc__)
    duration, rounds = (0.3, 1) if args.quick else (3.0, ROUNDS)
    counts = [100, 500] if args.quick else [1_000, 10_000, 100_000]
    with report("service_api", "The service's HTTP interface", args) as made:
        reading(made, counts[-1], duration, rounds)
        growing(made, counts, duration)


if __name__ == "__main__":
    main()
