"""The commands of whoever runs the service, on a database of their own."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path

import pytest
from tests.service.tenants import Tenant, reserved
from tests.test_cli_rights import report, run

from yozora import cli_service
from yozora.service import accounts, ids, keys, ledger, limits, prices, schema
from yozora.service.database import Database


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    url = f"sqlite:///{tmp_path}/service.sqlite"
    monkeypatch.setenv("YOZORA_DB", url)
    return Database(url)


def created(*arguments: str) -> dict[str, str]:
    return report("keys", "create", "--org", "default", *arguments)  # type: ignore[return-value]


def spend(database: Database, made: dict[str, str], amount: int) -> str:
    """A finished video of that key."""
    of = Tenant(made["org_id"], made["project_id"], made["id"], made["key"])
    now = ids.now()
    with database.write() as tx:
        video_id = reserved(tx, of, amount, at=now)
        ledger.settle(tx, video_id=video_id, amount=amount, at=now)
    return video_id


def test_what_help_says_is_what_the_service_knows() -> None:
    assert tuple(limits.MEASURES) == cli_service.MEASURES
    assert set(cli_service.PERIODS) == {p for periods in limits.MEASURES.values() for p in periods}
    assert cli_service.SCOPES == keys.SCOPES
    assert cli_service.ROLES == schema.ROLES


def test_a_key_from_its_making_to_its_end(database: Database, tmp_path: Path) -> None:
    made = created("--name", "camera", "--models", "nano", "--days", "3")
    pepper = keys.pepper(tmp_path)

    def taken(key: str) -> bool:
        try:
            with database.read() as tx:
                keys.verify(tx, pepper, key, ids.now())
        except keys.Unauthorised:
            return False
        return True

    assert taken(made["key"])
    rotated = report("keys", "rotate", made["id"], "--hours", 1)
    assert rotated["id"] == made["id"]
    assert taken(made["key"])
    assert taken(str(rotated["key"]))
    shown = run("keys", "list").stdout
    assert made["id"] in shown
    assert made["key"] not in shown
    assert report("keys", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert report("keys", "revoke", made["id"]) == {"id": made["id"], "revoked": False}
    assert not taken(str(rotated["key"]))
    assert [row["id"] for row in report("keys", "list")["keys"]] == [made["id"]]  # type: ignore[index, attr-defined]
    result = run("keys", "create", "--name", "plain")
    assert keys.FORM.fullmatch(result.stdout.strip())
    for file in ("service.sqlite", "pepper"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600


def test_the_data_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOZORA_DB", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    created()
    assert {file.name for file in (tmp_path / "yozora").iterdir()} >= {"service.sqlite", "pepper"}


def test_limits_and_deposits(database: Database) -> None:
    org = str(report("orgs", "create", "acme")["id"])
    assert report("orgs", "concurrency", "acme", "3") == {"id": org, "concurrency": 3}
    (acme,) = [row for row in report("orgs", "list")["orgs"] if row["id"] == org]  # type: ignore[attr-defined]
    assert acme["concurrency"] == 3
    assert report("orgs", "limit", "acme", "spend", "month", "1.5")["amount"] == 1_500_000
    report("orgs", "limit", org, "concurrent", "now", "2")
    rows = report("orgs", "limits", "acme")["limits"]
    assert [(row["measure"], row["amount"]) for row in rows] == [  # type: ignore[attr-defined]
        ("concurrent", 2),
        ("spend", 1_500_000),
    ]
    assert "1.50" in run("orgs", "limits", "acme").stdout
    report("orgs", "limit", "acme", "spend", "month", "none")
    assert len(report("orgs", "limits", "acme")["limits"]) == 1  # type: ignore[arg-type]
    assert report("orgs", "deposit", "acme", "12.345678")["balance"] == 12_345_678
    listed = run("orgs", "list").stdout
    assert "12.345678" in listed
    assert "default" in listed


def test_prices(database: Database) -> None:
    report("prices", "set", "--per-second", "0.05")
    report("prices", "set", "--model", "nano", "--size", "112x64", "--per-video", "0.2")
    with database.read() as tx:
        assert prices.price(tx, "nano", "112x64", "4", ids.now())[0] == 200_000
        assert prices.price(tx, "nano", "8x8", "4", ids.now())[0] == 200_000
    assert [row["version"] for row in report("prices", "list")["prices"]] == [2, 1]  # type: ignore[attr-defined]
    assert "0.05" in run("prices", "list").stdout


def test_bills(database: Database) -> None:
    made = created("--name", "=1+1")
    first = spend(database, made, 1_250_000)
    spend(database, made, 50_000)
    shown = run("usage", "show").stdout
    assert "1.30" in shown
    assert "-1.30" in shown  # is owed
    assert report("usage", "show")["charged"] == 1_300_000
    (cells,) = list(csv.reader(io.StringIO(run("usage", "export", "--csv").stdout)))[1:]
    assert cells[3:] == ["'=1+1", "nano", "2", "1300000", "0", "1300000"]
    assert len(run("usage", "export", "--events").stdout.splitlines()) == 2
    assert len(report("usage", "export")["lines"]) == 1  # type: ignore[arg-type]
    assert report("usage", "refund", first)["refunded"] is True
    assert report("usage", "refund", first)["refunded"] is False
    assert report("usage", "show")["closing"] == -50_000
    assert report("usage", "show", "--month", "2001-01")["lines"] == []
    assert report("usage", "check") == {"ok": True, "violations": []}


def test_a_book_that_was_changed_by_hand_is_found_out(database: Database) -> None:
    spend(database, created(), 5)
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE postings SET amount = amount + 1")
    result = run("usage", "check")
    assert result.exit_code == 1
    assert "sums to" in result.stdout


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        ("keys create --org none", 1, "no organisation 'none'"),
        ("keys create --project none", 1, "no project 'none'"),
        ("keys create --scopes all", 1, "'all' is no scope"),
        ("keys revoke key_none", 1, "no key key_none"),
        ("orgs create default", 1, "already"),
        ("orgs limit default spend now 5", 1, "no limit of spend a now"),
        ("orgs limit default videos day 1.5", 2, "'1.5' is no amount of videos"),
        ("orgs limit default spend day 0.0000001", 2, "no amount of spend"),
        ("orgs deposit default nan", 2, "is not an amount"),
        ("prices set --per-second -1", 1, "between 0"),
        ("usage show --month 2026-99", 1, "is no month"),
        ("usage export", 2, "--csv, --events or --json"),
        ("usage refund video_none", 1, "No money was ever set aside"),
        ("keys list --db mysql://x/y", 1, "not in mysql"),
    ],
)
def test_what_is_wrong_is_one_line(database: Database, call: str, status: int, said: str) -> None:
    result = run(*call.split())
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0.00"), (50_000, "0.05"), (-1_230_000, "-1.23"), (1, "0.000001"), (10**12, "1000000.00")],
)
def test_money_is_written_as_it_is_read(micro: int, text: str) -> None:
    assert cli_service.money(micro) == text
    assert cli_service.parse_money(text) == micro


def test_a_forgotten_password_is_replaced_and_shown_once(database: Database) -> None:
    database.upgrade()
    with database.write() as tx:
        accounts.bootstrap(tx, at=ids.now())
    listed = report("users", "list")["users"]
    assert [(one["name"], one["operator"], one["roles"]) for one in listed] == [
        ("admin", True, ["default: owner"])
    ]
    made = report("users", "password", "admin")
    given = {"name": "admin", "address": "::1", "at": ids.now()}
    assert accounts.sign_in(database, password=made["password"], **given) is not None
    again = run("users", "password", "admin")
    assert again.exit_code == 0
    assert accounts.sign_in(database, password=made["password"], **given) is None
    assert accounts.sign_in(database, password=again.stdout.strip(), **given) is not None
    assert "admin" in run("users", "list").stdout
    assert run("users", "password", "nobody").exit_code == 1


def test_a_user_is_let_into_another_organisation_and_taken_out_again(database: Database) -> None:
    database.upgrade()
    with database.write() as tx:
        accounts.bootstrap(tx, at=ids.now())
    report("orgs", "create", "studio")
    first = run("users", "role", "admin", "studio", "owner")
    assert first.exit_code == 0, first.output
    roles = {"default: owner", "studio: owner"}
    assert set(report("users", "list")["users"][0]["roles"]) == roles
    refused = run("users", "role", "admin", "studio", "none")  # its only owner
    assert (refused.exit_code, "at least one owner" in refused.stderr) == (1, True)
    password = accounts.hashed("another password")
    with database.write() as tx:
        accounts.create_user(tx, name="bo", password_hash=password, by="test", at=1)
    assert report("users", "role", "bo", "studio", "owner")["role"] == "owner"
    assert report("users", "role", "admin", "studio", "none")["role"] is None
    roles_now = [one["roles"] for one in report("users", "list")["users"]]
    assert roles_now == [["default: owner"], ["studio: owner"]]
    assert run("users", "role", "nobody", "studio", "viewer").exit_code == 1
    assert run("users", "role", "bo", "nowhere", "viewer").exit_code == 1
