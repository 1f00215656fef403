"""The service's HTTP interface: reading a video beside a bare route, listing few and many, and LiteLLM's proxy.

python benchmarks/service_api.py [--quick]

LITELLM names LiteLLM's executable, of an environment of its own, as it asks for other versions than ours do:
python -m venv /tmp/litellm && /tmp/litellm/bin/pip install "litellm[proxy]"; without it there is no peer.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from common import Report, model, options, report, spread, verdict
from wire import CLIENTS, asked, load, served
from yozora.service import ids, jobs, keys
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.schema import orgs, projects, videos
from yozora.service.settings import Settings

ROUNDS = 7
WISH = {"prompt": "A red ball falls.", "model": "nano", "seconds": "2"}


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


def generating(directory: Path) -> None:
    """A video after the other, for ever."""
    import yozora

    pipeline = yozora.load(directory)
    while True:
        pipeline.generate(WISH["prompt"])


@contextmanager
def job(directory: Path) -> Iterator[None]:
    """A job that runs meanwhile."""
    process = multiprocessing.get_context("spawn").Process(target=generating, args=(directory,))
    process.start()
    try:
        while processor(int(process.pid or 0)) < 10:  # the model is loaded
            time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.join()


def upstream(port: int) -> None:
    """A provider that has each video ready at once."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    video = {"id": "video_1", "object": "video", "status": "completed", "progress": 100}
    video |= {"created_at": 1, "seconds": "2", "size": "112x64", "model": "nano"}

    async def answer(_: Request) -> Response:
        return JSONResponse(video)

    routes = [
        Route("/v1/videos", answer, methods=["POST"]),
        Route("/v1/videos/{video_id}", answer),
    ]
    uvicorn.run(Starlette(routes=routes), port=port, log_level="error", access_log=False)


def litellm(port: int, folder: Path, provider: int, key: str) -> None:
    """LiteLLM's proxy in one process, without a database, before that provider."""
    config = {
        "model_list": [
            {
                "model_name": "nano",
                "litellm_params": {
                    "model": "openai/nano",
                    "api_base": f"http://127.0.0.1:{provider}/v1",
                    "api_key": "none",
                },
            }
        ],
        "general_settings": {"master_key": key},
    }
    written = folder / "litellm.yaml"
    written.write_text(json.dumps(config))  # JSON is YAML
    program = os.environ["LITELLM"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    arguments = ["--config", str(written), "--host", "127.0.0.1", "--port", str(port)]
    os.execve(program, [program, *arguments], os.environ | quiet)


def processor(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# --- what is measured --------------------------------------------------------------------------------


def filled(data: Path, rows: int, status: str = "completed") -> tuple[str, str]:
    """A service with so many finished or queued videos; a key, and the id of one of them."""
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
        common |= {"size": "112x64", "status": status, "progress": 100 * (status == "completed")}
        made = [
            common | {"id": ids.new("video"), "params": {"seed": n}, "created_at": at - n * 100}
            for n in range(rows)
        ]
        tx.execute(videos.insert(), made)
    database.close()
    return key, str(made[rows // 2]["id"])


def reading(made: Report, rows: int, duration: float, rounds: int, meanwhile: str) -> None:
    """GET /v1/videos/{id} beside a bare route with the same bytes, in turns."""
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
        f"bytes, {meanwhile}; each in one process, {CLIENTS} connections, {rounds} rounds in turns."
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
            calls = {
                "list": asked("GET", "/v1/videos?limit=20", key),
                "list after the middle": asked("GET", f"/v1/videos?limit=20&after={video}", key),
                "create": asked("POST", "/v1/videos", key, WISH),
            }
            with served(ours, Path(folder)) as (port, _):
                found = [asyncio.run(load(port, call, duration)) for call in calls.values()]
            table.append([str(rows), *(f"{rate:.0f}" for rate in found)])
    made.say("Requests a second with so many videos in the database, 20 a page.")
    made.table(["rows", *calls], table)


def claiming(made: Report, counts: list[int], times: int) -> None:
    """What a worker's look at the queue and a claim take, with few and with many queued videos."""
    table = []
    for rows in counts:
        with tempfile.TemporaryDirectory() as folder:
            filled(Path(folder), rows, "queued")
            database = Database(Settings(Path(folder)).database)
            looks, claims = [], []
            for n in range(times):
                began = time.perf_counter()
                with database.read() as tx:
                    jobs.waiting(tx, ["nano"])
                looked = time.perf_counter()
                with database.write() as tx:
                    taken = jobs.claim(
                        tx, worker=f"w{n}", models=["nano"], at=ids.now(), lease=60_000
                    )
                looks.append((looked - began) * 1000)
                claims.append((time.perf_counter() - looked) * 1000)
                with database.write() as tx:
                    for job in taken:
                        jobs.hand_back(tx, job, at=ids.now())
            database.close()
        table.append([str(rows), spread(looks), spread(claims)])
    made.say("Milliseconds with so many videos queued, in SQLite.")
    made.table(["rows", "look at the queue", "claim one"], table)


def peer(made: Report, rows: int, duration: float, rounds: int) -> None:
    """Create and get, here and through LiteLLM's proxy, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder, key = Path(name), "sk-benchmark"
        mine, video = filled(folder, rows)
        with (
            served(ours, folder) as (port, _),
            served(upstream) as (provider, _),
            served(litellm, folder, provider, key) as (other, _),
        ):
            headers = {"authorization": f"Bearer {key}"}
            answer = httpx2.post(
                f"http://127.0.0.1:{other}/v1/videos", headers=headers, json=WISH, timeout=60
            )
            theirs = answer.raise_for_status().json()["id"]
            calls = {
                "create": (asked("POST", "/v1/videos", mine, WISH), asked("POST", "/v1/videos", key, WISH)),
                "get": (asked("GET", f"/v1/videos/{video}", mine), asked("GET", f"/v1/videos/{theirs}", key)),
            }  # fmt: skip
            table = []
            for call, (one, two) in calls.items():
                pairs = [
                    (
                        asyncio.run(load(port, one, duration)),
                        asyncio.run(load(other, two, duration)),
                    )
                    for _ in range(rounds)
                ]
                times = [a / b for a, b in pairs]
                found = [
                    spread([a for a, _ in pairs]),
                    spread([b for _, b in pairs]),
                    spread(times),
                ]
                table.append([call, *found, verdict(statistics.median(times), 2, at_least=True)])
    version = subprocess.run(
        [os.environ["LITELLM"], "--version"], capture_output=True, text=True
    ).stdout
    made.say(
        f"Requests a second beside LiteLLM's proxy ({version.strip()}), the same requests in turns, {rounds} rounds, "
        f"each in one process, {CLIENTS} connections. Ours keeps a job, a hold and an event in its database before it "
        f"answers, and has {rows} rows; the proxy has no database and hands the request on to a provider that answers "
        "at once."
    )
    made.table(["request", "yozora", "LiteLLM", "times", "target"], table)


def main() -> None:
    args = options(__doc__)
    duration, rounds = (0.3, 1) if args.quick else (3.0, ROUNDS)
    counts = [100, 500] if args.quick else [1_000, 10_000, 100_000]
    with (
        report("service_api", "The service's HTTP interface", args) as made,
        tempfile.TemporaryDirectory() as folder,
    ):
        reading(made, counts[-1], duration, rounds, "nothing else running")
        with job(model(args.quick, Path(folder)).directory):
            reading(made, counts[-1], duration, rounds, "while a job runs")
        growing(made, counts, duration)
        claiming(made, counts, 3 if args.quick else 50)
        if "LITELLM" in os.environ:
            peer(made, counts[-1], duration, rounds)


if __name__ == "__main__":
    main()
