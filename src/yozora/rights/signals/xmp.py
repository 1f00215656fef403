"""Rights in XMP: PLUS DataMining, cc:license, xmpRights and dc:rights, in a file and in the .xmp beside it.

Standards: XMP (ISO 16684-1), PLUS LDF 2.0 with IPTC Photo Metadata 2023.1 (plus:DataMining), ccREL (cc:license).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from yozora.rights.signals.containers import MAX_PACKET, XMP, Piece
from yozora.rights.signals.signal import Says, Signal, UnreadableError, regular, signal, strictest
from yozora.rights.signals.terms import read_address, read_terms

READER = "xmp/1"
KINDS = ("plus.data-mining", "cc.licence", "xmp.rights", "dc.rights")

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
PLUS = "http://ns.useplus.org/ldf/xmp/1.0/ "
CC = "http://creativecommons.org/ns# "
RIGHTS = "http://ns.adobe.com/xap/1.0/rights/ "
DC = "http://purl.org/dc/elements/1.1/ "
PROVENANCE = "http://purl.org/dc/terms/ provenance"

MAX_NODES = 50_000
MAX_DEPTH = 64

# The PLUS vocabulary http://ns.useplus.org/ldf/vocab/, without its prefix. A model that generates is trained here.
DATA_MINING = {
    "DMI-UNSPECIFIED": Says.ABSENT,
    "DMI-ALLOWED": Says.ALLOWED,
    "DMI-PROHIBITED-AIMLTRAINING": Says.PROHIBITED,
    "DMI-PROHIBITED-GENAIMLTRAINING": Says.PROHIBITED,
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": Says.PROHIBITED,
    "DMI-PROHIBITED": Says.PROHIBITED,
    "DMI-PROHIBITED-SEECONSTRAINT": Says.CONSTRAINED,
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": Says.CONSTRAINED,
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": Says.CONSTRAINED,
}

Properties = dict[str, list[str]]


def read_xmp(found: Sequence[Piece], sidecars: Iterable[Path], damage: str = "") -> list[Signal]:
    """The four XMP signals of a file: its packets, and the .xmp files beside it. The strictest place holds.

    damage: why the file could not be walked, which makes all four unreadable unless one is prohibited elsewhere.
    """
    signals: list[Signal] = []
    if damage:
        signals += [signal(kind, Says.UNREADABLE, READER, note=damage) for kind in KINDS]
    for place, packet in packets(found, sidecars):
        try:
            if packet is None:
                raise UnreadableError(
                    f"the file cannot be read or has more than {MAX_PACKET >> 20} MiB"
                )
            signals += of_properties(properties(packet), place, packet)
        except UnreadableError as error:
            signals += [
                signal(
                    kind, Says.UNREADABLE, READER, where=place, raw=packet or b"", note=str(error)
                )
                for kind in KINDS
            ]
    return [strictest(kind, READER, (s for s in signals if s.kind == kind)) for kind in KINDS]


def packets(found: Sequence[Piece], sidecars: Iterable[Path]) -> Iterable[tuple[str, bytes | None]]:
    """Every packet with its place; None for a sidecar that cannot be read."""
    for piece in found:
        if piece.kind == XMP:
            yield piece.where, piece.data
    for path in sidecars:
        yield path.name, bounded(path)


def bounded(path: Path) -> bytes | None:
    """A small file's bytes; None when it cannot be read or is larger than a packet may be."""
    try:
        with regular(path).open("rb") as file:
            data = file.read(MAX_PACKET + 1)
    except (OSError, UnreadableError):
        return None
    return data if len(data) <= MAX_PACKET else None


# What each property says: a function of its value to (answer, licence, note), and the signal it belongs to.
MEANINGS: dict[str, tuple[str, Callable[[str], tuple[Says, str, str]]]] = {
    PLUS + "DataMining": ("plus.data-mining", lambda value: (data_mining(value), "", value[:200])),
    CC + "license": ("cc.licence", read_address),
    RIGHTS + "UsageTerms": ("xmp.rights", read_terms),
    RIGHTS + "WebStatement": ("xmp.rights", read_address),
    RIGHTS + "Marked": ("xmp.rights", lambda value: (marked(value), "", value[:200])),
    DC + "rights": ("dc.rights", read_terms),
}


def of_properties(known: Properties, where: str, packet: bytes) -> Iterable[Signal]:
    """The signals of one packet."""
    for name, (kind, meaning) in MEANINGS.items():
        for value in known.get(name, []):
            says, licence, note = meaning(value)
            yield signal(kind, says, READER, where=where, raw=packet, licence=licence, note=note)


def data_mining(value: str) -> Says:
    """What a PLUS DataMining value says; a value outside the vocabulary is unreadable."""
    return DATA_MINING.get(value.strip().rpartition("/")[2], Says.UNREADABLE)


def marked(value: str) -> Says:
    """xmpRights:Marked: False declares the public domain, True only that there are rights."""
    return {"false": Says.ALLOWED, "true": Says.ABSENT}.get(value.strip().lower(), Says.UNREADABLE)


# --- RDF/XML ---------------------------------------------------------------------------------------


@dataclass
class Node:
    """An element; names are "namespace local"."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    text: str = ""


def parse(packet: bytes) -> Node:
    """The packet's element tree. Raises UnreadableError when it is no XML, too large, or declares a document type.

    Without a document type there are no entities, so nothing can expand or be fetched.
    """
    root = Node("")
    path = [root]
    count = 0

    def refuse(*_: object) -> None:
        raise UnreadableError("the packet declares a document type, which XMP has no use for")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MAX_NODES or len(path) > MAX_DEPTH:
            raise UnreadableError("the packet has too many or too deeply nested elements")
        path[-1].children.append(Node(name, attributes))
        path.append(path[-1].children[-1])

    def end(_: str) -> None:
        path.pop()

    def text(data: str) -> None:
        path[-1].text += data

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(utf8(packet), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UnreadableError(f"the packet is no XML: {error}") from error
    return root


def utf8(packet: bytes) -> bytes:
    """The packet without padding, in UTF-8, whichever of the five encodings of XMP it is in."""
    start = packet.lstrip(b" \t\r\n")[:4]
    for name, mark in (
        ("utf-32-le", b"<\0\0\0"),
        ("utf-32-be", b"\0\0\0<"),
        ("utf-16-le", b"<\0"),
        ("utf-16-be", b"\0<"),
    ):
        if start.startswith(mark):
            return packet.decode(name).rstrip("\0 \r\n").encode()
    return packet.strip(b"\0 \t\r\n")


def properties(packet: bytes) -> Properties:
    """The top-level properties of a packet, by "namespace local". Raises UnreadableError when it cannot be parsed."""
    known: Properties = {}
    for description in descriptions(parse(packet)):
        for name, value in description.attributes.items():
            if not name.startswith(RDF):
                known.setdefault(name, []).append(value)
        for child in description.children:
            known.setdefault(child.name, []).extend(values(child))
    return known


def descriptions(node: Node) -> Iterable[Node]:
    """What the packet describes: the children of its rdf:RDF elements."""
    for child in node.children:
        if child.name == RDF + "RDF":
            yield from child.children
        else:
            yield from descriptions(child)


def values(node: Node) -> list[str]:
    """The texts or addresses that a property holds: itself, an array's items, or an rdf:value with qualifiers."""
    if RDF + "resource" in node.attributes:
        return [node.attributes[RDF + "resource"]]
    if RDF + "value" in node.attributes:
        return [node.attributes[RDF + "value"]]
    below = [child for child in node.children if child.name != RDF + "value"]
    exact = [child for child in node.children if child.name == RDF + "value"]
    found = [value for child in exact or below for value in values(child)]
    return found or ([node.text.strip()] if node.text.strip() else [])
