"""The whole service on one machine: the interface, workers and what else there is to do, each a process kept running.

The process that is started listens, but answers nothing itself: so an interface that dies comes back at the same
address, and what knocks meanwhile waits. It uses no database while the others run, so it goes on when there is none.

Each process shows that it lives in memory that it shares. One that does not for `STILL` seconds is stopped or paused,
and may hold the one lock that SQLite has: it is killed, which undoes its transaction, and another takes its place. So
STILL is less than the BUSY seconds that healthy writers wait, and these are less than a usual lease.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from yozora.errors import YozoraError
from yozora.service import accounts, ids, keys, logs, retention, tracing
from yozora.service.artifacts import Artifacts
from yozora.service.certificate import load_credentials
from yozora.service.database import AWAY, BUSY, Database, why
from yozora.service.offer import Offer
from yozora.service.providers import read_providers
from yozora.service.registry import Models
from yozora.service.settings import DAY, Settings
from yozora.service.webhooks import RULES, Sender
from yozora.service.worker import TIDY, Worker, new_name, tidy

if TYPE_CHECKING:
    import uvicorn

# Processes are forked from a server that has imported torch and done nothing with it: they begin at once.
PROCESSES = multiprocessing.get_context("forkserver")
HEAVY = ["yozora.service.making", "yozora.service.worker"]
TURN = 0.2  # seconds between two looks at the processes
STILL = 10.0  # seconds without a sign of life after which a process is killed
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
    tracing.wanted()
    database = Database(settings.database)
    database.upgrade()
    check_clock(database, settings)
    keys.pepper(settings.data)
    load_credentials(settings.credentials)
    with listen(settings.host, settings.port) as listener:
        with database.write() as tx:
            password = accounts.bootstrap(tx, at=ids.now())
        database.close()
        say(address(settings.host, listener.getsockname()[1]), password)
        forwarders = ["forwarder"] if settings.providers else []
        kinds = ["interface", *["worker"] * settings.workers, *forwarders, "steward"]
        Keeper(settings, kinds, listener).run()


def serve_worker(settings: Settings) -> None:
    """A worker alone, kept running until SIGTERM or SIGINT.

    Raises:
        YozoraError: a model is missing, the database cannot be used, or its clock is not this machine's.
    """
    Models(settings.models)
    logs.begin(settings.log)
    database = Database(settings.database)
    database.upgrade()
    check_clock(database, settings)
    database.close()
    load_credentials(settings.credentials)
    Keeper(settings, ["worker"]).run()


def check_clock(database: Database, settings: Settings) -> None:
    """Raises YozoraError when this machine's clock would make leases end too soon or too late."""
    ahead = database.ahead()
    if abs(ahead) > settings.lease / 4000:
        raise YozoraError(
            f"This machine's clock is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the database's, "
            "and leases end by the clock: set both by the same time server."
        )


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


@dataclass
class Signs:
    """Of life, by time.monotonic, in memory that is shared with whoever keeps the process.

    Raw: a lock could be in the hands of the one that is stopped.
    """

    runs: Any = field(default_factory=lambda: PROCESSES.RawValue("d"))  # of a thread of its own
    works: Any = field(
        default_factory=lambda: PROCESSES.RawValue("d")
    )  # of the work; 0: does not say


@dataclass
class Life:
    """What a process of the service is given. ``lost``: the name of the one whose place it takes."""

    settings: Settings
    name: str
    lost: str
    listener: socket.socket | None
    signs: Signs

    def begin(self, kind: str) -> None:
        """Live as one of KINDS until told to end, or until whoever began it is gone, however it went."""
        stop = threading.Event()
        threading.Thread(target=self.show, args=(stop,), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        logs.begin(self.settings.log)
        if self.lost:  # its jobs go on at once; should that fail, when their lease runs out
            with suppress(*AWAY):
                database = Database(self.settings.database)
                artifacts = Artifacts(self.settings.artifacts)
                tidy(database, artifacts, self.settings, worker=self.lost)
                database.close()
        KINDS[kind](self, stop)

    def show(self, stop: threading.Event) -> None:
        """Show that this process runs for as long as its parent does."""
        parent = multiprocessing.parent_process()
        while parent is not None and parent.is_alive():
            self.signs.runs.value = time.monotonic()
            parent.join(1.0)
        stop.set()

    def work(self) -> None:
        """Show that its work goes on."""
        self.signs.works.value = time.monotonic()


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


def answer(life: Life, stop: threading.Event) -> None:
    """The interface."""
    import uvicorn

    from yozora.service.api.app import create_app

    settings = life.settings
    tracing.begin("yozora-interface")
    app = create_app(settings, Database(settings.database), Artifacts(settings.artifacts))
    server = uvicorn.Server(web_server(app, settings))

    def end() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run(sockets=[life.listener] if life.listener else None)


def make(life: Life, stop: threading.Event) -> None:
    """A worker."""
    Worker(life.settings, life.name, stop, life.work).run()


def pass_on(life: Life, stop: threading.Event) -> None:
    """A forwarder."""
    from yozora.service.forward import Forwarder

    Forwarder(life.settings, life.name, stop).run()


def keep_house(life: Life, stop: threading.Event) -> None:
    """What is to be done besides: webhooks are sent, lost jobs given to others, and what is over is deleted."""
    settings = life.settings
    database, swept, cleared = Database(settings.database), -SWEEP, -float(DAY)
    artifacts, uploads = Artifacts(settings.artifacts), Artifacts(settings.uploads)
    rules = replace(RULES, also=settings.reach)
    sender = Sender(database, keys.pepper(settings.data), rules)
    threading.Thread(target=sender.run, args=(stop,), name="webhooks").start()
    try:
        while not stop.is_set():
            try:
                tidy(database, artifacts, settings)
                if time.monotonic() - swept > SWEEP:
                    retention.clean(database, uploads, ids.now())
                    swept = time.monotonic()
                if time.monotonic() - cleared > DAY / 1000:
                    retention.clear(database, artifacts, uploads, ids.now())
                    cleared = time.monotonic()
            except (*AWAY, OSError) as error:
                log.warning("what is over is deleted later: %s", why(error))
            stop.wait(TIDY)
    finally:
        stop.set()  # the sender goes too, and another process begins both


KINDS: dict[str, Callable[[Life, threading.Event], None]] = {
    "interface": answer,
    "worker": make,
    "forwarder": pass_on,
    "steward": keep_house,
}
WORKING = ("worker", "forwarder")  # hold jobs


# --- who keeps them running ------------------------------------------------------------------------


@dataclass
class Place:
    """A process that is to run, of one of KINDS."""

    kind: str
    process: BaseProcess | None = None
    signs: Signs = field(default_factory=Signs)
    name: str = ""  # by which jobs know who has them; new with each process
    lost: str = ""  # the name of the process before, which died
    begun: float = 0.0
    due: float = 0.0  # when to begin it again
    pause: float = SOON  # until then, should it die now

    @property
    def dead(self) -> bool:
        """Whether it has ended, and nobody has noticed yet."""
        return self.process is not None and not self.process.is_alive()


class Keeper:
    """Begins processes of these ``kinds``, and begins them again when they die."""

    def __init__(
        self, settings: Settings, kinds: Sequence[str], listener: socket.socket | None = None
    ) -> None:
        self.settings, self.listener = settings, listener
        self.stop = threading.Event()
        self.places = [Place(kind) for kind in kinds]
        self.looked = time.monotonic()

    def run(self) -> None:
        """Keep everything running until SIGTERM or SIGINT, then let it end in good order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        PROCESSES.set_forkserver_preload(HEAVY)
        try:
            while not self.stop.is_set():
                self.look()
                for place in self.places:
                    if place.dead:
                        self.bury(place)
                    if place.process is None and time.monotonic() >= place.due:
                        self.begin(place)
                wait([one.process.sentinel for one in self.places if one.process], timeout=TURN)
        finally:
            self.stop.set()
            self.end()

    def begin(self, place: Place) -> None:
        """Begin a process."""
        name = new_name() if place.kind in WORKING else ""
        listener = self.listener if place.kind == "interface" else None
        life = Life(self.settings, name, place.lost, listener, place.signs)
        process = PROCESSES.Process(target=life.begin, args=(place.kind,))
        signs, place.begun = place.signs, time.monotonic()
        signs.works.value = 0.0
        try:
            process.start()
        except (OSError, EOFError) as error:  # the machine is short of something
            log.warning("%s could not begin: %s", place.kind, error)
            self.later(place)
            return
        place.process, place.name, place.lost = process, name, ""
        signs.runs.value = time.monotonic()

    def bury(self, place: Place) -> None:
        """Have a process that died begun again: later, when it keeps dying."""
        code = place.process.exitcode if place.process else None
        log.warning("%s %s ended with %s; another begins", place.kind, place.name, code)
        place.process, place.lost = None, place.name
        self.later(place)

    def later(self, place: Place) -> None:
        """Set the time of the next attempt."""
        now = time.monotonic()
        if now - place.begun < STEADY:
            place.due, place.pause = now + place.pause, min(LATEST, 2 * place.pause)
        else:
            place.due, place.pause = now, SOON

    def look(self) -> None:
        """Kill who shows no life, or whose work has stood still for long, so that others take their place."""
        now, before, self.looked = time.monotonic(), self.looked, time.monotonic()
        patience = max(self.settings.lease / 1000, 2 * BUSY)
        running = [one for one in self.places if one.process is not None]
        for place in running:
            signs = place.signs
            if now - before > STILL / 2:  # we were stopped or busy ourselves, and cannot judge
                signs.runs.value = now
                signs.works.value = now if signs.works.value else 0.0
            hung = signs.works.value and now - signs.works.value > patience
            if hung or now - signs.runs.value > STILL:
                log.warning("%s %s stands still, and is killed", place.kind, place.name)
                place.process.kill()  # type: ignore[union-attr]

    def end(self) -> None:
        """Workers first, so that what they finish can still be fetched; then the rest. What is left is given back."""
        for working in (True, False):
            group = [one for one in self.places if (one.kind in WORKING) == working]
            running = [one.process for one in group if one.process is not None]
            for process in running:
                process.terminate()
            until = time.monotonic() + self.settings.grace / 1000 + CLOSING
            while any(one.is_alive() for one in running) and time.monotonic() < until:
                self.look()
                wait([one.sentinel for one in running if one.is_alive()], timeout=TURN)
            for process in running:
                process.kill()
                process.join()
        with suppress(*AWAY, OSError):
            database, artifacts = (
                Database(self.settings.database),
                Artifacts(self.settings.artifacts),
            )
            for name in [one.name for one in self.places if one.name]:
                tidy(database, artifacts, self.settings, worker=name)
            database.close()
