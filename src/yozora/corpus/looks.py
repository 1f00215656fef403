"""The vectors of likeness.py of a corpus's footage: a Lance table beside the catalogue, made once for each clip.

    DIR/looks/<name of the vectors>.lance    id, look

They go when the clips that they were made of are taken back (see revoke.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from yozora.corpus.catalogue import Corpus
from yozora.corpus.likeness import NAME, PARTS, WIDTH, Kept, Vectors, look
from yozora.corpus.lock import locked, writing
from yozora.corpus.schema import Row
from yozora.corpus.tables import LOOKS
from yozora.video import probe, stream

PART = 256  # clips a commit: what a killed process has to do again at most
SIZE = len(PARTS) * WIDTH
RATE, LARGEST = (
    8.0,
    256,
)  # frames a second, and pixels on the longer side, at which films and masters are looked at
COLUMNS = pa.schema([("id", pa.string()), ("look", pa.list_(pa.float16(), SIZE))])

Progress = Callable[[int, int], None]  # done, total


def place(corpus: Corpus) -> Path:
    """Where a corpus keeps its vectors."""
    return corpus.path / LOOKS / f"{NAME}.lance"


def read_looks(corpus: Corpus) -> tuple[list[str], Kept]:
    """The ids of the clips that have been looked at, and their vectors [N, PARTS, WIDTH]; none where nobody looked."""
    if not place(corpus).is_dir():
        return [], np.zeros((0, len(PARTS), WIDTH), np.float16)
    table = lance.dataset(str(place(corpus))).to_table()
    flat = table["look"].combine_chunks().flatten().to_numpy()
    return table["id"].to_pylist(), flat.reshape(-1, len(PARTS), WIDTH)


def looked_at(corpus: Corpus) -> list[str]:
    """The ids of the clips that have been looked at."""
    if not place(corpus).is_dir():
        return []
    ids: list[str] = lance.dataset(str(place(corpus))).to_table(columns=["id"])["id"].to_pylist()
    return ids


def fill(corpus: Corpus, progress: Progress = lambda done, total: None) -> None:
    """Looks at all footage that was not looked at yet, but masters, whose renditions show the same.

    Raises YozoraError when a clip has lost its file.
    """
    known = set(looked_at(corpus))
    footage = corpus.table(["master"], kind="footage").to_pylist()
    whole = {row["master"] for row in footage}
    todo = [row["id"] for row in footage if row["id"] not in known and row["id"] not in whole]
    for start in range(0, len(todo), PART):
        progress(start, len(todo))
        with locked(corpus.path, alone=False):  # nothing is taken back between reading and writing
            rows = list(corpus.pick(todo[start : start + PART]).values())
            if rows:  # others may have left them out meanwhile
                add(corpus, [row.id for row in rows], [of_row(corpus, row) for row in rows])


def add(corpus: Corpus, clips: Sequence[str], vectors: Collection[Vectors]) -> None:
    """Appends the vectors of these clips, one at least, all or none."""
    flat = np.stack([one.ravel() for one in vectors]).astype(np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), SIZE)
    table = pa.table([pa.array(clips, pa.string()), column], schema=COLUMNS)
    with writing(corpus.path):
        place(corpus).parent.mkdir(exist_ok=True)
        mode = "append" if place(corpus).is_dir() else "create"
        lance.write_dataset(table, str(place(corpus)), mode=mode)


def of_row(corpus: Corpus, row: Row) -> Vectors:
    """A clip's vectors, without the bars that its labels tell of."""
    size = within(row.width, row.height)
    fps = RATE if row.fps > RATE and size != (row.width, row.height) else None
    frames = corpus.read(row, fps=fps, size=size).frames
    across, down = size[0] / row.width, size[1] / row.height
    left, top, width, height = row.labels.get("content", (0, 0, row.width, row.height))
    columns = slice(math.ceil(left * across), max(1, math.floor((left + width) * across)))
    rows = slice(math.ceil(top * down), max(1, math.floor((top + height) * down)))
    return look(frames[:, rows, columns])


def of_film(path: Path, frames: int) -> list[Vectors]:
    """The vectors of each stretch of so many frames of a film, at RATE; a rest of less than half is left out.

    Raises YozoraError when the film cannot be read.
    """
    info = probe(path)
    coming = stream(path, fps=RATE, size=within(info.width, info.height))
    found: list[Vectors] = []
    while part := list(islice(coming, frames)):
        if len(part) > frames // 2 or not found:
            found.append(look(np.stack(part)))
    return found


def within(width: int, height: int) -> tuple[int, int]:
    """The size of the same shape whose longer side is no more than LARGEST."""
    scale = min(1.0, LARGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
