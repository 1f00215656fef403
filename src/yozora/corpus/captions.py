"""Captions that were made of a clip, beside the words that it came with.

A row's captions are then the one that was made and those it came with, unless these are only its file's name. Its
labels say of them

    caption      where the first one comes from: what made it
    captioned    key        of what it was made, by what and how: the same key, the same caption
                 own        the captions it came with, and where from
                 agreement  the share of what the captions claim that is so; null where nothing could be checked
                 wrong      the claims that are not so
                 flagged    whether they should be looked at
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from yozora.corpus.schema import Row

FLAGGED_BELOW = 0.5  # agreement


@dataclass(frozen=True)
class Made:
    """A caption that was made of a clip.

    by: a captioner's name. agreement and wrong: of all captions that the row has then.
    """

    caption: str
    by: str
    key: str
    agreement: float | None
    wrong: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether too little of what is said is so."""
        return self.agreement is not None and self.agreement < FLAGGED_BELOW


def own_words(row: Row) -> tuple[tuple[str, ...], str]:
    """The captions that a row came with, and where from."""
    own = made_of(row).get("own")
    if isinstance(own, Mapping):
        return tuple(map(str, own.get("captions", ()))), str(own.get("origin", ""))
    return row.captions, str(row.labels.get("caption", ""))


def made_of(row: Row) -> Mapping[str, Any]:
    """What is known of the caption that was made of a row's clip; empty where none was."""
    made = row.labels.get("captioned")
    return made if isinstance(made, Mapping) else {}


def with_words(row: Row, caption: str) -> tuple[str, ...]:
    """All captions of a row with one that was made: that first, then those it came with."""
    captions, origin = own_words(row)
    return tuple(dict.fromkeys([caption, *(captions if origin != "name" else ())]))


def recaptioned(row: Row, made: Made) -> Row:
    """The row with a caption that was made; one that was made before goes."""
    captions, origin = own_words(row)
    facts = {
        "key": made.key,
        "own": {"captions": list(captions), "origin": origin},
        "agreement": made.agreement,
        "wrong": list(made.wrong),
        "flagged": made.flagged,
    }
    labels = {**row.labels, "caption": made.by, "captioned": facts}
    return with_labels(replace(row, captions=with_words(row, made.caption)), labels)


def keeping(row: Row, old: Row) -> Row:
    """A row that comes again, with the caption that was made of the old one if it comes with the same words as that.

    The file stays, and so does what wrote it; so do its master, where it comes without one, and what was measured of it
    and is not this time.
    """
    row = replace(row, encoder=old.encoder, master=row.master or old.master)
    measures = {**old.labels.get("measures", {}), **row.labels.get("measures", {})}
    if measures.keys() > row.labels.get("measures", {}).keys():
        row = with_labels(row, {**row.labels, "measures": measures})
    words = row.captions, str(row.labels.get("caption", ""))
    if not made_of(old) or made_of(row) or words != own_words(old):
        return row
    labels = {**row.labels, **{name: old.labels[name] for name in ("caption", "captioned")}}
    return with_labels(replace(row, captions=old.captions), labels)


def agreements(batches: Iterable[Any]) -> dict[str, int]:
    """How many rows' captions agree with what was measured, are flagged, or were not checked; without those of none.

    batches: of the column of labels, in which this is spelled as `with_labels` does; no word of a caption can look like
    it, since quotes in them are escaped.
    """
    rows, flagged, checked = 0, 0, 0
    for batch in batches:
        labels = batch["labels"]
        made = labels.filter(pc.match_substring(labels, '"captioned":{'))
        rows += len(labels)
        flagged += pc.sum(pc.match_substring(made, '"flagged":true')).as_py() or 0
        checked += pc.sum(pc.match_substring_regex(made, '"agreement":[0-9]')).as_py() or 0
    found = {"agree": checked - flagged, "flagged": flagged, "not checked": rows - checked}
    return {name: number for name, number in found.items() if number}


def with_labels(row: Row, labels: Mapping[str, Any]) -> Row:
    """The row with other labels, written as `make_row` writes them."""
    return replace(row, labels_json=json.dumps(labels, allow_nan=False, separators=(",", ":")))
