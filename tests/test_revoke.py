from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yozora.artifact import content_hash
from yozora.corpus.catalogue import REVOKING, Corpus
from yozora.corpus.lock import locked
from yozora.corpus.spans import Spans
from yozora.errors import YozoraError
from yozora.footage.ingest import ingest_into
from yozora.latents.buckets import Shape
from yozora.latents.encode import buckets, text_folder
from yozora.latents.store import Shards, TextCache
from yozora.models.vae import Codec, CodecConfig
from yozora.recipes import sieve_recipe
from yozora.revoke import HEAD, Search, of_holder, planned, revoke
from yozora.rights.intake import admit_named
from yozora.video import Canvas, Clip, write
from yozora.world.dataset import LICENCE, SOURCE, make

FILM = Shape(5, 32, 48, 8.0)
ANN, BOB = "Ann Example", "Боб Пример"


def film(path: Path, seed: int) -> Path:
    """Squares in all colours, passing by."""
    squares = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)
    picture = squares.repeat(2, 0).repeat(2, 1)
    return write(Clip(np.stack([np.roll(picture, 2 * t, 1) for t in range(12)]), 8.0), path)


def states(texts: Sequence[str]) -> list[torch.Tensor]:
    return [torch.full((len(text), 2), float(sum(text.encode()))).half() for text in texts]


def codec() -> Codec:
    torch.manual_seed(0)
    return Codec(CodecConfig(8, (4, 8, 8), (1, 1, 1), (1, 1, 1))).eval()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """World clips, a film of Ann's and one of Bob's, all encoded, and a run that took them in."""
    corpus = Corpus.create(tmp_path / "corpus")
    admit_named(corpus.ledger, corpus.policy, SOURCE, LICENCE)
    corpus.add(make(i, size=(48, 32), frames=5) for i in range(3))
    for seed, (name, holder, words) in enumerate([
        ("ann.mp4", ANN, "a tram crosses an old bridge in the rain"),
        ("bob.mp4", BOB, "a heron waits at the edge of a pond"),
    ]):  # fmt: skip
        path = film(tmp_path / name, seed)
        path.with_suffix(".txt").write_text(words, encoding="utf-8")
        ingest_into(
            corpus, [path], licence="CC-BY-4.0", holder=holder, renditions=[Canvas(48, 32, 8)],
            seconds=5 / 8, split="train",
        )  # fmt: skip
    buckets(corpus, codec(), "codec", [FILM], "train")
    cache = TextCache(text_folder(corpus, "toy"))
    cache.fill([c for row in corpus.rows() for c in row.captions], states, lambda *_: None)
    ids = [row.id for row in corpus.rows()]
    corpus.consumed("run", "runs/first", ids)
    corpus.consumed("checkpoint", "runs/world", [r.id for r in corpus.rows(kind="world")])
    return corpus


def everything(corpus: Corpus) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(corpus.path.rglob("*")) if path.is_file())


def traces(corpus: Corpus, holder: str) -> list[bytes]:
    """What must not be found any more: words, the holder, half of each clip's file, and its latents."""
    rows = [row for row in corpus.rows() if row.holder == holder]
    assert len(rows) == 3
    (folder,) = (corpus.path / "latents").iterdir()
    latents = Shards(folder)
    files = [(corpus.path / row.path).read_bytes() for row in rows]
    return [
        holder.encode(),
        *(caption.encode() for row in rows for caption in row.captions),
        *(data[len(data) // 2 : len(data) // 2 + 64] for data in files),
        *(latents.tensor(row.id, "latents").view(torch.int16).numpy().tobytes()[:64] for row in rows),
        *(s.numpy().tobytes() for row in rows for s in states(row.captions)),
    ]  # fmt: skip


def kept(corpus: Corpus) -> dict[str, tuple[str, bytes]]:
    """What must stay of the others: their captions and latents."""
    (folder,) = (corpus.path / "latents").iterdir()
    latents, texts = Shards(folder), TextCache(text_folder(corpus, "toy"))
    found = {}
    for row in corpus.rows():
        if row.holder != ANN:
            corpus.read(row)
            assert all(torch.equal(texts.states(c), states([c])[0]) for c in row.captions)
            data = latents.tensor(row.id, "latents").view(torch.int16).numpy().tobytes()
            found[row.id] = (row.captions[0], data)
    return found


def test_nothing_is_left_of_a_holder_and_all_of_the_others(corpus: Corpus) -> None:
    gone, stays = traces(corpus, ANN), kept(corpus)
    before = everything(corpus)
    assert all(trace in before for trace in gone)
    clips = [row.id for row in corpus.rows() if row.holder == ANN]

    planned = revoke(corpus, holders=["ann  EXAMPLE"], dry_run=True)
    assert everything(corpus) == before
    report = revoke(corpus, holders=["ann  EXAMPLE"])
    assert sorted(report.clips) == sorted(clips) == sorted(planned.clips)
    assert [one["name"] for one in report.consumers] == ["first"]
    assert report.searched > 0

    after = everything(corpus)
    assert [trace for trace in gone if trace in after] == []
    assert kept(corpus) == stays
    assert not (corpus.path / REVOKING).exists()
    assert corpus.ledger.verify() == []
    assert corpus.ledger.standing(clips)["revoked"] == clips
    assert corpus.cleared(stays)["clips"] == len(stays)


def test_a_file_taken_back_cannot_come_again(corpus: Corpus, tmp_path: Path) -> None:
    rows = len(corpus.rows())
    revoke(corpus, sources=[content_hash(tmp_path / "bob.mp4")], reason="takedown")
    report = ingest_into(
        corpus,
        [tmp_path / "bob.mp4"],
        licence="CC-BY-4.0",
        renditions=[Canvas(48, 32, 8)],
        seconds=5 / 8,
    )
    assert "taken back" in report.refused[0][1]
    other = tmp_path / "copy.mp4"  # the same pictures in another file
    other.write_bytes((tmp_path / "bob.mp4").read_bytes() + b"\0\0\0\x08free")
    report = ingest_into(
        corpus, [other], licence="CC-BY-4.0", renditions=[Canvas(48, 32, 8)], seconds=5 / 8
    )
    assert len(corpus.rows()) == rows - 3
    assert (report.added, report.duplicates, len(report.refused)) == (0, 0, 1)
    assert {drop["source"] for drop in corpus.drops()} == {str(other), str(tmp_path / "bob.mp4")}
    assert all("taken back" in drop["reason"] for drop in corpus.drops())
    noted = corpus.drops()
    ingest_into(corpus, [other], licence="CC-BY-4.0", renditions=[Canvas(48, 32, 8)], seconds=5 / 8)
    assert corpus.drops() == noted


def test_one_clip_is_taken_back_by_the_beginning_of_its_id(corpus: Corpus) -> None:
    clip = corpus.rows(kind="footage")[0]
    assert revoke(corpus, clips=[clip.id[:12]]).clips == [clip.id]
    assert clip.id not in {row.id for row in corpus.rows()}
    assert len(corpus.rows()) == 8


@pytest.mark.parametrize(
    "asked", [{"holders": ["Eve"]}, {"sources": ["x.mp4"]}, {"clips": ["zz"]}, {}]
)
def test_what_is_not_known_is_said_and_changes_nothing(
    corpus: Corpus, asked: dict[str, list[str]]
) -> None:
    before = everything(corpus)
    with pytest.raises(YozoraError, match=r"knows of no|Nothing is to be taken back"):
        revoke(corpus, **asked)  # type: ignore[arg-type]
    with pytest.raises(YozoraError, match="no reason"):
        revoke(corpus, reason="whim", **asked)  # type: ignore[arg-type]
    assert everything(corpus) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from yozora import revoke
from yozora.corpus.catalogue import REVOKING, Corpus
from yozora.rights.ledger import Ledger

def killing(name, owner):
    original = getattr(owner, name)
    def killed(*a, **k):
        if after:
            original(*a, **k)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, killed)

step, after = sys.argv[2], sys.argv[3] == "after"
killing(step, {"revoke": Ledger, "remove": Corpus}.get(step, revoke))
revoke.revoke(Corpus.open(sys.argv[1]), holders=["Ann Example"])
"""


@pytest.mark.parametrize(
    ("step", "when"),
    [("revoke", "before"), ("revoke", "after"), ("remove", "after"), ("search", "before")],
)
def test_killed_at_any_step_it_finishes_when_called_again(
    corpus: Corpus, step: str, when: str
) -> None:
    gone, stays = traces(corpus, ANN), kept(corpus)
    done = subprocess.run([sys.executable, "-c", KILLED, str(corpus.path), step, when], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (corpus.path / REVOKING).exists()
    report = revoke(corpus)
    assert len(report.clips) == 3
    after = everything(corpus)
    assert [trace for trace in gone if trace in after] == []
    assert kept(corpus) == stays


def test_what_is_left_is_found(corpus: Corpus) -> None:
    (corpus.path / "notes.txt").write_text("there was: a tram crosses an old bridge in the rain")
    with pytest.raises(YozoraError, match=r"notes\.txt holds a caption"):
        revoke(corpus, holders=[ANN])
    (corpus.path / "notes.txt").unlink()
    assert revoke(corpus).searched > 0


def card(path: Path, shade: int) -> Path:
    """A still of one colour: files of such stills are all but the same."""
    return write(Clip(np.full((1, 32, 48, 3), shade, np.uint8), 8.0), path)


def test_clips_that_look_alike_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    everything_passes = sieve_recipe("everything")
    for number in range(4):
        path = card(tmp_path / f"{number}.png", 40 * number + 20)
        ingest_into(
            corpus,
            [path],
            licence="CC0-1.0",
            holder=f"Holder {number}",
            renditions=[Canvas(48, 32, 8)],
            sieve=everything_passes,
        )
    assert len(revoke(corpus, holders=["holder 0"]).clips) == 1
    assert len(corpus.rows()) == 3
    assert [corpus.read(row).frames.shape for row in corpus.rows()] == [(1, 32, 48, 3)] * 3


@pytest.mark.parametrize(
    "words", ["our summer holiday", "Ann 5", "安的生日聚会", 'the "old" bridge \\ again']
)
def test_words_that_others_say_too_or_that_are_short(tmp_path: Path, words: str) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    for seed, (holder, said) in enumerate([(ANN, words), (BOB, words), (BOB, f"{words} and more")]):
        path = film(tmp_path / f"{seed}.mp4", seed)
        path.with_suffix(".txt").write_text(said, encoding="utf-8")
        ingest_into(
            corpus,
            [path],
            licence="CC0-1.0",
            holder=holder,
            renditions=[Canvas(48, 32, 8)],
            split="train",
        )
    (tmp_path / "1.txt").write_text("said anew", encoding="utf-8")
    ingest_into(
        corpus,
        [tmp_path / "1.mp4"],
        licence="CC0-1.0",
        holder=BOB,
        renditions=[Canvas(48, 32, 8)],
        split="train",
    )
    cache = TextCache(text_folder(corpus, "toy"))
    cache.fill([words, *(c for r in corpus.rows() for c in r.captions)], states, lambda *_: None)
    revoke(corpus, holders=[ANN])
    left = TextCache(text_folder(corpus, "toy"))
    assert left.missing([words])
    assert not left.missing(["said anew", f"{words} and more"])
    revoke(corpus, holders=[BOB])
    assert corpus.rows() == []


def test_what_killed_processes_left_goes_too(corpus: Corpus) -> None:
    orphan = corpus.path / "clips" / "ff" / f"{'f' * 64}.mp4"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"a clip whose row was never written")
    scratch = corpus.path / ".incoming.building-elsewhere-1-2"
    scratch.mkdir()
    (scratch / "half.mp4").write_bytes(b"half a clip")
    revoke(corpus, holders=[ANN])
    assert not orphan.exists()
    assert not scratch.exists()


def test_nothing_is_trained_while_clips_are_being_taken_back(corpus: Corpus) -> None:
    ids = [row.id for row in corpus.rows(kind="world")]
    (corpus.path / REVOKING).write_text("{")
    with pytest.raises(YozoraError, match="being taken back"):
        corpus.cleared(ids)
    with pytest.raises(YozoraError, match="is damaged"):
        revoke(corpus)


def shot(path: Path, seed: int = 0) -> Path:
    """One shot of four seconds at 8 fps in which a picture drifts."""
    squares = np.random.default_rng(seed).integers(60, 200, (8, 40, 3), np.uint8)
    wide = squares.repeat(8, 0).repeat(8, 1)
    return write(Clip(np.stack([wide[:, 2 * t : 2 * t + 96] for t in range(32)]), 8.0), path)


NANO, LARGE = Canvas(96, 64, 8.0), Canvas(192, 128, 8.0)


def take(corpus: Corpus, path: Path, **options: Any) -> Any:
    """One second a clip."""
    given = {"licence": "CC-BY-4.0", "seconds": 9 / 8, "renditions": [NANO], "split": "train"}
    return ingest_into(corpus, [path], **{**given, **options})


def test_a_master_that_came_before_goes_with_its_rendition_and_stays_out(tmp_path: Path) -> None:
    corpus, path = Corpus.create(tmp_path / "c"), shot(tmp_path / "f.mp4")
    take(corpus, path, canvas=LARGE)
    take(corpus, path)  # the renditions come again, without their master
    assert {row.role for row in corpus.rows()} == {"master", "rendition"}
    first = corpus.rows(masters=False)[0]
    revoke(corpus, clips=[first.id])
    assert corpus.rows() == []
    other = take(corpus, path, canvas=LARGE, renditions=[Canvas(64, 48, 8.0)])
    assert (other.added, len(other.refused)) == (0, 1)
    copy = tmp_path / "copy.mp4"  # another file with the same master
    copy.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    assert take(corpus, copy, canvas=LARGE, renditions=[Canvas(64, 48, 8.0)]).added == 0
    assert corpus.rows() == []
    assert list((corpus.path / "clips").rglob("*.mp4")) == []


def test_the_same_seconds_go_whatever_their_canvas_and_window_and_others_stay(
    tmp_path: Path,
) -> None:
    corpus, path = Corpus.create(tmp_path / "c"), shot(tmp_path / "f.mp4")
    alone = take(corpus, shot(tmp_path / "other.mp4", 1)).added
    take(corpus, path, stride=0.5, renditions=[NANO, LARGE])
    there = len(corpus.rows())
    named = next(
        row for row in corpus.rows() if row.source == str(path) and row.labels["start"] == 0
    )
    report = revoke(corpus, clips=[named.id])
    gone = (0.0, named.seconds)
    left = [row for row in corpus.rows() if row.source == str(path)]
    assert left
    assert len(left) + len(report.clips) + alone == there
    assert all(row.labels["start"] >= gone[1] for row in left)
    again = take(corpus, path, stride=0.25, renditions=[Canvas(64, 48, 8.0)])
    assert (again.added > 0, len(again.refused)) == (True, 1)
    rows = [row for row in corpus.rows() if row.source == str(path)]
    assert min(row.labels["start"] for row in rows) >= gone[1]
    assert all(corpus.read(row).frames.any() for row in rows)
    take(corpus, path, stride=0.25, renditions=[Canvas(64, 48, 8.0)])
    assert len(corpus.finished()) == 2


def test_clips_that_come_while_it_is_asked_for_are_taken_back_too(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shot(tmp_path / "late.mp4")

    @contextmanager
    def late(*arguments: Any, **options: Any) -> Iterator[None]:
        if options["alone"]:
            take(corpus, path, holder=ANN)
        with locked(*arguments, **options):
            yield

    monkeypatch.setattr("yozora.revoke.locked", late)
    revoke(corpus, holders=[ANN])
    assert {row.holder for row in corpus.rows(kind="footage")} == {BOB}


def test_nothing_comes_in_until_what_was_interrupted_is_finished(
    corpus: Corpus, tmp_path: Path
) -> None:
    task = planned(corpus, of_holder(corpus, ANN), "takedown")
    (corpus.path / REVOKING).write_text(json.dumps(asdict(task)))
    with pytest.raises(YozoraError, match="being taken back"):
        take(corpus, shot(tmp_path / "f.mp4"))
    assert len(revoke(corpus).clips) == 3
    assert take(corpus, tmp_path / "f.mp4").added


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=8)


@given(SPANS, st.integers(0, 40), st.integers(1, 9))
def test_stretches_meet_where_they_share_time(
    some: list[tuple[int, int]], start: int, length: int
) -> None:
    spans = [(a / 3, a / 3 + n / 3) for a, n in some]
    shared = any(a < start + length and start < a + n for a, n in some)
    assert Spans(spans).meet((start / 3, start / 3 + length / 3)) == shared


@given(st.data())
def test_a_search_finds_what_a_file_holds_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Also across the borders of what is looked at together."""
    texts = st.binary(min_size=HEAD, max_size=40)
    held, others = data.draw(st.lists(texts, max_size=4)), data.draw(st.lists(texts, max_size=4))
    between = data.draw(st.lists(st.binary(max_size=70), min_size=len(held), max_size=len(held)))
    whole = b"".join(part for pair in zip(between, held, strict=True) for part in pair)
    file = tmp_path_factory.mktemp("search") / "file"
    file.write_bytes(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yozora.revoke.BLOCK", data.draw(st.integers(1, 64)))
        found = set(Search([*held, *others]).held(file))
    assert found == {needle for needle in [*held, *others] if needle in whole}
