"""Forwards jobs to providers: asks, waits, fetches, and writes down what became of it.

A provider is asked in the name of the job (Idempotency-Key), and who was asked is written down before: so whoever goes
on after a crash asks the same one and gets the same video. Only one that surely did not take a job is left for the
next. Where no answer came, nobody knows; then the same provider is asked until it gives the video or refuses it, and
the money stays set aside: that it is busy or away by then proves nothing.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from sqlalchemy import select, update

from yozora.errors import YozoraError
from yozora.service import ids, jobs
from yozora.service.artifacts import SPRITESHEET, THUMBNAIL, VIDEO, Artifacts
from yozora.service.database import AWAY, Database, why
from yozora.service.failpoints import reach
from yozora.service.intake import IntakeError
from yozora.service.jobs import Job
from yozora.service.providers import Offered, Provider, read_providers
from yozora.service.schema import videos
from yozora.service.settings import Settings
from yozora.service.sources import admitted
from yozora.service.worker import POLL, RETRY, complete, new_name
from yozora.video import probe

WAIT = 1.0  # seconds between two questions how far a video is, unless the provider says otherwise
LATEST = 30.0  # seconds between two questions at most, while a provider does not answer
LARGEST = 4 << 30  # bytes of a video
NOT_TAKEN = (401, 403, 404, 408, 425, 429, 503)  # a provider that says so at once has made nothing
REFUSED = (400, 402, 409, 413, 415, 422)  # it is the request that it does not like
GONE = (404, 410)  # there is no such video, or it has no such file
KINDS = {".png": "image/png", ".mp4": "video/mp4"}  # of what is sent
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
                except AWAY as error:
                    log.warning("the database does not answer, trying again: %s", why(error))
                    self.stop.wait(RETRY)
                    continue
                if job is None:
                    self.stop.wait(POLL)
                else:
                    running.add(pool.submit(Errand(self, job, self.place(job)).run))
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

    def place(self, job: Job) -> Provider | None:
        """A place for a job, taken here where jobs come one after the other, so that no provider gets too many."""
        found = (one for one, _ in self.providers.of(job.model) if self.providers.enter(one))
        return next(found, None)


@dataclass
class Errand:
    """One job on its way. ``place``: the provider at which it has a place."""

    forwarder: Forwarder
    job: Job
    place: Provider | None
    progress: int = 0
    told: int = 0  # the progress that was written down last
    source: Path | None = None  # what the video starts from, as it is sent

    def __post_init__(self) -> None:
        self.renewed = time.monotonic()

    def run(self) -> None:
        """Have the video made; what goes wrong for good fails the job."""
        try:
            with TemporaryDirectory(prefix="yozora-uploads-") as folder:
                self.go(Path(folder))
        except AWAY as error:  # the lease runs out, and another goes on
            log.warning("the database does not answer, %s is left: %s", self.job.id, why(error))
        except Exception:  # as above: what is known of the provider's side is written down
            log.exception("%s is left after an error of ours", self.job.id)
        finally:
            self.move(None)

    def go(self, folder: Path) -> None:
        """Ask, wait and fetch, with a folder for what is sent."""
        try:
            provider, name = self.placed(folder)
            self.fetch(provider, self.followed(provider, name))
        except Left:
            pass
        except Refused as error:
            self.fail("provider_refused", str(error))
        except IntakeError as error:
            self.fail(error.code, str(error))
        except YozoraError as error:
            log.warning("%s cannot be forwarded: %s", self.job.id, error)
            self.fail("generation_failed", "It could not be generated; nothing was charged.")

    def move(self, to: Provider | None) -> None:
        """Note that its place is elsewhere."""
        if self.place is not None:
            self.forwarder.providers.leave(self.place)
        self.place = to

    # --- asking ------------------------------------------------------------------------------------

    def placed(self, folder: Path) -> tuple[Provider, str]:
        """The provider that makes the video, and the video's name there."""
        asked = self.remembered()
        providers = self.forwarder.providers
        known = providers.named(asked["provider"]) if asked else None
        if asked and known is None:
            log.warning(
                "%s was with %s, which is not in the list any more", self.job.id, asked["provider"]
            )
        if known is not None and known is not self.place:
            providers.resume(known)
            self.move(known)
        if asked and known and asked["video"]:
            return known, str(asked["video"])
        self.source = self.given(folder)
        for one, offered in providers.of(self.job.model):
            if one is not known and known is not None:
                continue
            if one is not self.place:
                if not providers.enter(one):
                    continue
                self.move(one)
            self.remember(one, None)
            reach("before-forward")
            try:
                name = self.insisted(one, offered, unsure=one is known)
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

    def insisted(self, provider: Provider, offered: Offered, *, unsure: bool) -> str:
        """The video's name there: asked for in the same words until an answer comes.

        ``unsure``: whether it may have been taken already. Then one that is away, busy, or says that the name of the
        request is in use (409) is asked again.

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
                if not unsure:
                    raise Unavailable(str(error)) from error
                log.warning("%s is away, and may have %s: %s", provider.name, self.job.id, error)
            except httpx2.HTTPError as error:
                unsure = True
                log.warning("%s did not answer for %s: %s", provider.name, self.job.id, error)
            else:
                status = answer.status_code
                if status in NOT_TAKEN and not unsure:
                    raise Unavailable(said(answer))
                if status in REFUSED and not (unsure and status == 409):
                    raise Refused(f"The provider refused it: {said(answer)}")
                if answer.is_success and isinstance(name := fields(answer).get("id"), str):
                    return name
                unsure = unsure or status not in NOT_TAKEN
                log.warning("%s answered %d for %s", provider.name, status, self.job.id)
            self.forwarder.providers.breakers[provider.name].note(worked=False)
            self.wait(pause)
            pause = min(LATEST, 2 * pause)

    def post(self, http: httpx2.Client, provider: Provider, offered: Offered) -> httpx2.Response:
        """One request for the video."""
        params = self.job.params
        prompt = self.job.prompt if "style" in provider.parameters else self.job.words
        form = {"prompt": prompt, "model": offered.name}
        form |= {name: str(params[name]) for name in provider.parameters if name in params}
        headers = {"idempotency-key": self.job.id}
        if params.get("video") is not None and self.source is not None:
            route = "videos/extensions" if params.get("extend") else "videos/edits"
            if params.get("extend"):
                form |= {"seconds": f"{params['added']:g}", "extend": params["extend"]}
            elif params.get("fill"):
                form |= {"fill": ",".join(f"{instant:g}" for instant in params["fill"])}
            with self.source.open("rb") as file:
                part = ("video.mp4", file, "video/mp4")
                return http.post(route, data=form, files={"video": part}, headers=headers)
        form |= {"seconds": self.job.seconds, "size": self.job.size}
        if self.source is None:
            return http.post("videos", data=form, headers=headers)
        with self.source.open("rb") as file:
            still = ("still", file, KINDS.get(self.source.suffix, "application/octet-stream"))
            return http.post("videos", data=form, files={"input_reference": still}, headers=headers)

    def given(self, folder: Path) -> Path | None:
        """What the video starts from: an upload as a confined process has seen it, without places and names."""
        params: Mapping[str, Any] = self.job.params
        image = params.get("image")
        source = {"file": str(image)} if image is not None else params.get("video")
        if source is None:
            return None
        return admitted(self.forwarder.database, self.forwarder.settings, folder, source)

    # --- waiting -----------------------------------------------------------------------------------

    def followed(self, provider: Provider, name: str) -> str:
        """Wait until the provider has made the video; returns its name there. Raises Refused when it failed."""
        pause = WAIT
        while True:
            answer = self.asked(provider, name)
            status = None if answer is None else fields(answer).get("status")
            if answer is not None and answer.status_code in GONE:
                raise Refused("The provider does not have it any more; nothing was charged.")
            if status == "completed":
                return name
            if answer is not None and status == "failed":
                raise Refused(f"The provider could not make it: {said(answer)}")
            if answer is not None and status in jobs.OPEN:
                self.progress = percent(fields(answer).get("progress"), self.progress)
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
        """Keep the lease: something is written only when there is news, or a quarter of it has gone.

        Raises Left and Cancelled.
        """
        database, lease = self.forwarder.database, self.forwarder.settings.lease
        news = self.progress if self.progress != self.told else None
        now = time.monotonic()
        if news is None and now - self.renewed < lease / 4000 and not self.forwarder.stop.is_set():
            with database.read() as tx:
                if jobs.look(tx, [self.job], at=ids.now())[self.job.id] == "on":
                    return
        with database.write() as tx:
            at = ids.now()
            state = jobs.beat_all(tx, [self.job], at=at, lease=lease, progress=news)[self.job.id]
            if state == "cancelled":
                jobs.fail(tx, self.job, code="cancelled", message=jobs.CANCELLED, at=at)
            elif state == "on" and self.forwarder.stop.is_set():
                jobs.hand_back(tx, self.job, at=at)
                state = "lost"
        self.renewed, self.told = now, self.progress
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
        reach("after-rename")
        taken, lease = time.monotonic() - began, self.forwarder.settings.lease / 1000
        complete(self.forwarder.database, artifacts, self.job, taken=taken, patience=lease)

    def insist_on(self, provider: Provider, name: str, variant: str, file: Path) -> None:
        """A file of the provider's, however often one has to ask for it."""
        pause = WAIT
        while not self.download(provider, name, variant, file):
            self.wait(pause)
            pause = min(LATEST, 2 * pause)

    def download(self, provider: Provider, name: str, variant: str, file: Path) -> bool:
        """A file of the provider's; False when it did not come, or not whole.

        Raises Refused when it is too large, or the video is gone.
        """
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
                    if variant == "video" and answer.status_code in GONE:
                        raise Refused(
                            "The provider does not have it any more; nothing was charged."
                        )
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
        if time.monotonic() - self.renewed > self.forwarder.settings.lease / 4000:
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
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or f"HTTP {answer.status_code}")[:300]


def polite(answer: httpx2.Response) -> float:
    """Seconds until one may ask again, as the provider has it."""
    asked = answer.headers.get("openai-poll-after-ms", "")
    return min(LATEST, max(0.1, int(asked) / 1000)) if asked.isdecimal() else WAIT


def percent(given: Any, before: int) -> int:
    """Progress as a provider says it, 0 to 99: a number, or text such as "40%"; as it was when it is neither."""
    try:
        number = float(str(given).strip().rstrip("%"))
    except ValueError:
        return before
    return int(max(0.0, min(99.0, number))) if math.isfinite(number) else before
