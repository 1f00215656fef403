"""What lies beside a file and speaks of it: captions, subtitles, rights.

For clip.mp4 these are clip.mp4.json or clip.json, .srt, .vtt and .txt alike. A JSON sidecar is a string, a list of
strings, or an object with any of caption, captions, licence (or license), holder, url, split, country, language,
domain, expires, depicted, third_party, consent, terms and releases; the last three are files beside it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError

MAX_BYTES = 2**22  # of a sidecar; a feature film's subtitles are 100 KB
TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
CUE_TIMES = re.compile(TIME + r"\s*-->\s*" + TIME)
MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class Cue:
    """A subtitle and when it is shown, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Sidecar:
    """What is said of one file; an empty string where nothing is. origin: by what, a sidecar, a manifest or an item.

    country: ISO 3166 code. domain: what kind of footage it is, such as "gameplay". consent: the path of the holder's
    consent record. terms: that of the archived terms it may be used by. expires: the last day of these, YYYY-MM-DD.
    depicted: how many people are recognisable, in digits. releases: the paths of those that they signed. third_party:
    works of others in it that nobody has cleared, such as "music".
    """

    captions: tuple[str, ...] = ()
    cues: tuple[Cue, ...] = ()
    licence: str = ""
    holder: str = ""
    url: str = ""
    split: str = ""
    country: str = ""
    language: str = ""
    domain: str = ""
    consent: str = ""
    terms: str = ""
    expires: str = ""
    depicted: str = ""
    releases: tuple[str, ...] = ()
    third_party: tuple[str, ...] = ()
    origin: str = "sidecar"

    def or_else(self, other: Sidecar) -> Sidecar:
        """What this says, and where it says nothing, what the other does; words come from one of both."""
        speaks = self if self.captions or self.cues else other
        facts = {
            field.name: getattr(self, field.name) or getattr(other, field.name)
            for field in fields(self)
            if field.name not in ("captions", "cues", "origin")
        }
        return replace(speaks, **facts)

    def spoken(self, start: float, end: float) -> str:
        """The subtitles shown at any time in [start, end), in order."""
        heard = (cue.text for cue in self.cues if cue.start < end and start < cue.end)
        return " ".join(dict.fromkeys(heard))


def read_sidecar(path: Path) -> Sidecar:
    """What lies beside `path`. Raises YozoraError when a sidecar is there but cannot be understood."""
    found = Sidecar()
    if file := beside(path, ".json"):
        found = parse_json(text_of(file), file)
    if not found.captions and (file := beside(path, ".txt")):
        found = replace(found, captions=lines(text_of(file)))
    for suffix in (".vtt", ".srt"):
        if file := beside(path, suffix):
            found = replace(found, cues=parse_srt(text_of(file)))
    return found


def beside(path: Path, suffix: str) -> Path | None:
    """The sidecar with this suffix, the one with the file's full name first."""
    names = (path.with_name(path.name + suffix), path.with_suffix(suffix))
    return next((file for file in names if file != path and file.is_file()), None)


def text_of(file: Path) -> str:
    """A sidecar's text: UTF-8, else Windows-1252, which old subtitles are written in."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise YozoraError(f"{file} is larger than {MAX_BYTES >> 20} MiB: no caption is.")
        data = file.read_bytes()
    except OSError as error:
        raise YozoraError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def lines(text: str) -> tuple[str, ...]:
    """One caption a line; blank lines and repetitions are left out."""
    return tuple(dict.fromkeys(tidy(line) for line in text.splitlines() if tidy(line)))


def tidy(text: str) -> str:
    """Text on one line, without control characters and double spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def parse_srt(text: str) -> tuple[Cue, ...]:
    """The cues of a SubRip or WebVTT file; what is no cue is passed over."""
    cues = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        times = CUE_TIMES.search(block)
        if times is None:
            continue
        start, end = (seconds(times.groups()[i : i + 4]) for i in (0, 4))
        said = tidy(MARKUP.sub("", block[times.end() :].partition("\n")[2]))
        if said and end > start:
            cues.append(Cue(start, end, said))
    return tuple(cues)


def seconds(parts: tuple[str, ...]) -> float:
    """('0', '01', '02', '500') -> 62.5; WebVTT may leave out the hours."""
    hours, minutes, whole = (int(part or 0) for part in parts[:3])
    return hours * 3600 + minutes * 60 + whole + float("0." + parts[3])


def parse_json(text: str, file: Path) -> Sidecar:
    """A JSON sidecar. Raises YozoraError when it is not what the module says."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise YozoraError(f"{file} is not valid JSON ({error}): mend or remove it.") from error
    if not isinstance(value, dict):
        return Sidecar(captions=strings(value, "captions", file))
    captions = (
        *strings(value.get("caption"), "caption", file),
        *strings(value.get("captions"), "captions", file),
    )
    return Sidecar(
        captions=tuple(dict.fromkeys(captions)),
        licence=string(value, "licence", file) or string(value, "license", file),
        holder=string(value, "holder", file),
        url=string(value, "url", file),
        split=string(value, "split", file),
        country=string(value, "country", file),
        language=string(value, "language", file),
        domain=string(value, "domain", file),
        consent=neighbour(file, string(value, "consent", file)),
        terms=neighbour(file, string(value, "terms", file)),
        expires=day(value, "expires", file),
        depicted=count(value, "depicted", file),
        releases=tuple(
            neighbour(file, one) for one in strings(value.get("releases"), "releases", file)
        ),
        third_party=strings(value.get("third_party"), "third_party", file),
    )


def neighbour(file: Path, name: str) -> str:
    """The path of a file that another one names, relative to that one's folder; empty for no name."""
    return str(file.parent / name) if name else ""


def string(value: dict[str, Any], name: str, file: Path) -> str:
    """The text under this name, empty where there is none."""
    entry = value.get(name)
    if not isinstance(entry, str | None):
        raise YozoraError(f"{file}: '{name}' must be text, not {type(entry).__name__}.")
    return tidy(entry or "")


def day(value: dict[str, Any], name: str, file: Path) -> str:
    """The date under this name, as it is written there; empty where there is none."""
    text = string(value, name, file)
    try:
        return str(date.fromisoformat(text)) if text else ""
    except ValueError:
        raise YozoraError(f"{file}: '{name}' must be a date such as 2027-12-31.") from None


def count(value: dict[str, Any], name: str, file: Path) -> str:
    """The whole number under this name, in digits; empty where there is none."""
    entry = value.get(name)
    if entry is None:
        return ""
    if not isinstance(entry, int) or isinstance(entry, bool) or entry < 0:
        raise YozoraError(f"{file}: '{name}' must be a whole number, 0 or more.")
    return str(entry)


def strings(value: Any, name: str, file: Path) -> tuple[str, ...]:
    """A string or a list of strings, tidied; nothing for None."""
    entries = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise YozoraError(f"{file}: '{name}' must be text or a list of texts.")
    return tuple(tidy(entry) for entry in entries if tidy(entry))
