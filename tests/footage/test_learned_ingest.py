"""Learned taps, bars and repeats in an ingest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.footage.taps.films import FOOTAGE, Frames, cloud, levels
from tests.footage.taps.test_learned import needs, picture, written
from tests.test_video_sound import beep
from tests.test_video_sound import film as sounding

from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.footage.ingest import Report, ingest_into
from yozora.footage.taps.faces import face_boxes
from yozora.footage.taps.learned import Look, Taps
from yozora.recipes import sieve_recipe
from yozora.video import Canvas, Clip, write

SMALL = Canvas(112, 64, 8.0)


def take(corpus: Corpus, path: Path, **options: Any) -> Report:
    return ingest_into(corpus, [path], **{"licence": "CC-BY-4.0", "split": "train", **options})


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def pan(path: Path, seconds: float = 3, text: str = "", bar: int = 0, held: int = 1) -> Path:
    """A pan over a cloud at 24 fps, each picture held for some frames, with text that stays and bars at both ends."""
    wide = np.repeat(levels(cloud(4, 288, 900))[..., None], 3, -1)
    views = []
    for number in range(int(24 * seconds)):
        x = 3 * (number // held * held)
        view = wide[:, x : x + 512]
        view = written(view, text, (30, 20)) if text else view.copy()
        view[:bar], view[288 - bar :] = 0, 0
        views.append(view)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(Clip(np.stack(views), 24), path)


@needs(Taps(models=("nsfw", "text", "faces")))
def test_a_watermark_is_a_reason_and_what_was_seen_stands_with_the_clip(
    corpus: Corpus, tmp_path: Path
) -> None:
    pan(tmp_path / "in" / "bare.mp4", 2.2)
    marked = pan(tmp_path / "in" / "marked.mp4", 2.3, "SampleTV presents")
    taps = Taps(models=("nsfw", "text", "faces"))
    assert take(corpus, tmp_path / "in", sieve=sieve_recipe("usual", {"duplicate_bits": "0"})).added
    assert not any("text" in row.labels["measures"] for row in corpus.rows())
    looked = Corpus.create(tmp_path / "looked")
    report = take(looked, tmp_path / "in", taps=taps)
    assert list(report.left_out) == ["max_constant_text"]
    assert {drop["source"] for drop in looked.drops()} == {str(marked)}
    (row, *_) = looked.rows()
    measures = row.labels["measures"]
    assert 0 <= measures["nsfw"] < 0.8
    assert measures["text"]["share"] < 0.01
    assert measures["faces"] == {"count": 0, "area": 0}
    everything = take(looked, tmp_path / "in", taps=taps, sieve=sieve_recipe("everything"))
    assert everything.left_out == {}


@needs(Taps(models=("text",)))
def test_a_file_is_read_again_when_its_taps_change_and_any_number_of_workers_agrees(
    corpus: Corpus, tmp_path: Path
) -> None:
    for name in "ab":
        pan(tmp_path / "in" / f"{name}.mp4", 2.2, "Chapter" if name == "a" else "")
    assert take(corpus, tmp_path / "in").added
    finished = set(corpus.finished())
    taps, sieve = Taps(models=("text",)), sieve_recipe("everything")
    take(corpus, tmp_path / "in", taps=taps, sieve=sieve)
    assert len(set(corpus.finished()) - finished) == 2
    again = take(corpus, tmp_path / "in", taps=replace(taps, samples=2), sieve=sieve)
    assert again.added == 0
    other = Corpus.create(tmp_path / "other")
    take(other, tmp_path / "in", taps=replace(taps, samples=2), sieve=sieve, workers=2)
    seen = [{(row.id, row.labels_json) for row in each.rows()} for each in (corpus, other)]
    assert seen[0] == seen[1]


@needs(Taps(models=("speech",)))
def test_what_is_heard_stands_with_clips_and_masters(corpus: Corpus, tmp_path: Path) -> None:
    sound = beep(4, 0, 2.1) * (1 + np.sin(np.arange(4 * 44100) / 44100 * 40)) / 2
    path = sounding(tmp_path / "film.mp4", sound)
    options = {"sieve": sieve_recipe("everything"), "seconds": 1.125, "canvas": Canvas(96, 64, 8.0)}
    take(corpus, path, taps=Taps(models=("speech",)), **options)
    heard = {
        (row.width, row.labels["start"]): row.labels["measures"]["sound"]["kind"]
        for row in corpus.rows()
    }
    early = {kind for (width, start), kind in heard.items() if start < 1}
    assert early
    assert early <= {"other", "music"}
    assert {kind for (width, start), kind in heard.items() if start > 2.3} == {"silent"}
    assert {width for width, _ in heard} == {96, 112}


@pytest.mark.skipif(
    not (FOOTAGE / "carphone.mp4").exists(), reason="examples/fetch_footage.py brings it"
)
@needs(Taps(blur_faces=True))
def test_stored_clips_and_masters_show_no_face(corpus: Corpus, tmp_path: Path) -> None:
    canvas = Canvas(352, 288, 4.0)
    options = {"sieve": sieve_recipe("everything"), "canvas": canvas, "renditions": [SMALL]}
    open_faced = Corpus.create(tmp_path / "open")
    found = []
    for each, taps in ((open_faced, Taps()), (corpus, Taps(blur_faces=True))):
        take(each, FOOTAGE / "carphone.mp4", taps=taps, **options)
        found.append(
            {
                row.width: sum(bool(face_boxes(enlarged(frame))) for frame in each.read(row).frames)
                for row in each.rows()
            }
        )
    assert min(found[0].values()) > 5
    assert max(found[1].values()) == 0


def enlarged(frame: Frames) -> Frames:
    scale = 448 / max(frame.shape)
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale), np.uint8)


@needs(Taps("transnet"))
def test_transnet_cuts_a_film_in_the_same_pass(corpus: Corpus, tmp_path: Path) -> None:
    views = np.concatenate([np.stack([picture(seed)] * 30) for seed in (1, 11)])
    shift = [np.roll(view, 2 * number, 1) for number, view in enumerate(views)]
    path = write(Clip(np.stack(shift), 24), tmp_path / "f.mp4")
    take(corpus, path, taps=Taps("transnet"), sieve=sieve_recipe("everything"), seconds=1.125)
    cuts = [(row.labels["shot"], row.labels["start"]) for row in corpus.rows()]
    assert cuts == [(0, 0.0), (0, 0.125), (1, 1.25), (1, 1.375)]


def test_bars_are_no_content_and_too_much_of_them_is_a_reason(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = pan(tmp_path / "film.mp4", bar=36)
    take(corpus, path)
    for row in corpus.rows():
        x, y, width, height = row.labels["content"]
        assert (x, width) == (0, 112)
        assert 7 <= y <= 9
        assert 45 <= height <= 49
        assert row.labels["measures"]["borders"][1] == pytest.approx(36 / 288, abs=0.01)
    narrow = take(corpus, pan(tmp_path / "narrow.mp4", bar=90))
    assert set(narrow.left_out) == {"max_borders"}


def test_a_film_of_held_pictures_is_left_out(corpus: Corpus, tmp_path: Path) -> None:
    threes = take(corpus, pan(tmp_path / "threes.mp4", held=3))
    assert (threes.added > 0, threes.left_out) == (True, {})
    repeats = [row.labels["measures"]["repeats"] for row in corpus.rows()]
    assert repeats == pytest.approx([2 / 3] * len(repeats), abs=0.05)
    fours = take(corpus, pan(tmp_path / "fours.mp4", held=4))
    assert fours.added == 0
    # A last frame may stand alone.
    assert set(fours.left_out) - {"min_seconds"} == {"max_repeats"}


def test_a_threshold_without_its_tap_stops_at_once(corpus: Corpus, tmp_path: Path) -> None:
    path = pan(tmp_path / "film.mp4", 1)
    with pytest.raises(YozoraError, match="add --taps faces"):
        take(corpus, path, sieve=sieve_recipe("usual", {"max_faces": "0"}))
    assert corpus.rows() == corpus.drops() == []


@needs(Taps(models=("nsfw",)))
def test_no_clip_is_too_short_to_be_looked_at(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of a fifth of a second, and samples every half."""
    looked: list[tuple[int, ...]] = []

    def seen(rgb: Frames, models: Any) -> Look:
        looked.append(rgb.shape)
        return Look(0.9, None, None)

    for room in ("cut", "survey"):
        monkeypatch.setattr(f"yozora.footage.{room}.look", seen)
    sieve = sieve_recipe("usual", {"min_seconds": "0", "min_motion": "0"})
    options = {"renditions": [SMALL, Canvas(480, 270, 24)], "canvas": Canvas(96, 64, 24.0)}
    path = pan(tmp_path / "film.mp4", 2)
    report = take(
        corpus,
        path,
        taps=Taps(models=("nsfw",)),
        sieve=sieve,
        seconds=5 / 24,
        max_seconds=0.4,
        **options,
    )
    assert report.added == 0
    assert set(report.left_out) == {"max_nsfw"}
    assert {max(shape) for shape in looked} == {512}
    kept = {(drop["start"], drop["canvas"]) for drop in corpus.drops()}
    again = take(corpus, path, sieve=sieve, seconds=5 / 24, max_seconds=0.4, **options)
    assert (again.added, set(again.left_out)) == (0, {"max_nsfw"})
    assert {(drop["start"], drop["canvas"]) for drop in corpus.drops()} == kept


@needs(Taps(models=("nsfw",)))
def test_what_models_measured_stays_with_a_clip_that_comes_without_them(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = pan(tmp_path / "film.mp4", 2.2)
    take(corpus, path, taps=Taps(models=("nsfw", "speech")))
    seen = {row.id: row.labels["measures"] for row in corpus.rows()}
    assert take(corpus, path, holder="Ann").updated == len(seen)
    assert {row.id: row.labels["measures"] for row in corpus.rows()} == seen
    assert {row.holder for row in corpus.rows()} == {"Ann"}
    assert take(corpus, path, holder="Ann", stride=1.0).updated == 0


@needs(Taps(blur_faces=True))
@pytest.mark.parametrize("first", [True, False])
def test_a_corpus_keeps_the_faces_of_a_file_one_way(
    corpus: Corpus, tmp_path: Path, first: bool
) -> None:
    path = pan(tmp_path / "film.mp4", 2.2)
    take(corpus, path, taps=Taps(blur_faces=first))
    rows = corpus.rows()
    assert {row.labels.get("faces") for row in rows} == {"hidden" if first else None}
    ((_, reason),) = take(corpus, path, taps=Taps(blur_faces=not first)).refused
    assert "keeps a file one way" in reason
    assert corpus.rows() == rows
    assert take(corpus, path, taps=Taps(blur_faces=first)).duplicates == len(rows)
    assert corpus.drops() == []
