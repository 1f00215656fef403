"""A worker: claims jobs, generates them, and writes down what became of them. It is a process of its own.

It beats between denoising steps and while it writes, so that a lease says that work is going on. One that dies, or is
held up for longer than its lease, has its jobs given to others; nothing it does afterwards counts.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.service import ids, jobs
from yozora.service.artifacts import VIDEO, Artifacts, named
from yozora.service.database import AWAY, Database, why
from yozora.service.failpoints import reach
from yozora.service.intake import IntakeError
from yozora.service.jobs import Job, State
from yozora.service.provenance import Facts, Sealer
from yozora.service.registry import Models
from yozora.service.settings import Settings
from yozora.service.sources import admitted
from yozora.service.wishes import decimal
from yozora.video import Clip

POLL = 0.1  # seconds between two looks at an empty queue
BEAT = 1.0  # seconds between two beats; cancelling takes as long at most, or one step
TIDY = 5.0  # seconds between two looks for lost and expired jobs
RETRY = 2.0  # seconds after which a database that did not answer is asked again
log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """Nobody waits for this batch any more."""


def new_name() -> str:
    """A worker's name: of the machine and the process, and never used before."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass
class Worker:
    """Works until ``stop`` is set; then it finishes what it has begun, or hands it back when ``grace`` is over."""

    settings: Settings
    name: str = field(default_factory=new_name)
    stop: threading.Event = field(default_factory=threading.Event)
    alive: Callable[[], None] = lambda: None  # is told that the work goes on

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database)
        self.artifacts = Artifacts(self.settings.artifacts)
        self.models = Models(self.settings.models, self.settings.memory)
        self.sealer = Sealer(self.settings.credentials)
        self._tidied = 0.0
        self._stopped_at: float | None = None

    def run(self) -> None:
        """Work until told to stop; a database that is away for a while is waited for."""
        self.models.get(self.models.names[0])  # the first job need not wait for it
        log.info("worker %s makes videos with %s", self.name, ", ".join(self.models.names))
        while not self.stop.is_set():
            self.alive()
            try:
                busy = self.step()
            except AWAY as error:
                log.warning("the database does not answer, trying again: %s", why(error))
                self.stop.wait(RETRY)
                continue
            if not busy:
                self.stop.wait(POLL)
        with suppress(*AWAY), self.database.write() as tx:
            jobs.leave(tx, worker=self.name)
        self.database.close()

    def step(self) -> bool:
        """Make what is next, if there is something. Returns whether there was."""
        self.tidy()
        with self.database.read() as tx:
            if not jobs.waiting(tx, self.models.names):
                return False
        with self.database.write() as tx:
            batch = jobs.claim(
                tx,
                worker=self.name,
                models=self.models.names,
                at=ids.now(),
                lease=self.settings.lease,
                most=self.settings.batch,
            )
        if not batch:
            return False
        reach("after-claim")
        Shift(self, batch).work()
        return True

    def tidy(self) -> None:
        """Now and then: say that one is there, give lost jobs to others, and delete what has expired."""
        if self._tidied and time.monotonic() - self._tidied < TIDY:
            return
        self._tidied = time.monotonic()
        with self.database.write() as tx:
            jobs.sign(tx, worker=self.name, models=self.models.names, at=ids.now())
        tidy(self.database, self.artifacts, self.settings)

    def overdue(self) -> bool:
        """Whether it was told to stop so long ago that it has to put its work down."""
        if not self.stop.is_set():
            return False
        self._stopped_at = self._stopped_at or time.monotonic()
        return time.monotonic() - self._stopped_at > self.settings.grace / 1000


def tidy(
    database: Database, artifacts: Artifacts, settings: Settings, worker: str | None = None
) -> None:
    """Give lost jobs to others, with all of a ``worker`` that is known to be dead; delete what has expired."""
    left = [""]
    while left:
        with database.write() as tx:
            left = jobs.reap(tx, at=ids.now(), losses=settings.losses, worker=worker)
        for name in left:
            artifacts.delete(name)
    with database.write() as tx:
        expired = jobs.expire(tx, at=ids.now())
    for _, file in expired:
        artifacts.delete(file)
    if expired:
        with database.write() as tx:
            jobs.forget(tx, [video for video, _ in expired])


def complete(
    database: Database,
    artifacts: Artifacts,
    job: Job,
    *,
    taken: float,
    patience: float,
    seconds: str | None = None,
) -> None:
    """Complete a job whose artifact is on disk; whatever of it turns out to be nobody's is removed.

    ``taken`` and ``seconds`` are those of `jobs.finish`.

    A database that is away is waited for, at most for ``patience`` seconds: then it raises one of AWAY, and nobody
    knows whether the job is completed.
    """
    path, until = artifacts.path(job.artifact), time.monotonic() + patience
    size, sha256 = path.stat().st_size, content_hash(path)
    while True:
        try:
            with database.write() as tx:
                done = jobs.finish(
                    tx,
                    job,
                    file=job.artifact,
                    bytes=size,
                    sha256=sha256,
                    taken=taken,
                    at=ids.now(),
                    seconds=seconds,
                )
            break
        except AWAY as error:
            if time.monotonic() > until:
                raise
            log.warning("%s waits for the database: %s", job.id, why(error))
            time.sleep(RETRY)
    reach("after-finish")
    for attempt in range(1, job.attempt if done else job.attempt + 1):
        artifacts.delete(named(job.id, attempt))


@dataclass
class Shift:
    """A batch of jobs in a worker's hands. ``batch`` loses those that are cancelled or taken away."""

    worker: Worker
    batch: Sequence[Job]

    def __post_init__(self) -> None:
        self.mine = {job.id: job for job in self.batch}
        self.began = self.beaten = self.renewed = time.monotonic()
        self.progress = self.told = 0

    def work(self) -> None:
        """Generate all of it; what cannot be generated fails, in a way that says why."""
        try:
            self.generate()
        except Stopped:
            pass
        except IntakeError as error:
            self.give_up(error.code, str(error))
        except (
            YozoraError
        ) as error:  # it may name files of this machine, which are no client's business
            log.warning("%s could not be generated: %s", ", ".join(self.mine), error)
            self.give_up(
                "generation_failed",
                "It could not be generated from what was given; nothing was charged.",
            )
        except AWAY:
            raise  # of the database: the leases run out, and others take over
        except Exception:
            log.exception("a batch of %d went wrong", len(self.batch))
            self.give_up("internal_error", "Something went wrong here; nothing was charged.")

    def generate(self) -> None:
        """Denoise the batch together, from uploads that a confined process has looked into; write its clips down."""
        from yozora.service.making import make  # brings torch

        pipeline = self.worker.models.get(self.batch[0].model)
        self.beat()
        with TemporaryDirectory(prefix="yozora-uploads-") as folder:
            sources = partial(admitted, self.worker.database, self.worker.settings, Path(folder))
            self.deliver_all(make(pipeline, self.batch, sources, self.watch))

    def deliver_all(self, clips: Iterable[Clip]) -> None:
        """Write down the clips of the batch while the rest is made, and keep the leases until all are written."""
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="deliver") as pool:
            rest = {
                pool.submit(self.deliver, job, clip)
                for job, clip in zip(self.batch, clips, strict=True)
                if job.id in self.mine
            }
            while rest:
                done, rest = wait(rest, timeout=BEAT, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                if rest and self.mine and time.monotonic() - self.beaten > BEAT:
                    self.beat()

    def watch(self, progress: int, previews: Sequence[bytes]) -> None:
        """Between two steps: beat when it is time, and stop when nobody waits any more. Raises Stopped."""
        reach("mid-denoise")
        self.progress = progress
        if previews or time.monotonic() - self.beaten > BEAT:
            self.beat(previews)

    def beat(self, previews: Sequence[bytes] = ()) -> None:
        """Keep the leases; drop the jobs that are cancelled or lost. Raises Stopped when none is left.

        A database that is away is nothing as long as the leases last.
        """
        self.worker.alive()
        self.beaten = time.monotonic()
        shown = dict(zip((job.id for job in self.batch), previews, strict=True)) if previews else {}
        batch = list(self.mine.values())  # those that are written meanwhile leave it
        try:
            states = self.stand(batch, shown)
            self.drop([job for job in batch if states[job.id] == "cancelled"])
            if self.worker.overdue():
                self.put_down()
        except AWAY as error:
            if time.monotonic() - self.renewed > self.worker.settings.lease / 1000:
                raise
            log.warning("the database does not answer, the work goes on: %s", why(error))
            return
        for job in batch:
            if states[job.id] != "on":
                self.mine.pop(job.id, None)
        if not self.mine:
            raise Stopped

    def stand(self, batch: Sequence[Job], shown: Mapping[str, bytes]) -> Mapping[str, State]:
        """How the jobs stand. Something is written only when there is news, or a quarter of the lease has gone."""
        worker, now = self.worker, time.monotonic()
        news = self.progress if self.progress != self.told else None
        spell = min(worker.settings.lease, jobs.SILENT) / 4000
        if news is None and not shown and now - self.renewed < spell:
            with worker.database.read() as tx:
                return jobs.look(tx, batch, at=ids.now())
        with worker.database.write() as tx:
            at, lease = ids.now(), worker.settings.lease
            jobs.sign(tx, worker=worker.name, models=worker.models.names, at=at)
            states = jobs.beat_all(tx, batch, at=at, lease=lease, progress=news, previews=shown)
        self.renewed, self.told = now, self.progress
        return states

    def drop(self, cancelled: Sequence[Job]) -> None:
        """End jobs that nobody wants any more, each by itself as the ledger has it."""
        for job in cancelled:
            with self.worker.database.write() as tx:
                jobs.fail(tx, job, code="cancelled", message=jobs.CANCELLED, at=ids.now())

    def put_down(self) -> None:
        """Hand back all that is left."""
        with self.worker.database.write() as tx:
            for job in list(self.mine.values()):
                jobs.hand_back(tx, job, at=ids.now())
        self.mine.clear()

    def deliver(self, job: Job, clip: Clip) -> None:
        """Put a clip on disk, marked and signed, then complete its job."""
        from yozora.service.making import save

        artifacts, sealer = self.worker.artifacts, self.worker.sealer
        weights = self.worker.models.weights(job.model)
        given = any(job.params.get(name) is not None for name in jobs.GIVEN)
        facts = Facts(job.model, job.prompt, ids.now(), weights, job.params.get("seed"), given)
        with artifacts.adding(job.artifact) as folder:
            save(sealer.mark(clip, facts), folder)
            sealer.seal(folder / VIDEO, folder / VIDEO, facts)
        reach("after-rename")
        taken = (time.monotonic() - self.began) / len(self.batch)
        length = str(decimal(clip.seconds)) if job.follows else None
        lease = self.worker.settings.lease / 1000
        complete(self.worker.database, artifacts, job, taken=taken, seconds=length, patience=lease)
        self.mine.pop(job.id, None)

    def give_up(self, code: str, message: str) -> None:
        """Fail a job that was alone; several are tried again one by one, as one of them may be to blame."""
        with self.worker.database.write() as tx:
            for job in self.mine.values():
                if len(self.batch) > 1:
                    jobs.hand_back(tx, job, at=ids.now(), alone=True)
                else:
                    jobs.fail(tx, job, code=code, message=message, at=ids.now())
