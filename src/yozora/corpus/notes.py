"""What a corpus notes of the files that were brought to it, a line of JSON each: refusals, and files that are finished.

Lines are only ever added, so that the last word on a matter counts, and a process that is killed leaves half a line at
most, which nobody minds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from yozora.artifact import write_atomic
from yozora.rights.record import SHA256

DROPS, FINISHED = "drops.jsonl", "finished.jsonl"


def read_drops(corpus: Path) -> list[dict[str, Any]]:
    """The last word on each source, and on each of its clips that was left out: see Corpus.drops."""
    found: dict[tuple[str, float | None, str, str], dict[str, Any]] = {}
    for line in lines(corpus / DROPS):
        drop = {"rule": "", "start": None, "canvas": "", "clip": "", **line}
        with suppress(KeyError, TypeError):
            found[drop["source"], drop["start"], drop["canvas"], drop["clip"]] = drop
    return [drop for drop in found.values() if drop.get("reason")]


def read_finished(corpus: Path) -> dict[str, list[str]]:
    """The clips of each file, by the key that its last finish had."""
    last: dict[str, dict[str, Any]] = {}
    for mark in lines(corpus / FINISHED):
        with suppress(KeyError, TypeError):
            last[mark["source"]] = mark
    return {mark["key"]: mark["clips"] for mark in last.values() if "key" in mark}


def add(file: Path, line: dict[str, Any]) -> None:
    """Add a line, on a line of its own whatever was left there."""
    with file.open("a+b") as opened:
        if opened.tell():
            opened.seek(-1, 2)
            broken = opened.read(1) != b"\n"
        else:
            broken = False
        opened.write(b"\n" * broken + json.dumps(line).encode() + b"\n")


def erase(corpus: Path, clips: Collection[str], sources: Collection[str]) -> None:
    """Rewrites both lists without what they say of these sources and clips.

    A file of which a clip was left out for its likeness to one of these is to be read again.
    """
    gone, drops = set(clips), read_drops(corpus)
    alike = {drop["source"] for drop in drops if names(drop, gone)}
    kept = [drop for drop in drops if drop["source"] not in sources and not names(drop, gone)]
    marks = [
        mark
        for mark in lines(corpus / FINISHED)
        if mark.get("source") not in alike.union(sources) and gone.isdisjoint(mark.get("clips", ()))
    ]
    for name, left in ((DROPS, kept), (FINISHED, marks)):
        write_atomic(corpus / name, "".join(json.dumps(line) + "\n" for line in left))


def names(drop: dict[str, Any], clips: set[str]) -> bool:
    """Whether the reason of a drop names one of these clips."""
    return not clips.isdisjoint(SHA256.findall(drop["reason"]))


def leave_out(corpus: Path, clips: Collection[str]) -> None:
    """Takes clips out of what is noted of the files that they are of, which stay finished without them."""
    gone = set(clips)
    for mark in {mark.get("source"): mark for mark in lines(corpus / FINISHED)}.values():
        if not gone.isdisjoint(mark.get("clips", ())):
            kept = [clip for clip in mark["clips"] if clip not in gone]
            add(corpus / FINISHED, {**mark, "clips": kept})


def remains(corpus: Path, clips: Collection[str]) -> list[str]:
    """What both lists still say of erased clips, a sentence each."""
    return [
        f"{corpus / name} has {clip}"
        for name in (DROPS, FINISHED)
        if (corpus / name).exists()
        for clip in sorted(set(SHA256.findall((corpus / name).read_text("utf-8", "replace"))))
        if clip in clips
    ]


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file, which need not be there."""
    for line in file.read_bytes().split(b"\n") if file.exists() else []:
        with suppress(ValueError):  # also of bytes that are no UTF-8
            if isinstance(found := json.loads(line), dict):
                yield found
