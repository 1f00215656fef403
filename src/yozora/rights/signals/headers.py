"""The HTTP response that a file came with, kept beside it as text, and the page that it was found on.

    curl --dump-header clip.mp4.headers --output clip.mp4 https://…

Standards: RFC 9110 (fields), HTML (meta elements).
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from yozora.rights.signals.signal import UnreadableError, regular

MAX_BYTES = 2**20  # of a header record, page, robots.txt or tdmrep.json
META = re.compile(r"<meta\b[^>]{0,4000}>", re.IGNORECASE)
FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")

Fields = dict[str, list[str]]


def text_of(path: Path) -> str:
    """A text file's content. Raises UnreadableError when it cannot be read, is too large, or is no text."""
    try:
        with regular(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"{path.name} has more than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path.name} is no UTF-8 text") from error
    if "\0" in text:
        raise UnreadableError(f"{path.name} is no text")
    return text


def parse_fields(text: str) -> Fields:
    """The fields of the last response in a record, by their names in lower case; redirects come before it.

    Raises UnreadableError when there is no response, or a line is no field.
    """
    responses: list[Fields] = [{}]
    last: list[str] | None = None
    for line in text.splitlines():
        if not line.strip() or line.startswith("HTTP/"):
            if responses[-1]:
                responses.append({})
            last = None
        elif line[0] in " \t" and last:  # a folded line, obsolete but seen
            last[-1] += " " + line.strip()
        elif found := FIELD.fullmatch(line.rstrip()):
            last = responses[-1].setdefault(found[1].lower(), [])
            last.append(found[2])
        else:
            raise UnreadableError(f"the line {line[:60]!r} is no header field")
    filled = [response for response in responses if response]
    if not filled:
        raise UnreadableError("the record holds no header field")
    return filled[-1]


def parse_meta(html: str) -> Fields:
    """The meta elements of a page, contents by name in lower case."""
    parser = Meta()
    parser.feed(
        "".join(META.findall(html))
    )  # the parser's time on a hostile page grows with the square
    parser.close()
    return parser.found


class Meta(HTMLParser):
    """Collects meta elements, wherever they stand: a browser would move them into the head."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Fields = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and values.get("name"):
            self.found.setdefault(values["name"].strip().lower(), []).append(
                values.get("content", "")
            )
