"""What the catalogue knows of a clip: one row, its columns, and how a Record becomes one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from yozora.corpus.spans import Span
from yozora.errors import YozoraError
from yozora.rights.intake import named_source
from yozora.rights.record import SHA256
from yozora.video import SPLITS, Canvas, Record

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # ClipHash of the frames
        ("path", pa.string()),  # of the file, inside the corpus
        ("captions", pa.list_(pa.string())),
        ("split", pa.string()),
        ("kind", pa.string()),  # world or footage
        ("source", pa.string()),
        ("licence", pa.string()),
        ("holder", pa.string()),
        ("url", pa.string()),
        ("frames", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("fps", pa.float64()),
        ("labels", pa.large_string()),  # JSON
        ("master", pa.string()),  # the clip it is a rendition of: see Row.role
        ("encoder", pa.string()),  # what wrote the file, by FFmpeg's name
    ]
)

# What a row's labels spell so can be read without parsing them: quotes in texts are escaped.
HASH = '"hash":"(?P<hash>[0-9a-f]{16})"'
FILE = '"file":"(?P<file>[0-9a-f]{64})"'
HIDDEN = '"faces":"hidden"'


@dataclass(frozen=True)
class Row:
    """One clip of a corpus: where it is, what it shows, whose it is. It carries no frames."""

    id: str
    path: str
    captions: tuple[str, ...]
    split: str
    kind: str
    source: str
    licence: str
    holder: str
    url: str
    frames: int
    height: int
    width: int
    fps: float
    labels_json: str
    master: str = ""
    encoder: str = ""

    @cached_property
    def labels(self) -> dict[str, Any]:
        """The record's labels; parsed when first asked for, since most readers never do."""
        labels: dict[str, Any] = json.loads(self.labels_json)
        return labels

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.frames / self.fps

    @property
    def role(self) -> str:
        """What it is to others: "master" is a stretch of film kept whole, "rendition" a clip made of one in the same
        pass for training, whether or not its master was kept; "" is neither."""
        return "" if not self.master else "master" if self.master == self.id else "rendition"

    @property
    def canvas(self) -> Canvas:
        """Its size and rate."""
        return Canvas(self.width, self.height, self.fps)

    def of_master(self, clip: str) -> Row:
        """The row as a rendition of the clip with this id; its own makes it a master."""
        return replace(self, master=clip)

    @property
    def record(self) -> Record:
        """The record that came with the clip."""
        return Record(
            captions=self.captions,
            source=self.source,
            licence=self.licence,
            holder=self.holder,
            url=self.url,
            split=self.split,
            labels=self.labels,
        )


def check_record(record: Record) -> None:
    """Raise YozoraError when a record lacks what every clip of a corpus has to have."""
    if not record.licence.strip():
        raise YozoraError(f"{record.source} has no licence: a corpus takes no clip without one.")
    if record.split not in SPLITS:
        raise YozoraError(
            f"{record.source}: split '{record.split}' is none of {', '.join(SPLITS)}."
        )


def make_row(canvas: Canvas, frames: int, record: Record, digest: str, encoder: str) -> Row:
    """The row of a clip of so many frames whose hash is `digest`. Raises YozoraError for labels that are no JSON."""
    try:
        labels = json.dumps(dict(record.labels), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise YozoraError(f"{record.source}: labels must be JSON: {error}.") from error
    return Row(
        id=digest,
        path=clip_path(digest),
        captions=tuple(record.captions),
        split=record.split,
        kind="world" if "scene" in record.labels else "footage",
        source=record.source,
        licence=record.licence,
        holder=record.holder,
        url=record.url,
        frames=frames,
        height=canvas.height,
        width=canvas.width,
        fps=float(canvas.fps),
        labels_json=labels,
        encoder=encoder,
    )


def same_source(one: Row, other: Row) -> bool:
    """Whether two rows are of one source: by its name, or by the hash of its file wherever that lies now."""
    file = one.labels.get("file")
    return one.source == other.source or (file is not None and file == other.labels.get("file"))


def source_digest(row: Row) -> str:
    """What the rights ledger knows a row's source by: the hash of its file, or of its name where it is no file."""
    file = row.labels.get("file")
    is_hash = isinstance(file, str) and SHA256.fullmatch(file)
    return str(file) if is_hash else named_source(row.source)


def start_of(row: Row) -> float | None:
    """Where in its source a clip begins, in seconds; None where its labels do not say so."""
    start = row.labels.get("start")
    return float(start) if isinstance(start, int | float) else None


def span_of(row: Row) -> Span | None:
    """The stretch of its source that a clip shows; None where its labels do not say so."""
    start = start_of(row)
    return None if start is None else (start, start + row.seconds)


def clip_path(digest: str) -> str:
    """Where the clip with this hash lies: few files a folder, however many there are."""
    return f"clips/{digest[:2]}/{digest}.mp4"


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table of SCHEMA."""
    names = ["labels_json" if name == "labels" else name for name in SCHEMA.names]
    records = list(rows)
    columns = [[getattr(row, name) for row in records] for name in names]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def from_table(table: pa.Table) -> list[Row]:
    """The rows of a table of SCHEMA; of rows with the same id, the first."""
    columns = [table.column(name).to_pylist() for name in SCHEMA.names]
    captions = SCHEMA.names.index("captions")
    columns[captions] = [tuple(texts) for texts in columns[captions]]
    rows: dict[str, Row] = {}
    for values in zip(*columns, strict=True):
        rows.setdefault(values[0], Row(*values))
    return list(rows.values())
