"""Many videos by one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types import Batch
from sqlalchemy import func, select, update
from tests.service.api.conftest import Site

from yozora.service import ids, ledger, limits, prices
from yozora.service.schema import batches, keys, videos

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def line(name: str, **body: Any) -> str:
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/videos", "body": body})


def begin(site: Site, *lines: str, **more: Any) -> Batch:
    sdk = site.sdk()
    file = sdk.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    return sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/videos", completion_window="24h", **more
    )


def until(site: Site, batch: str, done: Callable[[Batch], bool]) -> Batch:
    """The batch when something is true of it; videos are made meanwhile."""
    for _ in range(150):
        site.work()
        found = site.sdk().batches.retrieve(batch)
        if done(found):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def ended(batch: Batch) -> bool:
    return batch.status in ("completed", "cancelled", "expired", "failed")


def read(site: Site, file: str | None) -> dict[str, dict[str, Any]]:
    if file is None:
        return {}
    texts = site.sdk().files.content(file).text.splitlines()
    return {one["custom_id"]: one for one in map(json.loads, texts)}


def test_a_batch_is_made_and_told(site: Site) -> None:
    with site.database.write() as tx:
        prices.set_price(tx, per_video=10, by="test", at=ids.now())
    wrong = line("c", prompt="x", size="9x9")
    made = begin(
        site, line("a", prompt="one"), "", line("b", prompt="two"), wrong, metadata={"k": "v"}
    )
    assert (made.status, made.metadata) == ("in_progress", {"k": "v"})
    done = until(site, made.id, ended)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 3, "completed": 2, "failed": 1}
    output, errors = read(site, done.output_file_id), read(site, done.error_file_id)
    assert {name: one["response"]["body"]["prompt"] for name, one in output.items()} == {
        "a": "one",
        "b": "two",
    }
    assert errors["c"]["response"]["status_code"] == 400
    assert errors["c"]["error"]["param"] == "size"
    video = output["a"]["response"]["body"]["id"]
    assert site.sdk().videos.download_content(video).read()[4:8] == b"ftyp"
    assert [b.id for b in site.sdk().batches.list()] == [made.id]
    with site.database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(videos)) == 2
        assert tx.scalar(select(func.max(videos.c.priority))) == -1
        assert ledger.check(tx) == []


def test_limits_that_pass_are_waited_for_and_budgets_are_not(site: Site) -> None:
    with site.database.write() as tx:
        prices.set_price(tx, per_video=10, by="test", at=ids.now())
        for measure, period, amount in (("concurrent", "now", 1), ("spend", "lifetime", 30)):
            limits.set_limit(
                tx, org_id="org_a", scope="org_a", measure=measure, period=period, amount=amount,
                by="test", at=1,
            )  # fmt: skip
    made = begin(site, *(line(str(n), prompt="x") for n in range(4)))
    done = until(site, made.id, ended)
    assert len(read(site, done.output_file_id)) == 3
    (error,) = read(site, done.error_file_id).values()
    assert error["error"]["code"] == "budget_exceeded"


def test_a_batch_leaves_others_room_under_a_limit(sqlite_site: Site) -> None:
    site = sqlite_site
    site.keys["a"] = site.key("a")
    key = f"key_{site.keys['a'].split('_')[1]}"
    with site.database.write() as tx:
        limits.set_limit(
            tx, org_id="org_a", scope=key, measure="concurrent", period="now", amount=4, by="test", at=1
        )  # fmt: skip
    two = [begin(site, *(line(str(n), prompt="x") for n in range(4))) for _ in range(2)]

    def open_() -> int:
        mine = (videos.c.key_id == key, videos.c.status == "queued")
        with site.database.read() as tx:
            return int(tx.scalar(select(func.count()).select_from(videos).where(*mine)) or 0)

    while open_() < 2:
        time.sleep(0.05)
    time.sleep(2.5)  # two looks later it is not more
    assert open_() == 2
    assert site.sdk().videos.create(prompt="at once").status == "queued"
    for made in two:
        assert until(site, made.id, ended).status == "completed"


def test_a_file_that_is_none_fails(site: Site) -> None:
    cases = {
        "": "1 to",
        "{": "no JSON",
        line("a", prompt="x") + "\n" + line("a", prompt="x"): "twice",
        '{"custom_id": "a", "method": "GET", "url": "/v1/videos", "body": {}}': "method",
        "[" * 10_000: "no JSON",
        line("a", prompt="x", seed=float("nan")): "no JSON",
        line("a", prompt="x", guidance=7).replace("7", "1e999"): "no JSON",
        "\n".join(line(str(n), prompt="x") for n in range(1001)): "1 to",
    }
    for text, said in cases.items():
        batch = begin(site, text)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert said in str(batch.errors.data)
    other = site.sdk().files.create(file=b"x", purpose="vision")
    with pytest.raises(openai.BadRequestError):
        site.sdk().batches.create(
            input_file_id=other.id, endpoint="/v1/videos", completion_window="24h"
        )


def test_one_batch_that_cannot_go_on_does_not_stop_others(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def judge(prompt: str) -> None:
        if prompt == "broken":
            raise RuntimeError("no judge expects this")

    monkeypatch.setattr(sqlite_site.service, "moderate", judge)
    stuck = begin(sqlite_site, line("a", prompt="broken"))
    fine = begin(sqlite_site, line("a", prompt="fine"))
    assert until(sqlite_site, fine.id, ended).status == "completed"
    assert sqlite_site.sdk().batches.retrieve(stuck.id).status == "in_progress"
    assert f"the batch {stuck.id} could not go on" in caplog.text
    sqlite_site.sdk().batches.cancel(stuck.id)  # which needs no judge
    assert until(sqlite_site, stuck.id, ended).status == "cancelled"


@pytest.mark.parametrize("how", ["cancelled", "expired", "revoked"])
def test_a_batch_that_is_stopped_keeps_what_is_finished(sqlite_site: Site, how: str) -> None:
    site = sqlite_site
    site.keys["a"] = site.key("a")
    key = f"key_{site.keys['a'].split('_')[1]}"
    with site.database.write() as tx:
        limits.set_limit(
            tx, org_id="org_a", scope=key, measure="concurrent", period="now", amount=1, by="test", at=1
        )  # fmt: skip
    made = begin(site, *(line(str(n), prompt="x") for n in range(3)))
    until(site, made.id, lambda b: b.request_counts is not None and b.request_counts.completed > 0)
    if how == "cancelled":
        assert site.sdk().batches.cancel(made.id).status == "cancelling"
    with site.database.write() as tx:
        if how == "expired":
            tx.execute(update(batches).where(batches.c.id == made.id).values(expires_at=1))
        if how == "revoked":
            tx.execute(update(keys).where(keys.c.id == key).values(revoked_at=1))
    site.keys["a"] = site.key("a")
    done = until(site, made.id, ended)
    assert done.status == (how if how != "revoked" else "completed")
    kept, lost = read(site, done.output_file_id), read(site, done.error_file_id)
    assert len(kept) >= 1
    assert kept.keys() | lost.keys() == {"0", "1", "2"}
    if how != "cancelled":  # which may be said twice
        with pytest.raises(openai.ConflictError):
            site.sdk().batches.cancel(made.id)
