from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.corpus.test_catalogue import clip, record

from yozora import video
from yozora.corpus.catalogue import Corpus
from yozora.corpus.lock import locked
from yozora.errors import YozoraError
from yozora.review.answers import (
    Answer,
    Review,
    check_reviewer,
    draw_review,
    forget,
    remains,
    reviews,
)
from yozora.review.sample import Drawn, Sample
from yozora.review.server import Desk
from yozora.video import Clip

IDS = [f"{n:064x}" for n in range(5)]
SAMPLE = Sample(("kind", "country"), tuple(Drawn(c, ("footage", "PT"), 2.5) for c in IDS))

WRITER = """
import sys
from pathlib import Path
from yozora.review.answers import Answer, Review
review = Review(Path(sys.argv[1]))
for number in range(int(sys.argv[4])):
    review.add(Answer(sys.argv[2], sys.argv[3], {"quality": [str(number)]}))
    print(number, flush=True)
"""


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return Review.create(tmp_path, "first", SAMPLE)


def test_a_sample_is_stored_as_it_was_drawn(review: Review, tmp_path: Path) -> None:
    assert review.sample() == SAMPLE
    assert (review.name, review.path) == ("first", tmp_path / "review" / "first.sqlite")
    assert [one.path for one in reviews(tmp_path)] == [review.path]
    assert list(review.path.parent.iterdir()) == [review.path]
    assert review.holds(IDS[0])
    assert not review.holds("x")


def test_an_answer_may_be_changed_and_the_history_stays(review: Review) -> None:
    for quality in ("2", "4"):
        review.add(Answer(IDS[0], "Ann", {"quality": [quality]}, "a note"))
    review.add(Answer(IDS[0], " Боб  Пример ", {"quality": ["1"]}))
    assert [one.said["quality"] for one in review.history()] == [["2"], ["4"], ["1"]]
    last = {one.reviewer: one for one in review.answers()}
    assert last["Ann"].said == {"quality": ["4"]}
    assert last["Ann"].note == "a note"
    assert last["Ann"].time.endswith("Z")
    assert list(last) == ["Ann", "Боб Пример"]


def test_no_answer_is_lost_when_many_write_at_once(review: Review) -> None:
    def write(reviewer: int) -> None:
        for number in range(10):
            review.add(Answer(IDS[number % 5], f"R{reviewer}", {"quality": [str(number)]}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = [(one.reviewer, one.said["quality"][0]) for one in review.history()]
    assert sorted(found) == sorted((f"R{r}", str(n)) for r in range(4) for n in range(10))


def test_what_was_stored_before_a_kill_is_there_and_processes_do_not_disturb_each_other(
    review: Review,
) -> None:
    def start(name: str, count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(review.path), IDS[0], name, str(count)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    killed, other = start("killed", 10**6), start("other", 5)
    assert killed.stdout is not None
    for _ in range(5):
        killed.stdout.readline()
    killed.kill()
    acknowledged = 5 + len(killed.communicate()[0].splitlines())
    assert other.communicate()[0].split() == list("01234")
    there = [one.reviewer for one in review.history()]
    assert there.count("other") == 5
    assert acknowledged <= there.count("killed") <= acknowledged + 1
    review.add(Answer(IDS[0], "Ann", {}))


def test_what_is_taken_back_is_gone_from_the_bytes_and_stays_out(tmp_path: Path) -> None:
    ids = [f"{n:064x}" for n in range(40)]
    sample = Sample(("kind",), tuple(Drawn(clip, ("footage",), 1.0) for clip in ids))
    review = Review.create(tmp_path, "first", sample)
    said = [
        (f"R{n}", f"said of {clip} " * (n % 7), clip)
        for n in range(40)
        for clip in (*ids[n % 3 :: 2], *ids[:5])
    ]  # in such an order that SQLite moves rows between pages, which leaves copies
    with closing(sqlite3.connect(review.path)) as database, database:
        question = (
            "INSERT INTO answers (time, reviewer, said, note, clip) VALUES ('t', ?, '{}', ?, ?)"
        )
        database.executemany(question, said)
    assert len(review.history()) == len(said)
    gone, kept = ids[:20], ids[20:]
    forget(tmp_path, gone)
    assert [one.clip for one in review.sample().clips] == kept
    assert {one.clip for one in review.answers()} == set(kept)
    data = b"".join(path.read_bytes() for path in review.path.parent.iterdir())
    assert [clip for clip in gone if clip.encode() in data] == []
    assert remains(tmp_path, gone) == []
    assert len(remains(tmp_path, ids)) == len(kept)
    with pytest.raises(YozoraError, match="not in the sample 'first'"):
        review.add(Answer(gone[0], "Ann", {}))


def test_names_are_not_taken_twice_and_found_again(review: Review, tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="has a sample 'first' already"):
        Review.create(tmp_path, "first", SAMPLE)
    assert review.sample() == SAMPLE
    for name in ("", "../x", "a/b", ".x", "a b"):
        with pytest.raises(YozoraError, match="cannot name a sample"):
            Review.create(tmp_path, name, SAMPLE)
    assert Review.open(tmp_path).name == "first"
    Review.create(tmp_path, "second", SAMPLE)
    with pytest.raises(YozoraError, match="give --name first, second"):
        Review.open(tmp_path)
    assert Review.open(tmp_path, "second").name == "second"
    with pytest.raises(YozoraError, match=r"no sample '\.\./first'"):
        Review.open(tmp_path, "../first")
    with pytest.raises(YozoraError, match="has no sample yet"):
        Review.open(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["", " ", "<b>", "a\nb;", "x" * 41, "-", "\u202eAnn", "a/b"])
def test_what_is_no_name_is_refused(name: str, review: Review) -> None:
    with pytest.raises(YozoraError, match="A reviewer's name"):
        check_reviewer(name)
    with pytest.raises(YozoraError, match="A reviewer's name"):
        review.add(Answer(IDS[0], name, {}))


def test_files_that_are_no_samples_are_said(review: Review, tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="500 characters at most, not 501"):
        review.add(Answer(IDS[0], "Ann", {}, "x" * 501))
    (tmp_path / "review" / "other.sqlite").write_bytes(b"no database " * 99)
    with pytest.raises(YozoraError, match="is damaged"):
        Review.open(tmp_path, "other").sample()
    with closing(sqlite3.connect(tmp_path / "review" / "third.sqlite")) as database:
        database.execute("CREATE TABLE x (y)")
    with pytest.raises(YozoraError, match="is no sample"):
        Review.open(tmp_path, "third").sample()
    gone = Review.open(tmp_path, "first")
    gone.path.unlink()
    with pytest.raises(YozoraError, match="cannot be used"):
        gone.sample()
    assert not gone.path.exists()


def test_no_sample_is_drawn_while_clips_are_taken_back(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add([(clip(1), record(1))])

    def sample() -> int:
        made, _ = draw_review(corpus, "first", 1, by=["kind"], kind=None, seed=0)
        return len(made.sample().clips)

    with locked(corpus.path, alone=True), pytest.raises(YozoraError, match="Another process"):
        sample()
    assert not list((corpus.path).glob("review/*.sqlite"))
    assert sample() == 1


def test_previews_are_not_made_in_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add([(clip(1), record(1))])
    made, _ = draw_review(corpus, "first", 1, by=["kind"], kind=None, seed=0)
    written: list[Path] = []

    real = video.write

    def write(clip: Clip, path: Path) -> Path:
        written.append(path)
        return real(clip, path)

    monkeypatch.setattr(video, "write", write)
    assert Desk(corpus, made, "token").playable(corpus.ids()[0])
    assert [path for path in written if path.is_relative_to(corpus.path)] == []
    assert len(written) == 1
