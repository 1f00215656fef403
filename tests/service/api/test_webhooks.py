"""Webhooks over the interface: named, told, looked at, sent again, disabled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from standardwebhooks import Webhook
from tests.service.api.conftest import Site
from tests.service.test_fetch import server
from tests.service.test_webhooks import HERE

from yozora.service import audit, keys
from yozora.service.api.webhooks import MOST
from yozora.service.webhooks import Sender

URL = "https://receiver.example/yozora"


def test_a_receiver_from_its_naming_to_its_end(site: Site) -> None:
    http = site.http()
    refused = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    with server(refused, refused.replace(b"500 No", b"200 OK")) as (address, asked):
        port = address.rpartition(":")[2]
        made = http.post("/v1/webhooks", json={"url": URL, "events": ["video.completed"]}).json()
        assert made["secret"].startswith("whsec_")
        hook = f"/v1/webhooks/{made['id']}"
        aim(site, made["id"], f"http://127.0.0.1:{port}/")
        for prompt in ("x", "y"):
            http.post("/v1/videos", json={"prompt": prompt})
        site.work()
        newest, oldest = http.get(f"{hook}/deliveries").json()["data"]
        assert (newest["type"], newest["status"], newest["attempts"]) == (
            "video.completed", "waiting", 0,
        )  # fmt: skip
        page = http.get(f"{hook}/deliveries?limit=1&after={newest['id']}").json()
        assert [one["id"] for one in page["data"]] == [oldest["id"]]
        assert send(site) == 2
    newest, oldest = (one for one in http.get(f"{hook}/deliveries").json()["data"])
    assert {newest["status"], oldest["status"]} == {"waiting", "delivered"}
    taken = next(one for one in (newest, oldest) if one["status"] == "delivered")
    checker = Webhook(made["secret"])
    for request in asked:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        checker.verify(body, {name.lower(): value for name, value in lines.items()})
    again = http.post(f"{hook}/deliveries/{taken['id']}/replay").json()
    assert (again["status"], again["attempts"], again["delivered_at"]) == ("waiting", 0, None)
    gone = http.delete(hook).json()
    assert gone["disabled_at"] is not None
    assert gone == http.delete(hook).json()  # once and for all
    assert http.post(f"{hook}/deliveries/{taken['id']}/replay").status_code == 409
    assert send(site) == 0
    assert [one["disabled_at"] is None for one in http.get("/v1/webhooks").json()["data"]] == [
        False
    ]
    with site.database.read() as tx:
        noted = [row.action for row in audit.listing(tx, "org_a")]
    assert [one for one in noted if one.startswith("webhook")] == [
        "webhook.disable",
        "webhook.create",
    ]


def aim(site: Site, hook: str, url: str) -> None:
    """Lead a receiver to this machine, which nobody may name."""
    from yozora.service.schema import webhooks

    with site.database.write() as tx:
        tx.execute(webhooks.update().where(webhooks.c.id == hook).values(url=url))


def send(site: Site) -> int:
    """Send all that is due; how many deliveries that were."""
    with ThreadPoolExecutor(1) as pool:
        begun = Sender(site.database, keys.pepper(site.settings.data), HERE).step(pool)
    return begun + send(site) if begun else 0


def test_a_secret_is_shown_when_it_is_made_and_not_again(site: Site) -> None:
    http, named = site.http(), {"idempotency-key": "hook"}
    made = http.post("/v1/webhooks", json={"url": URL}, headers=named).json()
    assert http.post("/v1/webhooks", json={"url": URL}, headers=named).json() == made
    assert made["events"] == ["video.completed", "video.failed"]
    listed = http.get("/v1/webhooks")
    assert [one["id"] for one in listed.json()["data"]] == [made["id"]]
    assert "whsec" not in listed.text
    assert "whsec" not in http.delete(f"/v1/webhooks/{made['id']}").text


def test_what_cannot_be_a_receiver_is_refused(site: Site) -> None:
    http = site.http()
    for wrong in (
        {"url": "ftp://receiver.example/"},
        {"url": "http://receiver.example:22/"},
        {"url": "https://ann:secret@receiver.example/"},
        {"url": ""},
        {"url": URL, "events": []},
        {"url": URL, "events": ["video.begun"]},
        {},
    ):
        answer = http.post("/v1/webhooks", json=wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["param"].startswith(("url", "events"))
    for _ in range(MOST):
        assert http.post("/v1/webhooks", json={"url": URL}).status_code == 200
    assert "at most" in http.post("/v1/webhooks", json={"url": URL}).json()["error"]["message"]
    assert site.http("b").post("/v1/webhooks", json={"url": URL}).status_code == 200
