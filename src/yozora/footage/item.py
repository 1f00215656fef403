"""Exports of archive.org items: a folder with the item's files and its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from yozora.footage.sidecar import Sidecar, tidy

LARGEST = 2**22  # bytes of metadata


def read_item(folder: Path) -> Sidecar | None:
    """What an item's metadata say of the films in its folder; None where there are none that can be understood.

    Its licence is read with the other signals (rights/signals/archive_org.py), so it is not repeated here.
    """
    for name in (f"{folder.name}_meta.xml", "metadata.xml", "metadata.json"):
        file = folder / name
        try:
            if not file.is_file() or file.stat().st_size > LARGEST:
                continue
            text = file.read_text(encoding="utf-8")
            said = from_json(text) if file.suffix == ".json" else from_xml(text)
        except (OSError, ValueError, ElementTree.ParseError, RecursionError):
            continue  # the reader of its licence says that it is unreadable
        if said.get("identifier"):
            return sidecar(said)
    return None


def from_json(text: str) -> dict[str, list[str]]:
    """The fields of the metadata API's answer."""
    value: Any = json.loads(text)
    fields = value.get("metadata", value) if isinstance(value, dict) else {}
    return {
        name: [str(one) for one in (entry if isinstance(entry, list) else [entry])]
        for name, entry in (fields.items() if isinstance(fields, dict) else ())
    }


def from_xml(text: str) -> dict[str, list[str]]:
    """The fields of ITEM_meta.xml."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("entities")  # they can grow without end
    found: dict[str, list[str]] = {}
    for node in ElementTree.fromstring(text):
        found.setdefault(node.tag, []).append(node.text or "")
    return found


def sidecar(said: dict[str, list[str]]) -> Sidecar:
    """An item's fields as what is said of its films."""

    def joined(name: str) -> str:
        return tidy(", ".join(said.get(name, [])))

    captions = (joined("description"), joined("title"), joined("subject"))
    return Sidecar(
        captions=tuple(filter(None, captions)),
        origin="archive.org",
        holder=joined("creator"),
        url=f"https://archive.org/details/{joined('identifier')}",
        language=joined("language"),
    )
