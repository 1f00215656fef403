"""Webhooks: signed as the reference library checks, written with what they tell of, sent at least once, or given up."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, func, select
from standardwebhooks import Webhook, WebhookVerificationError
from tests.service.tenants import AT, PEPPER, Tenant, reserved, tenant
from tests.service.test_fetch import reply, server

from yozora.errors import YozoraError
from yozora.service import ids, jobs, retention, webhooks
from yozora.service.database import Database
from yozora.service.fetch import FetchError, Rules
from yozora.service.schema import outbox
from yozora.service.schema import webhooks as table
from yozora.service.settings import DAY

URL = "https://hooks.example.org/yozora"
HERE = Rules(on=True, seconds=3, bytes=2**14, also=("127.0.0.1",))
EVENT = {"id": "video_1"}


@dataclass
class Hooked:
    database: Database
    org: Tenant
    id: str
    secret: str


def hook(tx: Connection, org: Tenant, url: str = URL, **more: object) -> tuple[str, str]:
    return webhooks.create(tx, PEPPER, org_id=org.org_id, url=url, at=AT, rules=HERE, **more)  # type: ignore[arg-type]


@pytest.fixture
def hooked(database: Database) -> Hooked:
    with database.write() as tx:
        org = tenant(tx)
        made = hook(tx, org)
    return Hooked(database, org, *made)


def send(hooked: Hooked) -> int:
    with ThreadPoolExecutor(2) as pool:
        return webhooks.Sender(hooked.database, PEPPER, HERE).step(pool)


def told(hooked: Hooked, at: int = AT) -> str:
    with hooked.database.write() as tx:
        (delivery,) = webhooks.enqueue(tx, hooked.org.org_id, "video.completed", EVENT, at)
    return delivery


def row(hooked: Hooked, delivery: str) -> Row[Any]:
    with hooked.database.read() as tx:
        return tx.execute(select(outbox).where(outbox.c.id == delivery)).one()


# --- secrets -----------------------------------------------------------------------------------------


@given(body=st.text(alphabet=st.characters(codec="utf-8"), max_size=50), flip=st.integers(0, 30))
def test_the_reference_library_takes_our_signatures_and_no_others(body: str, flip: int) -> None:
    secret, seconds, text = webhooks.new_secret(), ids.now() // 1000, json.dumps({"text": body})
    signed = webhooks.signature(secret, "msg_1", seconds, text)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": signed,
    }
    assert Webhook(secret).verify(text, headers) == {"text": body}
    wrong = text[: flip % len(text)] + "x" + text[flip % len(text) :]
    for changed in ({"data": wrong}, {"secret": webhooks.new_secret()}, {"seconds": seconds + 1}):
        other = {**headers, "webhook-timestamp": str(changed.get("seconds", seconds))}
        with pytest.raises(WebhookVerificationError):
            Webhook(str(changed.get("secret", secret))).verify(
                str(changed.get("data", text)), other
            )


def test_a_secret_opens_with_its_pepper_and_for_its_webhook_alone(hooked: Hooked) -> None:
    with hooked.database.read() as tx:
        sealed = tx.scalar(select(table.c.secret).where(table.c.id == hooked.id))
    assert hooked.secret not in sealed
    assert hooked.secret[6:] not in sealed
    assert webhooks.unseal(PEPPER, hooked.id, sealed) == hooked.secret
    for pepper, webhook, data in (
        (b"another pepper of 32 characters!", hooked.id, sealed),
        (PEPPER, "wh_other", sealed),
        (PEPPER, hooked.id, "A" + sealed[1:] if sealed[0] != "A" else "B" + sealed[1:]),
        (PEPPER, hooked.id, "***"),
    ):
        with pytest.raises(YozoraError, match="another pepper"):
            webhooks.unseal(pepper, webhook, data)


# --- the outbox ---------------------------------------------------------------------------------------


def test_a_delivery_is_there_only_with_what_it_tells_of(hooked: Hooked) -> None:
    def undone() -> None:
        with hooked.database.write() as tx:
            assert webhooks.enqueue(tx, hooked.org.org_id, "video.completed", EVENT, AT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    with hooked.database.write() as tx:
        assert webhooks.claim(tx, at=AT) == []
        other = tenant(tx, "other")
        assert webhooks.enqueue(tx, other.org_id, "video.completed", EVENT, AT) == []


def test_receivers_are_told_what_they_asked_for(hooked: Hooked) -> None:
    with hooked.database.write() as tx:
        hook(tx, hooked.org, kinds=["video.failed"])
        assert len(webhooks.enqueue(tx, hooked.org.org_id, "video.completed", EVENT, AT)) == 1
        assert len(webhooks.enqueue(tx, hooked.org.org_id, "video.failed", EVENT, AT)) == 2
        for url in ("http://10.0.0.1:25/", "file:///x", "https://a:b@example.org/"):
            with pytest.raises(FetchError):
                hook(tx, hooked.org, url)
        with pytest.raises(YozoraError, match="is told of"):
            hook(tx, hooked.org, kinds=["video.dreamt"])


def test_a_claim_is_one_senders_until_it_ends(hooked: Hooked) -> None:
    told(hooked)
    with hooked.database.write() as tx:
        (first,) = webhooks.claim(tx, at=AT, lease=1000)
        assert webhooks.claim(tx, at=AT + 999) == []
        (second,) = webhooks.claim(tx, at=AT + 1000)
        assert (second.id, second.attempt) == (first.id, 2)
        assert not webhooks.settle(tx, first, answer="500", taken=False, at=AT + 1001)
        assert webhooks.settle(tx, second, answer="200", taken=True, at=AT + 1001)
        assert webhooks.claim(tx, at=AT + 10**9) == []


def test_each_receiver_gets_its_turn(hooked: Hooked) -> None:
    with hooked.database.write() as tx:
        other, _ = hook(tx, hooked.org)
        for at in range(9):
            webhooks.enqueue(tx, hooked.org.org_id, "video.completed", EVENT, AT + at)
        first = webhooks.claim(tx, at=AT + 9, most=8)
        assert {one.webhook_id for one in first} == {hooked.id, other}
        rest = webhooks.claim(tx, at=AT + 9, most=8, without=[hooked.id])
        assert [one.webhook_id for one in rest] == [other]
        last = [webhooks.claim(tx, at=AT + 9) for _ in range(9)]
    assert [len(part) for part in last] == [2] * 7 + [1, 0]


def test_it_is_tried_ever_later_and_given_up(hooked: Hooked) -> None:
    delivery, at, waits = told(hooked), AT, []
    for _ in range(webhooks.MOST):
        with hooked.database.write() as tx:
            (claimed,) = webhooks.claim(tx, at=at)
            assert webhooks.settle(tx, claimed, answer="503", taken=False, at=at)
        due = row(hooked, delivery).next_at
        if due is not None:
            waits.append(due - at)
            at = due
    assert due is None
    assert len(waits) == webhooks.MOST - 1
    for number, wait in enumerate(waits, 1):
        assert webhooks.pause(number, 0) <= wait <= webhooks.pause(number, 1)
    assert (
        2 * 86_400_000
        < sum(webhooks.pause(n, 0.5) for n in range(1, webhooks.MOST))
        < 4 * 86_400_000
    )

    with hooked.database.write() as tx:
        other = tenant(tx, "other")
        assert not webhooks.replay(tx, delivery, org_id=other.org_id, at=at)
        assert webhooks.replay(tx, delivery, org_id=hooked.org.org_id, at=at)
        assert [one.id for one in webhooks.claim(tx, at=at)] == [delivery]


def test_a_receiver_that_is_gone_is_told_nothing_more(hooked: Hooked) -> None:
    told(hooked)
    with hooked.database.write() as tx:
        assert not webhooks.disable(tx, hooked.id, at=AT, org_id="org_other")
        assert webhooks.disable(tx, hooked.id, at=AT, org_id=hooked.org.org_id)
        assert not webhooks.disable(tx, hooked.id, at=AT)
        assert webhooks.claim(tx, at=AT) == []
        assert webhooks.enqueue(tx, hooked.org.org_id, "video.completed", EVENT, AT) == []
        (listed,) = webhooks.listed(tx, hooked.org.org_id)
        assert listed.disabled_at == AT
        assert not hasattr(listed, "secret")


def test_what_is_over_is_forgotten_in_time(hooked: Hooked) -> None:
    told(hooked)
    count = select(func.count()).select_from(outbox)
    with hooked.database.write() as tx:
        retention.sweep(tx, at=AT + 8 * DAY)
        assert tx.scalar(count) == 1  # still to be delivered
        (claimed,) = webhooks.claim(tx, at=AT)
        webhooks.settle(tx, claimed, answer="200", taken=True, at=AT)
        retention.sweep(tx, at=AT + DAY)
        assert tx.scalar(count) == 1
        retention.sweep(tx, at=AT + 8 * DAY)
        assert tx.scalar(count) == 0


# --- sending -------------------------------------------------------------------------------------------


def at_address(hooked: Hooked, url: str) -> None:
    with hooked.database.write() as tx:
        tx.execute(table.update().where(table.c.id == hooked.id).values(url=url))


def test_what_is_sent_is_what_the_reference_library_takes(hooked: Hooked) -> None:
    with server(reply(b"thanks", status="202 Accepted")) as (at, asked):
        at_address(hooked, f"{at}/hook")
        delivery = told(hooked)
        assert send(hooked) == 1
        assert send(hooked) == 0
    head, _, body = asked[0].decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    event = Webhook(hooked.secret).verify(body, headers)
    assert (event["id"], event["type"], event["data"]) == (delivery, "video.completed", EVENT)
    kept = row(hooked, delivery)
    assert (kept.answer, kept.next_at, kept.delivered_at is not None) == ("202", None, True)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (reply(b"", status="500 No"), "500"),
        (reply(b"", "Location: http://169.254.169.254/", status="302 There"), "302"),
        (b"", "did not answer"),
    ],
)
def test_what_is_not_taken_is_sent_again(hooked: Hooked, answer: bytes, kept: str) -> None:
    with server(answer) as (at, _):
        at_address(hooked, at)
        delivery = told(hooked)
        assert send(hooked) == 1
    found = row(hooked, delivery)
    assert kept in found.answer
    assert found.next_at > ids.now()


def test_private_addresses_are_not_asked(hooked: Hooked) -> None:
    with server(reply(b"")) as (at, asked):
        port = int(at.rpartition(":")[2])
        at_address(hooked, f"http://localhost:{port}/")
        delivery = told(hooked)
        rules = Rules(on=True, seconds=3, ports=(port,))
        with ThreadPoolExecutor(1) as pool:
            webhooks.Sender(hooked.database, PEPPER, rules).step(pool)
        assert not asked
    assert "public internet" in row(hooked, delivery).answer


def test_a_receiver_that_says_it_is_gone_is_disabled(hooked: Hooked) -> None:
    with server(reply(b"", status="410 Gone")) as (at, _):
        at_address(hooked, at)
        told(hooked)
        send(hooked)
    with hooked.database.read() as tx:
        assert webhooks.listed(tx, hooked.org.org_id)[0].disabled_at is not None
        assert tx.scalar(select(outbox.c.next_at)) is None


def test_a_sender_runs_until_it_is_told_to_stop(hooked: Hooked) -> None:
    stop = threading.Event()
    sender = webhooks.Sender(hooked.database, PEPPER, HERE)
    with server(reply(b""), reply(b"")) as (at, asked):
        at_address(hooked, at)
        thread = threading.Thread(target=sender.run, args=(stop,))
        thread.start()
        try:
            for _ in range(2):
                delivery = told(hooked)
                while row(hooked, delivery).delivered_at is None:
                    threading.Event().wait(0.02)
        finally:
            stop.set()
            thread.join()
    assert len(asked) == 2


def test_a_receiver_that_hangs_holds_up_nobody_else(hooked: Hooked) -> None:
    """Ten deliveries to one that says nothing, then one to another, which comes before any of them is given up."""
    sender, stop = webhooks.Sender(hooked.database, PEPPER, HERE), threading.Event()
    given_up = select(func.count()).select_from(outbox).where(outbox.c.answer.is_not(None))
    with (
        socket.create_server(("127.0.0.1", 0), backlog=32) as dead,
        server(reply(b"")) as (at, asked),
    ):
        at_address(hooked, f"http://127.0.0.1:{dead.getsockname()[1]}/")
        for _ in range(10):
            told(hooked)
        with hooked.database.write() as tx:
            hook(tx, hooked.org, at, kinds=["video.failed"])
            webhooks.enqueue(tx, hooked.org.org_id, "video.failed", EVENT, AT + 1)
        thread = threading.Thread(target=sender.run, args=(stop,))
        thread.start()
        try:
            while not asked:
                threading.Event().wait(0.02)
            busy = list(sender.sending.values()).count(hooked.id)
            with hooked.database.read() as tx:
                early = tx.scalar(given_up.where(outbox.c.webhook_id == hooked.id))
        finally:
            stop.set()
            thread.join()
    assert early == 0
    assert busy <= webhooks.EACH


# --- what tells of videos ------------------------------------------------------------------------------


def test_the_end_of_a_video_is_told_by_the_transaction_that_ends_it(hooked: Hooked) -> None:
    with hooked.database.write() as tx:
        done, undone = (reserved(tx, hooked.org, 0) for _ in range(2))
        jobs.fail(tx, done, code="generation_failed", message="It went wrong.", at=AT)

    def broken() -> None:
        with hooked.database.write() as tx:
            jobs.fail(tx, undone, code="generation_failed", message="It went wrong.", at=AT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with hooked.database.write() as tx:
        (delivery,) = webhooks.claim(tx, at=AT)
    event = json.loads(delivery.body)
    assert (event["type"], event["data"]) == ("video.failed", {"id": done})
