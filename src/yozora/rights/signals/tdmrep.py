"""The TDM Reservation Protocol in a header, a page's meta elements, and /.well-known/tdmrep.json.

Standard: TDMRep, W3C Community Group Final Report, 10 May 2024. tdm-reservation is 1 (rights reserved) or 0 (not); a
tdm-policy beside a 1 says where a licence is to be had, which is a condition. The protocol calls any other value
unset; here it is unreadable, since somebody meant something by it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yozora.rights.signals.headers import Fields, text_of
from yozora.rights.signals.paths import matches
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal, strictest

READER = "tdmrep/1"


def read_fields(kind: str, fields: Fields, where: str) -> Signal:
    """Signal "tdmrep.header" or "tdmrep.meta": what header fields or meta elements say.

    The protocol lets a page speak for itself only; here it also speaks for the file that it was kept with.
    """
    policy = "".join(fields.get("tdm-policy", []))
    found = [
        reservation(kind, value.strip(), policy, where)
        for value in fields.get("tdm-reservation", [])
    ]
    return strictest(kind, READER, found)


def read_file(path: Path, url_path: str | None) -> Signal:
    """What a tdmrep.json says of a path on its server; of any path, and then the strictest rule, when it is None.

    Of several rules that match, the first holds (section 5.1).
    """
    kind = "tdmrep.file"
    try:
        text = text_of(path)
        rules = [rule_of(rule) for rule in array(text)]
    except UnreadableError as error:
        return signal(kind, Says.UNREADABLE, READER, where=path, note=str(error))
    found = [
        reservation(kind, value, policy, path, text)
        for location, value, policy in rules
        if url_path is None or matches(location, url_path)
    ]
    return strictest(kind, READER, found if url_path is None else found[:1])


def array(text: str) -> list[Any]:
    """The rules of a tdmrep.json. Raises UnreadableError when it is no array."""
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON: {error}") from error
    if not isinstance(rules, list):
        raise UnreadableError("it is no JSON array of rules")
    return rules


def rule_of(rule: Any) -> tuple[str, str, str]:
    """A rule's location, reservation and policy. Raises UnreadableError when it is no rule."""
    location = rule.get("location") if isinstance(rule, dict) else None
    if not isinstance(location, str) or not location:
        raise UnreadableError("a rule has no location")
    return location, str(rule.get("tdm-reservation", "")), str(rule.get("tdm-policy") or "")


def reservation(kind: str, value: str, policy: str, where: object, raw: str = "") -> Signal:
    """The signal of one reservation."""
    says = {"0": Says.ALLOWED, "1": Says.CONSTRAINED if policy else Says.PROHIBITED}.get(
        value, Says.UNREADABLE
    )
    note = f"tdm-reservation: {value[:100]}" + (f", tdm-policy: {policy[:500]}" if policy else "")
    return signal(kind, says, READER, where=where, raw=raw or note, note=note)
