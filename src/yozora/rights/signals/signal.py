"""What a reader found: the answer, where it stands, and the bytes that it was read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

RAW_BYTES = 2**16  # of a signal's raw text; what is longer is cut, its hash is of the whole


class Says(StrEnum):
    """What a signal says about training and data mining.

    ABSENT: nothing is there that speaks of it. UNREADABLE: something is there and cannot be understood.
    CONSTRAINED: under conditions that no machine can check; without more it means no.
    """

    ALLOWED = "allowed"
    PROHIBITED = "prohibited"
    CONSTRAINED = "constrained"
    ABSENT = "absent"
    UNREADABLE = "unreadable"


# Where two places of one kind disagree, the first of these holds.
STRICTEST = (Says.PROHIBITED, Says.UNREADABLE, Says.CONSTRAINED, Says.ALLOWED, Says.ABSENT)


class UnreadableError(Exception):
    """Something is there and cannot be understood; the message says why. It never leaves the readers."""


@dataclass(frozen=True)
class Signal:
    """One reader's answer for one file.

    kind: which signal, such as "plus.data-mining". where: the file, and the place in it. raw: as found, at most
    RAW_BYTES. digest: SHA-256, in hex, of all of it. reader: name and version of what read it. licences: the SPDX
    expressions that are named anywhere where this kind is looked for. licence: the one that this answer rests on, if it
    rests on one. note: what a person should know, such as why it is unreadable.
    """

    kind: str
    says: Says
    reader: str
    where: str = ""
    raw: bytes = b""
    digest: str = ""
    licence: str = ""
    licences: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.licence and self.licence not in self.licences:
            object.__setattr__(self, "licences", (self.licence, *self.licences))

    def to_json(self) -> dict[str, Any]:
        """The signal as JSON types; bytes that are no UTF-8 are escaped."""
        return {
            **vars(self),
            "says": str(self.says),
            "raw": self.raw.decode(errors="backslashreplace"),
        }


def signal(
    kind: str,
    says: Says,
    reader: str,
    *,
    where: object = "",
    raw: bytes | str = b"",
    licence: str = "",
    note: str = "",
) -> Signal:
    """A Signal with its raw bytes cut to RAW_BYTES and hashed whole."""
    data = raw.encode(errors="surrogateescape") if isinstance(raw, str) else raw
    digest = hashlib.sha256(data).hexdigest() if data else ""
    place = str(where).encode(errors="replace").decode()
    raw = data[:RAW_BYTES]
    return Signal(kind, says, reader, place, raw, digest, licence, note=note)


def regular(path: Path) -> Path:
    """The path itself. Raises UnreadableError when it is no file: a pipe or a device might never end."""
    if not path.is_file():
        raise UnreadableError(f"{path.name} is no file that can be read")
    return path


def strictest(kind: str, reader: str, found: Iterable[Signal]) -> Signal:
    """Of all that was found of one kind, the one that forbids most, with the licences of all; ABSENT when nothing was
    found.

    Of equals one without a licence: a policy can weigh a licence, and has no say in other conditions.
    """
    ranked = sorted(found, key=lambda one: (STRICTEST.index(one.says), bool(one.licence)))
    if not ranked:
        return signal(kind, Says.ABSENT, reader)
    licences = dict.fromkeys(licence for one in ranked for licence in one.licences)
    return replace(ranked[0], licences=tuple(licences))


def strictest_answer(answers: Iterable[Says]) -> Says:
    """The answer that forbids most; ABSENT when there is none."""
    return min(answers, key=STRICTEST.index, default=Says.ABSENT)
