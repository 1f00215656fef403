"""A video is made once, however often it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
from sqlalchemy import func, select, update
from starlette.types import Receive, Scope, Send
from tests.service.api.conftest import PNG, Site, running

from yozora.service.api.app import create_app
from yozora.service.schema import holds, requests, videos

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def count(site: Site) -> int:
    """How many videos there are, each with its money."""
    with site.database.read() as tx:
        made, held = (tx.scalar(select(func.count()).select_from(t)) for t in (videos, holds))
    assert made == held
    return int(made or 0)


class Forgetful:
    """A proxy that takes requests, passes them on, and answers the first ones with 503 whatever came of them."""

    def __init__(self, app: Any, failures: int) -> None:
        self.app, self.failures = app, failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not self.failures:
            await self.app(scope, receive, send)
            return
        self.failures -= 1

        async def lost(_message: Any) -> None:
            pass

        await self.app(scope, receive, lost)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_the_sdks_retries_make_one_video(site: Site) -> None:
    app = create_app(site.settings, site.database, site.artifacts)
    with running(Forgetful(app, failures=2)) as address:
        sdk = openai.OpenAI(base_url=f"{address}/v1", api_key=site.keys["a"], max_retries=2)
        with sdk:
            made = sdk.videos.create(prompt="x", input_reference=("a.png", PNG, "image/png"))
    assert [v.id for v in site.sdk().videos.list()] == [made.id]
    assert count(site) == 1
    assert len(site.sdk().files.list().data) == 1
    assert len(list((site.settings.uploads).glob("??/*"))) == 1  # copies of it are gone


def test_the_sdks_retries_make_one_file_and_one_batch(site: Site) -> None:
    lines = b'{"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": {"prompt": "x"}}'
    app = create_app(site.settings, site.database, site.artifacts)
    for kind in ("file", "batch"):
        with (
            running(Forgetful(app, failures=1)) as address,
            openai.OpenAI(base_url=f"{address}/v1", api_key=site.keys["a"], max_retries=1) as sdk,
        ):
            if kind == "file":
                file = sdk.files.create(file=("in.jsonl", lines), purpose="batch")
                assert [one.id for one in site.sdk().files.list()] == [file.id]
                assert len(list(site.settings.uploads.glob("??/*"))) == 1
                continue
            asked: dict[str, Any] = {"endpoint": "/v1/videos", "completion_window": "24h"}
            batch = sdk.batches.create(input_file_id=file.id, **asked)
            assert [one.id for one in site.sdk().batches.list()] == [batch.id]
    named = {"idempotency-key": "f"}
    given = {"data": {"purpose": "vision"}, "files": {"file": PNG}}
    made = site.http().post("/v1/files", **given, headers=named).json()["id"]
    assert site.http().post("/v1/files", **given, headers=named).json()["id"] == made
    site.http().delete(f"/v1/files/{made}")
    again = site.http().post("/v1/files", **given, headers=named)
    assert (again.status_code, again.json()["error"]["code"]) == (410, "file_deleted")


def test_the_same_wish_twice_is_two_videos(site: Site) -> None:
    sdk = site.sdk()
    assert sdk.videos.create(prompt="x").id != sdk.videos.create(prompt="x").id
    assert count(site) == 2


def test_a_retry_of_the_second_gives_the_second(site: Site) -> None:
    http, wish = site.http(), {"prompt": "x"}
    again = {"x-stainless-retry-count": "1"}
    http.post("/v1/videos", json=wish)
    second = http.post("/v1/videos", json=wish).json()["id"]
    assert http.post("/v1/videos", json=wish, headers=again).json()["id"] == second
    form = {"prompt": (None, "x")}  # the same in another writing
    assert http.post("/v1/videos", files=form, headers=again).json()["id"] == second
    other = {"prompt": "y"}
    assert http.post("/v1/videos", json=other, headers=again).json()["id"] != second
    assert site.http("b").post("/v1/videos", json=wish, headers=again).json()["id"] != second
    with site.database.write() as tx:
        tx.execute(update(requests).values(created_at=1))
    assert http.post("/v1/videos", json=wish, headers=again).json()["id"] != second


def test_a_name_makes_one_video_and_is_of_one_request(site: Site) -> None:
    http, named = site.http(), {"idempotency-key": "order-1"}
    made = http.post("/v1/videos", json={"prompt": "x"}, headers=named).json()
    site.work()
    again = http.post("/v1/videos", json={"prompt": "x"}, headers=named).json()
    assert (again["id"], again["status"]) == (made["id"], "completed")
    wrong = http.post("/v1/videos", json={"prompt": "y"}, headers=named)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "idempotency_key_reused")
    remix = http.post(f"/v1/videos/{made['id']}/remix", json={"prompt": "x"}, headers=named)
    assert remix.status_code == 422
    other = site.http("b").post("/v1/videos", json={"prompt": "y"}, headers=named)
    assert other.status_code == 200
    http.delete(f"/v1/videos/{made['id']}")
    assert http.post("/v1/videos", json={"prompt": "x"}, headers=named).status_code == 410
    assert count(site) == 2


def at_once(times: int, call: Callable[[], str]) -> set[str]:
    """What several calls at the same moment give."""
    found: list[str] = []
    gate = threading.Barrier(times)

    def run() -> None:
        gate.wait()
        found.append(call())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == times
    return set(found)


def test_sendings_at_once_make_one_video(site: Site) -> None:
    http = site.http()
    for headers in ({"idempotency-key": "one"}, {"x-stainless-retry-count": "1"}):

        def call(headers: dict[str, str] = headers) -> str:
            return str(http.post("/v1/videos", json={"prompt": "x"}, headers=headers).json()["id"])

        assert len(at_once(8, call)) == 1
    assert count(site) == 2


def test_what_was_refused_is_not_remembered(site: Site) -> None:
    http, named = site.http(), {"idempotency-key": "order-1"}
    assert (
        http.post("/v1/videos", json={"prompt": "x", "size": "9x9"}, headers=named).status_code
        == 400
    )
    assert http.post("/v1/videos", json={"prompt": "x"}, headers=named).status_code == 200
    assert (
        http.post(
            "/v1/videos", json={"prompt": "x"}, headers={"idempotency-key": "k" * 256}
        ).status_code
        == 400
    )
