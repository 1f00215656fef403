"""Licences as SPDX expressions: checked, found in addresses and names, and weighed.

Standards: SPDX 2.3, annex D (licence expressions); the addresses are those of Creative Commons, rightsstatements.org,
spdx.org and opensource.org.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

from yozora.errors import YozoraError
from yozora.rights.signals.signal import Says, strictest_answer

OWN_LICENCE = re.compile(r"LicenseRef-[A-Za-z0-9.\-]+")
HELP = "use an SPDX expression such as CC-BY-4.0 or MIT, or LicenseRef-NAME for terms of your own"
MAX_EXPRESSION = 1000  # characters; the parser's time grows with the square

PUBLIC_DOMAIN = "LicenseRef-public-domain"
NO_LICENCE = "LicenseRef-in-copyright"
# Categories of the licence index under which anybody may use and change a work for any purpose.
FREE = {"Permissive", "Public Domain", "Copyleft", "Copyleft Limited"}

CC = re.compile(r"/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)(?:/([a-z]{2,4}))?(?:/.*)?")
CC_NAME = re.compile(
    r"(?:creative commons|cc)[ -]*(attribution|by)"
    r"((?:[ -]*(?:non[ -]?commercial|nc|share[ -]?alike|sa|no[ -]?deriv\w*|nd))*)"
    r"[ -]*(\d\.\d)(?: (?:international|unported|generic))?(?: (?:public )?licen[cs]e)?\.?"
)


@cache
def spdx() -> Any:
    """The SPDX licence list."""
    from license_expression import get_spdx_licensing  # 0.2 s, wanted only where a licence is named

    return get_spdx_licensing()


@cache
def categories() -> dict[str, str]:
    """The category of each licence on the list, by its SPDX id."""
    from license_expression import get_license_index

    return {
        entry.get("spdx_license_key") or "": entry.get("category") or ""
        for entry in get_license_index()
    }


@lru_cache(4096)
def parse(expression: str) -> Any:
    """The parsed expression.

    Raises YozoraError when it is empty, malformed, or names a licence that is neither on the SPDX list nor a
    LicenseRef-.
    """
    text = expression.strip()
    if not text or text.upper() in ("NONE", "NOASSERTION"):
        raise YozoraError(f"No licence is given: {HELP}.")
    if len(text) > MAX_EXPRESSION:
        raise YozoraError(f"A licence expression of {len(text)} characters is none: {HELP}.")
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
    return parsed


def check_licence(expression: str) -> str:
    """The expression in SPDX's own spelling, such as "MIT AND CC-BY-4.0". Raises YozoraError as `parse` does."""
    return str(parse(expression))


def all_of(expressions: Iterable[str]) -> str:
    """The expression by which each of these holds; empty for none. Raises YozoraError as `parse` does."""
    each = dict.fromkeys(map(check_licence, expressions))
    joined = " AND ".join(f"({one})" if " OR " in one else one for one in each)
    return str(spdx().dedup(parse(joined))) if joined else ""


def weigh(parsed: Any, one: Callable[[str], Says]) -> Says:
    """An expression's answer from its licences' answers: AND takes the strictest, OR the most permissive.

    An exception after WITH adds permissions to its licence, so that the licence's own answer stands.
    """
    if hasattr(parsed, "license_symbol"):
        return one(str(parsed.license_symbol))
    if not parsed.args:
        return one(str(parsed))
    answers = [weigh(argument, one) for argument in parsed.args]
    if parsed.operator.strip().upper() == "OR":
        return Says.ALLOWED if Says.ALLOWED in answers else strictest_answer(answers)
    return strictest_answer(answers)


def licences_in(expression: str) -> list[str]:
    """The ids that an expression names, without exceptions. Raises YozoraError as `parse` does."""
    names: list[str] = []

    def note(name: str) -> Says:
        names.append(name)
        return Says.ALLOWED

    weigh(parse(expression), note)
    return sorted(set(names))


def grants(expression: str) -> Says:
    """What a licence says of use in general, before any policy weighs it.

    ALLOWED when everybody may use and change the work for any purpose (attribution or share-alike may be asked for);
    CONSTRAINED when not, as with NC and ND, or when its terms are not on a list; PROHIBITED for NONE and works in
    copyright without a licence; ABSENT for NOASSERTION; UNREADABLE when it is no expression.
    """
    text = expression.strip()
    if text.upper() in ("", "NOASSERTION"):
        return Says.ABSENT
    if text.upper() == "NONE":
        return Says.PROHIBITED
    try:
        return weigh(parse(text), grant)
    except YozoraError:
        return Says.UNREADABLE


def grant(name: str) -> Says:
    """What one licence says of use in general."""
    if name == PUBLIC_DOMAIN:
        return Says.ALLOWED
    if name == NO_LICENCE:
        return Says.PROHIBITED
    if re.search(r"-(NC|ND)\b", name):
        return Says.CONSTRAINED
    return Says.ALLOWED if categories().get(name) in FREE else Says.CONSTRAINED


def licence_of_url(address: str) -> str:
    """The licence that an address stands for as an SPDX expression; empty when it stands for none that is known."""
    try:
        parts = urlsplit(address.strip())
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return ""
    path = parts.path
    if host == "creativecommons.org":
        return creative_commons(path.lower())
    if host == "rightsstatements.org":
        return rights_statement(path)
    if host in ("spdx.org", "opensource.org"):
        name = re.sub(r"\.html$", "", path.rstrip("/").rpartition("/")[2])
        return known(name) if "/licen" in path else ""
    return ""


def creative_commons(path: str) -> str:
    """/licenses/by-sa/4.0/ -> CC-BY-SA-4.0; a port that is not on the list becomes a LicenseRef-."""
    if path.startswith("/publicdomain/zero/1.0"):
        return "CC0-1.0"
    if path.startswith("/publicdomain/mark/1.0"):
        return "CC-PDM-1.0"
    if path.startswith("/licenses/publicdomain"):
        return "CC-PDDC"
    found = CC.fullmatch(path)
    if not found:
        return ""
    name = f"CC-{found[1].upper()}-{found[2]}"
    port = f"{name}-{found[3].upper()}" if found[3] and found[3] != "deed" else name
    return known(port) or f"LicenseRef-{port}"


def rights_statement(path: str) -> str:
    """The statements of rightsstatements.org, which are no licences: in copyright, or with an open question."""
    found = re.fullmatch(r"/(?:vocab|page)/([A-Za-z-]+)/1\.0/?.*", path)
    if not found:
        return ""
    return NO_LICENCE if found[1] == "InC" else f"LicenseRef-rightsstatements-{found[1]}"


def licence_of_name(text: str) -> str:
    """The licence that a short text names: an SPDX id, "CC BY-SA 4.0", "public domain"; empty for any other text."""
    plain = text.strip().casefold().rstrip(".")
    if plain in ("public domain", "this work is in the public domain"):
        return PUBLIC_DOMAIN
    if plain in ("cc0", "cc0 1.0", "cc0 1.0 universal"):
        return "CC0-1.0"
    plain = re.sub(r"^(?:this work is )?licen[cs]ed under (?:a |the )?", "", plain)
    if found := CC_NAME.fullmatch(plain):
        words = re.sub(r"[ -]", "", found[2])
        nc = "-NC" if re.search(r"noncommercial|nc", words) else ""
        last = (
            "-ND"
            if re.search(r"noderiv|nd", words)
            else "-SA"
            if re.search(r"sharealike|sa", words)
            else ""
        )
        return known(f"CC-BY{nc}{last}-{found[3]}")
    return known(text.strip()) if len(text) < 60 else ""


def known(name: str) -> str:
    """The id in SPDX's spelling when it is one licence on the list; else empty."""
    try:
        text = check_licence(name)
    except YozoraError:
        return ""
    return text if re.fullmatch(r"[A-Za-z0-9.+\-]+", text) else ""
