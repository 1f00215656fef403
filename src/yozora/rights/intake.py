"""Decides on a source before anything of it is decoded, and enters what was found and decided."""

from __future__ import annotations

import getpass
import hashlib
import json

from yozora.errors import YozoraError
from yozora.rights import record
from yozora.rights.ledger import Ledger
from yozora.rights.policy import Decision, Evidence, Policy, decide
from yozora.rights.signals import declared
from yozora.rights.signals.read import KINDS
from yozora.rights.signals.signal import Says, Signal, signal


def admit(
    ledger: Ledger,
    policy: Policy,
    evidence: Evidence,
    *,
    holder: str = "",
    licence: str = "",
    url: str = "",
    path: str = "",
    terms: str = "",
) -> Decision:
    """The policy's decision on a source, which the ledger knows when this returns.

    terms: SHA-256 of the archived terms. Nothing is entered when it would be what the ledger says already. Raises
    YozoraError when the source was revoked, or the ledger cannot be written.
    """
    decision, consent = decide(policy, evidence), evidence.consent
    source = record.source(
        evidence.source,
        by=whoever(),
        signals=evidence.signals,
        holder=holder or (consent.holder if consent else ""),
        licence=licence,
        url=url,
        path=path,
        terms=terms,
        consent=consent,
        people=evidence.people,
        third_party=evidence.third_party,
    )
    entries = (source, record.decided(evidence.source, decision))
    known = {entry.kind: (entry.facts, entry.payload) for entry in ledger.about(evidence.source)}
    news = [
        one
        for one in entries
        if known.get(one.kind) != (as_stored(one.facts), as_stored(one.payload))
    ]
    ledger.append(*(entries if news else ()))
    return decision


def whoever() -> str:
    """The name of the account that takes footage in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have
        return "unknown"


def as_stored(value: object) -> object:
    """A value as it comes back from the ledger: JSON knows no tuples."""
    return json.loads(json.dumps(value))


def named_source(name: str) -> str:
    """The identity of a source that is no file, such as the synthetic world: SHA-256 of its name."""
    return hashlib.sha256(f"source {name}".encode()).hexdigest()


def admit_named(ledger: Ledger, policy: Policy, name: str, licence: str) -> None:
    """Decides on a source that is no file, such as the synthetic world, by its declared licence alone.

    Raises YozoraError when the policy refuses it.
    """
    evidence = Evidence(named_source(name), declared_alone(licence))
    decision = admit(ledger, policy, evidence, licence=licence, path=name)
    if not decision.allowed:
        raise YozoraError(f"The policy refuses '{name}': {decision.why}")


def declared_alone(licence: str) -> tuple[Signal, ...]:
    """The signals of a source that is no file: nothing speaks of it but the licence that is declared."""
    spdx = declared.read_declared(licence, None)
    others = {kind: signal(kind, Says.ABSENT, "none/1") for kind in KINDS}
    return tuple({**others, spdx.kind: spdx}.values())
