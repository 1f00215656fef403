"""What a line of rights in plain words says; whatever is not surely understood is constrained."""

from __future__ import annotations

import re

from yozora.rights.licence import grants, licence_of_name, licence_of_url
from yozora.rights.signals.signal import Says

MAX_TEXT = 2**16  # characters of terms that are looked through

AI = (
    r"\b(?:ai|a\.i\.|ml|tdm|artificial intelligence|machine[ -]learning|data[ -]mining|"
    r"train(?:ing)?|generative|datasets?)\b"
)
NO = r"\b(?:no|not|never|without|prohibit\w*|forbid\w*|forbidden|reserv\w*|exclud\w*|disallow\w*|opt\w*[ -]out)\b"
AGAINST_AI = re.compile(rf"{NO}.{{0,100}}{AI}|{AI}.{{0,100}}{NO}|\bno(?:ai|imageai)\b", re.DOTALL)
RESERVED = re.compile(r"\ball rights (?:are )?reserved\b|\bin copyright\b(?! expired)|\bno reuse\b")
# "© 2024 Ann Example" names an owner and no terms; a sentence after it may hold terms.
NOTICE = re.compile(r"(?:copyright|copr\.|©|\(c\)|\s)+[^.;:!?]{0,120}\.?", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s<>\"')]+")


def read_terms(text: str) -> tuple[Says, str, str]:
    """What the text says, the SPDX licence that it names, and a note.

    An objection to AI comes before a licence: "CC BY 4.0, no AI training" prohibits. A bare copyright notice says
    nothing; a text that is not understood is constrained, since a person would have to read it.
    """
    if len(text) > MAX_TEXT:
        return Says.CONSTRAINED, "", "terms of a length that a person has to read"
    text = " ".join(text.split())
    plain = text.casefold()
    if not plain:
        return Says.ABSENT, "", ""
    if AGAINST_AI.search(plain):
        return Says.PROHIBITED, "", "the text objects to AI or data mining"
    if RESERVED.search(plain):
        return Says.PROHIBITED, "", "all rights are reserved"
    licences = {licence_of_url(address.rstrip(".,")) for address in ADDRESS.findall(text)}
    licences |= {licence_of_name(text)}
    named = sorted(licences - {""})
    if len(named) == 1:
        return grants(named[0]), named[0], ""
    if named:
        return Says.CONSTRAINED, "", f"several licences are named: {', '.join(named)}"
    if NOTICE.fullmatch(text) and not ADDRESS.search(text):
        return Says.ABSENT, "", "a copyright notice without terms"
    return Says.CONSTRAINED, "", "terms that a person has to read"


def read_address(address: str) -> tuple[Says, str, str]:
    """As `read_terms`, for a property that holds the address of a licence or of terms."""
    licence = licence_of_url(address)
    if licence:
        return grants(licence), licence, ""
    return Says.CONSTRAINED, "", f"terms at {address.strip()[:500]}"
