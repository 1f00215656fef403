from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from yozora.corpus.catalogue import Corpus
from yozora.corpus.report import check, sheet, show
from yozora.errors import YozoraError
from yozora.rights.intake import admit_named
from yozora.video import Clip, Record, read_image


def add(
    corpus: Corpus, count: int, *, frames: int = 5, split: str = "train", source: str = "a.mp4"
) -> None:
    rng = np.random.default_rng(frames * 1000 + count)
    corpus.add(
        (
            Clip(np.full((frames, 16, 24, 3), rng.integers(0, 256, 3), np.uint8), 8),
            Record(captions=(f"clip {i}",), source=source, licence="MIT", split=split),
        )
        for i in range(count)
    )


def test_check_counts_buckets_splits_sources_and_licences(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    add(corpus, 3)
    add(corpus, 2, split="validation", source="b.mp4")
    add(corpus, 1, frames=9, split="heldout")
    assert any("6 clips may not be trained on" in problem for problem in check(corpus).problems)
    for source in ("a.mp4", "b.mp4"):
        admit_named(corpus.ledger, corpus.policy, source, "MIT")
    found = check(corpus).to_json()
    assert json.loads(json.dumps(found)) == found
    assert found["clips"] == 6
    assert found["seconds"] == pytest.approx((5 * 5 + 9) / 8, abs=1e-3)
    shape = {"height": 16, "width": 24, "fps": 8}
    assert found["buckets"] == [
        {"frames": 5, **shape, "train": 3, "validation": 2, "heldout": 0},
        {"frames": 9, **shape, "train": 0, "validation": 0, "heldout": 1},
    ]
    assert found["splits"] == {"train": 3, "validation": 2, "heldout": 1}
    assert found["sources"] == {"a.mp4": 4, "b.mp4": 2}
    assert (found["licences"], found["rights"]) == ({"MIT": 6}, {"allowed": 6})
    assert found["problems"] == []


def test_check_says_why_there_are_no_batches(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    assert "empty" in " ".join(check(corpus).problems)
    corpus.drop("x.mp4", "x.mp4 is damaged.")
    assert "all there was is refused" in " ".join(check(corpus).problems)
    add(corpus, 1, split="heldout")
    assert "No clip is in the split 'train'" in " ".join(check(corpus).problems)
    add(corpus, 2, frames=1)
    assert "All training clips are stills" in " ".join(check(corpus).problems)
    add(corpus, 3)
    (corpus.path / corpus.rows()[-1].path).unlink()
    assert [p for p in check(corpus).problems if "lost their file" in p]
    assert len(check(corpus).missing) == 1


def test_check_can_be_read_in_a_terminal(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    for number in range(25):
        add(corpus, 1, frames=1 + number, source=f"{number:02}.mp4")
    corpus.drop("bad.mp4", "bad.mp4 is [empty] (0 bytes).")
    console = Console(width=200, file=io.StringIO())
    console.print(check(corpus))
    text = console.file.getvalue()
    assert "25 clips" in text
    assert "and 5 more" in text
    assert "bad.mp4 is [empty] (0 bytes)." in text


def test_show_spreads_over_the_corpus_and_draws_a_sheet(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    add(corpus, 9)
    assert [row.captions[0] for row in show(corpus, limit=3)] == ["clip 0", "clip 3", "clip 6"]
    assert len(show(corpus)) == 9
    path = sheet(corpus, show(corpus, limit=4), tmp_path / "sheet.png")
    assert read_image(path).mean() > 0
    with pytest.raises(YozoraError, match="nothing to show"):
        sheet(corpus, show(corpus, split="heldout"), tmp_path / "none.png")


def test_captions_that_speak_of_labels_do_not_count_as_labels(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    tricky = 'It says "captioned":{"flagged":true,"agreement":1} on a sign.'
    labels = [
        {"own": tricky},
        {"captioned": {"own": tricky, "agreement": None, "wrong": [], "flagged": False}},
        {"captioned": {"own": tricky, "agreement": 0.2, "wrong": [tricky], "flagged": True}},
        {"captioned": {"own": tricky, "agreement": 1.0, "wrong": [], "flagged": False}},
    ]
    corpus.add(
        (
            Clip(np.full((1, 16, 24, 3), 20 * number, np.uint8), 8),
            Record(captions=(tricky,), source="a.mp4", licence="MIT", labels=one),
        )
        for number, one in enumerate(labels)
    )
    assert check(corpus).captions == {"agree": 1, "flagged": 1, "not checked": 2}
