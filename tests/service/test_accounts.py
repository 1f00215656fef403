from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from tests.service.tenants import AT, tenant

from yozora.errors import YozoraError
from yozora.service import accounts, audit
from yozora.service.accounts import MAY, QUARTER, SESSION, TooManyAttempts
from yozora.service.database import Database
from yozora.service.schema import ROLES, metadata, orgs, sessions, users

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed with the least work."""
    light = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "hasher", lambda: light)
    accounts.nobody.cache_clear()


@dataclass
class Ann:
    user_id: str
    org_id: str


@pytest.fixture
def ann(database: Database) -> Ann:
    with database.write() as tx:
        org_id = tenant(tx).org_id
        user_id = user(tx, "ann")
        accounts.set_role(tx, org_id=org_id, user_id=user_id, role="owner", by="test", at=AT)
    return Ann(user_id, org_id)


def user(tx: object, name: str) -> str:
    return accounts.create_user(
        tx,  # type: ignore[arg-type]
        name=name,
        password_hash=accounts.hashed(PASSWORD),
        by="test",
        at=AT,
    )


def sign_in(
    database: Database,
    name: str = "ann",
    password: str = PASSWORD,
    at: int = AT,
    address: str = "::1",
) -> str | None:
    found = accounts.sign_in(database, name=name, password=password, address=address, at=at)
    return found[0] if found else None


def session(database: Database, cookie: str, at: int = AT) -> accounts.Session | None:
    with database.read() as tx:
        return accounts.session(tx, cookie, at)


def test_one_signs_in_and_out(database: Database, ann: Ann) -> None:
    cookie = sign_in(database)
    assert cookie is not None
    now = session(database, cookie)
    assert now is not None
    assert (now.user, now.org, now.role, now.operator) == ("ann", "acme", "owner", False)
    assert accounts.genuine(now, now.csrf)
    assert not accounts.genuine(now, "")
    assert not accounts.genuine(now, "é")
    assert session(database, cookie, AT + SESSION - 1) == now
    assert session(database, cookie, AT + SESSION) is None
    assert session(database, cookie + "x") is None
    with database.write() as tx:
        accounts.sign_out(tx, cookie, AT)
    assert session(database, cookie) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", "wrong password"),
        ("bob", PASSWORD),
        ("", ""),
        ("ann", "x" * 10**5),
        ("\x00", "\ud800"),
        ("\ud800", ""),
    ],
)
def test_what_is_wrong_is_refused_alike(
    database: Database, ann: Ann, name: str, password: str
) -> None:
    assert sign_in(database, name, password) is None
    with database.read() as tx:
        assert tx.execute(select(sessions)).all() == []


def test_attempts_by_name_and_by_address_are_counted(database: Database, ann: Ann) -> None:
    for number in range(10):
        assert sign_in(database, password="wrong password", address=f"10.0.0.{number}") is None
    with pytest.raises(TooManyAttempts) as caught:
        sign_in(database, address="10.0.0.99")
    assert 0 < caught.value.wait <= QUARTER
    assert sign_in(database, at=AT + 2 * QUARTER)

    for number in range(50):
        sign_in(database, f"name-{number}", at=AT + 9 * QUARTER)
    with pytest.raises(TooManyAttempts):
        sign_in(database, at=AT + 9 * QUARTER)
    assert sign_in(database, at=AT + 9 * QUARTER, address="10.0.0.1")


def test_sign_out_everywhere_and_a_new_password(database: Database, ann: Ann) -> None:
    cookies = [sign_in(database) for _ in range(3)]
    with database.write() as tx:
        assert accounts.sign_out_everywhere(tx, ann.user_id) == 3
    assert not any(session(database, cookie) for cookie in cookies if cookie)
    cookie = sign_in(database)
    new = accounts.hashed("another password")
    with database.write() as tx:
        accounts.change_password(tx, user_id=ann.user_id, password_hash=new, by="ann", at=AT)
    assert cookie
    assert session(database, cookie) is None
    assert sign_in(database) is None
    assert sign_in(database, password="another password")


def test_a_role_that_is_changed_is_changed_at_once(database: Database, ann: Ann) -> None:
    with database.write() as tx:
        bob = user(tx, "bob")
        accounts.set_role(tx, org_id=ann.org_id, user_id=bob, role="admin", by="ann", at=AT)
    cookie = sign_in(database, "bob")
    assert cookie
    now = session(database, cookie)
    assert now
    assert now.may("members:write")
    assert not now.may("owners:write")
    with database.write() as tx:
        accounts.set_role(tx, org_id=ann.org_id, user_id=bob, role="viewer", by="ann", at=AT)
    now = session(database, cookie)
    assert now
    assert not now.may("videos:write")
    with database.write() as tx:
        accounts.set_role(tx, org_id=ann.org_id, user_id=bob, role=None, by="ann", at=AT)
    assert session(database, cookie) is None
    with pytest.raises(YozoraError, match="in no organisation"):
        sign_in(database, "bob")


def test_roles_grow() -> None:
    assert tuple(MAY) == ROLES[::-1]
    steps = [MAY[role] for role in MAY]
    assert all(less < more for less, more in pairwise(steps))


def test_there_is_always_an_owner(database: Database, ann: Ann) -> None:
    with database.write() as tx:
        bob = user(tx, "bob")
        for role in ("member", None):
            with pytest.raises(YozoraError, match="at least one owner"):
                accounts.set_role(
                    tx, org_id=ann.org_id, user_id=ann.user_id, role=role, by="ann", at=AT
                )
        accounts.set_role(tx, org_id=ann.org_id, user_id=bob, role="owner", by="ann", at=AT)
        accounts.set_role(tx, org_id=ann.org_id, user_id=ann.user_id, role=None, by="bob", at=AT)
        assert [row.name for row in accounts.members_of(tx, ann.org_id)] == ["bob"]
        for user_id, role, said in [(bob, "king", "no role"), ("user_none", "owner", "no user")]:
            with pytest.raises(YozoraError, match=said):
                accounts.set_role(
                    tx, org_id=ann.org_id, user_id=user_id, role=role, by="bob", at=AT
                )


def test_organisations_do_not_see_each_other(database: Database, ann: Ann) -> None:
    with database.write() as tx:
        other = tenant(tx, "other")
        accounts.set_role(
            tx, org_id=other.org_id, user_id=user(tx, "bob"), role="owner", by="test", at=AT
        )
        assert [row.name for row in accounts.members_of(tx, ann.org_id)] == ["ann"]
        assert [row.name for row in accounts.orgs_of(tx, ann.user_id)] == ["acme"]
        assert len(accounts.projects_of(tx, ann.org_id)) == 1
        with pytest.raises(YozoraError, match="no project"):
            accounts.find_project(tx, ann.org_id, other.project_id)
        assert {row.org_id for row in audit.listing(tx, ann.org_id)} == {ann.org_id}
    cookie = sign_in(database)
    assert cookie
    with database.write() as tx:
        with pytest.raises(YozoraError, match="no organisation"):
            accounts.enter(tx, cookie, other.org_id, AT)
        accounts.set_role(
            tx, org_id=other.org_id, user_id=ann.user_id, role="viewer", by="bob", at=AT
        )
        now = accounts.enter(tx, cookie, other.org_id, AT)
    assert (now.org_id, now.role) == (other.org_id, "viewer")


def test_names_are_taken_once(database: Database, ann: Ann) -> None:
    with database.write() as tx:
        with pytest.raises(YozoraError, match="an organisation 'acme' already"):
            accounts.create_org(tx, name=" acme ", by="test", at=AT)
        with pytest.raises(YozoraError, match="a user 'ann' already"):
            user(tx, "ann")
        with pytest.raises(YozoraError, match="a project 'default' already"):
            accounts.create_project(tx, org_id=ann.org_id, name="default", by="test", at=AT)
        accounts.create_project(tx, org_id=ann.org_id, name="film", by="test", at=AT)
        for name in ("", " ", "x" * 81):
            with pytest.raises(YozoraError, match="1 to 80"):
                accounts.create_org(tx, name=name, by="test", at=AT)
    for password in ("short", "x" * 1001):
        with pytest.raises(YozoraError, match="A password has"):
            accounts.hashed(password)


def test_the_first_start_makes_one_admin_whose_password_is_told_once(database: Database) -> None:
    told: list[str | None] = []

    def start() -> None:
        with database.write() as tx:
            told.append(accounts.bootstrap(tx, at=AT))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (password,) = [one for one in told if one]
    assert len(told) == 4
    cookie = sign_in(database, "admin", password)
    assert cookie
    now = session(database, cookie)
    assert now
    assert (now.operator, now.role, now.org) == (True, "owner", "default")
    with database.read() as tx:
        assert len(tx.execute(select(users)).all()) == 1
        assert len(tx.execute(select(orgs)).all()) == 1
        everything = "".join(
            str(row) for one in metadata.sorted_tables for row in tx.execute(select(one))
        )
    assert "$argon2id$" in everything
    for secret in (password, cookie):
        assert secret not in everything


def test_one_subscribers_ipv6_addresses_are_one() -> None:
    assert accounts.network("2001:db8:1:2::1") == accounts.network("2001:db8:1:2:ffff::9%eth0")
    assert accounts.network("2001:db8:1:2::1") != accounts.network("2001:db8:1:3::1")
    assert accounts.network("203.0.113.7") == accounts.network("::ffff:203.0.113.7")
    assert accounts.network("203.0.113.7") != accounts.network("203.0.113.8")
    assert accounts.network("testclient") == "testclient"


def test_guesses_from_a_whole_network_are_counted_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(accounts.ATTEMPTS, "address", 3)
    for n in range(3):
        assert sign_in(database, name=f"nobody {n}", address=f"2001:db8::{n:x}") is None
    with pytest.raises(TooManyAttempts):
        sign_in(database, name="nobody 4", address="2001:db8::ffff")
    assert sign_in(database, name="nobody 4", address="2001:db8:0:1::1") is None
