"""AI preferences: Content-Usage in headers and robots.txt, and Content-Signal in robots.txt.

Standards: draft-ietf-aipref-vocab-06 and draft-ietf-aipref-attach-04 (drafts: names may still change), RFC 9651
(structured fields). Content-Signal is Cloudflare's, September 2025: ai-train=yes or no. The draft ignores what it
cannot parse; here that is unreadable.
"""

from __future__ import annotations

import re
from pathlib import Path

from yozora.rights.signals.headers import Fields, text_of
from yozora.rights.signals.paths import matches
from yozora.rights.signals.robots import Group, concerned, parse_robots
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal, strictest

READER = "aipref/1"

MEMBER = re.compile(
    r"([a-z*][a-z0-9_.*-]*)(?:=([A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*|\"[^\"\\]*\"|[?][01]|-?\d+))?((?:\s*;[^,;]+)*)"
)
# The most specific category that is stated decides; those after the first were in earlier drafts.
CATEGORIES = ("train-genai", "train-ai", "ai-train", "tdm", "bots", "all")
ANSWERS = {"y": Says.ALLOWED, "n": Says.PROHIBITED, "yes": Says.ALLOWED, "no": Says.PROHIBITED}


def read_header(fields: Fields, where: str) -> Signal:
    """What the Content-Usage fields of a response say (attach, section 2)."""
    kind = "aipref.header"
    found = [of_preferences(kind, value, where) for value in fields.get("content-usage", [])]
    return strictest(kind, READER, found)


def read_robots_usage(path: Path, url_path: str | None) -> list[Signal]:
    """What Content-Usage (attach, section 3) and Content-Signal say in a robots.txt of a path, or of any path."""
    kinds = {"aipref.robots": "content-usage", "content-signal": "content-signal"}
    try:
        groups = concerned(parse_robots(text_of(path)))
    except UnreadableError as error:
        return [
            signal(kind, Says.UNREADABLE, READER, where=path, note=str(error)) for kind in kinds
        ]
    return [
        strictest(
            kind,
            READER,
            (
                of_preferences(kind, preference, path)
                for group in groups.values()
                for preference in preferences(group, name, url_path)
            ),
        )
        for kind, name in kinds.items()
    ]


def preferences(group: Group, name: str, url_path: str | None) -> list[str]:
    """The preferences of a group for a path: those with the longest matching path, or all of them for None."""
    rules = []
    for usage, value in group.usage:
        pattern, _, preference = value.partition(" ") if value.startswith("/") else ("/", "", value)
        if usage == name and (url_path is None or matches(pattern, url_path)):
            rules.append((len(pattern), preference.strip()))
    longest = max((length for length, _ in rules), default=0)
    return [preference for length, preference in rules if url_path is None or length == longest]


def of_preferences(kind: str, value: str, where: object) -> Signal:
    """What a statement of preference says of training a generative model."""
    try:
        stated = dictionary(value)
    except UnreadableError as error:
        return signal(kind, Says.UNREADABLE, READER, where=where, raw=value, note=str(error))
    category = next((name for name in CATEGORIES if name in stated), None)
    if category is None:
        return signal(kind, Says.ABSENT, READER, where=where, raw=value)
    answer, qualified = stated[category]
    says = ANSWERS.get(answer, Says.UNREADABLE)
    if says is Says.ALLOWED and qualified:  # extensions may add conditions as parameters
        says = Says.CONSTRAINED
    return signal(kind, says, READER, where=where, raw=value, note=f"{category}={answer}")


def dictionary(text: str) -> dict[str, tuple[str, bool]]:
    """The members of a structured dictionary: value, and whether it has parameters (RFC 9651, section 3.2).

    Raises UnreadableError when the text is none. Of members with the same key the last counts, as the RFC says.
    """
    members: dict[str, tuple[str, bool]] = {}
    for part in text.split(","):
        found = MEMBER.fullmatch(part.strip())
        if not found:
            raise UnreadableError(f"{part.strip()[:60]!r} is no preference such as train-ai=n")
        members[found[1]] = (found[2] or "?1", bool(found[3].strip()))
    return members
