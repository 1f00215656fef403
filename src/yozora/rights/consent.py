"""A consent record: a rights holder's signed word on named files, which can override what a file says.

A TOML file beside the signed document:

    holder = "Ann Example"
    signed = 2026-11-02
    uses = ["research"]            # research, commercial
    covers = ["5d41402a…"]         # SHA-256 of each file; or "all" that it is given with
    overrides = ["dc.rights"]      # signals that it overrides; none when left out
    expires = 2031-11-02           # never when left out
    document = "consent.pdf"       # what was signed
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.rights.signals.read import KINDS

USES = ("research", "commercial")
KEYS = {"holder", "signed", "uses", "covers", "overrides", "expires", "document"}


@dataclass(frozen=True)
class Consent:
    """Who consented to what. covers: SHA-256 of files, or None for all. document, record: hashes of the two files."""

    holder: str
    signed: date
    uses: tuple[str, ...]
    covers: tuple[str, ...] | None
    overrides: tuple[str, ...]
    expires: date | None
    document: str
    record: str

    def objection(self, source: str, use: str, today: date) -> str:
        """Why this consent does not hold for a file with this hash, this use and day; empty when it holds."""
        if self.signed > today:
            return f"it is signed for {self.signed}, which is yet to come"
        if self.expires is not None and self.expires < today:
            return f"it expired on {self.expires}"
        if use not in self.uses:
            return f"it is for {', '.join(self.uses)} and not for {use}"
        if self.covers is not None and source not in self.covers:
            return "it does not cover this file"
        return ""


def read_consent(path: str | Path) -> Consent:
    """A consent record from its file.

    Raises YozoraError when it cannot be read, a key is missing, unknown or of the wrong kind, or the signed document is
    not there.
    """
    file = Path(path)
    try:
        record = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise YozoraError(
            f"{file} is no consent record: {error}. Mend it or leave it out."
        ) from error
    if unknown := sorted(set(record) - KEYS):
        raise YozoraError(
            f"{file}: a consent record has no '{unknown[0]}': use {', '.join(sorted(KEYS))}."
        )
    document = file.parent / text(record, "document", file)
    if not document.is_file():
        raise YozoraError(f"{file}: the signed document {document} is missing: put it there.")
    return Consent(
        holder=text(record, "holder", file),
        signed=day(record, "signed", file),
        uses=choice(record, "uses", USES, file),
        covers=covered(record, file),
        overrides=choice(record, "overrides", KINDS, file) if "overrides" in record else (),
        expires=day(record, "expires", file) if "expires" in record else None,
        document=content_hash(document),
        record=content_hash(file),
    )


def text(record: dict[str, Any], key: str, file: Path) -> str:
    """The text under a key. Raises YozoraError when there is none."""
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise YozoraError(f"{file}: '{key}' must be text that is not empty.")
    return value.strip()


def day(record: dict[str, Any], key: str, file: Path) -> date:
    """The date under a key. Raises YozoraError when there is none."""
    value = record.get(key)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise YozoraError(f"{file}: '{key}' must be a date such as 2026-11-02, without quotes.")
    return value


def choice(record: dict[str, Any], key: str, among: tuple[str, ...], file: Path) -> tuple[str, ...]:
    """A list of names. Raises YozoraError when it is none, or a name is not `among` those there are."""
    value = record.get(key)
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name in among for name in value
    ):
        raise YozoraError(f"{file}: '{key}' must be a list of any of {', '.join(among)}.")
    return tuple(dict.fromkeys(value))


def covered(record: dict[str, Any], file: Path) -> tuple[str, ...] | None:
    """The hashes of the files that the consent covers; None for all. Raises YozoraError when it is neither."""
    value = record.get("covers")
    if value == "all":
        return None
    hashes = value if isinstance(value, list) else []
    if not hashes or not all(
        isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one) for one in hashes
    ):
        raise YozoraError(
            f"{file}: 'covers' must be \"all\" or a list of files' SHA-256 hashes (sha256sum prints them)."
        )
    return tuple(dict.fromkeys(hashes))
