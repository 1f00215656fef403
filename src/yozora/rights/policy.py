"""Whether footage may be trained on: a readable policy file decides, and says which rule decided and why.

It fails closed. What no rule allows is refused; a prohibition beats any licence; only a consent record that names the
signal overrides it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Any

from yozora.errors import YozoraError
from yozora.rights.consent import Consent
from yozora.rights.licence import categories, licences_in, parse, weigh
from yozora.rights.signals.read import KINDS
from yozora.rights.signals.signal import Says, Signal

ACTIONS = ("refuse", "pass")
COUNTRY = re.compile("[A-Z]{2}")  # ISO 3166-1 alpha-2
ANSWERS = (
    "constrained",
    "unreadable",
    "absent",
)  # what a policy may decide about; the other two are settled


@dataclass(frozen=True)
class People:
    """Recognisable people: how many (None when nobody has counted), and the hashes of the releases they signed."""

    depicted: int | None = None
    releases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is known of one source when it is decided on.

    source: SHA-256 of the file. signals: of `read_signals`. country: ISO 3166 code of where it comes from. expires:
    when its terms end. third_party: content of others in it that nobody has cleared, such as "music".
    """

    source: str
    signals: tuple[Signal, ...]
    consent: Consent | None = None
    country: str = ""
    expires: date | None = None
    people: People = People()
    third_party: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Whether a source may be used, by which rule of which policy, and a sentence why.

    obligations: what the licences ask for, of "attribution" and "share-alike". licences: those that were weighed.
    expires: the last day on which an allowance holds, the first of the policy's, the consent's and the terms'.
    """

    allowed: bool
    rule: str
    why: str
    use: str
    policy: str
    policy_hash: str
    licences: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    expires: date | None = None

    def to_json(self) -> dict[str, Any]:
        """The decision as JSON types."""
        return {**asdict(self), "expires": str(self.expires or "")}


@dataclass(frozen=True)
class Policy:
    """A policy as read from its file; `hash` is the SHA-256 of the file, `version` its name and version."""

    version: str
    use: str
    hash: str
    allowed: tuple[str, ...]
    research: tuple[str, ...]
    refused: tuple[str, ...]
    share_alike: tuple[str, ...]
    on_share_alike: str
    signals: Mapping[str, Mapping[str, str]]
    without_release: str
    people_unknown: str
    uncleared: str
    countries_refused: tuple[str, ...]
    country_unknown: str
    expires: date | None = None

    def action(self, kind: str, says: Says) -> str:
        """What follows from a signal's answer: "refuse" or "pass"."""
        if says is Says.PROHIBITED:
            return "refuse"
        if says is Says.ALLOWED:
            return "pass"
        own = self.signals.get(kind, {})
        return own.get(str(says), self.signals["default"][str(says)])


# --- deciding --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What the rules look at."""

    policy: Policy
    evidence: Evidence
    today: date
    consented: bool  # a consent record holds for this file, use and day
    objection: str  # why the consent record that is there does not hold

    def overridden(self, kind: str) -> bool:
        """Whether the holder's consent overrides this signal."""
        consent = self.evidence.consent
        return self.consented and consent is not None and kind in consent.overrides


Refusal = tuple[str, str]  # rule, why
Rule = Callable[[Case], Iterator[Refusal]]


def decide(policy: Policy, evidence: Evidence, *, today: date | None = None) -> Decision:
    """The decision on one source: refused by the first rule that objects, else allowed by a consent or a licence.

    Never raises for what the evidence holds: what cannot be understood refuses.
    """
    day = today or datetime.now(UTC).date()
    consent = evidence.consent
    objection = consent.objection(evidence.source, policy.use, day) if consent else ""
    case = Case(policy, evidence, day, consent is not None and not objection, objection)
    for rule in (by_dates, by_signals, by_people, by_third_party, by_country, by_licence):
        for name, why in rule(case):
            return decision(case, False, name, why)
    if case.consented:
        return decision(case, True, "consent", "The holder's consent covers this file and use.")
    licences = ", ".join(named(evidence))
    return decision(
        case, True, "licence.allowed", f"The policy allows {licences} for {policy.use}."
    )


def decision(case: Case, allowed: bool, rule: str, why: str) -> Decision:
    """A Decision of this case's policy."""
    licences = named(case.evidence)
    owed = obligations(case.policy, licences) if allowed and not case.consented else ()
    if case.objection and not allowed:
        why += f" The consent record does not help: {case.objection}."
    consent = case.evidence.consent if case.consented else None
    ends = (case.policy.expires, case.evidence.expires, consent.expires if consent else None)
    return Decision(
        allowed,
        rule,
        why,
        case.policy.use,
        case.policy.version,
        case.policy.hash,
        licences,
        owed,
        min((end for end in ends if end), default=None),
    )


def by_dates(case: Case) -> Iterator[Refusal]:
    """The policy's own date, and the day on which the terms of the footage end."""
    if case.policy.expires is not None and case.policy.expires < case.today:
        yield (
            "policy.expired",
            f"The policy expired on {case.policy.expires}: review it and set a new date.",
        )
    if case.evidence.expires is not None and case.evidence.expires < case.today:
        yield "terms.expired", f"The terms of this footage ended on {case.evidence.expires}."


def by_signals(case: Case) -> Iterator[Refusal]:
    """What the file and its surroundings say. Prohibitions come first, since they are the clearest reason."""
    read = {signal.kind for signal in case.evidence.signals}
    missing = [kind for kind in KINDS if kind not in read]
    if missing:
        yield (
            "signals.missing",
            f"Nobody has looked for {', '.join(missing)}: read the file's signals first.",
        )
    for signal in sorted(
        case.evidence.signals, key=lambda signal: signal.says is not Says.PROHIBITED
    ):
        if signal.licence and signal.says is not Says.PROHIBITED:
            continue  # by_licence weighs the licence itself
        if case.policy.action(signal.kind, signal.says) == "pass" or case.overridden(signal.kind):
            continue
        place = f" ({signal.where})" if signal.where else ""
        detail = f": {signal.note}" if signal.note else ""
        yield (
            f"signals.{signal.kind}.{signal.says}",
            f"{signal.kind}{place} is {signal.says}{detail}.",
        )


def by_people(case: Case) -> Iterator[Refusal]:
    """Recognisable people and their releases."""
    people = case.evidence.people
    if people.depicted is None and case.policy.people_unknown == "refuse":
        yield "people.unknown", "Nobody has said how many people are recognisable."
    signed = len(set(people.releases))
    if (
        people.depicted is not None
        and people.depicted > signed
        and case.policy.without_release == "refuse"
    ):
        yield (
            "people.without-release",
            f"{people.depicted} people are recognisable and {signed} signed a release.",
        )


def by_third_party(case: Case) -> Iterator[Refusal]:
    """Works of others in the footage."""
    if case.evidence.third_party and case.policy.uncleared == "refuse":
        yield "third-party.uncleared", f"Nobody has cleared {', '.join(case.evidence.third_party)}."


def by_country(case: Case) -> Iterator[Refusal]:
    """Where the footage comes from."""
    country = case.evidence.country.strip().upper()
    if country in case.policy.countries_refused:
        yield "country.refused", f"The policy takes no footage from {country}."
    asked = case.policy.countries_refused or case.policy.country_unknown == "refuse"
    if country and asked and not COUNTRY.fullmatch(country):
        yield (
            "country.not-understood",
            f"'{country[:80]}' is no country's ISO 3166 code of two letters, such as PT.",
        )
    if not country and case.policy.country_unknown == "refuse":
        yield "country.unknown", "Nobody has said which country the footage comes from."


def by_licence(case: Case) -> Iterator[Refusal]:
    """Every licence that is declared or found must be allowed, unless the holder consents."""
    if case.consented:
        return
    licences = named(case.evidence)
    if not licences:
        yield (
            "licence.missing",
            "There is neither a licence nor a consent: what is not known is not allowed.",
        )
    for licence in licences:
        reasons: dict[str, str] = {}
        if not is_allowed(case.policy, licence, reasons):
            rule = next(iter(reasons.values()), "licence.not-allowed")
            use = case.policy.use
            yield (
                rule,
                f"The policy '{case.policy.version}' does not allow {licence} for {use} ({rule}).",
            )


def named(evidence: Evidence) -> tuple[str, ...]:
    """The licences that the signals name, each once, those that are no expressions included."""
    return tuple(
        dict.fromkeys(licence for signal in evidence.signals for licence in signal.licences)
    )


def is_allowed(policy: Policy, expression: str, reasons: dict[str, str]) -> bool:
    """Whether a policy allows an expression; `reasons` takes the rule that each refused licence failed."""

    def one(name: str) -> Says:
        rule = refused_by(policy, name)
        if rule:
            reasons[name] = rule
        return Says.PROHIBITED if rule else Says.ALLOWED

    try:
        return weigh(parse(expression), one) is Says.ALLOWED
    except YozoraError:
        return False


def refused_by(policy: Policy, name: str) -> str:
    """The rule by which one licence is refused; empty when it is allowed."""
    if like(name, policy.refused):
        return "licence.refused"
    if like(name, policy.share_alike) and policy.on_share_alike == "refuse":
        return "licence.share-alike"
    if like(name, policy.allowed):
        return ""
    if like(name, policy.research):
        return "" if policy.use == "research" else "licence.research-only"
    return "licence.not-on-list"


def like(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name matches one of the patterns, letter case counting."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def obligations(policy: Policy, licences: tuple[str, ...]) -> tuple[str, ...]:
    """What the allowed licences ask for; of "A OR B" what both ask for, to be safe."""
    owed = set()
    for name in (name for expression in licences for name in licences_in(expression)):
        if like(name, policy.share_alike):
            owed.add("share-alike")
        if categories().get(name) != "Public Domain" and not re.fullmatch(
            r"CC0-.*|LicenseRef-public-domain", name
        ):
            owed.add("attribution")
    return tuple(sorted(owed))
