from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
from PIL import Image
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from yozora.errors import YozoraError
from yozora.service import accounts, ids, jobs, ledger, providers
from yozora.service.artifacts import CONTENT, THUMBNAIL, Artifacts
from yozora.service.database import Database
from yozora.service.forward import Errand, Forwarder
from yozora.service.keys import Identity
from yozora.service.keys import create as create_key
from yozora.service.providers import Breaker, read_providers
from yozora.service.schema import events, holds, videos
from yozora.service.settings import Settings
from yozora.service.wishes import Wish
from yozora.video import Clip, write

PRICE = 700


@dataclass
class Provider:
    """A service that does as it is told: ``script`` holds what the next requests of a kind are answered with."""

    film: bytes
    script: dict[str, list[Any]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)  # Idempotency-Key -> video
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    files: list[tuple[str | None, bytes]] = field(default_factory=list)
    status: str = "completed"

    busy: int = 0  # videos that are with it, and the most there ever were
    most: int = 0
    answers: dict[str, Any] = field(default_factory=dict)  # what it says of a video besides

    def next(self, kind: str) -> Any:
        self.asked[kind] += 1
        waiting = self.script.get(kind, [])
        return waiting.pop(0) if waiting else None

    async def create(self, request: Request) -> Response:
        form = await request.form()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        self.forms.append({name: str(value) for name, value in fields.items()})
        self.files = [
            (part.content_type, await part.read())
            for part in form.values()
            if not isinstance(part, str)
        ]
        await form.close()
        order = self.next("create")
        if isinstance(order, int):
            return JSONResponse({"error": {"message": f"no: {order}"}}, order)
        token = request.headers["idempotency-key"]
        self.busy += token not in self.made
        self.most = max(self.most, self.busy)
        name = self.made.setdefault(token, f"video_{len(self.made) + 1}")
        if order == "slow":  # it is made, but nobody hears of it
            await asyncio.sleep(1.5)
        return JSONResponse({"id": name, "status": "queued", "progress": 0})

    async def retrieve(self, request: Request) -> Response:
        order = self.next("retrieve")
        if isinstance(order, int):
            return JSONResponse({}, order)
        error = {"message": "it went wrong"} if self.status == "failed" else None
        body = {"id": "x", "status": order or self.status, "progress": 40, "error": error}
        body |= self.answers
        return JSONResponse(body, headers={"openai-poll-after-ms": "100"})

    async def content(self, request: Request) -> Response:
        order = self.next("content")
        self.busy -= request.query_params.get("variant") == "video" and not order
        return Response(b"" if order else self.film, order or 200, media_type="video/mp4")

    async def cancel(self, request: Request) -> Response:
        self.asked["cancel"] += 1
        return JSONResponse({})

    @contextmanager
    def serving(self) -> Iterator[str]:
        routes = [
            Route("/v1/videos", self.create, methods=["POST"]),
            Route("/v1/videos/{video}", self.retrieve),
            Route("/v1/videos/{video}/content", self.content),
            Route("/v1/videos/{video}/cancel", self.cancel, methods=["POST"]),
        ]
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


@dataclass
class Here:
    """This side: a service with jobs for models that others have."""

    settings: Settings
    database: Database
    who: Identity

    def ask(self, **params: Any) -> str:
        wish = Wish("theirs", "a red ball", "2", "112x64", {"task": "create", **params})
        with self.database.write() as tx:
            return jobs.create(tx, identity=self.who, wish=wish, price=(PRICE, None), at=ids.now())

    def row(self, video: str) -> Any:
        with self.database.read() as tx:
            return tx.execute(select(videos).where(videos.c.id == video)).one()

    def money(self) -> tuple[int, int]:
        """What is set aside, and what was charged."""
        with self.database.read() as tx:
            assert ledger.check(tx) == []
            held = select(func.coalesce(func.sum(holds.c.amount), 0)).where(holds.c.state == "open")
            charged = select(func.coalesce(func.sum(holds.c.charged), 0))
            return int(tx.scalar(held)), int(tx.scalar(charged))

    @contextmanager
    def forwarding(self) -> Iterator[Forwarder]:
        forwarder = Forwarder(self.settings)
        thread = threading.Thread(target=forwarder.run)
        thread.start()
        try:
            yield forwarder
        finally:
            forwarder.stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(400):
            if done():
                return
            time.sleep(0.05)
        raise AssertionError("it did not come to that")

    def ended(self, video: str) -> Any:
        self.until(lambda: self.row(video).status in ("completed", "failed"))
        return self.row(video)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    frames = np.random.default_rng(0).integers(0, 255, (9, 64, 112, 3), np.uint8)
    return write(Clip(frames, 8), tmp_path_factory.mktemp("film") / "a.mp4").read_bytes()


@pytest.fixture
def provider(film: bytes) -> Provider:
    return Provider(film)


@pytest.fixture
def here(
    tmp_path: Path, new_sqlite: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Here]:
    monkeypatch.setenv("THEIR_KEY", "secret")
    settings = Settings(
        tmp_path / "data", new_sqlite(), models=(), providers=tmp_path / "providers.toml"
    )
    database = Database(settings.database)
    with database.write() as tx:
        accounts.ensure_default(tx, by="test", at=1)
        org = accounts.find_org(tx, "default").id
        project = accounts.find_project(tx, org).id
        key, _ = create_key(
            tx, b"pepper", org_id=org, project_id=project, name="k", scopes=["videos:write"],
            models=None, expires_at=None, created_by="test", at=1,
        )  # fmt: skip
    who = Identity(key.id, org, project, frozenset({"videos:write"}), None, True)
    yield Here(settings, database, who)
    database.close()


def listing(here: Here, concurrency: int = 4, **urls: str) -> None:
    """The file of providers, in this order."""
    tables = [
        f'[[provider]]\nname = "{name}"\nurl = "{url}"\nkey = "env:THEIR_KEY"\ntimeout = 1\nparameters = ["seed"]\n'
        f"concurrency = {concurrency}\n"
        f'[[provider.model]]\nname = "x"\nhere = "theirs"\nsizes = ["112x64"]\n'
        for name, url in urls.items()
    ]
    assert here.settings.providers is not None
    here.settings.providers.write_text("\n".join(tables))


def test_a_video_of_another_service_ends_as_one_of_ours(here: Here, provider: Provider) -> None:
    with provider.serving() as url:
        listing(here, north=url)
        video = here.ask(seed=5, steps=9)
        assert here.money() == (PRICE, 0)
        with here.forwarding():
            row = here.ended(video)
    assert row.status == "completed"
    assert row.upstream == {"provider": "north", "video": "video_1"}
    files = Artifacts(here.settings.artifacts)
    assert files.path(row.file).read_bytes() == provider.film
    assert files.path(row.file, THUMBNAIL).is_file()
    assert here.money() == (0, PRICE)
    expected = {"prompt": "a red ball", "model": "x", "seconds": "2", "size": "112x64", "seed": "5"}
    assert provider.forms == [expected]


@pytest.mark.parametrize("knows", [False, True])
def test_a_style_goes_apart_to_those_that_know_it_and_in_the_prompt_to_others(
    here: Here, provider: Provider, knows: bool
) -> None:
    with provider.serving() as url:
        listing(here, north=url)
        if knows:
            file = here.settings.providers
            assert file is not None
            file.write_text(file.read_text().replace('["seed"]', '["seed", "style"]'))
        with here.forwarding():
            here.ended(here.ask(style="film noir"))
    (form,) = provider.forms
    said = ("a red ball", "film noir") if knows else ("a red ball\nStyle: film noir", None)
    assert (form["prompt"], form.get("style")) == said


def test_an_answer_that_never_came_is_asked_for_again_and_the_money_stays(
    here: Here, provider: Provider
) -> None:
    provider.script = {"create": ["slow", 500]}
    with provider.serving() as url:
        listing(here, north=url)
        video = here.ask()
        with here.forwarding():
            here.until(lambda: provider.asked["create"] >= 2)
            assert here.money() == (PRICE, 0)  # nobody knows yet
            assert here.row(video).status == "in_progress"
            assert here.ended(video).status == "completed"
    assert provider.asked["create"] == 3
    assert len(provider.made) == 1
    assert here.money() == (0, PRICE)


def test_one_that_does_not_take_it_is_left_for_the_next(here: Here, provider: Provider) -> None:
    busy = Provider(provider.film, {"create": [503, 429, 401]})
    with provider.serving() as url, busy.serving() as full:
        listing(here, gone="http://127.0.0.1:9/v1", busy=full, north=url)
        with here.forwarding() as forwarder:
            rows = [here.ended(here.ask()) for _ in range(3)]
            assert forwarder.providers.breakers["gone"].open
            assert forwarder.providers.breakers["busy"].open
            asked = busy.asked["create"]
            assert here.ended(here.ask()).status == "completed"
            assert busy.asked["create"] == asked == 3  # left alone by now
    assert {row.status for row in rows} == {"completed"}
    assert {row.upstream["provider"] for row in rows} == {"north"}
    assert here.money() == (0, 4 * PRICE)


@pytest.mark.parametrize("then", [503, 502, 409, "away"])
def test_one_that_may_have_taken_it_is_asked_until_it_says_and_nobody_else(
    then: int | str, here: Here, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer did not come; that it is busy or away by then does not say that it has made nothing."""
    north = Provider(provider.film, {"create": ["slow", then] if then != "away" else ["slow"]})
    post, posts = Errand.post, []

    def away(self: Errand, *given: Any) -> Any:
        posts.append(given[1].name)
        if then == "away" and len(posts) == 2:
            raise httpx2.ConnectError("away")
        return post(self, *given)

    monkeypatch.setattr(Errand, "post", away)
    with north.serving() as url, provider.serving() as other:
        listing(here, north=url, south=other)
        with here.forwarding():
            row = here.ended(here.ask())
    assert row.status == "completed"
    assert row.upstream["provider"] == "north"
    assert (len(north.made), len(provider.made)) == (1, 0)
    assert posts == ["north"] * 3
    assert here.money() == (0, PRICE)


def test_after_a_crash_one_that_may_have_taken_it_is_asked_until_it_says(
    here: Here, provider: Provider
) -> None:
    north = Provider(provider.film, {"create": [503]})
    with north.serving() as url, provider.serving() as other:
        listing(here, north=url, south=other)
        video = here.ask()
        with here.database.write() as tx:  # as if it had died while it asked
            tx.execute(videos.update().values(upstream={"provider": "north", "video": None}))
        with here.forwarding():
            assert here.ended(video).upstream["provider"] == "north"
    assert provider.made == {}


def test_no_provider_has_more_at_once_than_it_takes(here: Here, provider: Provider) -> None:
    other = Provider(provider.film)
    with provider.serving() as url, other.serving() as south:
        listing(here, 2, north=url, south=south)
        asked = [here.ask() for _ in range(9)]
        with here.forwarding() as forwarder:
            assert {here.ended(video).status for video in asked} == {"completed"}
            here.until(lambda: not +forwarder.providers.busy)  # all places are given back
    assert 0 < provider.most <= 2
    assert 0 < other.most <= 2
    assert here.row(asked[0]).attempt == 1


def test_after_failures_in_a_row_one_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(providers.time, "monotonic", lambda: now[0])
    one = providers.Provider.model_validate(
        {
            "name": "a",
            "url": "http://a/v1",
            "key": "env:A",
            "model": [{"name": "x", "sizes": ["1x1"]}],
        }
    )
    all_ = providers.Providers([one])
    assert [all_.enter(one) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(4):
        all_.leave(one)
    for _ in range(providers.FAILURES):
        all_.breakers["a"].note(worked=False)
    assert not all_.enter(one)
    now[0] += providers.PAUSE
    assert [all_.enter(one), all_.enter(one)] == [True, False]
    all_.breakers["a"].note(worked=True)
    assert all_.enter(one)


@pytest.mark.parametrize("status", [404, 410])
def test_a_film_that_is_gone_is_not_asked_for_for_ever(
    status: int, here: Here, provider: Provider
) -> None:
    provider.script = {"content": [status]}
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            assert here.ended(here.ask()).error_code == "provider_refused"
    assert here.money() == (0, 0)


def test_what_a_provider_says_in_other_forms_is_understood(here: Here, provider: Provider) -> None:
    provider.status, provider.answers = "in_progress", {"progress": "40%"}
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            video = here.ask()
            here.until(lambda: here.row(video).progress == 40)
            provider.answers = {"progress": "soon"}
            seen = provider.asked["retrieve"]
            here.until(lambda: provider.asked["retrieve"] > seen + 2)
            assert here.row(video).progress == 40
            provider.status, provider.answers = "failed", {"error": "in plain words"}
            row = here.ended(video)
    assert row.error_code == "provider_refused"
    assert "in plain words" in row.error_message


def test_no_more_is_written_than_there_is_news(here: Here, provider: Provider) -> None:
    provider.status = "in_progress"
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            video = here.ask()
            here.until(lambda: provider.asked["retrieve"] > 8)
            provider.status = "completed"
            here.ended(video)
    with here.database.read() as tx:
        kinds = list(tx.scalars(select(events.c.kind).order_by(events.c.id)))
    assert kinds == ["queued", "started", "progress", "completed"]


def test_a_provider_gets_what_is_seen_in_an_upload_and_nothing_else_of_it(
    here: Here, provider: Provider
) -> None:
    picture = Image.new("RGB", (64, 64), "red")
    exif = picture.getexif()
    exif[0x010E] = "where I live"
    name = ids.new("file")
    with Artifacts(here.settings.uploads).adding(name) as folder:
        picture.save(folder / CONTENT, "jpeg", exif=exif)
        assert b"where I live" in (folder / CONTENT).read_bytes()
    bad = ids.new("file")
    with Artifacts(here.settings.uploads).adding(bad) as folder:
        (folder / CONTENT).write_bytes(b"no picture")
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            assert here.ended(here.ask(image=name)).status == "completed"
            ((kind, sent),) = provider.files
            assert here.ended(here.ask(image=bad)).error_code == "invalid_file"
    assert kind == "image/png"
    assert sent.startswith(b"\x89PNG")
    assert b"where I live" not in sent
    assert provider.asked["create"] == 1


@pytest.mark.parametrize("way", ["refused", "failed"])
def test_what_a_provider_will_not_make_costs_nothing(
    way: str, here: Here, provider: Provider
) -> None:
    if way == "refused":
        provider.script = {"create": [400]}
    provider.status = "failed"
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            row = here.ended(here.ask())
    assert row.error_code == "provider_refused"
    assert ("no: 400" if way == "refused" else "it went wrong") in row.error_message
    assert here.money() == (0, 0)


def test_whoever_goes_on_asks_for_the_same_video(here: Here, provider: Provider) -> None:
    provider.status = "in_progress"
    with provider.serving() as url:
        listing(here, north=url)
        video = here.ask()
        with here.forwarding():
            here.until(lambda: provider.asked["retrieve"] > 0)
        assert here.row(video).status == "queued"  # handed back
        provider.status = "completed"
        with here.forwarding():
            assert here.ended(video).status == "completed"
    assert provider.asked["create"] == 1
    assert here.money() == (0, PRICE)


def test_what_is_cancelled_is_called_off_there(here: Here, provider: Provider) -> None:
    provider.status = "in_progress"
    with provider.serving() as url:
        listing(here, north=url)
        video = here.ask()
        with here.forwarding():
            here.until(lambda: provider.asked["retrieve"] > 0)
            with here.database.write() as tx:
                assert jobs.cancel(tx, video, at=ids.now())
            assert here.ended(video).error_code == "cancelled"
            here.until(lambda: provider.asked["cancel"] == 1)
    assert here.money() == (0, 0)


def test_a_provider_that_is_away_for_a_while_is_waited_for(here: Here, provider: Provider) -> None:
    provider.script = {"retrieve": ["in_progress", 500, 502], "content": [500]}
    with provider.serving() as url:
        listing(here, north=url)
        with here.forwarding():
            assert here.ended(here.ask()).status == "completed"
    assert here.money() == (0, PRICE)


def test_a_breaker_opens_after_failures_in_a_row_and_one_success_closes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(providers.time, "monotonic", lambda: now[0])
    breaker = Breaker()
    for worked in (False, False, True, False, False):
        breaker.note(worked=worked)
    assert not breaker.open
    breaker.note(worked=False)
    assert breaker.open
    now[0] += providers.PAUSE
    assert not breaker.open  # one attempt is let through
    breaker.note(worked=False)
    now[0] += providers.PAUSE
    assert breaker.open  # for twice as long
    breaker.note(worked=True)
    assert not breaker.open


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[provider]]\nname = 'a'", "url"),
        ("[[provider]]\nname='a'\nurl='http://a/v1'\nkey='plain'\nmodel=[]", "key"),
        ("nonsense", "cannot be read"),
        ("other = 1", "other"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(YozoraError, match=said):
        read_providers(tmp_path / "p.toml")
