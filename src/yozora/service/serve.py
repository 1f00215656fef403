"""The whole service on one machine: the interface, workers and a forwarder, each a process of its own, kept running.

The process that is started listens, but answers nothing itself: so an interface that dies comes back at the same
address, and what knocks meanwhile waits. A worker that dies gives its jobs back at once.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from yozora.errors import YozoraError
from yozora.service import accounts, ids, jobs, keys, logs, retention, tracing
from yozora.service.artifacts import Artifacts
from yozora.service.certificate import load_credentials
from yozora.service.database import Database
from yozora.service.providers import Offer, read_providers
from yozora.service.registry import Models
from yozora.service.settings import Settings
from yozora.service.webhooks import RULES, Sender
from yozora.service.worker import TIDY, new_name, tidy, work

if TYPE_CHECKING:
    import uvicorn

# Processes are forked from a server that has imported torch and done nothing with it: they begin at once.
PROCESSES = multiprocessing.get_context("forkserver")
HEAVY = ["yozora.service.making", "yozora.service.worker"]
SOON, LATEST = 0.2, 30.0  # seconds until a process that died is begun again: at first, and at most
STEADY = 2.0  # seconds after which a process counts as having begun well
SWEEP = 600.0  # seconds between two looks for what was kept for a time only
CLOSING = 5  # seconds that open connections have when the interface ends
log = logging.getLogger(__name__)


def serve(settings: Settings, say: Callable[[str, str | None], None]) -> None:
    """Serve until SIGTERM or SIGINT; then workers finish or hand back what they have.

    ``say`` is told the address and, at the first start, the password of the user "admin".

    Raises:
        YozoraError: a model is missing, the database cannot be used, or nothing can listen at the address.
    """
    Offer(Models(settings.models), read_providers(settings.providers))
    logs.begin(settings.log)
    database = Database(settings.database)
    database.upgrade()
    keys.pepper(settings.data)
    load_credentials(settings.credentials)
    with listen(settings.host, settings.port) as listener:
        with database.write() as tx:
            password = accounts.bootstrap(tx, at=ids.now())
        say(address(settings.host, listener.getsockname()[1]), password)
        Keeper(settings, listener, database).run()
    database.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises YozoraError when there can be none."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise YozoraError(
            f"Nothing can listen at {host}, port {port}: {error}. Choose another --host or --port."
        ) from error


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds the service."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


# --- the processes ---------------------------------------------------------------------------------


def web_server(app: Any, settings: Settings) -> uvicorn.Config:
    """How the interface is served. Only a proxy on this machine, or that is named, is believed who asks through it."""
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=["127.0.0.1", "::1", *settings.proxy],
        timeout_graceful_shutdown=CLOSING,
        ws="none",
    )


def answer(settings: Settings, listener: socket.socket) -> None:
    """The interface, in a process of its own."""
    import uvicorn

    from yozora.service.api.app import create_app

    logs.begin(settings.log)
    tracing.begin("yozora-interface")
    app = create_app(settings, Database(settings.database), Artifacts(settings.artifacts))
    server = uvicorn.Server(web_server(app, settings))

    def end() -> None:
        server.should_exit = True

    watch_parent(end)
    server.run(sockets=[listener])


def make(settings: Settings, name: str) -> None:
    """A worker, in a process of its own."""
    logs.begin(settings.log)
    tracing.begin("yozora-worker")
    stop = threading.Event()
    watch_parent(stop.set)
    work(settings, name, stop)


def pass_on(settings: Settings, name: str) -> None:
    """A forwarder, in a process of its own."""
    from yozora.service.forward import forward

    logs.begin(settings.log)
    tracing.begin("yozora-forwarder")
    stop = threading.Event()
    watch_parent(stop.set)
    forward(settings, name, stop)


def watch_parent(end: Callable[[], None]) -> None:
    """Calls ``end`` when the process that began this one is gone, however it went."""

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            end()

    threading.Thread(target=watch, daemon=True).start()


@dataclass
class Place:
    """A process that is to run, of one of KINDS."""

    kind: str
    process: BaseProcess | None = None
    name: str = ""  # by which jobs know who has them; new with each process
    begun: float = 0.0
    due: float = 0.0  # when to begin it again
    pause: float = SOON  # until then, should it die now

    @property
    def works(self) -> bool:
        """Whether it holds jobs."""
        return self.kind != "interface"

    @property
    def dead(self) -> bool:
        """Whether it has ended, and nobody has noticed yet."""
        return self.process is not None and not self.process.is_alive()


KINDS: dict[str, Callable[[Settings, Any], None]] = {
    "interface": answer,
    "worker": make,
    "forwarder": pass_on,
}


class Keeper:
    """Begins the processes of a service, and begins them again when they die."""

    def __init__(self, settings: Settings, listener: socket.socket, database: Database) -> None:
        self.settings, self.listener, self.database = settings, listener, database
        self.artifacts = Artifacts(settings.artifacts)
        self.stop = threading.Event()
        forwarders = ["forwarder"] if settings.providers else []
        kinds = ["interface", *["worker"] * settings.workers, *forwarders]
        self.places = [Place(kind) for kind in kinds]
        self.looked = time.monotonic()
        self.swept = -SWEEP

    def run(self) -> None:
        """Keep everything running until SIGTERM or SIGINT, then let it end in good order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        PROCESSES.set_forkserver_preload(HEAVY)
        sender = Sender(
            self.database, keys.pepper(self.settings.data), replace(RULES, also=self.settings.reach)
        )
        threading.Thread(target=sender.run, args=(self.stop,), name="webhooks").start()
        try:
            while not self.stop.is_set():
                for place in self.places:
                    if place.dead:
                        self.bury(place)
                    if place.process is None and time.monotonic() >= place.due:
                        self.begin(place)
                self.look()
                wait([one.process.sentinel for one in self.places if one.process], timeout=0.2)
        finally:
            self.stop.set()
            self.end()

    def begin(self, place: Place) -> None:
        """Begin a process."""
        place.name = new_name() if place.works else ""
        more = place.name if place.works else self.listener
        place.process = PROCESSES.Process(target=KINDS[place.kind], args=(self.settings, more))
        place.begun = time.monotonic()
        place.process.start()

    def bury(self, place: Place) -> None:
        """Give back what a process that died had, and have it begun again: later, when it keeps dying."""
        if place.process is None:
            return
        code = place.process.exitcode
        log.warning("%s %s ended with %s; another begins", place.kind, place.name, code)
        now = time.monotonic()
        place.process, place.due = None, now
        if now - place.begun < STEADY:
            place.due, place.pause = now + place.pause, min(LATEST, 2 * place.pause)
        else:
            place.pause = SOON
        if place.works:
            tidy(self.database, self.artifacts, self.settings, worker=place.name)

    def look(self) -> None:
        """Now and then: kill workers that hang, so that others take their place, and clean up."""
        if time.monotonic() - self.looked < TIDY:
            return
        self.looked = time.monotonic()
        with self.database.read() as tx:
            silent = jobs.silent(tx, at=ids.now(), since=self.settings.lease)
        for place in self.places:
            if place.process is not None and place.name in silent:
                log.warning("worker %s has been silent for too long", place.name)
                place.process.kill()
        if time.monotonic() - self.swept > SWEEP:
            self.swept = time.monotonic()
            retention.clean(self.database, Artifacts(self.settings.uploads), ids.now())

    def end(self) -> None:
        """Workers first, so that what they finish can still be fetched; then the interface."""
        for working in (True, False):
            group = [one for one in self.places if one.works == working]
            running = [(one, one.process) for one in group if one.process is not None]
            for _, process in running:
                process.terminate()
            for place, process in running:
                process.join(self.settings.grace / 1000 + CLOSING)
                process.kill()
                process.join()
                if place.works:
                    tidy(self.database, self.artifacts, self.settings, worker=place.name)
