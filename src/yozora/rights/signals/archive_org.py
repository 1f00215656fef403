"""The licence of an archive.org item: licenseurl in its metadata, as XML (ITEM_meta.xml) or JSON (the metadata API)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from yozora.rights.signals.headers import text_of
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal, strictest
from yozora.rights.signals.terms import read_address
from yozora.rights.signals.xmp import parse

READER = "archive-org/1"
KIND = "archive.org"


def read_item(paths: Iterable[Path]) -> Signal:
    """What the item's licenseurl says; an address of terms that are not known is constrained, an empty one absent."""
    found: list[Signal] = []
    for path in paths:
        try:
            text = text_of(path)
            addresses = from_json(text) if path.suffix == ".json" else from_xml(text)
            found += [of_address(address, path, text) for address in addresses]
        except UnreadableError as error:
            found.append(signal(KIND, Says.UNREADABLE, READER, where=path, note=str(error)))
    return strictest(KIND, READER, found)


def of_address(address: str, where: Path, raw: str) -> Signal:
    """The signal of one licenseurl."""
    if not address.startswith(("http://", "https://")):
        note = f"licenseurl is no address: {address[:200]}"
        return signal(KIND, Says.UNREADABLE, READER, where=where, raw=raw, note=note)
    says, licence, note = read_address(address)
    return signal(KIND, says, READER, where=where, raw=raw, licence=licence, note=note)


def from_xml(text: str) -> list[str]:
    """The licenseurl elements of a metadata.xml. Raises UnreadableError when it is no XML."""
    root = parse(text.encode())
    top = root.children[0] if root.children else root
    return [
        node.text.strip()
        for node in top.children
        if node.name == "licenseurl" and node.text.strip()
    ]


def from_json(text: str) -> list[str]:
    """The licenseurl in the API's answer or in its "metadata" part alone. Raises UnreadableError for other JSON."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON: {error}") from error
    metadata = value.get("metadata", value) if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        raise UnreadableError("it is no JSON object of metadata")
    stated = metadata.get("licenseurl") or []
    addresses = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(address, str) for address in addresses):
        raise UnreadableError("licenseurl is no text")
    return [address.strip() for address in addresses if address.strip()]
