"""robots.txt, and "noai" in X-Robots-Tag headers and robots meta elements.

Standards: RFC 9309 (robots.txt). noai and noimageai have no standard: sites that host artists' work introduced them
in 2022. robots.txt is about fetching, not training; but a path that is closed to everybody or to the crawlers that
collect training data was not offered for training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from yozora.rights.signals.headers import Fields, text_of
from yozora.rights.signals.paths import matches
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal, strictest

READER = "robots/1"

# Crawlers that their operators, or those who block them, name as collecting training data.
COLLECTORS = frozenset(
    """
    ai2bot amazonbot anthropic-ai applebot-extended bytespider ccbot claude-web claudebot cohere-ai
    cohere-training-data-crawler diffbot facebookbot friendlycrawler google-extended gptbot icc-crawler
    imagesiftbot img2dataset kangaroo laion-huggingface-processor meta-externalagent omgili omgilibot
    pangubot petalbot timpibot velenpublicwebcrawler webzio-extended yozora
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*([^#\r\n]*)")


@dataclass
class Group:
    """What holds for some crawlers: (allow, pattern) for fetching, and the values of Content-Usage and the like."""

    agents: set[str] = field(default_factory=set)
    rules: list[tuple[bool, str]] = field(default_factory=list)
    usage: list[tuple[str, str]] = field(default_factory=list)  # (field name, value)


def parse_robots(text: str) -> list[Group]:
    """The groups of a robots.txt. Lines that are none of its are passed over, as RFC 9309 asks."""
    groups: list[Group] = []
    gathering = False  # several User-agent lines in a row begin one group
    for line in text.splitlines():
        found = LINE.match(line)
        if not found:
            continue
        name, value = found[1].lower(), found[2].strip()
        if name == "user-agent":
            if not gathering:
                groups.append(Group())
            groups[-1].agents.add(value.lower())
            gathering = True
        elif name in ("allow", "disallow", "content-usage", "content-signal"):
            gathering = False
            if not groups:
                groups.append(Group({"*"}))  # rules before any agent: taken for everybody's
            if name in ("allow", "disallow"):
                groups[-1].rules.append((name == "allow", value))
            else:
                groups[-1].usage.append((name, value))
    return groups


def concerned(groups: Iterable[Group]) -> dict[str, Group]:
    """The merged rules for everybody ("*") and for each collector of training data that is named."""
    merged: dict[str, Group] = {}
    for group in groups:
        for agent in group.agents:
            name = agent.partition("/")[0].strip()
            if name == "*" or name in COLLECTORS:
                into = merged.setdefault(name, Group({name}))
                into.rules += group.rules
                into.usage += group.usage
    return merged


def may_fetch(group: Group, path: str | None) -> Says:
    """Whether a group lets a path be fetched: by its longest rule, Allow winning a tie.

    Without a path any Disallow closes it.
    """
    rules = [(allow, pattern) for allow, pattern in group.rules if pattern]
    if path is not None:
        rules = [(allow, pattern) for allow, pattern in rules if matches(pattern, path)]
        rules = sorted(rules, key=lambda rule: (len(rule[1]), rule[0]))[-1:]
    if not rules:
        open_to_all = any(
            not allow and not pattern for allow, pattern in group.rules
        )  # "Disallow:"
        return Says.ALLOWED if open_to_all else Says.ABSENT
    return Says.ALLOWED if all(allow for allow, _ in rules) else Says.PROHIBITED


def read_robots(path: Path, url_path: str | None) -> Signal:
    """What a robots.txt says of a path on its server; of any path, and then strictly, when it is None.

    PROHIBITED when the path is closed to everybody, or to each collector of training data that is named; CONSTRAINED
    when it is closed to some; ALLOWED when a rule opens it.
    """
    kind = "robots.txt"
    try:
        text = text_of(path)
    except UnreadableError as error:
        return signal(kind, Says.UNREADABLE, READER, where=path, note=str(error))
    answers = {
        name: may_fetch(group, url_path) for name, group in concerned(parse_robots(text)).items()
    }
    everybody = answers.pop("*", Says.ABSENT)
    closed = sorted(name for name, answer in answers.items() if answer is Says.PROHIBITED)
    opened = [name for name in answers if name not in closed]
    if everybody is Says.PROHIBITED:
        says, note = (
            (Says.CONSTRAINED, f"open to {', '.join(opened)} only")
            if opened
            else (Says.PROHIBITED, "closed to all")
        )
    elif closed:
        says, note = (
            (Says.CONSTRAINED if opened else Says.PROHIBITED),
            f"closed to {', '.join(closed)}",
        )
    else:
        says, note = (
            (Says.ALLOWED if Says.ALLOWED in (everybody, *answers.values()) else Says.ABSENT),
            "",
        )
    return signal(kind, says, READER, where=path, raw=text, note=note)


def read_tags(kind: str, fields: Fields, name: str, where: str) -> Signal:
    """Signal "x-robots-tag" or "robots.meta": what the directives in the fields of this name say.

    PROHIBITED by noai and noimageai (a film is pictures); CONSTRAINED when only one crawler is told so. Other
    directives, such as noindex, are about search.
    """
    found = []
    for value in fields.get(name, []):
        agent, rest = agent_of(value)
        directives = {part.strip().lower() for part in rest.split(",")}
        if directives & {"noai", "noimageai"}:
            says = Says.CONSTRAINED if agent and agent not in COLLECTORS else Says.PROHIBITED
        elif "\ufffd" in value or not value.isprintable():
            says = Says.UNREADABLE
        else:
            says = Says.ABSENT
        found.append(signal(kind, says, READER, where=where, raw=value))
    return strictest(kind, READER, found)


def agent_of(value: str) -> tuple[str, str]:
    """The crawler that a field is addressed to, if it is, and its directives.

    "googlebot: noai" -> ("googlebot", "noai"); "max-snippet: 5" is a directive with a value and no crawler.
    """
    head, colon, rest = value.partition(":")
    name = head.strip().lower()
    if (
        not colon
        or "," in head
        or name in ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
    ):
        return "", value
    return name, rest
