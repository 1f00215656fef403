"""Nobody sees, fetches, cancels, remixes or deletes what is another organisation's, by whatever route."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.service.api.conftest import PNG, Site

from yozora.service import ids
from yozora.service.api.app import ROUTES

WITH_ID = [(one.method, one.path) for one in ROUTES if "{" in one.path]
SHARED = {"model", "character_id"}  # the same for everybody


def things(site: Site) -> dict[str, str]:
    """What belongs to the first organisation, by the names of the routes' parameters."""
    http = site.http("a")
    hook = http.post("/v1/webhooks", json={"url": "https://receiver.example/"}).json()["id"]
    video = http.post("/v1/videos", json={"prompt": "mine"}).json()["id"]
    site.work()
    (told,) = http.get(f"/v1/webhooks/{hook}/deliveries").json()["data"]
    file = http.post("/v1/files", data={"purpose": "vision"}, files={"file": PNG}).json()["id"]
    text = '{"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": {"prompt": "mine"}}'
    sent = {"data": {"purpose": "batch"}, "files": {"file": text.encode()}}
    asked = {"input_file_id": http.post("/v1/files", **sent).json()["id"]}
    asked |= {"endpoint": "/v1/videos", "completion_window": "24h"}
    batch = http.post("/v1/batches", json=asked).json()["id"]
    made = {"video_id": video, "file_id": file, "batch_id": batch}
    return made | {"webhook_id": hook, "delivery_id": told["id"]}


def things_of_nobody() -> dict[str, str]:
    """Ids that nothing has."""
    kinds = {"video": "video", "file": "file", "batch": "batch", "webhook": "wh", "delivery": "msg"}
    return {f"{name}_id": ids.new(kind) for name, kind in kinds.items()}


def ask(site: Site, who: str, method: str, path: str, **options: Any) -> tuple[int, str]:
    """An answer's status and text."""
    answer = site.http(who).request(method, path, **options)
    return answer.status_code, answer.text


def body(method: str) -> dict[str, Any]:
    return {"json": {"prompt": "yours"}} if method == "POST" else {}


def test_others_things_are_missing(site: Site) -> None:
    mine, none = things(site), things_of_nobody()
    odd = dict.fromkeys(none, "%00%2e%2e")
    seen = 0
    for method, path in WITH_ID:
        if SHARED & set(re.findall(r"\{(\w+)\}", path)):
            continue
        seen += 1
        answers = [
            ask(site, "b", method, path.format(**named), **body(method))
            for named in (mine, none, odd)
        ]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0][0] == 404
    assert seen >= 12
    (told,) = site.http("a").get(f"/v1/webhooks/{mine['webhook_id']}/deliveries").json()["data"]
    assert (told["status"], told["attempts"]) == ("waiting", 0)
    (hook,) = site.http("a").get("/v1/webhooks").json()["data"]
    assert hook["disabled_at"] is None
    video = site.http("a").get(f"/v1/videos/{mine['video_id']}").json()
    assert (video["status"], video["prompt"]) == ("completed", "mine")
    assert site.http("a").get(f"/v1/files/{mine['file_id']}/content").content == PNG


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("POST", "/v1/videos", {"prompt": "x", "input_reference": {"file_id": "FILE"}}),
        ("POST", "/v1/videos/edits", {"prompt": "x", "video": {"id": "VIDEO"}}),
        ("POST", "/v1/videos/edits", {"prompt": "x", "video": {"file_id": "FILE"}}),
        ("POST", "/v1/videos/extensions", {"prompt": "x", "seconds": "2", "video": {"id": "VIDEO"}}),
        ("POST", "/v1/videos/extensions", {"prompt": "x", "seconds": "2", "video": {"file_id": "FILE"}}),
        (
            "POST",
            "/v1/batches",
            {"input_file_id": "FILE", "endpoint": "/v1/videos", "completion_window": "24h"},
        ),
        ("GET", "/v1/videos?after=VIDEO", None),
        ("GET", "/v1/files?after=FILE", None),
    ],
)  # fmt: skip
def test_others_things_cannot_be_named(
    site: Site, method: str, path: str, given: dict[str, Any] | None
) -> None:
    mine = things(site)

    def filled(value: Any, video: str, file: str) -> Any:
        if isinstance(value, dict):
            return {name: filled(part, video, file) for name, part in value.items()}
        return value.replace("VIDEO", video).replace("FILE", file)

    answers = []
    for video, file in (
        (mine["video_id"], mine["file_id"]),
        (other := ids.new("video"), another := ids.new("file")),
    ):
        options = {"json": filled(given, video, file)} if given else {}
        status, text = ask(site, "b", method, filled(path, video, file), **options)
        answers.append((status, text.replace(video, "ID").replace(file, "ID")))
    assert other != another
    assert answers[0] == answers[1]
    assert answers[0][0] == 400


def test_lists_hold_ones_own(site: Site) -> None:
    things(site)
    assert len(site.http("a").get("/v1/videos").json()["data"]) >= 1
    assert site.http("b").get("/v1/videos").json()["data"] == []
    assert site.http("b").get("/v1/files").json()["data"] == []
    assert len(site.http("a").get("/v1/webhooks").json()["data"]) == 1
    assert site.http("b").get("/v1/webhooks").json()["data"] == []


def test_no_route_answers_without_a_key(site: Site) -> None:
    for one in ROUTES:
        path = re.sub(r"\{\w+\}", ids.new("video"), one.path)
        for key in ("", "Bearer", "Bearer yz_no", "Basic eW86em8=", f"Bearer {site.keys['a']}x"):
            headers = {"authorization": key} if key else {}
            answer = site.http(None).request(one.method, path, headers=headers)
            assert answer.status_code == 401, (one, key)
            assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_does_what_its_scopes_allow(site: Site) -> None:
    site.keys["reader"] = site.key("a", scopes=["videos:read"])
    mine = things(site)
    for one in ROUTES:
        path = one.path.format(**mine, model="nano", character_id="x")
        status, text = ask(site, "reader", one.method, path, **body(one.method))
        allowed = one.method == "GET" and not ("models" in path or "webhooks" in path)
        assert (status == 403) != (allowed or "characters" in path), (one, text)
    site.keys["blind"] = site.key("a", scopes=[])
    for one in ROUTES:
        path = one.path.format(**mine, model="nano", character_id="x")
        assert ask(site, "blind", one.method, path, **body(one.method))[0] == 403
