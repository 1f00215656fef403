"""Licences as SPDX expressions; what is not known is not allowed."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from license_expression import get_spdx_licensing

from yozora.errors import YozoraError

# SPDX specification 2.3, annex D: a licence that is not on the list, named by whoever uses it.
OWN_LICENCE = re.compile(r"LicenseRef-[A-Za-z0-9.\-]+")
SAYS_NOTHING = ("NONE", "NOASSERTION")
HELP = "use an SPDX expression such as CC-BY-4.0 or MIT, or LicenseRef-NAME for terms of your own"


@cache
def spdx() -> Any:
    """The SPDX licence list."""
    return get_spdx_licensing()


def check_licence(expression: str) -> str:
    """The expression in SPDX's own spelling, such as "MIT AND CC-BY-4.0".

    Raises YozoraError when it is empty, malformed, or names a licence that is neither on the SPDX list nor a
    LicenseRef-.
    """
    text = expression.strip()
    if not text or text.upper() in SAYS_NOTHING:
        raise YozoraError(f"No licence is given: {HELP}.")
    try:
        parsed = spdx().parse(text)
        unknown = [k for k in spdx().unknown_license_keys(parsed) if not OWN_LICENCE.fullmatch(k)]
        if not unknown:
            spdx().parse(text, strict=True)  # also: WITH takes an exception, and only there
    except (
        Exception
    ) as error:  # the parser also raises what it does not mean to, such as IndexError for ()
        reason = str(error).split("\n")[0].rstrip(".")
        raise YozoraError(f"'{text}' is no licence expression ({reason}): {HELP}.") from error
    if unknown:
        raise YozoraError(f"'{', '.join(unknown)}' is no known licence: {HELP}.")
    return str(parsed)
