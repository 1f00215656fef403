"""Webhooks: what happens to videos is told to the addresses that an organisation has named, signed, at least once.

A delivery is written into the outbox by the transaction that changes the video, so neither is there without the other.
A sender claims deliveries for a while, posts them, and writes down what was answered; one that dies loses its claim.
What is not taken is sent again, ever later, for two days and a half. Signatures are those of the Standard Webhooks
specification 1.0.0.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import random
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    and_,
    insert,
    or_,
    select,
    update,
)

from yozora.errors import YozoraError
from yozora.service import ids
from yozora.service.database import AWAY, Database, why
from yozora.service.fetch import FetchError, Rules, checked, post
from yozora.service.schema import outbox, webhooks

KINDS = ("video.completed", "video.failed")
RULES = Rules(on=True, seconds=15.0, bytes=2**14)
LEASE = 60_000  # ms that a sender has for a delivery
MOST = 14  # attempts
FIRST, LATEST = 5_000, 12 * 3600 * 1000  # ms until the second attempt, and at most between two
AT_ONCE = 8  # deliveries that a sender posts side by side ...
EACH = 2  # ... and of them to one receiver, so that one that hangs holds up nobody else
POLL, RETRY = 0.5, 2.0  # seconds between two looks, and after the database did not answer
GONE = 410  # the status by which a receiver says that it wants no more
NONCE = 12
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One thing to tell one receiver. attempt: which one this is; who has an older one has lost the delivery."""

    id: str
    webhook_id: str
    url: str
    sealed: str
    body: str
    attempt: int


# --- secrets and signatures -------------------------------------------------------------------------


def new_secret() -> str:
    """A receiver's secret: whsec_ and 256 bits in base 64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, delivery: str, seconds: int, body: str) -> str:
    """The header webhook-signature (Standard Webhooks 1.0.0, "Signature scheme")."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{delivery}.{seconds}.{body}".encode(), sha256)
    return "v1," + base64.b64encode(digest).decode()


def cipher(pepper: bytes) -> AESGCM:
    """What secrets are sealed with: a key of the data folder, which is not in the database."""
    return AESGCM(HKDF(SHA256(), 32, None, b"yozora webhook secrets").derive(pepper))


def seal(pepper: bytes, webhook: str, secret: str) -> str:
    """A secret as it is kept in the database; it opens for this webhook alone."""
    nonce = secrets.token_bytes(NONCE)
    closed = cipher(pepper).encrypt(nonce, secret.encode(), webhook.encode())
    return base64.b64encode(nonce + closed).decode()


def unseal(pepper: bytes, webhook: str, sealed: str) -> str:
    """A secret that was sealed. Raises YozoraError when the pepper is another one, or the row was changed."""
    try:
        data = base64.b64decode(sealed)
        return cipher(pepper).decrypt(data[:NONCE], data[NONCE:], webhook.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise YozoraError(
            f"The secret of {webhook} cannot be opened: it was sealed with another pepper. Delete the webhook and make "
            "it again."
        ) from error


# --- receivers ---------------------------------------------------------------------------------------


def create(
    tx: Connection,
    pepper: bytes,
    *,
    org_id: str,
    url: str,
    at: int,
    kinds: Sequence[str] = KINDS,
    rules: Rules = RULES,
) -> tuple[str, str]:
    """Name a receiver; its id, and the secret, which is shown this once.

    Raises FetchError when the address cannot be one, and YozoraError for kinds that there are not.
    """
    checked(url, rules)
    if not kinds or not set(kinds) <= set(KINDS):
        raise YozoraError(f"A webhook is told of {' or '.join(KINDS)}, not of {', '.join(kinds)}.")
    webhook, secret = ids.new("wh"), new_secret()
    row = {"id": webhook, "org_id": org_id, "url": url, "secret": seal(pepper, webhook, secret)}
    tx.execute(insert(webhooks).values(row | {"kinds": sorted(set(kinds)), "created_at": at}))
    return webhook, secret


def listed(tx: Connection, org_id: str) -> list[Row[Any]]:
    """An organisation's receivers, the oldest first, without their secrets."""
    columns = [column for column in webhooks.c if column.name != "secret"]
    mine = select(*columns).where(webhooks.c.org_id == org_id)
    return list(tx.execute(mine.order_by(webhooks.c.created_at, webhooks.c.id)))


def disable(tx: Connection, webhook: str, *, at: int, org_id: str | None = None) -> bool:
    """Tell a receiver nothing more; whether it was told before. ``org_id``: only when it is this organisation's."""
    this = and_(webhooks.c.id == webhook, webhooks.c.disabled_at.is_(None))
    if org_id is not None:
        this = and_(this, webhooks.c.org_id == org_id)
    if not tx.execute(update(webhooks).where(this).values(disabled_at=at)).rowcount:
        return False
    tx.execute(update(outbox).where(outbox.c.webhook_id == webhook).values(next_at=None))
    return True


# --- the outbox --------------------------------------------------------------------------------------


def enqueue(tx: Connection, org_id: str, kind: str, payload: dict[str, Any], at: int) -> list[str]:
    """Write a delivery for each of an organisation's receivers that is told of this kind; their ids."""
    mine = and_(webhooks.c.org_id == org_id, webhooks.c.disabled_at.is_(None))
    rows = tx.execute(select(webhooks.c.id, webhooks.c.kinds).where(mine))
    told = [row.id for row in rows if kind in row.kinds]
    written = []
    for webhook in told:
        delivery = ids.new("msg")
        event = {
            "id": delivery,
            "object": "event",
            "created_at": at // 1000,
            "type": kind,
            "data": payload,
        }
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        row = {"id": delivery, "webhook_id": webhook, "body": body, "next_at": at, "created_at": at}
        tx.execute(insert(outbox).values(row))
        written.append(delivery)
    return written


def claim(
    tx: Connection,
    *,
    at: int,
    lease: int = LEASE,
    most: int = AT_ONCE,
    without: Collection[str] = (),
) -> list[Delivery]:
    """Of each receiver, but those ``without``, what is due the longest; it is the caller's until the lease ends."""
    own = outbox.alias("own")
    first = (
        select(own.c.id)
        .where(own.c.webhook_id == webhooks.c.id, *due_by(own, at))
        .order_by(own.c.next_at, own.c.id)
        .limit(1)
        .scalar_subquery()
    )
    due = (
        select(outbox, webhooks.c.url, webhooks.c.secret)
        .select_from(webhooks.join(outbox, outbox.c.id == first))
        .where(webhooks.c.id.not_in(without), *due_by(outbox, at))
        .order_by(outbox.c.next_at, outbox.c.id)
        .limit(most)
        .with_for_update(skip_locked=True, of=outbox)
    )
    claimed = []
    for row in tx.execute(due).all():
        attempt = row.attempts + 1
        mine = update(outbox).where(outbox.c.id == row.id)
        tx.execute(mine.values(attempts=attempt, lease_until=at + lease))
        claimed.append(Delivery(row.id, row.webhook_id, row.url, row.secret, row.body, attempt))
    return claimed


def due_by(rows: FromClause, at: int) -> tuple[ColumnElement[bool], ...]:
    """The conditions for deliveries that are to be sent, and in nobody's hands."""
    return rows.c.next_at <= at, or_(rows.c.lease_until.is_(None), rows.c.lease_until <= at)


def settle(tx: Connection, delivery: Delivery, *, answer: str, taken: bool, at: int) -> bool:
    """Write down what was answered; False when the delivery is another sender's by now."""
    mine = and_(outbox.c.id == delivery.id, outbox.c.attempts == delivery.attempt)
    again = (
        None if taken or delivery.attempt >= MOST else at + pause(delivery.attempt, random.random())
    )
    values: dict[str, Any] = {"lease_until": None, "answer": answer[:500], "next_at": again}
    if taken:
        values["delivered_at"] = at
    waiting = and_(mine, outbox.c.next_at.is_not(None))
    return tx.execute(update(outbox).where(waiting).values(values)).rowcount == 1


def pause(attempt: int, share: float) -> int:
    """Milliseconds until the next attempt: four times as many each time, half of them drawn by lot (share 0 to 1)."""
    whole = min(LATEST, FIRST << 2 * (attempt - 1))
    return round(whole * (1 + share) / 2)


def replay(tx: Connection, delivery: str, *, org_id: str, at: int) -> bool:
    """Send something again, whether it was taken or given up; False when the organisation has no such delivery."""
    mine = and_(webhooks.c.org_id == org_id, webhooks.c.disabled_at.is_(None))
    own = select(webhooks.c.id).where(mine)
    this = and_(outbox.c.id == delivery, outbox.c.webhook_id.in_(own))
    anew = {"next_at": at, "attempts": 0, "lease_until": None, "delivered_at": None}
    return tx.execute(update(outbox).where(this).values(anew)).rowcount == 1


# --- the sender --------------------------------------------------------------------------------------


@dataclass
class Sender:
    """Posts what is in the outbox. Any number may run side by side."""

    database: Database
    pepper: bytes
    rules: Rules = RULES
    sending: dict[Future[None], str] = field(default_factory=dict)  # and to whom

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; a database that is away for a while is waited for."""
        with ThreadPoolExecutor(AT_ONCE, "webhooks") as pool:
            while not stop.is_set():
                try:
                    begun = self.step(pool)
                except AWAY as error:
                    log.warning("the database does not answer, trying again: %s", why(error))
                    stop.wait(RETRY)
                    continue
                except Exception:
                    log.exception("a delivery went wrong")
                    stop.wait(RETRY)
                    continue
                if self.sending and not begun:
                    wait(self.sending, POLL, FIRST_COMPLETED)
                elif not begun:
                    stop.wait(POLL)

    def step(self, pool: ThreadPoolExecutor) -> int:
        """Begin to send what is due, as far as there are places; how many deliveries that were."""
        self.sending = {one: to for one, to in self.sending.items() if not one.done()}
        free = AT_ONCE - len(self.sending)
        busy = [name for name, count in Counter(self.sending.values()).items() if count >= EACH]
        due = select(outbox.c.id).where(
            *due_by(outbox, ids.now()), outbox.c.webhook_id.not_in(busy)
        )
        with self.database.read() as tx:
            if not free or tx.execute(due.limit(1)).first() is None:
                return 0
        with self.database.write() as tx:
            claimed = claim(tx, at=ids.now(), most=free, without=busy)
        for one in claimed:
            self.sending[pool.submit(self.send, one)] = one.webhook_id
        return len(claimed)

    def send(self, delivery: Delivery) -> None:
        """Post one delivery and write down what came of it; if that fails, it is sent again when the claim ends."""
        try:
            status, answer = self.posted(delivery, ids.now() // 1000)
            with self.database.write() as tx:
                settle(tx, delivery, answer=answer, taken=200 <= status < 300, at=ids.now())
                if status == GONE:
                    disable(tx, delivery.webhook_id, at=ids.now())
        except AWAY as error:
            log.warning("what became of %s could not be written down: %s", delivery.id, why(error))
        except Exception:
            log.exception("%s went wrong", delivery.id)

    def posted(self, delivery: Delivery, seconds: int) -> tuple[int, str]:
        """The status of the answer, or 0, and what to keep of it."""
        try:
            secret = unseal(self.pepper, delivery.webhook_id, delivery.sealed)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": delivery.id,
                "webhook-timestamp": str(seconds),
                "webhook-signature": signature(secret, delivery.id, seconds, delivery.body),
            }
            answer = post(delivery.url, delivery.body.encode(), headers, self.rules)
        except FetchError as error:
            return 0, str(error)
        except YozoraError as error:
            log.error("%s", error)
            return 0, "The secret cannot be opened."
        return answer.status, str(answer.status)
