"""A service on a socket, with keys of two organisations and a worker that takes no time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
import uvicorn

from yozora import video
from yozora.service import ids, jobs, keys
from yozora.service.api.app import create_app
from yozora.service.api.service import Service
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.schema import orgs, projects
from yozora.service.settings import Settings

PNG = b"\x89PNG\r\n\x1a\n of no picture"


@dataclass
class Site:
    """A running service; ``keys`` are those of the organisations a and b."""

    address: str
    settings: Settings
    database: Database
    artifacts: Artifacts
    service: Service
    keys: dict[str, str] = field(default_factory=dict)
    clients: ExitStack = field(default_factory=ExitStack)
    plain: dict[str | None, httpx2.Client] = field(default_factory=dict)

    def sdk(self, who: str = "a", **options: object) -> openai.OpenAI:
        """The SDK, as anybody would set it up."""
        given = {"max_retries": 0, **options}
        made = openai.OpenAI(base_url=f"{self.address}/v1", api_key=self.keys[who], **given)  # type: ignore[arg-type]
        return self.clients.enter_context(made)

    def http(self, who: str | None = "a") -> httpx2.Client:
        """A plain client."""
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        if who not in self.plain:
            made = httpx2.Client(base_url=self.address, headers=headers, timeout=30, verify=False)
            self.plain[who] = self.clients.enter_context(made)
        return self.plain[who]

    def key(self, org: str, **given: object) -> str:
        """Another key of an organisation."""
        with self.database.write() as tx:
            at = ids.now()
            pepper = keys.pepper(self.settings.data)
            _, key = keys.create(
                tx, pepper, org_id=f"org_{org}", project_id=f"proj_{org}", name="k",
                created_by="test", at=at, **given,
            )  # fmt: skip
        return key

    def work(self, most: int = 1) -> int:
        """Do what is queued, as a worker would; how many videos that were."""
        done = 0
        while True:
            with self.database.write() as tx:
                at = ids.now()
                found = jobs.claim(tx, worker="w", models=["nano"], at=at, lease=60_000, most=most)
            if not found:
                return done
            for job in found:
                self.finish(job)
                done += 1

    def finish(self, job: jobs.Job) -> None:
        """Put a small video into the store, and say that the job is done."""
        with self.database.write() as tx:
            jobs.beat_all(
                tx, [job], at=ids.now(), lease=60_000, progress=50, previews={job.id: b"RIFF"}
            )
        frames = np.zeros((5, 64, 112, 3), np.uint8)
        with self.artifacts.adding(job.artifact) as folder:
            video.write(video.Clip(frames, 8.0), folder / "video.mp4")
            (folder / "thumbnail.webp").write_bytes(b"RIFF....WEBP")
            (folder / "spritesheet.jpg").write_bytes(b"\xff\xd8\xff")
        size = self.artifacts.path(job.artifact).stat().st_size
        with self.database.write() as tx:
            jobs.finish(
                tx, job, file=job.artifact, bytes=size, sha256="0" * 64, taken=0.1, at=ids.now()
            )


@contextmanager
def running(app: object) -> Iterator[str]:
    """The address of an application that is served meanwhile."""
    config = uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def site_on(folder: Path, db: str) -> Iterator[Site]:
    """A service with a database that has its tables."""
    settings = Settings(folder, db=db)
    database, artifacts = Database(settings.database), Artifacts(settings.artifacts)
    with database.write() as tx:
        for name in "ab":
            tx.execute(orgs.insert(), {"id": f"org_{name}", "name": name, "created_at": 1})
            row = {"id": f"proj_{name}", "org_id": f"org_{name}", "name": "p", "created_at": 1}
            tx.execute(projects.insert(), row)
    app = create_app(settings, database, artifacts)
    with running(app) as place, ExitStack() as clients:
        made = Site(place, settings, database, artifacts, app.state.service, clients=clients)
        scopes = [*keys.USUAL, "webhooks:write"]
        made.keys |= {name: made.key(name, scopes=scopes) for name in "ab"}
        yield made
    database.close()


@pytest.fixture
def site(tmp_path: Path, address: str) -> Iterator[Site]:
    """A service on SQLite, and once more on PostgreSQL."""
    with site_on(tmp_path, address) as made:
        yield made


@pytest.fixture(scope="module")
def sqlite_site(
    tmp_path_factory: pytest.TempPathFactory, new_sqlite: Callable[[], str]
) -> Iterator[Site]:
    """A service on SQLite for all tests of a file, for what never gets as far as the database."""
    with site_on(tmp_path_factory.mktemp("site"), new_sqlite()) as made:
        yield made
