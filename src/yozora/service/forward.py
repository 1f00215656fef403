"""Forwards jobs to providers: asks, waits, fetches, and writes down what became of it.

A provider is asked in the name of the job (Idempotency-Key), and who was asked is written down before: so whoever goes
on after a crash asks the same one and gets the same video. Only one that surely did not take a job is left for the
next. Where no answer came, nobody knows; then the same provider is asked until it says, and the money stays set aside.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.service import ids, jobs
from yozora.service.artifacts import SPRITESHEET, THUMBNAIL, VIDEO, Artifacts, named
from yozora.service.database import Database
from yozora.service.failpoints import reach
from yozora.service.jobs import Job
from yozora.service.providers import Offered, Provider, read_providers
from yozora.service.schema import videos
from yozora.service.settings import Settings
from yozora.service.sources import find
from yozora.service.worker import POLL, RETRY, new_name
from yozora.video import probe

WAIT = 1.0  # seconds between two questions how far a video is, unless the provider says otherwise
LATEST = 30.0  # seconds between two questions at most, while a provider does not answer
LARGEST = 4 << 30  # bytes of a video
NOT_TAKEN = (401, 403, 404, 408, 425, 429, 502, 503)  # a provider that says so has made nothing
REFUSED = (400, 402, 409, 413, 415, 422)  # it is the request that it does not like
log = logging.getLogger(__name__)


class Left(Exception):  # noqa: N818 (nothing went wrong)
    """The job is not ours any more, or goes back into the queue."""


class Unavailable(Exception):  # noqa: N818
    """A provider that surely did not take the job."""


class Refused(YozoraError):  # noqa: N818
    """A provider does not want to make this video, or has failed to."""


@dataclass
class Forwarder:
    """Forwards until ``stop`` is set; what is with a provider then goes on when the next forwarder begins."""

    settings: Settings
    name: str = field(default_factory=new_name)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database)
        self.artifacts = Artifacts(self.settings.artifacts)
        self.providers = read_providers(self.settings.providers)

    def run(self) -> None:
        """Forward until told to stop."""
        places = sum(one.concurrency for one in self.providers.all)
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(max(1, places), thread_name_prefix="forward") as pool:
            while not self.stop.is_set():
                running = {one for one in running if not one.done()}
                try:
                    job = self.next() if len(running) < places else None
                except OperationalError as error:
                    log.warning("the database does not answer, trying again: %s", error.orig)
                    self.stop.wait(RETRY)
                    continue
                if job is None:
                    self.stop.wait(POLL)
                else:
                    running.add(pool.submit(Errand(self, job).run))
        self.database.close()

    def next(self) -> Job | None:
        """The next job that some provider can be asked for."""
        ready = self.providers.ready
        if not ready:
            return None
        with self.database.read() as tx:
            if not jobs.waiting(tx, ready):
                return None
        with self.database.write() as tx:
            taken = jobs.claim(
                tx, worker=self.name, models=ready, at=ids.now(), lease=self.settings.lease
            )
        return taken[0] if taken else None


@dataclass
class Errand:
    """One job on its way."""

    forwarder: Forwarder
    job: Job
    progress: int = 0

    def run(self) -> None:
        """Have the video made; what goes wrong for good fails the job."""
        try:
            provider, name = self.placed()
            self.fetch(provider, self.followed(provider, name))
        except Left:
            pass
        except Refused as error:
            self.fail("provider_refused", str(error))
        except YozoraError as error:
            log.warning("%s cannot be forwarded: %s", self.job.id, error)
            self.fail("generation_failed", "It could not be generated; nothing was charged.")
        except OperationalError as error:  # the lease runs out, and another goes on
            log.warning("the database does not answer, %s is left: %s", self.job.id, error.orig)
        except Exception:  # as above: what is known of the provider's side is written down
            log.exception("%s is left after an error of ours", self.job.id)

    # --- asking ------------------------------------------------------------------------------------

    def placed(self) -> tuple[Provider, str]:
        """The provider that makes the video, and the video's name there."""
        asked = self.remembered()
        providers = self.forwarder.providers
        known = providers.named(asked["provider"]) if asked else None
        if asked and known is None:
            log.warning(
                "%s was with %s, which is not in the list any more", self.job.id, asked["provider"]
            )
        if asked and known and asked["video"]:
            return known, str(asked["video"])
        candidates = [
            (one, offered)
            for one, offered in providers.of(self.job.model)
            if (one is known) or (known is None and not providers.breakers[one.name].open)
        ]
        for one, offered in candidates:
            self.remember(one, None)
            reach("before-forward")
            try:
                name = self.insisted(one, offered)
            except Unavailable as error:
                log.warning("%s did not take %s: %s", one.name, self.job.id, error)
                providers.breakers[one.name].note(worked=False)
                self.forget()
                continue
            providers.breakers[one.name].note(worked=True)
            reach("after-forward")
            self.remember(one, name)
            return one, name
        self.wait(WAIT)
        with self.forwarder.database.write() as tx:
            jobs.hand_back(tx, self.job, at=ids.now())
        raise Left

    def insisted(self, provider: Provider, offered: Offered) -> str:
        """The video's name there: asked for in the same words until an answer comes.

        Raises:
            Unavailable: it surely was not taken.
            Refused: it will not be made.
        """
        pause = WAIT
        while True:
            try:
                with client(provider) as http:
                    answer = self.post(http, provider, offered)
            except httpx2.ConnectError as error:
                raise Unavailable(str(error)) from error
            except httpx2.HTTPError as error:
                log.warning("%s did not answer for %s: %s", provider.name, self.job.id, error)
            else:
                if answer.status_code in NOT_TAKEN:
                    raise Unavailable(said(answer))
                if answer.status_code in REFUSED:
                    raise Refused(f"The provider refused it: {said(answer)}")
                if answer.is_success and isinstance(name := fields(answer).get("id"), str):
                    return name
                log.warning("%s answered %d for %s", provider.name, answer.status_code, self.job.id)
            self.wait(pause)
            pause = min(LATEST, 2 * pause)

    def post(self, http: httpx2.Client, provider: Provider, offered: Offered) -> httpx2.Response:
        """One request for the video."""
        params = self.job.params
        form = {"prompt": self.job.prompt, "model": offered.name}
        form |= {name: str(params[name]) for name in provider.parameters if name in params}
        headers = {"idempotency-key": self.job.id}
        if params.get("video") is not None:
            path = find(self.forwarder.database, self.forwarder.settings, params["video"])
            route = "videos/extensions" if params.get("extend") else "videos/edits"
            if params.get("extend"):
                form |= {"seconds": f"{params['added']:g}", "extend": params["extend"]}
            elif params.get("fill"):
                form |= {"fill": ",".join(f"{instant:g}" for instant in params["fill"])}
            with path.open("rb") as file:
                return http.post(
                    route,
                    data=form,
                    files={"video": ("video.mp4", file, "video/mp4")},
                    headers=headers,
                )
        form |= {"seconds": self.job.seconds, "size": self.job.size}
        with self.picture() as files:
            return http.post("videos", data=form, files=files, headers=headers)

    @contextmanager
    def picture(self) -> Iterator[dict[str, tuple[str, IO[bytes], str]]]:
        """The still to start from, as a part of a form."""
        if (image := self.job.params.get("image")) is None:
            yield {}
            return
        path = find(self.forwarder.database, self.forwarder.settings, {"file": image})
        with path.open("rb") as file:
            yield {"input_reference": ("still", file, kind_of(path))}

    # --- waiting -----------------------------------------------------------------------------------

    def followed(self, provider: Provider, name: str) -> str:
        """Wait until the provider has made the video; returns its name there. Raises Refused when it failed."""
        pause = WAIT
        while True:
            answer = self.asked(provider, name)
            status = None if answer is None else fields(answer).get("status")
            if answer is not None and answer.status_code == 404:
                raise Refused("The provider does not have it any more; nothing was charged.")
            if status == "completed":
                return name
            if answer is not None and status == "failed":
                error = fields(answer).get("error") or {}
                raise Refused(
                    f"The provider could not make it: {str(error.get('message', ''))[:300]}"
                )
            if answer is not None and status in jobs.OPEN:
                self.progress = min(99, int(fields(answer).get("progress") or 0))
                pause = polite(answer)
            else:
                pause = min(LATEST, 2 * pause)
            try:
                self.wait(pause)
            except Cancelled:
                self.call_off(provider, name)
                raise Left from None

    def asked(self, provider: Provider, name: str) -> httpx2.Response | None:
        """How far a video is; None when the provider does not answer."""
        breaker = self.forwarder.providers.breakers[provider.name]
        try:
            with client(provider) as http:
                answer = http.get(f"videos/{name}")
        except httpx2.HTTPError as error:
            log.warning("%s does not answer about %s: %s", provider.name, self.job.id, error)
            breaker.note(worked=False)
            return None
        worked = answer.status_code < 500 and answer.status_code != 429
        breaker.note(worked=worked)
        return answer if worked else None

    def wait(self, seconds: float) -> None:
        """Let time pass while the lease is kept. Raises Left when the job is another's, and Cancelled."""
        until = time.monotonic() + seconds
        while True:
            self.beat()
            rest = until - time.monotonic()
            if rest <= 0:
                return
            self.forwarder.stop.wait(min(rest, self.forwarder.settings.lease / 4000, 1.0))

    def beat(self) -> None:
        """Keep the lease. Raises Left and Cancelled."""
        with self.forwarder.database.write() as tx:
            at, lease = ids.now(), self.forwarder.settings.lease
            state = jobs.beat(tx, self.job, at=at, lease=lease, progress=self.progress)
            if state == "cancelled":
                jobs.fail(tx, self.job, code="cancelled", message=jobs.CANCELLED, at=at)
            elif state == "on" and self.forwarder.stop.is_set():
                jobs.hand_back(tx, self.job, at=at)
                state = "lost"
        if state == "cancelled":
            raise Cancelled
        if state == "lost":
            raise Left

    def call_off(self, provider: Provider, name: str) -> None:
        """Tell the provider that nobody waits for a video any more; it need not know how to stop."""
        try:
            with client(provider) as http:
                http.post(f"videos/{name}/cancel")
        except httpx2.HTTPError as error:
            log.warning("%s could not be told to stop %s: %s", provider.name, self.job.id, error)

    # --- fetching ----------------------------------------------------------------------------------

    def fetch(self, provider: Provider, name: str) -> None:
        """Put the video on disk and complete the job."""
        began, artifacts = time.monotonic(), self.forwarder.artifacts
        with artifacts.adding(self.job.artifact) as folder:
            self.insist_on(provider, name, "video", folder / VIDEO)
            probe(folder / VIDEO)
            for variant, file in (("thumbnail", THUMBNAIL), ("spritesheet", SPRITESHEET)):
                self.download(provider, name, variant, folder / file)
            sha256, size = content_hash(folder / VIDEO), (folder / VIDEO).stat().st_size
        reach("after-rename")
        with self.forwarder.database.write() as tx:
            done = jobs.finish(
                tx, self.job, file=self.job.artifact, bytes=size, sha256=sha256,
                taken=time.monotonic() - began, at=ids.now(),
            )  # fmt: skip
        for attempt in range(1, self.job.attempt if done else self.job.attempt + 1):
            artifacts.delete(named(self.job.id, attempt))

    def insist_on(self, provider: Provider, name: str, variant: str, file: Path) -> None:
        """A file of the provider's, however often one has to ask for it."""
        pause = WAIT
        while not self.download(provider, name, variant, file):
            self.wait(pause)
            pause = min(LATEST, 2 * pause)

    def download(self, provider: Provider, name: str, variant: str, file: Path) -> bool:
        """A file of the provider's; False when it did not come, or not whole. Raises Refused when it is too large."""
        try:
            with (
                client(provider) as http,
                http.stream("GET", f"videos/{name}/content", params={"variant": variant}) as answer,
                file.open("wb") as out,
            ):
                if not answer.is_success:
                    log.warning(
                        "%s has no %s of %s: %d", provider.name, variant, name, answer.status_code
                    )
                    file.unlink()
                    return False
                for chunk in answer.iter_bytes(1 << 20):
                    out.write(chunk)
                    if out.tell() > LARGEST:
                        raise Refused("The provider's video is larger than what is kept here.")
                    self.beat_sometimes()
        except httpx2.HTTPError as error:
            log.warning(
                "the %s of %s did not come from %s: %s", variant, name, provider.name, error
            )
            file.unlink(missing_ok=True)
            return False
        return True

    def beat_sometimes(self) -> None:
        """Keep the lease through a long download."""
        now = time.monotonic()
        if now - getattr(self, "_beaten", 0.0) > self.forwarder.settings.lease / 4000:
            self._beaten = now
            self.beat()

    # --- what is written down ----------------------------------------------------------------------

    def remembered(self) -> dict[str, Any] | None:
        """Who was asked before, by this forwarder or another."""
        with self.forwarder.database.read() as tx:
            found = tx.scalar(select(videos.c.upstream).where(videos.c.id == self.job.id))
        return dict(found) if found else None

    def remember(self, provider: Provider, name: str | None) -> None:
        """Write down who is asked, and once it is known the video's name there. Raises Left when it is not ours."""
        self._note({"provider": provider.name, "video": name})

    def forget(self) -> None:
        """Write down that nobody makes it."""
        self._note(None)

    def _note(self, upstream: dict[str, Any] | None) -> None:
        with self.forwarder.database.write() as tx:
            mine = update(videos).where(jobs.held(self.job, ids.now()))
            if tx.execute(mine.values(upstream=upstream)).rowcount != 1:
                raise Left

    def fail(self, code: str, message: str) -> None:
        """End the job without a video."""
        with self.forwarder.database.write() as tx:
            jobs.fail(tx, self.job, code=code, message=message, at=ids.now())


class Cancelled(Left):
    """Whoever asked for the video does not want it any more."""


def client(provider: Provider) -> httpx2.Client:
    """Speaks with a provider. One whose key is missing is as one that cannot be reached: ConnectError."""
    base = str(provider.url).rstrip("/") + "/"
    try:
        headers = {"authorization": f"Bearer {provider.secret()}"}
    except YozoraError as error:
        raise httpx2.ConnectError(str(error)) from error
    return httpx2.Client(base_url=base, headers=headers, timeout=provider.timeout)


def fields(answer: httpx2.Response) -> dict[str, Any]:
    """The object in an answer; an empty one when there is none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def said(answer: httpx2.Response) -> str:
    """What an answer says went wrong."""
    error = fields(answer).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or f"HTTP {answer.status_code}")[:300]


def polite(answer: httpx2.Response) -> float:
    """Seconds until one may ask again, as the provider has it."""
    asked = answer.headers.get("openai-poll-after-ms", "")
    return min(LATEST, max(0.1, int(asked) / 1000)) if asked.isdecimal() else WAIT


def kind_of(path: Path) -> str:
    """The media type of a picture's file, by how it begins."""
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(b"\xff\xd8"):
        return "image/jpeg"
    return "image/webp" if head[8:12] == b"WEBP" else "image/png"


def forward(settings: Settings, name: str, stop: threading.Event) -> None:
    """Forward in this process until ``stop`` is set, by SIGTERM or SIGINT too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Forwarder(settings, name, stop).run()
