"""What is entered into the ledger: one function for each kind of entry.

An entry has facts, which stay for ever and are hashes, numbers and codes only, and a payload, which holds everything
that may be personal (names, captions, raw signals, sentences) and is erased when a clip is taken back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from yozora.errors import YozoraError
from yozora.rights.consent import Consent
from yozora.rights.policy import Decision, People
from yozora.rights.signals.signal import Signal

SHA256 = re.compile(r"[0-9a-f]{64}")
CODE = re.compile(r"[\w.:/@+-]{1,200}", re.ASCII)
CONSUMERS = ("tag", "run", "checkpoint", "export")
REASONS = ("consent-withdrawn", "takedown", "licence", "law", "mistake")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class New:
    """An entry that is not in a ledger yet.

    subject: SHA-256 of what it is about. parent: of what that was made from. holders: by whom the subject can be found.
    members: the clips of the list that the subject is the hash of.
    """

    kind: str
    subject: str
    parent: str = ""
    facts: Json = field(default_factory=dict)
    payload: Json | None = None
    holders: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


def source(
    digest: str,
    *,
    by: str,
    signals: Iterable[Signal],
    holder: str = "",
    licence: str = "",
    url: str = "",
    path: str = "",
    terms: str = "",
    consent: Consent | None = None,
    people: People | None = None,
    third_party: Iterable[str] = (),
) -> New:
    """A source file and what is asserted of it.

    digest: SHA-256 of the file. by: who asserts this. terms: SHA-256 of the archived terms, if there are any. Raises
    YozoraError when a hash is none.
    """
    read = list(signals)
    releases = list(people.releases) if people else []
    facts: dict[str, Any] = {
        "signals": {signal.kind: [str(signal.says), signal.reader] for signal in read},
        "terms": check_hash(terms) if terms else "",
        "consent": [consent.record, consent.document] if consent else [],
        "depicted": people.depicted if people else None,
        "releases": [check_hash(release) for release in releases],
        "third_party": len(uncleared := list(third_party)),
    }
    payload = {
        "by": by,
        "holder": holder,
        "licence": licence,
        "url": url,
        "path": path,
        "third_party": uncleared,
        "consented_by": consent.holder if consent else "",
        "signals": [signal.to_json() for signal in read if signal.raw or signal.note],
    }
    holders = tuple(filter(None, (holder, consent.holder if consent else "")))
    return New("source", check_hash(digest), facts=facts, payload=payload, holders=holders)


def decided(subject: str, decision: Decision) -> New:
    """A decision on a source or a clip. Raises YozoraError when the hash is none."""
    facts = {
        "allowed": decision.allowed,
        "rule": check_code(decision.rule),
        "use": decision.use,
        "policy": check_code(decision.policy),
        "policy_hash": check_hash(decision.policy_hash),
        "obligations": list(decision.obligations),
        "expires": str(decision.expires or ""),
    }
    payload = {"why": decision.why, "licences": list(decision.licences)}
    return New("decided", check_hash(subject), facts=facts, payload=payload)


def clip(
    digest: str,
    of: str,
    *,
    start: float | None = None,
    seconds: float | None = None,
    captions: Iterable[str] = (),
) -> New:
    """A clip and the source that it was cut from, by their hashes; where it starts in that, and how long it is, in
    seconds. Raises YozoraError for no hash."""
    payload = {"captions": list(captions)}
    return New(
        "clip",
        check_hash(digest),
        check_hash(of),
        {"start": start, "seconds": seconds},
        payload if payload["captions"] else None,
    )


def latent(digest: str, of: str, *, codec: str = "") -> New:
    """A latent and the clip that it encodes, by their hashes; codec: its identity. Raises YozoraError for no hash."""
    return New(
        "latent", check_hash(digest), check_hash(of), {"codec": check_code(codec) if codec else ""}
    )


def consumed(by: str, name: str, clips: Iterable[str]) -> New:
    """A tag, run, checkpoint or export (`by`) with this name, and all the clips that it took in.

    Raises YozoraError when `by` is none of these, the name has blanks or signs, or a hash is none.
    """
    if by not in CONSUMERS:
        raise YozoraError(f"'{by}' consumes no clips: use one of {', '.join(CONSUMERS)}.")
    members = tuple(sorted({check_hash(one) for one in clips}))
    facts = {"by": by, "name": check_code(name), "clips": len(members)}
    return New("consumed", list_hash(members), facts=facts, members=members)


def list_hash(members: Iterable[str]) -> str:
    """The identity of a list of clips: SHA-256 of their hashes, sorted, 32 bytes each."""
    digest = hashlib.sha256()
    for member in sorted(members):
        digest.update(bytes.fromhex(member))
    return digest.hexdigest()


def check_hash(text: str) -> str:
    """The hash itself. Raises YozoraError when it is no SHA-256 in lower-case hex."""
    if not SHA256.fullmatch(text):
        raise YozoraError(
            f"'{text[:80]}' is no SHA-256 hash: the ledger knows things by 64 hexadecimal digits."
        )
    return text


def check_code(text: str) -> str:
    """The text itself. Raises YozoraError when it could be prose: what stays in the ledger holds none."""
    if not CODE.fullmatch(text):
        raise YozoraError(
            f"'{text[:80]}' cannot be entered: use letters, digits and . : / @ + - _, at most 200."
        )
    return text


def plain(holder: str) -> str:
    """A holder's name as it is searched for: letter case and blanks do not count."""
    return " ".join(holder.casefold().split())
