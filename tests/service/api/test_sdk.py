"""The contract, as the unmodified SDK of its inventor sends and reads it."""

from __future__ import annotations

import io
import re
import threading
import time

import openai
import pytest
from openai import omit
from sqlalchemy import func, select
from tests.service.api.conftest import PNG, Site

from yozora.service import ids, limits, prices
from yozora.service.schema import holds, videos

# By its types the SDK takes the id of a video or a picture; it then asks for a file, so that such ids go by extra_body.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def test_a_video_from_its_creation_to_its_deletion(site: Site) -> None:
    sdk = site.sdk()
    made = sdk.videos.create(prompt="a red ball falls", model="nano", seconds="2", size="112x64")  # type: ignore[arg-type]
    assert (made.status, made.progress, made.model, made.seconds) == ("queued", 0, "nano", "2")
    assert made.model_fields_set == set(type(made).model_fields)  # all keys are there, and no other
    site.work()
    done = sdk.videos.retrieve(made.id)
    assert (done.status, done.progress, done.error) == ("completed", 100, None)
    assert done.completed_at is not None
    assert done.expires_at is not None
    for variant, starts in {
        "video": b"ftyp",
        "thumbnail": b"RIFF",
        "spritesheet": b"\xff\xd8",
    }.items():
        content = sdk.videos.download_content(made.id, variant=variant)  # type: ignore[arg-type]
        assert starts in content.read()[:12]
    gone = sdk.videos.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        sdk.videos.retrieve(made.id)


def test_creating_and_waiting(site: Site) -> None:
    def work() -> None:
        while not site.work():
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    done = site.sdk().videos.create_and_poll(prompt="a red ball falls")
    worker.join()
    assert done.status == "completed"


def test_a_list_in_pages(site: Site) -> None:
    sdk = site.sdk()
    made = [sdk.videos.create(prompt=str(i)).id for i in range(5)]
    assert {v.id for v in sdk.videos.list(limit=2)} == set(made)
    newest = [v.id for v in sdk.videos.list(limit=2)]
    assert [v.id for v in sdk.videos.list(limit=2, order="asc")] == newest[::-1]
    page = sdk.videos.list(limit=2, after=newest[2])
    assert [v.id for v in page.data] == newest[3:]
    assert not page.has_more
    sdk.videos.with_raw_response.list(limit=100)
    with pytest.raises(openai.BadRequestError, match="limit"):
        sdk.videos.list(limit=0)


def wish(site: Site, video: str) -> dict[str, object]:
    """What the worker is given."""
    with site.database.read() as tx:
        return dict(tx.execute(select(videos.c.params).where(videos.c.id == video)).scalar_one())


def test_a_remix_has_all_but_the_words(site: Site) -> None:
    sdk = site.sdk()
    extra = {"seed": 7, "steps": 5, "guidance": 2.5, "negative_prompt": "two", "style": "film noir"}
    made = sdk.videos.create(
        prompt="a red ball falls",
        seconds="3",  # type: ignore[arg-type]
        input_reference=("still.png", PNG, "image/png"),
        extra_body=extra,
    )
    with pytest.raises(openai.ConflictError):  # not finished
        sdk.videos.remix(made.id, prompt="a blue ball falls")
    site.work()
    other = sdk.videos.remix(made.id, prompt="a blue ball falls")
    assert (other.prompt, other.seconds, other.size) == ("a blue ball falls", "3", made.size)
    assert other.remixed_from_video_id == made.id
    assert wish(site, other.id) == wish(site, made.id)
    assert wish(site, made.id)["seed"] == 7
    last = sdk.videos.remix(made.id, prompt="it falls", extra_body={"style": "watercolour"})
    assert wish(site, last.id) == {**wish(site, made.id), "style": "watercolour"}


def test_edits_and_extensions(site: Site) -> None:
    sdk = site.sdk()
    made = sdk.videos.create(prompt="a red ball falls", seconds="2")  # type: ignore[arg-type]
    site.work()
    edit = sdk.videos.edit(prompt="in the rain", video=omit, extra_body={"video": {"id": made.id}})
    assert (edit.seconds, wish(site, edit.id)["video"]) == ("2", {"video": made.id})
    span = sdk.videos.edit(
        prompt="a flash", video=omit, extra_body={"video": {"id": made.id}, "fill": [0.5, 1.25]}
    )
    assert wish(site, span.id)["fill"] == [0.5, 1.25]
    longer = sdk.videos.extend(
        prompt="it rolls on", seconds="4", video=omit, extra_body={"video": {"id": made.id}}
    )
    assert (longer.seconds, wish(site, longer.id)["added"]) == ("6", 4.0)
    both = sdk.videos.extend(
        prompt="it rolls on",
        seconds="4",
        video=omit,
        extra_body={"video": {"id": made.id}, "extend": "both"},
    )
    assert (both.seconds, wish(site, both.id)["extend"]) == ("10", "both")
    own = sdk.videos.edit(prompt="in the rain", video=io.BytesIO(b"a clip"))
    file = wish(site, own.id)["video"]["file"]  # type: ignore[index]
    assert sdk.files.content(file).read() == b"a clip"
    again = sdk.videos.extend(
        prompt="on", seconds="4", video=omit, extra_body={"video": {"file_id": file}}
    )  # fmt: skip
    assert wish(site, again.id)["video"] == {"file": file}


def test_a_first_frame_by_file_by_id_and_by_data_url(site: Site) -> None:
    sdk = site.sdk()
    sent = sdk.videos.create(prompt="x", input_reference=("../../etc/passwd", PNG, "image/png"))
    kept = sdk.files.create(file=("a.png", PNG), purpose="vision")
    named = sdk.videos.create(prompt="x", extra_body={"input_reference": {"file_id": kept.id}})
    url = "data:image/png;base64,iVBORw0KGgo="
    told = sdk.videos.create(prompt="x", extra_body={"input_reference": {"image_url": url}})
    assert wish(site, named.id)["image"] == kept.id
    for video in (sent.id, told.id):
        assert sdk.files.retrieve(str(wish(site, video)["image"])).purpose == "vision"
    with pytest.raises(openai.BadRequestError, match="not fetched"):
        sdk.videos.create(
            prompt="x", extra_body={"input_reference": {"image_url": "https://example.org/a.png"}}
        )


def test_errors_have_the_contracts_form(site: Site) -> None:
    sdk = site.sdk()
    nobody = {"video": {"id": "video_none"}}
    cases = [
        (lambda: sdk.videos.create(prompt=""), "prompt", "invalid_value"),
        (lambda: sdk.videos.create(prompt="x" * 32_001), "prompt", "invalid_value"),
        (lambda: sdk.videos.create(prompt="hard porn"), "prompt", "moderation_blocked"),
        (lambda: sdk.videos.create(prompt="x", model="sora-2"), "model", "model_not_found"),
        (lambda: sdk.videos.create(prompt="x", size="1280x720"), "size", "invalid_value"),
        (lambda: sdk.videos.create(prompt="x", seconds="1e9"), "seconds", "invalid_value"),  # type: ignore[arg-type]
        (lambda: sdk.videos.create(prompt="x", extra_body={"seeed": 1}), "seeed", "unknown_parameter"),
        (lambda: sdk.videos.create(prompt="x", extra_body={"guidance": "nan"}), "guidance", "invalid_value"),
        (lambda: sdk.videos.edit(prompt="x", video=omit, extra_body=nobody), "video.id", "video_not_found"),
    ]  # fmt: skip
    for call, param, code in cases:
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert (caught.value.param, caught.value.code) == (param, code)
        assert caught.value.type == "invalid_request_error"
        assert re.fullmatch(r"req_[0-9a-f]{32}", str(caught.value.request_id))
    site.keys["nobody"] = "yz_wrong"
    with pytest.raises(openai.AuthenticationError):
        site.sdk("nobody").videos.list()
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.videos.create_character(name="x", video=b"x")
    assert refused.value.status_code == 501
    for method, path in (("GET", "/v1/nothing"), ("PUT", "/v1/videos")):
        answer = site.http().request(method, path)
        assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"]), answer.headers


def test_of_a_span_only_what_is_made_is_charged_and_a_file_may_be_of_any_length(site: Site) -> None:
    with site.database.write() as tx:
        prices.set_price(tx, per_second=1_000_000, by="test", at=ids.now())
    http = site.http()
    whole = http.post("/v1/videos", json={"prompt": "x", "seconds": "2"}).json()["id"]
    site.work()
    file = http.post("/v1/files", data={"purpose": "vision"}, files={"file": PNG}).json()["id"]
    cases = [
        ({"id": whole}, [0.5, 1.25], 750_000),
        ({"file_id": file}, [9, 10.5], 1_500_000),  # the worker sees whether the file has it
        ({"id": whole}, [1.5, 2.5], None),
        ({"id": whole}, [0, 2], None),
        ({"file_id": file}, [2, 1], None),
    ]
    for video, span, price in cases:
        answer = http.post("/v1/videos/edits", json={"prompt": "y", "video": video, "fill": span})
        assert (answer.status_code == 200) == (price is not None), answer.text
        if price is None:
            assert answer.json()["error"]["param"] == "fill"
            continue
        with site.database.read() as tx:
            mine = holds.c.video_id == answer.json()["id"]
            assert tx.scalar(select(holds.c.amount).where(mine)) == price


def test_every_request_that_would_change_something_counts(site: Site) -> None:
    with site.database.write() as tx:
        limits.set_limit(
            tx, org_id="org_a", scope="org_a", measure="requests", period="minute", amount=3,
            by="test", at=1,
        )  # fmt: skip
    http = site.http()
    sent = [
        http.post("/v1/videos", json={"prompt": ""}),
        http.delete("/v1/files/file_none"),
        http.post("/v1/files", json={}),
        http.post("/v1/videos", json={"prompt": "x"}),
        http.get("/v1/videos"),
    ]
    assert [one.status_code for one in sent] == [400, 404, 400, 429, 200]
    assert sent[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert site.http("b").post("/v1/videos", json={"prompt": "x"}).status_code == 200


def count(site: Site) -> int:
    with site.database.read() as tx:
        return int(tx.scalar(select(func.count()).select_from(videos)) or 0)


def test_a_spent_budget_is_not_retried_but_a_busy_minute_is(site: Site) -> None:
    with site.database.write() as tx:
        prices.set_price(tx, per_video=100, by="test", at=ids.now())
        limits.set_limit(
            tx,
            org_id="org_a",
            scope="org_a",
            measure="spend",
            period="lifetime",
            amount=150,
            by="test",
            at=1,
        )
    sdk = site.sdk(max_retries=2)
    sdk.videos.create(prompt="x")
    began = time.monotonic()
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.videos.create(prompt="x")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.type == "insufficient_quota"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    with site.database.write() as tx:
        limits.set_limit(
            tx,
            org_id="org_b",
            scope="org_b",
            measure="requests",
            period="minute",
            amount=1,
            by="test",
            at=1,
        )
    other = site.sdk("b")
    other.videos.create(prompt="x")
    with pytest.raises(openai.RateLimitError) as caught:
        other.videos.create(prompt="x")
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert time.monotonic() >= began
    assert count(site) == 2


def test_cancelled_videos_have_failed(site: Site) -> None:
    sdk = site.sdk()
    made = sdk.videos.create(prompt="x")
    for _ in range(2):  # the second time says the same
        answer = site.http().post(f"/v1/videos/{made.id}/cancel")
        assert answer.json()["error"]["code"] == "cancelled"
    done = sdk.videos.retrieve(made.id)
    assert done.status == "failed"
    assert done.error is not None
    other = sdk.videos.create(prompt="x")
    with pytest.raises(openai.ConflictError):  # not finished
        sdk.videos.delete(other.id)
    site.work()
    assert site.http().post(f"/v1/videos/{other.id}/cancel").status_code == 409


def test_models_say_what_they_can_do(site: Site) -> None:
    sdk = site.sdk()
    (model,) = sdk.models.list().data
    said = sdk.models.retrieve("nano").model_dump()
    assert said == model.model_dump()
    assert said["capabilities"]["sizes"] == ["112x64"]
    assert said["rights"]["clips"] > 0
    site.keys["narrow"] = site.key("a", models=["other"])
    assert site.sdk("narrow").models.list().data == []
    with pytest.raises(openai.BadRequestError):
        site.sdk("narrow").videos.create(prompt="x", model="nano")


def test_files(site: Site) -> None:
    sdk = site.sdk()
    made = sdk.files.create(file=("../a\0b.png", PNG), purpose="vision")
    other = sdk.files.create(
        file=b"x", purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert other.expires_at == other.created_at + 3600
    assert {f.id for f in sdk.files.list(limit=1)} == {made.id, other.id}
    assert [f.id for f in sdk.files.list(purpose="vision")] == [made.id]
    assert sdk.files.content(made.id).read() == PNG
    assert sdk.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.content(made.id)
