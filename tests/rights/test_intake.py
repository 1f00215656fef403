from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.rights import record
from yozora.rights.consent import Consent
from yozora.rights.intake import admit, admit_named, declared_alone, named_source
from yozora.rights.ledger import Ledger
from yozora.rights.policy import Evidence, decide
from yozora.rights.policy_file import load_policy, policy_text
from yozora.rights.signals.read import KINDS, read_signals


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "rights.ledger")


def film(folder: Path) -> Path:
    path = folder / "film.mp4"
    path.write_bytes(b"moving pictures")
    return path


def test_what_is_known_already_is_not_entered_again(ledger: Ledger, tmp_path: Path) -> None:
    path = film(tmp_path)
    digest = content_hash(path)

    def take(licence: str) -> int:
        signals = read_signals(path, licence=licence)
        admit(ledger, load_policy(), Evidence(digest, signals), licence=licence, holder="Ann")
        return ledger.head().entries

    assert take("CC-BY-4.0") == 2
    assert take("CC-BY-4.0") == 2
    assert take("CC-BY-SA-4.0") == 4
    assert take("CC-BY-4.0") == 6, "the last word counts, and it was another one"
    assert ledger.sources_of("ann") == [digest]


def test_a_source_is_found_by_its_last_holder_and_by_who_consented(ledger: Ledger) -> None:
    digest = named_source("a film")
    agency = Consent(
        "Agency", date(2026, 1, 1), ("research",), None, (), None, named_source("pdf"), named_source("toml")
    )  # fmt: skip

    def entered(holder: str, consent: Consent | None = None) -> list[str]:
        ledger.append(record.source(digest, by="me", signals=[], holder=holder, consent=consent))
        names = ("ann", "bob", "agency")
        assert ledger.verify() == []
        return [name for name in names if ledger.sources_of(name) == [digest]]

    assert entered("Ann") == ["ann"]
    assert entered("Bob") == ["bob"], "what was said before no longer holds"
    assert entered("Bob", agency) == ["bob", "agency"]
    assert entered("") == ["bob", "agency"], "nobody else was named"


def test_a_refusal_is_entered_too_and_stays(ledger: Ledger, tmp_path: Path) -> None:
    path = film(tmp_path)
    (tmp_path / "film.mp4.headers").write_text("HTTP/1.1 200 OK\nX-Robots-Tag: noai\n\n")
    digest = content_hash(path)
    signals = read_signals(path, licence="CC0-1.0")
    decision = admit(ledger, load_policy(), Evidence(digest, signals), licence="CC0-1.0")
    assert not decision.allowed
    assert ledger.standing([digest])["refused"] == [digest]
    ledger.revoke([digest], "takedown")
    with pytest.raises(YozoraError, match="taken back"):
        admit(ledger, load_policy(), Evidence(digest, signals), licence="CC0-1.0")


def test_what_is_no_file_is_decided_by_its_licence(ledger: Ledger) -> None:
    assert {signal.kind for signal in declared_alone("MIT")} == set(KINDS)
    admit_named(ledger, load_policy(), "a world", "CC0-1.0")
    assert ledger.standing([named_source("a world")])["allowed"] == [named_source("a world")]
    with pytest.raises(YozoraError, match=r"refuses 'another world'.*CC-BY-ND-4\.0"):
        admit_named(ledger, load_policy(), "another world", "CC-BY-ND-4.0")


def test_an_allowance_ends_on_its_day(ledger: Ledger, tmp_path: Path) -> None:
    text = policy_text().replace("# expires = 2027-12-31", "expires = 2027-12-31")
    (tmp_path / "policy.toml").write_text(text)
    policy = load_policy(tmp_path / "policy.toml")
    evidence = Evidence("ab" * 32, declared_alone("CC0-1.0"), expires=date(2020, 5, 1))
    decision = decide(policy, evidence, today=date(2020, 1, 1))
    assert (decision.allowed, decision.expires) == (True, date(2020, 5, 1))
    ledger.append(record.source("ab" * 32, by="x", signals=[]), record.decided("ab" * 32, decision))
    assert ledger.standing(["ab" * 32])["refused"] == ["ab" * 32]
    later = decide(policy, replace(evidence, expires=None), today=date(2020, 1, 1))
    ledger.append(record.decided("ab" * 32, later))
    assert ledger.standing(["ab" * 32])["allowed"] == ["ab" * 32]
