from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.service.tenants import AT, DAY, PEPPER, Tenant, tenant

from yozora.errors import YozoraError
from yozora.service import audit, keys, limits
from yozora.service.database import Database
from yozora.service.keys import Unauthorised
from yozora.service.schema import keys as table
from yozora.service.schema import metadata


@pytest.fixture
def acme(database: Database) -> Tenant:
    with database.write() as tx:
        return tenant(tx)


def taken(database: Database, key: str, at: int = AT) -> bool:
    with database.read() as tx:
        try:
            keys.verify(tx, PEPPER, key, at)
        except Unauthorised:
            return False
    return True


def make(database: Database, of: Tenant, **what: Any) -> tuple[Any, str]:
    facts = {"org_id": of.org_id, "project_id": of.project_id, "name": "k", "created_by": "test"}
    with database.write() as tx:
        return keys.create(tx, PEPPER, **{**facts, "at": AT, **what})


def test_a_key_says_who_sends_a_request(database: Database, acme: Tenant) -> None:
    row, key = make(database, acme, scopes=["videos:read"], models=["nano"])
    assert keys.FORM.fullmatch(key)
    with database.read() as tx:
        who = keys.verify(tx, PEPPER, key, AT)
    assert who.limited_by == (row.id, acme.project_id, acme.org_id)
    assert who.may("videos:read")
    assert not who.may("videos:write")
    assert who.may_use("nano")
    assert not who.may_use("large")
    with database.read() as tx:
        usual = keys.verify(tx, PEPPER, acme.key, AT)
    assert usual.may_use("large")
    assert not usual.may("admin")


def test_admin_may_all(database: Database, acme: Tenant) -> None:
    _, key = make(database, acme, scopes=["admin"])
    with database.read() as tx:
        who = keys.verify(tx, PEPPER, key, AT)
    assert all(who.may(scope) for scope in keys.SCOPES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(other=st.text(max_size=200), cut=st.integers(0, 84))
def test_nothing_but_the_key_is_taken(
    database: Database, acme: Tenant, other: str, cut: int
) -> None:
    key = acme.key
    wrong = {other, key[:cut], key + " ", key.upper(), f" {key}", key[:-1] + "u"}
    wrong.add(key[:cut] + ("0" if key[cut : cut + 1] != "0" else "1") + key[cut + 1 :])
    assert not any(taken(database, one) for one in wrong - {key})
    assert taken(database, key)


def test_a_key_is_not_taken_under_another_pepper(database: Database, acme: Tenant) -> None:
    with database.read() as tx, pytest.raises(Unauthorised):
        keys.verify(tx, b"another pepper of 32 characters!", acme.key, AT)


def test_keys_expire_and_are_revoked_at_once(database: Database, acme: Tenant) -> None:
    row, key = make(database, acme, expires_at=AT + DAY)
    assert taken(database, key, AT + DAY - 1)
    assert not taken(database, key, AT + DAY)
    with database.write() as tx:
        assert keys.revoke(tx, org_id=acme.org_id, key_id=row.id, by="test", at=AT)
        assert not keys.revoke(tx, org_id=acme.org_id, key_id=row.id, by="test", at=AT)
    assert not taken(database, key)
    with database.write() as tx, pytest.raises(YozoraError, match="is revoked"):
        keys.rotate(tx, PEPPER, org_id=acme.org_id, key_id=row.id, by="test", at=AT)


def test_both_secrets_are_taken_while_a_key_is_rotated(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        limits.set_limit(
            tx,
            org_id=acme.org_id,
            scope=acme.key_id,
            measure="spend",
            period="day",
            amount=1,
            by="test",
            at=AT,
        )
        row, second = keys.rotate(
            tx, PEPPER, org_id=acme.org_id, key_id=acme.key_id, grace=1000, by="test", at=AT
        )
        assert row.id == acme.key_id
        assert len(limits.of(tx, org_id=acme.org_id, scope=acme.key_id, at=AT)) == 1
    assert taken(database, acme.key, AT + 999)
    assert taken(database, second, AT + 999)
    assert not taken(database, acme.key, AT + 1000)
    assert taken(database, second, AT + 1000)
    with database.write() as tx:
        _, third = keys.rotate(
            tx, PEPPER, org_id=acme.org_id, key_id=acme.key_id, grace=0, by="test", at=AT
        )
    assert [taken(database, key) for key in (acme.key, second, third)] == [False, False, True]
    with database.write() as tx:
        keys.rotate(tx, PEPPER, org_id=acme.org_id, key_id=acme.key_id, by="test", at=AT)
        keys.revoke(tx, org_id=acme.org_id, key_id=acme.key_id, by="test", at=AT)
    assert not taken(database, third)


def test_the_last_use_is_noted_to_the_minute(database: Database, acme: Tenant) -> None:
    def used(at: int) -> bool:
        with database.read() as tx:
            return keys.verify(tx, PEPPER, acme.key, at).used

    def last() -> int | None:
        with database.read() as tx:
            return keys.get(tx, acme.org_id, acme.key_id).last_used_at

    assert not used(AT)
    with database.write() as tx:
        keys.touch(tx, acme.key_id, AT)
        keys.touch(tx, acme.key_id, AT + 59_999)
    assert last() == AT
    assert used(AT + 59_999)
    assert not used(AT + 60_000)
    with database.write() as tx:
        keys.touch(tx, acme.key_id, AT + 60_000)
    assert last() == AT + 60_000


def test_keys_of_others_are_not_there(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        other = tenant(tx, "other")
        for act in (
            lambda: keys.get(tx, acme.org_id, other.key_id),
            lambda: keys.revoke(tx, org_id=acme.org_id, key_id=other.key_id, by="t", at=AT),
            lambda: keys.rotate(tx, PEPPER, org_id=acme.org_id, key_id=other.key_id, by="t", at=AT),
        ):
            with pytest.raises(YozoraError, match=f"no key {other.key_id}"):
                act()
        with pytest.raises(YozoraError, match="no project"):
            keys.create(
                tx,
                PEPPER,
                org_id=acme.org_id,
                project_id=other.project_id,
                name="k",
                created_by="t",
                at=AT,
            )
        assert [row.id for row in keys.listing(tx, acme.org_id)] == [acme.key_id]
        assert {row.target for row in audit.listing(tx, acme.org_id)}.isdisjoint(other.scopes)
    assert taken(database, other.key)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scopes": ["videos:all"]}, "'videos:all' is no scope"),
        ({"expires_at": AT}, "in the past"),
        ({"name": "  "}, "A name has"),
        ({"models": []}, "without any model"),
        ({"name": "a\x00b"}, "A name has"),
    ],
)
def test_a_key_that_cannot_be_is_said(
    database: Database, acme: Tenant, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(YozoraError, match=said):
        make(database, acme, **wrong)


def test_no_secret_is_in_the_database(database: Database, acme: Tenant) -> None:
    with database.write() as tx:
        _, second = keys.rotate(
            tx, PEPPER, org_id=acme.org_id, key_id=acme.key_id, by="test", at=AT
        )
        everything = "".join(
            str(row) for one in metadata.sorted_tables for row in tx.execute(select(one))
        )
        shown = str([*keys.listing(tx, acme.org_id)])
    kept = [everything, shown]
    if database.sqlite:
        files = Path(str(database.url.database))
        kept += [
            file.read_bytes().decode("latin-1") for file in files.parent.glob(f"{files.name}*")
        ]
        assert acme.key_id in kept[2] or acme.key_id in "".join(kept[2:])
    for text in kept:
        for key in (acme.key, second):
            assert key not in text
            assert key.rpartition("_")[2] not in text
    with database.read() as tx:
        digest = tx.scalar(select(table.c.digest))
    assert digest in everything
    assert digest not in shown


def test_the_pepper_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(keys.pepper(tmp_path / "new")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) == 64
    file = tmp_path / "new" / "pepper"
    assert list(file.parent.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    with pytest.raises(YozoraError, match="chmod 600"):
        keys.pepper(file.parent)


def test_a_pepper_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOZORA_PEPPER", PEPPER.decode())
    assert keys.pepper(tmp_path / "none") == PEPPER
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("YOZORA_PEPPER", "salt")
    with pytest.raises(YozoraError, match="too short"):
        keys.pepper(tmp_path)
