"""The licence that somebody declares as an SPDX expression: on the command line, in a manifest, in a .license file.

Standards: SPDX 2.3, annex D; REUSE 3.3 (FILE.license with an SPDX-License-Identifier).
"""

from __future__ import annotations

import re
from pathlib import Path

from yozora.errors import YozoraError
from yozora.rights.licence import check_licence, grants
from yozora.rights.signals.headers import text_of
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal, strictest

READER = "spdx/1"
KIND = "spdx"
TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(.+)")


def read_declared(expression: str, sidecar: Path | None) -> Signal:
    """What the declared licence says, and that of the .license file beside the footage."""
    found = [of_expression(expression, "declared")] if expression.strip() else []
    if sidecar is not None:
        try:
            text = text_of(sidecar)
            tags = TAG.findall(text)
            if not tags:
                raise UnreadableError("it has no SPDX-License-Identifier")
            found += [of_expression(tag, sidecar.name) for tag in tags]
        except UnreadableError as error:
            found.append(signal(KIND, Says.UNREADABLE, READER, where=sidecar, note=str(error)))
    return strictest(KIND, READER, found)


def of_expression(expression: str, where: str) -> Signal:
    """The signal of one expression."""
    says, note = grants(expression), ""
    licence = ""
    if says not in (Says.ABSENT, Says.UNREADABLE) and expression.strip().upper() != "NONE":
        licence = check_licence(expression)
    if says is Says.UNREADABLE:
        try:
            check_licence(expression)
        except YozoraError as error:
            note = str(error)
    return signal(KIND, says, READER, where=where, raw=expression, licence=licence, note=note)
