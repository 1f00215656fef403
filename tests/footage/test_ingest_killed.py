"""An ingest ends in the same corpus whatever engine runs it, and however often it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.footage.test_survey import film

from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import Report, ingest_into
from yozora.video import Canvas, Clip, write

KILLS = 20
RUN = """
import sys
from tests.footage.test_ingest_killed import take

if __name__ == "__main__":
    take(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def take(corpus: str | Path, films: str | Path, workers: int, engine: str = "local") -> Report:
    return ingest_into(
        Corpus.open(corpus), [films], licence="CC-BY-4.0", renditions=[Canvas(64, 36, 8)], seconds=9 / 8,
        stride=0.5, engine=engine, workers=workers, split="train",
    )  # fmt: skip


def films(folder: Path) -> Path:
    """Two films with cuts, a copy, a frozen one, a damaged one and no film."""
    folder.mkdir()
    film(folder / "a.mp4")
    film(folder / "b.mp4", width=192, bar=8)
    frozen = np.random.default_rng(0).integers(0, 255, (1, 48, 64, 3), dtype=np.uint8)
    write(Clip(frozen.repeat(40, 0), 20), folder / "frozen.mp4")
    (folder / "none.mp4").write_bytes(b"no film" * 99)
    whole = (folder / "a.mp4").read_bytes()
    (folder / "z.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


def state(corpus: Path) -> tuple[Any, ...]:
    opened = Corpus.open(corpus)
    rows = sorted(opened.rows(), key=lambda row: row.id)
    drops = sorted(map(str, opened.drops()))
    for row in rows:
        assert len(opened.read(row)) == row.frames
    return rows, drops, opened.ledger.standing([row.id for row in rows])


def test_any_engine_and_twenty_kills_end_in_the_same_corpus(tmp_path: Path) -> None:
    source = films(tmp_path / "films")
    one, two, ray, killed = (tmp_path / name for name in ("one", "two", "ray", "killed"))
    for folder in (one, two, ray, killed):
        Corpus.create(folder)
    report = take(one, source, 1)
    assert report.added > 10
    assert report.left_out
    assert len(report.refused) == 2
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", RUN, two, source, "2"], check=True)
    whole = time.monotonic() - began
    assert state(two) == state(one)
    assert take(ray, source, 2, "ray") == report
    assert state(ray) == state(one)

    rng = random.Random(0)
    for _ in range(KILLS):
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, killed, source, "2"], start_new_session=True
        )
        time.sleep(rng.uniform(0.3, 1.0) * whole)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    last = take(killed, source, 2)
    assert last.left_out == report.left_out
    assert state(killed) == state(one)
    known = {row.path for row in Corpus.open(killed).rows()}
    assert known <= {path.relative_to(killed).as_posix() for path in killed.rglob("*.mp4")}
