"""A worker: claims jobs, generates them, and writes down what became of them. It is a process of its own.

It beats between denoising steps and while it writes, so that a lease says that work is going on. One that dies, or is
held up for longer than its lease, has its jobs given to others; nothing it does afterwards counts.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import InterfaceError, OperationalError

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.service import ids, jobs
from yozora.service.artifacts import VIDEO, Artifacts, named
from yozora.service.database import Database
from yozora.service.failpoints import reach
from yozora.service.intake import IntakeError
from yozora.service.jobs import Job
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
            try:
                busy = self.step()
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer, trying again: %s", error.orig)
                self.stop.wait(RETRY)
                continue
            if not busy:
                self.stop.wait(POLL)
        with self.database.write() as tx:
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
    with database.write() as tx:
        at = ids.now()
        left = jobs.reap(tx, at=at, losses=settings.losses, worker=worker)
        expired = jobs.expire(tx, at=at)
    for name in [*left, *(file for _, file in expired)]:
        artifacts.delete(name)
    if expired:
        with database.write() as tx:
            jobs.forget(tx, [video for video, _ in expired])


@dataclass
class Shift:
    """A batch of jobs in a worker's hands. ``batch`` loses those that are cancelled or taken away."""

    worker: Worker
    batch: Sequence[Job]

    def __post_init__(self) -> None:
        self.mine = {job.id: job for job in self.batch}
        self.began = self.beaten = time.monotonic()
        self.progress = 0

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
        except (OperationalError, InterfaceError):
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
        """Keep the leases; drop the jobs that are cancelled or lost. Raises Stopped when none is left."""
        self.beaten = time.monotonic()
        shown = dict(zip((job.id for job in self.batch), previews, strict=True)) if previews else {}
        with self.worker.database.write() as tx:
            at, lease = ids.now(), self.worker.settings.lease
            jobs.sign(tx, worker=self.worker.name, models=self.worker.models.names, at=at)
            batch = list(self.mine.values())  # those that are written meanwhile leave it
            states = jobs.beat_all(
                tx, batch, at=at, lease=lease, progress=self.progress, previews=shown
            )
            for job in batch:
                if states[job.id] == "cancelled":
                    jobs.fail(tx, job, code="cancelled", message=jobs.CANCELLED, at=at)
                if states[job.id] != "on":
                    self.mine.pop(job.id, None)
            if self.worker.overdue():
                for job in list(self.mine.values()):
                    jobs.hand_back(tx, job, at=at)
                self.mine.clear()
        if not self.mine:
            raise Stopped

    def deliver(self, job: Job, clip: Clip) -> None:
        """Put a clip on disk, marked and signed, then complete its job; what turns out to be nobody's is removed."""
        from yozora.service.making import save

        artifacts, sealer = self.worker.artifacts, self.worker.sealer
        weights = self.worker.models.weights(job.model)
        given = any(job.params.get(name) is not None for name in jobs.GIVEN)
        facts = Facts(job.model, job.prompt, ids.now(), weights, job.params.get("seed"), given)
        with artifacts.adding(job.artifact) as folder:
            save(sealer.mark(clip, facts), folder)
            sealer.seal(folder / VIDEO, folder / VIDEO, facts)
            sha256, size = content_hash(folder / VIDEO), (folder / VIDEO).stat().st_size
        reach("after-rename")
        taken = (time.monotonic() - self.began) / len(self.batch)
        with self.worker.database.write() as tx:
            done = jobs.finish(
                tx, job, file=job.artifact, bytes=size, sha256=sha256, taken=taken, at=ids.now(),
                seconds=str(decimal(clip.seconds)) if job.follows else None,
            )  # fmt: skip
        reach("after-finish")
        self.mine.pop(job.id, None)
        gone = range(1, job.attempt if done else job.attempt + 1)
        for attempt in gone:  # what those who lost the job may have left
            artifacts.delete(named(job.id, attempt))

    def give_up(self, code: str, message: str) -> None:
        """Fail a job that was alone; several are tried again one by one, as one of them may be to blame."""
        with self.worker.database.write() as tx:
            for job in self.mine.values():
                if len(self.batch) > 1:
                    jobs.hand_back(tx, job, at=ids.now(), alone=True)
                else:
                    jobs.fail(tx, job, code=code, message=message, at=ids.now())


def work(settings: Settings, name: str, stop: threading.Event) -> None:
    """Work in this process until ``stop`` is set, by SIGTERM or SIGINT too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker(settings, name, stop).run()
