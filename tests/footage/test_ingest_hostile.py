"""Hundreds of damaged, forged and odd files in one ingest: nothing falls over, and each is accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.media import damaged_files

from yozora.corpus.catalogue import Corpus

WORKERS = 2
# Reads the files in processes of its own, with little memory, and says what came of it.
RUN = """
import json, resource, sys
from yozora.corpus.catalogue import Corpus
from yozora.footage.ingest import ingest_into

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    corpus, films, workers = sys.argv[1:]
    report = ingest_into(Corpus.create(corpus), [films], licence="CC0-1.0", workers=int(workers))
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    own = int(status["VmHWM"].split()[0])  # the system's other maximum is inherited from who started this
    readers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({**report.to_json(), "megabytes": [own // 1024, readers // 1024]}))
"""


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, Any], Corpus]:
    folder = tmp_path_factory.mktemp("hostile")
    films = folder / "films"
    films.mkdir()
    paths = damaged_files(films)
    (films / "loop").symlink_to(films, target_is_directory=True)
    (films / "nowhere.mp4").symlink_to(folder / "gone.mp4")
    for name in ("夜空.mp4", "-o out.mp4", "a\nb.mp4", "«quoted» '\".mp4"):
        (films / name).write_bytes(paths[0].read_bytes()[: 999 + len(name)])
    result = subprocess.run(
        [sys.executable, "-c", RUN, folder / "corpus", films, str(WORKERS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    report = json.loads(result.stdout.splitlines()[-1])
    return sorted(films.iterdir()), report, Corpus.open(folder / "corpus")


def test_every_file_is_accounted_for(
    taken: tuple[list[Path], dict[str, Any], Corpus],
) -> None:
    paths, report, corpus = taken
    media = [path for path in paths if path.name != "loop"]
    assert len(media) > 300
    told = {row.source for row in corpus.rows()} | {drop["source"] for drop in corpus.drops()}
    told |= {refused["path"] for refused in report["refused"]}
    silent = [path.name for path in media if str(path) not in told]
    # The same frames in another file are one clip; the corpus keeps the first file's name.
    assert len(silent) <= report["duplicates"] + report["ignored"]
    assert len(report["refused"]) > 100
    for refused in report["refused"]:
        assert refused["reason"].endswith("."), refused


def test_what_is_good_is_there(taken: tuple[list[Path], dict[str, Any], Corpus]) -> None:
    _, report, corpus = taken
    rows = corpus.rows()
    assert len(rows) == report["added"] > 0
    for row in rows:
        assert corpus.read(row).frames.shape == (row.frames, row.height, row.width, 3)


def test_memory_is_bounded(taken: tuple[list[Path], dict[str, Any], Corpus]) -> None:
    assert max(taken[1]["megabytes"]) < 900
