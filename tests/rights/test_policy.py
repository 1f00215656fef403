"""What policies decide: closed by default, a prohibition above every licence, a consent above what it names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.rights import policy_file
from yozora.rights.consent import Consent, read_consent
from yozora.rights.licence import (
    all_of,
    check_licence,
    grants,
    licence_of_name,
    licence_of_url,
    licences_in,
)
from yozora.rights.policy import Decision, Evidence, People, Policy, decide
from yozora.rights.policy_file import load_policy
from yozora.rights.signals.read import KINDS, read_signals
from yozora.rights.signals.signal import Says, Signal, strictest

FILE, OTHER = "ab" * 32, "cd" * 32
TODAY = date(2026, 11, 22)
DEFAULT = Path(policy_file.__file__).with_name("default.toml").read_text(encoding="utf-8")
POLICY = load_policy()


def signals(*given: Signal, licence: str = "CC-BY-4.0") -> tuple[Signal, ...]:
    """One signal of each kind: absent but for those given, and the declared licence."""
    known = {kind: Signal(kind, Says.ABSENT, "test/1") for kind in KINDS}
    if licence:
        known["spdx"] = Signal("spdx", grants(licence), "test/1", licence=check_licence(licence))
    return tuple({**known, **{signal.kind: signal for signal in given}}.values())


def evidence(*given: Signal, licence: str = "CC-BY-4.0", **more: Any) -> Evidence:
    return Evidence(FILE, signals(*given, licence=licence), **more)


def consent(**more: Any) -> Consent:
    usual = {
        "holder": "Ann Example",
        "signed": date(2026, 1, 2),
        "uses": ("research", "commercial"),
        "covers": (FILE,),
        "overrides": (),
        "expires": None,
        "document": OTHER,
        "record": OTHER,
    }
    return Consent(**{**usual, **more})


def decided(found: Evidence, policy: Policy = POLICY) -> Decision:
    return decide(policy, found, today=TODAY)


def changed(*changes: tuple[str, str]) -> str:
    """The default policy with some words replaced."""
    text = DEFAULT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def written(tmp_path: Path, *changes: tuple[str, str]) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(changed(*changes), encoding="utf-8")
    return load_policy(path)


# --- licences --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licence", "rule", "owed"),
    [
        ("CC0-1.0", "licence.allowed", ()),
        ("CC-BY-4.0", "licence.allowed", ("attribution",)),
        ("CC-BY-3.0-DE", "licence.allowed", ("attribution",)),
        ("CC-BY-SA-4.0", "licence.allowed", ("attribution", "share-alike")),
        ("CC-BY-NC-4.0", "licence.allowed", ("attribution",)),
        ("CC-BY-ND-4.0", "licence.refused", ()),
        ("CC-BY-NC-ND-4.0", "licence.refused", ()),
        ("GPL-3.0-only", "licence.not-on-list", ()),
        ("LicenseRef-anything", "licence.not-on-list", ()),
        ("LicenseRef-own-work", "licence.allowed", ("attribution",)),
        ("MIT AND CC-BY-ND-4.0", "licence.refused", ()),
        ("MIT OR CC-BY-ND-4.0", "licence.allowed", ("attribution",)),
        ("MIT OR GPL-2.0-only WITH Classpath-exception-2.0", "licence.allowed", ("attribution", "share-alike")),
        ("", "licence.missing", ()),
    ],
)  # fmt: skip
def test_the_default_policy_on_licences(licence: str, rule: str, owed: tuple[str, ...]) -> None:
    decision = decided(evidence(licence=licence))
    assert (decision.rule, decision.allowed) == (rule, rule == "licence.allowed")
    assert decision.obligations == owed
    assert decision.why.endswith(".")
    assert decision.policy == "default/1"
    assert decision.policy_hash == POLICY.hash


def test_commercial_use_and_share_alike_are_for_the_policy_to_say(tmp_path: Path) -> None:
    policy = written(
        tmp_path,
        ('use = "research" ', 'use = "commercial" '),
        ('on_share_alike = "allow"', 'on_share_alike = "refuse"'),
    )
    assert decided(evidence(licence="CC-BY-NC-4.0"), policy).rule == "licence.research-only"
    assert decided(evidence(licence="CC-BY-SA-4.0"), policy).rule == "licence.share-alike"
    assert decided(evidence(licence="CC-BY-4.0"), policy).use == "commercial"
    assert policy.hash != POLICY.hash


def test_a_licence_in_the_file_counts_as_much_as_the_declared_one() -> None:
    found = Signal("cc.licence", Says.CONSTRAINED, "xmp/1", licence="CC-BY-ND-4.0")
    decision = decided(evidence(found))
    assert (decision.allowed, decision.rule) == (False, "licence.refused")
    assert decision.licences == ("CC-BY-ND-4.0", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("declared", "beside", "rule"),
    [
        ("CC0-1.0", "GPL-3.0-only", "licence.share-alike"),
        ("CC-BY-4.0", "CC-BY-SA-4.0", "licence.share-alike"),
        ("CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "licence.refused"),
    ],
)
def test_every_licence_that_is_declared_or_found_is_weighed(
    declared: str, beside: str, rule: str, tmp_path: Path
) -> None:
    refuses = 'on_share_alike = "refuse"'
    policy = written(tmp_path, ('on_share_alike = "allow"', refuses))
    (film := tmp_path / "film.jpg").write_bytes(b"a film")
    for first, second in ((declared, beside), (beside, declared)):
        (tmp_path / "film.jpg.license").write_text(f"SPDX-License-Identifier: {second}\n")
        decision = decided(Evidence(FILE, read_signals(film, licence=first)), policy)
        assert set(decision.licences) == {declared, beside}
        assert (decision.allowed, decision.rule) == (False, rule)


def test_of_equals_the_condition_that_no_list_can_weigh_comes_first() -> None:
    licensed = Signal("dc.rights", Says.CONSTRAINED, "xmp/1", licence="CC-BY-NC-4.0")
    text = Signal("dc.rights", Says.CONSTRAINED, "xmp/1", note="terms that a person has to read")
    for order in ([licensed, text], [text, licensed]):
        found = strictest("dc.rights", "xmp/1", order)
        assert (found.licence, found.licences) == ("", ("CC-BY-NC-4.0",))
        assert decided(evidence(found)).rule == "signals.dc.rights.constrained"


@pytest.mark.parametrize(
    ("each", "joined"),
    [
        ([], ""),
        (["mit", "MIT"], "MIT"),
        (["CC0-1.0 OR CC-BY-4.0", "CC-BY-ND-4.0"], "(CC0-1.0 OR CC-BY-4.0) AND CC-BY-ND-4.0"),
        (["MIT AND CC0-1.0", "CC0-1.0"], "MIT AND CC0-1.0"),
    ],
)
def test_licences_that_hold_together_are_one_expression(each: list[str], joined: str) -> None:
    assert all_of(each) == joined


# --- signals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("says", Says)
def test_what_follows_from_each_answer(kind: str, says: Says) -> None:
    found = evidence(Signal(kind, says, "test/1", where="a place", note="a note"))
    decision = decided(found)
    if kind == "spdx" and says in (Says.ALLOWED, Says.ABSENT):
        assert decision.rule == "licence.missing"  # the test's signal took the licence's place
    elif says in (Says.ALLOWED, Says.ABSENT):
        assert decision.allowed
    else:
        assert decision.rule == f"signals.{kind}.{says}"
        assert "a place" in decision.why
        assert "a note" in decision.why


def test_only_a_consent_that_names_the_signal_overrides_a_prohibition() -> None:
    no = Signal("plus.data-mining", Says.PROHIBITED, "xmp/1")
    assert not decided(evidence(no, consent=consent())).allowed
    assert not decided(evidence(no, consent=consent(overrides=("dc.rights",)))).allowed
    decision = decided(evidence(no, licence="", consent=consent(overrides=("plus.data-mining",))))
    assert (decision.allowed, decision.rule) == (True, "consent")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expires": date(2026, 11, 21)}, "expired"),
        ({"signed": date(2026, 11, 23)}, "yet to come"),
        ({"uses": ("commercial",)}, "not for research"),
        ({"covers": (OTHER,)}, "does not cover"),
    ],
)
def test_a_consent_that_does_not_hold_changes_nothing(change: dict[str, Any], why: str) -> None:
    decision = decided(evidence(licence="", consent=consent(**change)))
    assert (decision.allowed, decision.rule) == (False, "licence.missing")
    assert why in decision.why


def test_no_policy_can_let_a_prohibition_pass(tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="not for a policy to decide"):
        written(tmp_path, ('unreadable = "refuse"', 'unreadable = "refuse"\nprohibited = "pass"'))


def test_a_policy_may_pass_or_refuse_the_other_answers(tmp_path: Path) -> None:
    change = (
        "[people]",
        '[signals."robots.txt"]\nconstrained = "pass"\nabsent = "refuse"\n\n[people]',
    )
    policy = written(tmp_path, change)
    assert decided(evidence(Signal("robots.txt", Says.CONSTRAINED, "t")), policy).allowed
    assert decided(evidence(), policy).rule == "signals.robots.txt.absent"
    assert (
        decided(evidence(Signal("robots.txt", Says.UNREADABLE, "t")), policy).rule
        == "signals.robots.txt.unreadable"
    )


def test_signals_that_nobody_read_are_not_absent() -> None:
    assert decided(replace(evidence(), signals=signals()[1:])).rule == "signals.missing"
    assert decided(Evidence(FILE, ())).rule == "signals.missing"


def test_dates_people_third_parties_and_countries(tmp_path: Path) -> None:
    assert decided(evidence(expires=date(2026, 11, 21))).rule == "terms.expired"
    assert decided(evidence(expires=TODAY)).allowed
    assert decided(evidence(people=People(2, ("r1",)))).rule == "people.without-release"
    assert decided(evidence(people=People(2, ("r1", "r1")))).rule == "people.without-release"
    assert decided(evidence(people=People(2, ("r1", "r2")))).allowed
    assert decided(evidence(third_party=("music",))).rule == "third-party.uncleared"
    strict = written(
        tmp_path,
        ('unknown = "pass"           # nobody', 'unknown = "refuse" # nobody'),
        ("refused = [] #", 'refused = ["xx"] #'),
        ("# expires = 2027-12-31", "expires = 2026-12-31"),
    )
    assert decided(evidence(), strict).rule == "people.unknown"
    counted = People(0)
    assert decided(evidence(people=counted, country="xx"), strict).rule == "country.refused"
    assert decided(evidence(people=counted, country="de"), strict).allowed
    assert decide(strict, evidence(people=counted), today=date(2027, 1, 1)).rule == "policy.expired"


@pytest.mark.parametrize("country", ["Germany", "DEU", "d", "D\u0415"])
def test_a_country_that_is_no_code_is_not_understood_where_countries_matter(
    country: str, tmp_path: Path
) -> None:
    refused = written(tmp_path, ("refused = [] #", 'refused = ["DE"] #'))
    asked = written(
        tmp_path,
        (
            'refused = [] # ISO 3166 codes of countries whose footage is not taken\nunknown = "pass"',
            'refused = []\nunknown = "refuse"',
        ),
    )
    for policy in (refused, asked):
        assert decided(evidence(country=country), policy).rule == "country.not-understood"
        assert decided(evidence(country="pt"), policy).allowed
    assert decided(evidence(country=country)).allowed
    with pytest.raises(YozoraError, match="two letters"):
        written(tmp_path, ("refused = [] #", f'refused = ["{country}"] #'))


ANSWERS = st.sampled_from(list(Says))
LICENCES = st.sampled_from(["", "MIT", "CC-BY-ND-4.0", "CC-BY-NC-4.0", "LicenseRef-x"])


@given(st.lists(st.tuples(st.sampled_from(KINDS), ANSWERS, LICENCES), max_size=4), LICENCES)
def test_more_objections_never_permit(found: Iterable[tuple[str, Says, str]], licence: str) -> None:
    """Whatever is found beside a licence, it permits nothing that the licence alone does not; a "no" is always a no."""
    more = [Signal(kind, says, "t", licence=named) for kind, says, named in found if kind != "spdx"]
    alone, together = decided(evidence(licence=licence)), decided(evidence(*more, licence=licence))
    named = any(signal.licence for signal in more)
    assert not together.allowed or alone.allowed or (named and not licence)
    if any(signal.says is Says.PROHIBITED for signal in evidence(*more, licence=licence).signals):
        assert not together.allowed


# --- policy files ----------------------------------------------------------------------------------


def test_the_default_policy_shows_every_key() -> None:
    table = tomllib.loads(DEFAULT)
    for name, keys in policy_file.SHAPE.items():
        for key in keys:
            assert key in (table if not name else table[name]) or f"# {key} =" in DEFAULT


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[licences]", "[licenses]", "no table"),
        ("refused = [\"*-ND", "refuse = [\"*-ND", "no key 'licences.refuse'"),
        ('version = "1"', "", "'version' is missing"),
        ('version = "1"', 'version = "one and a half"', "'version' must be"),
        ('use = "research" ', 'use = "anything" ', "'use' must be one of research, commercial"),
        ("# expires = 2027-12-31", "expires = '2027-12-31'", "must be a date"),
        ('constrained = "refuse"', 'constrained = "perhaps"', "must be one of refuse, pass"),
        ('constrained = "refuse"', "", "lacks constrained"),
        ("[signals.default]", "[signals.robots]\n[signals.default]", "no signal 'robots'"),
        ('research = ["CC', 'research = [7, "CC', "must be a list of texts"),
        ("[people]", "[people", "is no policy"),
    ],
)  # fmt: skip
def test_a_policy_with_a_mistake_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(YozoraError, match=message):
        written(tmp_path, (old, new))


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="is no policy"):
        load_policy(tmp_path / "gone.toml")


# --- consent records -------------------------------------------------------------------------------

RECORD = f"""
holder = "Ann Example"
signed = 2026-11-02
uses = ["research"]
covers = ["{FILE}"]
overrides = ["dc.rights"]
expires = 2031-11-02
document = "consent.pdf"
"""


def test_a_consent_record(tmp_path: Path) -> None:
    (tmp_path / "consent.pdf").write_bytes(b"signed")
    (tmp_path / "ann.toml").write_text(RECORD)
    found = read_consent(tmp_path / "ann.toml")
    assert (found.holder, found.covers, found.overrides) == ("Ann Example", (FILE,), ("dc.rights",))
    assert found.objection(FILE, "research", TODAY) == ""
    (tmp_path / "all.toml").write_text(RECORD.replace(f'["{FILE}"]', '"all"'))
    assert read_consent(tmp_path / "all.toml").objection(OTHER, "research", TODAY) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("consent.pdf", "gone.pdf", "is missing"),
        ("holder", "owner", "no 'owner'"),
        ('"Ann Example"', "7", "'holder' must be text"),
        ("2026-11-02", '"2026-11-02"', "'signed' must be a date"),
        ('["research"]', '["anything"]', "'uses' must be a list"),
        (FILE, "ab", "'covers' must be"),
        ("dc.rights", "everything", "'overrides' must be a list"),
        ("signed = ", "signed = = ", "is no consent record"),
    ],
)
def test_a_consent_record_with_a_mistake(old: str, new: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "consent.pdf").write_bytes(b"signed")
    (tmp_path / "ann.toml").write_text(RECORD.replace(old, new, 1))
    with pytest.raises(YozoraError, match=message):
        read_consent(tmp_path / "ann.toml")


# --- licence expressions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("CC0-1.0", "allowed"), ("MIT AND CC-BY-SA-4.0", "allowed"), ("CC-BY-NC-4.0", "constrained"),
        ("CC-BY-ND-4.0 OR MIT", "allowed"), ("CC-BY-ND-4.0 AND MIT", "constrained"), ("LicenseRef-x", "constrained"),
        ("PolyForm-Noncommercial-1.0.0", "constrained"), ("NONE", "prohibited"), ("NOASSERTION", "absent"),
        ("", "absent"), ("CC-BY", "unreadable"), ("MIT AND", "unreadable"), ("M" * 2000, "unreadable"),
    ],
)  # fmt: skip
def test_what_a_licence_grants(expression: str, says: str) -> None:
    assert grants(expression) is Says(says)


@pytest.mark.parametrize(
    ("address", "licence"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://www.creativecommons.org/licenses/by-nc-sa/3.0/de/deed.de", "CC-BY-NC-SA-3.0-DE"),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.fr", "CC-BY-SA-4.0"),
        ("https://creativecommons.org/licenses/by/3.0/zz/", "LicenseRef-CC-BY-3.0-ZZ"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/publicdomain/", "CC-PDDC"),
        ("https://spdx.org/licenses/MIT.html", "MIT"),
        ("https://opensource.org/licenses/Apache-2.0", "Apache-2.0"),
        ("http://rightsstatements.org/vocab/NoC-US/1.0/", "LicenseRef-rightsstatements-NoC-US"),
        ("https://creativecommons.org/", ""), ("https://example.org/licenses/by/4.0/", ""), ("http://[", ""), ("", ""),
    ],
)  # fmt: skip
def test_licences_by_their_addresses(address: str, licence: str) -> None:
    assert licence_of_url(address) == licence


@given(st.text())
def test_no_text_breaks_the_weighing(text: str) -> None:
    assert grants(text) in set(Says)
    licence_of_url(text)
    licence_of_name(text)
    with suppress(YozoraError):
        licences_in(text)
