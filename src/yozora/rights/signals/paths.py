"""Path patterns of robots.txt, which TDMRep borrows: * for anything, $ for the end, else a prefix (RFC 9309, 2.2.3)."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

MAX_PATTERN = 2000  # characters; nobody writes longer ones, and matching takes time


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path with its query. A pattern that is too long matches everything: no way around."""
    if len(pattern) > MAX_PATTERN:
        return True
    ends = pattern.endswith("$")
    literals = [unquote(part) for part in pattern.removesuffix("$").split("*")]
    return fits(literals, unquote(path), ends)


def fits(literals: list[str], path: str, ends: bool) -> bool:
    """Whether the literals come in this order in the path, the first at its start, the last at its end if it `ends`.

    By hand and not as a regular expression, which could be made to take exponential time.
    """
    if not path.startswith(literals[0]):
        return False
    position = len(literals[0])
    if len(literals) == 1:
        return not ends or position == len(path)
    for literal in literals[1:-1]:
        position = path.find(literal, position)
        if position < 0:
            return False
        position += len(literal)
    if ends:
        return path.endswith(literals[-1]) and len(path) - len(literals[-1]) >= position
    return path.find(literals[-1], position) >= 0


def path_of(url: str) -> str | None:
    """The path with query of an http(s) address; None for anything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not re.fullmatch("https?", parts.scheme):
        return None
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
