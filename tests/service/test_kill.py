"""Processes of a running service that are killed (SIGKILL) at each moment that matters, and one that is stopped.

``YOZORA_KILL_ROUNDS`` says how often each; once, if it says nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, make_url, select, text
from tests.service.models import debug_model
from tests.service.queues import Queue

from yozora.service import accounts, ids, keys, ledger
from yozora.service.artifacts import Artifacts, named
from yozora.service.database import Database
from yozora.service.schema import postings, videos
from yozora.service.settings import Settings
from yozora.service.worker import Worker
from yozora.video import read

ROUNDS = int(os.environ.get("YOZORA_KILL_ROUNDS", "1"))
BATCH = 2  # videos of a round, which are made together
PATIENCE = 300.0  # seconds
KILLS = [
    "after-reserve",  # the interface
    "after-claim",
    "mid-denoise",
    "after-rename",
    "before-settle",
    "after-settle",
    "before-webhook",
    "after-finish",
]


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@dataclass
class Served:
    """A service that runs as users start it, on a model of the debug size."""

    settings: Settings
    traps: Path
    address: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database)
        self.artifacts = Artifacts(self.settings.artifacts)
        self.traps.mkdir()

    def command(self, name: str, *more: str) -> list[str]:
        where = ["--data", str(self.settings.data), "--db", self.settings.db, "--json"]
        work = ["--model", self.settings.models[0], "--lease", f"{self.settings.lease / 1000}"]
        return [
            sys.executable,
            "-c",
            "from yozora.cli import main; main()",
            name,
            *where,
            *work,
            *more,
        ]

    def start(self, name: str, *more: str) -> subprocess.Popen[str]:
        environment = os.environ | {"YOZORA_FAILPOINTS": str(self.traps), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            self.command(name, *more), env=environment, stdout=subprocess.PIPE, text=True
        )

    def make_key(self) -> None:
        with self.database.write() as tx:
            org = accounts.find_org(tx, "default").id
            pepper, project = keys.pepper(self.settings.data), accounts.find_project(tx, org).id
            _, self.key = keys.create(
                tx, pepper, org_id=org, project_id=project, name="k", created_by="test", at=ids.now()
            )  # fmt: skip

    def trap(self, name: str, action: str) -> Path:
        (self.traps / f".{name}").write_text(action)
        return (self.traps / f".{name}").rename(self.traps / name)

    def create(self, token: str) -> str:
        """Ask for a video until somebody answers, as clients do."""
        headers = {"authorization": f"Bearer {self.key}", "idempotency-key": token}
        body = {"prompt": "a red ball", "seconds": "1", "size": "32x32", "steps": 2}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx2.post(
                    f"{self.address}/v1/videos", headers=headers, json=body, timeout=30
                )
                assert answer.status_code == 200, answer.text
                return str(answer.json()["id"])
            except httpx2.TransportError:
                assert time.monotonic() < end
                time.sleep(0.05)

    def statuses(self) -> dict[str, str]:
        with self.database.read() as tx:
            return {row.id: row.status for row in tx.execute(select(videos.c.id, videos.c.status))}

    def check(self, wanted: set[str]) -> None:
        """Every video was made and charged once, and has one artifact."""
        with self.database.read() as tx:
            rows = tx.execute(select(videos)).all()
            assert {row.id for row in rows} == wanted
            assert {row.status for row in rows} == {"completed"}
            charged = tx.execute(
                select(postings.c.video_id, func.count(func.distinct(postings.c.transaction)))
                .where(postings.c.kind == "settle")
                .group_by(postings.c.video_id)
            ).all()
            assert {row[0]: row[1] for row in charged} == dict.fromkeys(wanted, 1)
            assert ledger.check(tx) == []
        assert sorted(self.artifacts.names()) == sorted(row.file for row in rows)
        assert all(len(read(self.artifacts.path(row.file))) == 9 for row in rows)
        assert list(self.settings.artifacts.glob("*/.*")) == []  # nothing half written


@pytest.fixture
def place(tmp_path: Path, address: str) -> Served:
    """Where a service can be started: SQLite or PostgreSQL, and a model."""
    folder = debug_model(tmp_path / "debug")
    return Served(
        Settings(tmp_path / "data", address, (str(folder),), lease=60_000), tmp_path / "traps"
    )


@pytest.fixture
def served(place: Served) -> Iterator[Served]:
    process = place.start("serve", "--port", "0", "--grace", "20")
    try:
        said = ""
        assert process.stdout is not None
        while not said.endswith("}\n}\n"):
            said += process.stdout.readline()
        facts = json.loads(said)
        assert facts["admin"]["user"] == "admin"
        place.address = facts["address"]
        until(lambda: ready(place.address), "it did not become ready")
        place.make_key()
        yield place
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", timeout=30).status_code == 200
    except httpx2.TransportError:
        return False


def test_whoever_is_killed_no_job_is_lost_none_billed_twice_and_each_has_one_artifact(
    served: Served,
) -> None:
    wanted: set[str] = set()
    for number in range(ROUNDS):
        for name in KILLS:
            trap = served.trap(name, "kill")
            mine = {served.create(f"{name}-{number}-{k}") for k in range(BATCH)}
            assert len(mine) == BATCH
            wanted |= mine
            until(lambda: set(served.statuses().values()) == {"completed"}, f"{name}: not finished")
            assert not trap.exists(), f"nobody came to {name}"
            served.check(wanted)


@pytest.mark.parametrize("moment", ["after-reserve", "before-settle"])
def test_whoever_is_stopped_within_a_transaction_holds_nobody_up(
    served: Served, moment: str
) -> None:
    """The interface and a worker, stopped where SQLite's one lock is surely theirs; others write meanwhile."""
    wanted: set[str] = set()
    for number in range(ROUNDS):
        trap = served.trap(moment, "stop")
        if moment == "before-settle":
            wanted.add(served.create(f"{moment}-{number}-0"))
            until(lambda trap=trap: not trap.exists(), "nobody was stopped")
        wanted |= {served.create(f"{moment}-{number}-{k}") for k in (1, 2)}
        assert not trap.exists()
        until(lambda: set(served.statuses().values()) == {"completed"}, "not finished")
        served.check(wanted)


@contextmanager
def away(address: str) -> Iterator[None]:
    """Nobody reaches this database of a PostgreSQL server meanwhile."""
    url = make_url(address)
    server = Database(url.set(database="postgres").render_as_string(hide_password=False))
    ours = server.engine.execution_options(isolation_level="AUTOCOMMIT")
    with ours.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(end), {"name": url.database})
        yield
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true"))
    server.close()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_a_service_outlives_a_database_that_is_away(served: Served) -> None:
    wanted = {served.create("before")}
    headers = {"authorization": f"Bearer {served.key}"}
    body = {"prompt": "a red ball", "seconds": "1", "size": "32x32", "steps": 2}
    with away(served.settings.db):
        for _ in range(3):
            answer = httpx2.post(
                f"{served.address}/v1/videos", headers=headers, json=body, timeout=30
            )
            assert answer.status_code == 503
        assert not ready(served.address)
    wanted.add(served.create("after"))
    until(lambda: set(served.statuses().values()) == {"completed"}, "not finished")
    served.check(wanted)


@pytest.mark.parametrize("moment", ["mid-denoise", "after-rename"])
def test_a_worker_stopped_past_its_lease_and_continued_cannot_settle(
    place: Served, moment: str
) -> None:
    """It is continued once another has made its video, or killed before by its keeper: both are the same to all."""
    place.settings = Settings(
        place.settings.data, place.settings.db, place.settings.models, lease=4000, losses=99
    )
    for number in range(ROUNDS):
        stopped_and_continued(place, moment, f"{moment}-{number}")


def stopped_and_continued(place: Served, moment: str, token: str) -> None:
    queue = Queue(place.database, ids.now())
    trap = place.trap(moment, "stop")
    process = place.start("worker")
    try:
        video = queue.ask(
            org=token, model=Path(place.settings.models[0]).name, seconds="1", steps=2
        )
        until(lambda: not trap.exists(), "the worker did not stop")
        other = Worker(place.settings)

        def done() -> bool:
            other._tidied = 0.0  # looks for lost jobs each time
            other.step()
            return queue.row(video).status == "completed"

        until(done, "nobody took over")
        finished = queue.row(video)
        assert finished.attempt >= 2
        (stopped,) = place.traps.glob(f"{moment}.*")
        with suppress(ProcessLookupError):
            os.kill(int(stopped.suffix[1:]), signal.SIGCONT)
        stopped.unlink()
        until(
            lambda: list(place.artifacts.names()).count(named(video, 1)) == 0, "left its artifact"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert queue.row(video) == finished
        assert queue.settlements(video) == 1
        assert queue.audit() == []
        assert read(place.artifacts.path(finished.file)).frames.shape[0] == 9
        assert [name for name in place.artifacts.names() if name.startswith(video)] == [
            finished.file
        ]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
