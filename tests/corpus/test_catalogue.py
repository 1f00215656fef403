from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.corpus.catalogue import Added, Corpus
from yozora.corpus.lock import locked
from yozora.corpus.recording import clip_hash
from yozora.errors import YozoraError
from yozora.video import Clip, Record


def clip(seed: int, frames: int = 5, height: int = 16, width: int = 28, fps: float = 8.0) -> Clip:
    """A blob that crosses the picture, different for every seed."""
    rng = np.random.default_rng(seed)
    colour, (x0, y0) = rng.integers(0, 256, 3), rng.random(2)
    y, x = np.mgrid[0:height, 0:width]
    t = np.arange(frames)[:, None, None]
    far = np.hypot(x - width * x0 - 2 * t, y - height * y0)
    near = np.exp(-((far / height) ** 2))[..., None]
    return Clip((near * colour).astype(np.uint8), fps)


def record(seed: int, **changes: Any) -> Record:
    facts = {
        "captions": (f"blob {seed}",),
        "source": f"world:{seed}",
        "licence": "CC0-1.0",
        "labels": {"scene": seed},
    }
    return Record(**{**facts, **changes})


def items(*seeds: int) -> Iterator[tuple[Clip, Record]]:
    return ((clip(seed), record(seed)) for seed in seeds)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABELS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
RECORDS = st.builds(
    Record,
    captions=st.lists(TEXT, max_size=3).map(tuple),
    source=TEXT,
    licence=st.sampled_from(["MIT", "CC-BY-4.0", "LicenseRef-x"]),
    holder=TEXT,
    url=TEXT,
    split=st.sampled_from(["train", "validation", "heldout"]),
    labels=st.dictionaries(TEXT, LABELS, max_size=3),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_records_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    corpus = Corpus.create(tmp_path_factory.mktemp("corpus"))
    corpus.add((clip(i, frames=1), r) for i, r in enumerate(records))
    assert [row.record for row in Corpus.open(corpus.path).rows()] == records


def test_clips_come_back_visibly_the_same(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    shapes = [(17, 64, 112, 8.0), (1, 64, 112, 8.0), (5, 33, 47, 12.5)]
    clips = [clip(i, *shape) for i, shape in enumerate(shapes)]
    corpus.add((c, record(i)) for i, c in enumerate(clips))
    for row, before in zip(corpus.rows(), clips, strict=True):
        after = corpus.read(row)
        assert after.frames.shape == before.frames.shape == (row.frames, row.height, row.width, 3)
        assert after.fps == pytest.approx(before.fps) == pytest.approx(row.fps)
        error = np.mean((after.frames.astype(float) - before.frames) ** 2)
        assert 10 * np.log10(255**2 / max(error, 1e-9)) > 45
        assert row.id == clip_hash(before)
        assert row.path == f"clips/{row.id[:2]}/{row.id}.mp4"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from([8.0, 12.0]))
def test_a_clips_hash_is_its_frames_and_rate(a: int, b: int, fps: float) -> None:
    assert (clip_hash(clip(a)) == clip_hash(clip(b, fps=fps))) == (a == b and fps == 8)


def test_shape_counts_in_a_clips_hash() -> None:
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    assert clip_hash(Clip(frames, 8)) != clip_hash(Clip(frames.reshape(2, 6, 4, 3), 8))


def test_a_clip_is_not_added_twice(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    assert corpus.add(items(1, 2, 1)) == Added(2, 1)
    before = corpus.identity()
    assert corpus.add(items(2, 1)) == Added(0, 2)
    assert corpus.identity() == before
    assert corpus.add(items(3, 2)) == Added(1, 1)
    assert corpus.identity() != before
    assert [row.source for row in corpus.rows()] == ["world:1", "world:2", "world:3"]
    assert len(list(corpus.path.glob("clips/*/*"))) == 3


CHANGES: list[dict[str, Any]] = [
    {"captions": ("a blob", "another")},
    {"licence": "MIT"},
    {"holder": "Ann"},
    {"url": "https://example.org"},
    {"split": "validation"},
    {"labels": {"scene": 1, "truth": [1.5]}},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: next(iter(changes)))
def test_what_is_said_anew_of_a_clip_counts(tmp_path: Path, changes: dict[str, Any]) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(items(1, 2, 3))
    anew = record(2, **changes)
    assert corpus.add([(clip(1), record(1)), (clip(2), anew)]) == Added(0, 1, 1)
    assert {row.source: row.record for row in corpus.rows()} == {
        "world:1": record(1),
        "world:2": anew,
        "world:3": record(3),
    }
    assert corpus._dataset().count_rows() == 3
    assert corpus.add([(clip(2), anew)]) == Added(0, 1, 0)


def test_a_clip_stays_its_sources_and_of_several_records_the_first_counts(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add([(clip(1), record(1, source="a.mp4", labels={"file": "f"}))])
    before = corpus.rows()
    assert corpus.add([(clip(1), record(1, source="b.mp4", licence="MIT"))]) == Added(0, 1)
    first, later = (record(1, source="a.mp4", captions=(text,)) for text in ("first", "later"))
    assert corpus.rows() == before
    assert corpus.add([(clip(1), first), (clip(1), later)]) == Added(0, 1, 1)
    assert corpus.rows()[0].captions == ("first",)
    corpus.add([(clip(1), record(1, source="a.mp4", labels={"file": "f"}))])
    moved = record(1, source="elsewhere/a.mp4", holder="Ann", labels={"file": "f"})
    assert corpus.add([(clip(1), moved)]) == Added(0, 0, 1)


UPDATER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_catalogue import Corpus, clip, record
corpus = Corpus.open(sys.argv[2])
for number in range(1, 10**6):
    corpus.add((clip(i), record(i, captions=(str(number),))) for i in range(5))
    print(number, flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05])
def test_killed_while_changing_rows_none_is_lost(tmp_path: Path, seconds: float) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(items(*range(5)))
    command = [sys.executable, "-c", UPDATER, str(Path(__file__).parent), str(corpus.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()
    rows = corpus.rows()
    assert sorted(row.source for row in rows) == [f"world:{i}" for i in range(5)]
    assert len({row.captions for row in rows}) == 1
    assert corpus._dataset().count_rows() == 5


def test_a_file_that_is_gone_comes_back_with_its_source(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(items(1))
    (row,) = corpus.rows()
    (corpus.path / row.path).unlink()
    assert corpus.add(items(1)) == Added(0, 1)
    assert len(corpus.read(row)) == row.frames


def test_identity_is_of_what_there_is_not_of_the_order(tmp_path: Path) -> None:
    one, other = Corpus.create(tmp_path / "1"), Corpus.create(tmp_path / "2")
    one.add(items(1, 2, 3))
    other.add(items(3, 1))
    assert one.identity() != other.identity()
    other.add(items(2))
    assert one.identity() == other.identity()
    third = Corpus.create(tmp_path / "3")
    third.add((clip(i), record(i, captions=("another",))) for i in (1, 2, 3))
    assert third.identity() != one.identity()


def test_rows_of_a_split_and_kind(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add([
        (clip(1), record(1)),
        (clip(2), record(2, split="heldout")),
        (clip(3), record(3, labels={"start": 0.5})),
    ])  # fmt: skip
    assert [row.source for row in corpus.rows(split="train")] == ["world:1", "world:3"]
    assert [row.source for row in corpus.rows("train", "footage")] == ["world:3"]
    assert [row.kind for row in corpus.rows()] == ["world", "world", "footage"]
    with pytest.raises(YozoraError, match="no split 'test'"):
        corpus.rows("test")


@pytest.mark.parametrize(
    "changes", [{"licence": " "}, {"split": "test"}, {"labels": {"a": float("nan")}}]
)
def test_what_came_before_a_bad_record_stays(tmp_path: Path, changes: dict[str, Any]) -> None:
    corpus = Corpus.create(tmp_path / "c")
    with pytest.raises(YozoraError, match="world:2"):
        corpus.add([(clip(1), record(1)), (clip(2), record(2, **changes)), (clip(3), record(3))])
    assert "world:1" in [row.source for row in corpus.rows()]
    assert "world:2" not in [row.source for row in corpus.rows()]


def test_what_came_before_a_failing_source_stays(tmp_path: Path) -> None:
    def failing() -> Iterator[tuple[Clip, Record]]:
        yield from items(1, 2)
        raise ZeroDivisionError

    corpus = Corpus.create(tmp_path / "c")
    with pytest.raises(ZeroDivisionError):
        corpus.add(failing())
    assert len(corpus.rows()) == 2
    assert not list(corpus.path.glob(".*"))


def test_many_commits_are_merged_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yozora.corpus.catalogue.COMMIT_ROWS", 2)
    monkeypatch.setattr("yozora.corpus.catalogue.COMPACT_ABOVE", 4)
    corpus = Corpus.create(tmp_path / "c")
    told: list[int] = []
    corpus.add(items(*range(13)), progress=told.append)
    assert told == list(range(1, 14))
    assert [row.source for row in corpus.rows()] == [f"world:{i}" for i in range(13)]
    assert len(corpus._dataset().get_fragments()) == 1


ADDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_catalogue import Corpus, clip, record
from yozora.corpus import catalogue
catalogue.COMMIT_ROWS = 3
def told(done):
    print(done, flush=True)
Corpus.open(sys.argv[2]).add(((clip(i), record(i)) for i in range(int(sys.argv[3]))), progress=told)
"""


def adder(corpus: Corpus, count: int) -> subprocess.Popen[bytes]:
    """Another process that adds the clips 0 … count - 1, three a commit."""
    command = [
        sys.executable,
        "-c",
        ADDER,
        str(Path(__file__).parent),
        str(corpus.path),
        str(count),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.11])
def test_killed_while_adding_only_whole_rows_are_there(tmp_path: Path, seconds: float) -> None:
    corpus = Corpus.create(tmp_path / "c")
    with adder(corpus, 10**6) as process:
        assert process.stdout is not None
        for _ in range(7):
            process.stdout.readline()
        time.sleep(seconds)
        process.kill()
    rows = corpus.rows()
    assert len(rows) >= 6
    assert [row.source for row in rows] == [f"world:{i}" for i in range(len(rows))]
    for row in rows:
        assert len(corpus.read(row)) == row.frames
    count = len(rows) + 2
    assert corpus.add(items(*range(count))) == Added(2, len(rows))
    assert not list(corpus.path.glob(".*"))


def test_what_another_process_added_meanwhile_is_not_added_again(tmp_path: Path) -> None:
    def meanwhile() -> Iterator[tuple[Clip, Record]]:
        yield from items(1, 2)
        assert Corpus.open(corpus.path).add(items(2, 3)) == Added(2, 0)
        yield from items(3, 4)

    corpus = Corpus.create(tmp_path / "c")
    assert corpus.add(meanwhile()) == Added(2, 2)
    assert corpus._dataset().count_rows() == 4


def test_two_processes_add_to_one_corpus(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    processes = [adder(corpus, 12), adder(corpus, 9)]
    assert [process.wait() for process in processes] == [0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    assert sorted(row.source for row in corpus.rows()) == sorted(f"world:{i}" for i in range(12))


def test_a_missing_corpus_or_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="is no corpus"):
        Corpus.open(tmp_path)
    corpus = Corpus.create(tmp_path / "c")
    with pytest.raises(YozoraError, match="exists already"):
        Corpus.create(tmp_path / "c")
    corpus.add(items(1))
    (row,) = corpus.rows()
    (corpus.path / row.path).unlink()
    with pytest.raises(YozoraError, match="is missing"):
        corpus.read(row)


def test_the_last_word_on_a_drop_counts(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    assert corpus.drops() == []
    corpus.drop("a.mp4", "damaged")
    corpus.drop(tmp_path / "ü.mp4", "no licence")
    corpus.drop("a.mp4", "no licence either")
    with (corpus.path / "drops.jsonl").open("a") as file:
        file.write('[1]\n{"source": "half')
    found = {drop["source"]: drop["reason"] for drop in corpus.drops()}
    assert found == {"a.mp4": "no licence either", str(tmp_path / "ü.mp4"): "no licence"}
    (corpus.path / "drops.jsonl").write_text(json.dumps({"source": "a.mp4", "reason": ""}) + "\n")
    assert corpus.drops() == []


def test_clips_that_were_left_out_are_noted_one_by_one(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.drop("a.mp4", "it is blurred", rule="min_sharpness", start=2.125)
    corpus.drop("a.mp4", "it is black", rule="max_dark", start=4.25)
    corpus.drop("a.mp4", "", start=2.125)
    told = {"source": "a.mp4", "canvas": "", "clip": ""}
    black = {**told, "reason": "it is black", "rule": "max_dark", "start": 4.25}
    assert corpus.drops() == [black]
    corpus.drop("a.mp4", "damaged")
    whole = {**told, "reason": "damaged", "rule": "", "start": None}
    assert corpus.drops() == [black, whole]
    corpus.remove([], ["a.mp4"])
    assert corpus.drops() == []


def test_torn_lines_are_passed_over_and_cost_no_other(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.drop("a\u2028b.mp4", "damaged")
    for name in ("drops.jsonl", "finished.jsonl"):
        with (corpus.path / name).open("ab") as file:
            file.write('{"source": "caf\u00e9'.encode()[:-1])
    corpus.drop("c.mp4", "empty")
    corpus.finish("key", "d.mp4", [])
    assert [drop["source"] for drop in corpus.drops()] == ["a\u2028b.mp4", "c.mp4"]
    assert corpus.finished() == {"key": []}


def test_files_that_nobody_entered_are_forgotten_unless_others_add(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(items(1))
    (kept,) = corpus.rows()
    with corpus.recorder() as recorder:
        stored = [recorder.store_clip(clip, record) for clip, record in items(1, 2, 3)]
    with locked(corpus.path, alone=False):
        corpus.forget(stored)
        assert all((corpus.path / row.path).exists() for row in stored)
    corpus.forget(stored)
    assert [row.id for row in stored if (corpus.path / row.path).exists()] == [kept.id]
