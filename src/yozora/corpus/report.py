"""What a corpus holds and what it dropped: the answer to "why do I have 0 batches?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from yozora.corpus.captions import agreements
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.video import SPLITS, Clip, contact_sheet, write_image

SHEET_SIDE, SHEET_FRAMES = (
    320,
    60,
)  # pixels and frames of a clip that is shown on a contact sheet, at most


@dataclass(frozen=True)
class Bucket:
    """How many clips of each split have one shape and rate."""

    frames: int
    height: int
    width: int
    fps: float
    train: int
    validation: int
    heldout: int


@dataclass(frozen=True)
class Check:
    """Counts over a corpus. splits, kinds, roles, sources, licences and rights map a name to a number of clips.

    seconds: of all but masters, whose renditions show the same. roles: masters, renditions and other clips.
    rights: what training may do with them, as in `Ledger.standing`. captions: how they agree with what was measured.
    left_out: how many clips each threshold left out when they were taken in. drops: the sources that were refused.
    """

    path: str
    clips: int
    seconds: float
    buckets: list[Bucket]
    splits: dict[str, int]
    kinds: dict[str, int]
    roles: dict[str, int]
    sources: dict[str, int]
    licences: dict[str, int]
    rights: dict[str, int]
    captions: dict[str, int]
    left_out: dict[str, int]
    drops: list[dict[str, Any]]
    missing: list[str]
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)

    def __rich__(self) -> Group:
        """The report as tables for a terminal."""
        buckets = Table(
            "frames", "height", "width", "fps", *SPLITS, title="clips as they are stored"
        )
        for bucket in self.buckets:
            buckets.add_row(*(f"{value:g}" for value in asdict(bucket).values()))
        title = f"{self.path}: {self.clips} clips, {self.seconds:.0f} s"
        parts: list[Any] = [Text(title), buckets]  # Text: what looks like markup is none
        parts += [
            counts("split", self.splits),
            counts("kind", self.kinds),
            *([counts("role", self.roles)] if "master" in self.roles else []),
            counts("source", self.sources),
            counts("licence", self.licences),
            counts("rights", self.rights),
            *([counts("captions", self.captions)] if self.captions else []),
            *([counts("left out by", self.left_out)] if self.left_out else []),
        ]
        if self.drops:
            table = Table("dropped", "why")
            for drop in self.drops:
                table.add_row(Text(drop["source"]), Text(drop["reason"]))
            parts.append(table)
        return Group(*parts, *map(Text, self.problems))


def counts(name: str, numbers: dict[str, int], most: int = 20) -> Table:
    """A table of the largest counts."""
    table = Table(name, "clips")
    for key in list(numbers)[:most]:
        table.add_row(Text(key), str(numbers[key]))
    if len(numbers) > most:
        table.add_row(f"… and {len(numbers) - most} more", str(sum(list(numbers.values())[most:])))
    return table


def check(corpus: Corpus) -> Check:
    """Count what a corpus holds, find files that are gone, and say what would keep training from starting.

    Reads columns and makes no rows of them, so that a million clips take seconds.
    """
    found, held = corpus.drops(), stock(corpus)
    drops = [drop for drop in found if drop["start"] is None]
    table = corpus.table(["path", "kind", "source", "licence"])
    missing = corpus.absent(table["path"].to_pylist())
    standing = corpus.ledger.standing(table["id"].to_pylist(), corpus.policy.use)
    rights = {name: len(clips) for name, clips in standing.items() if clips}
    return Check(
        path=str(corpus.path),
        clips=len(table),
        seconds=round(sum(part.seconds * part.clips for part in held if part.role != "master"), 3),
        buckets=bucket_counts(held),
        splits={split: clips_of(held, split) for split in SPLITS},
        kinds=tally(table["kind"]),
        roles=roles(held),
        sources=tally(pc.if_else(pc.equal(table["kind"], "world"), "world", table["source"])),
        licences=tally(table["licence"]),
        rights=rights,
        captions=agreements(corpus.batches(["labels"], kind="footage")),
        left_out=dict(Counter(drop["rule"] for drop in found if drop["rule"]).most_common()),
        drops=drops,
        missing=missing,
        problems=problems(held, found, missing, rights),
    )


@dataclass(frozen=True)
class Stock:
    """Clips of one shape, rate, split and role; the seconds are those of one of them."""

    frames: int
    height: int
    width: int
    fps: float
    split: str
    clips: int
    role: str = ""

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.frames / self.fps


def stock(corpus: Corpus) -> list[Stock]:
    """All clips by shape, rate, split and role, in the order in which each first came."""
    columns = ["frames", "height", "width", "fps", "split"]
    table = corpus.table([*columns, "master"])
    whole = pc.if_else(pc.equal(table["master"], table["id"]), "master", "rendition")
    role = pc.if_else(pc.equal(table["master"], ""), "", whole)  # as Row.role has it
    grouped = table.append_column("role", role).group_by([*columns, "role"], use_threads=False)
    counted = grouped.aggregate([([], "count_all")]).select([*columns, "count_all", "role"])
    return [Stock(*values) for values in zip(*(c.to_pylist() for c in counted), strict=True)]


def roles(held: Iterable[Stock]) -> dict[str, int]:
    """How many clips are masters, renditions, or neither."""
    found = Counter[str]()
    for part in held:
        found[part.role or "by itself"] += part.clips
    return dict(found.most_common())


def tally(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value is there; the most frequent first, of equal ones the first."""
    counted = ((one["values"], one["counts"]) for one in pc.value_counts(column).to_pylist())
    return dict(sorted(counted, key=lambda item: -item[1]))


def clips_of(held: Iterable[Stock], split: str) -> int:
    """How many clips are of a split."""
    return sum(part.clips for part in held if part.split == split)


def origin(row: Row) -> str:
    """What a row is counted under: its file, or the whole world, whose every clip is its own source."""
    return "world" if row.kind == "world" else row.source


def bucket_counts(held: Iterable[Stock]) -> list[Bucket]:
    """Clips per shape, rate and split; the largest bucket first."""
    found: dict[tuple[int, int, int, float], Counter[str]] = {}
    for part in held:
        shape = (part.frames, part.height, part.width, part.fps)
        found.setdefault(shape, Counter())[part.split] += part.clips
    ordered = sorted(found.items(), key=lambda item: -item[1].total())
    return [Bucket(*shape, *(number[split] for split in SPLITS)) for shape, number in ordered]


def problems(
    held: Sequence[Stock],
    drops: Sequence[dict[str, Any]],
    missing: Sequence[str],
    rights: dict[str, int],
) -> list[str]:
    """A sentence for each thing that leaves training without batches."""
    said = []
    clips = sum(part.clips for part in held)
    if not clips:
        refused = ": all there was is refused or left out (see why above)" if drops else ""
        said.append(f"The corpus is empty{refused or ': add clips with `yozora ingest`'}.")
    elif not (trained := [p for p in held if p.split == "train" and p.role != "master"]):
        said.append("No clip is in the split 'train', so training has 0 batches.")
    elif all(part.frames == 1 for part in trained):
        said.append("All training clips are stills, so video training has 0 batches.")
    if clips and not clips_of(held, "validation"):
        said.append("No clip is in the split 'validation', so a run has no validation loss.")
    if unfit := clips - rights.get("allowed", 0):
        said.append(
            f"{unfit} clips may not be trained on, so training refuses the corpus: `yozora rights audit` says more."
        )
    if missing:
        said.append(
            f"{len(missing)} clips have lost their file, {missing[0]} first: add them again."
        )
    return said


def show(
    corpus: Corpus, *, split: str | None = None, kind: str | None = None, limit: int = 20
) -> list[Row]:
    """At most `limit` rows, spread evenly over the corpus."""
    ids = corpus.ids(split, kind)
    step = max(1.0, len(ids) / max(1, limit))
    wanted = [ids[int(i * step)] for i in range(min(limit, len(ids)))]
    rows = corpus.pick(wanted)
    return [rows[clip] for clip in wanted]


def sheet(corpus: Corpus, rows: Sequence[Row], path: str | Path, *, columns: int = 2) -> Path:
    """Write a contact sheet of these rows' clips, with their captions, as a PNG."""
    if not rows:
        raise YozoraError(f"{corpus.path} has no such clips, so there is nothing to show.")
    return write_image(path, picture(corpus, rows, columns=columns))


def picture(corpus: Corpus, rows: Sequence[Row], *, columns: int = 2) -> NDArray[np.uint8]:
    """A contact sheet of these rows' clips, with their captions: [H, W, 3]."""
    clips = [small(corpus, row) for row in rows]
    captions = [row.captions[0] if row.captions else row.source for row in rows]
    return contact_sheet(clips, captions, columns=columns)


def small(corpus: Corpus, row: Row) -> Clip:
    """A row's clip, or so much of it that a strip of frames can be drawn: a master is too large to be read whole."""
    scale = min(1.0, SHEET_SIDE / max(row.width, row.height))
    size = max(1, round(row.width * scale)), max(1, round(row.height * scale))
    fps = min(row.fps, SHEET_FRAMES / row.seconds) if row.frames > SHEET_FRAMES else None
    return corpus.read(row, fps=fps, size=size if scale < 1 else None)
