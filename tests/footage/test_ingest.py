from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.footage.cut import Cut, Format, cuts
from yozora.footage.ingest import ENGINES, Report, checked, ingest_into, split_of
from yozora.footage.taps.learned import Taps
from yozora.recipes import sieve_recipe
from yozora.video import Canvas, Clip, write


def film(path: Path, frames: int = 40, *, width: int = 64, height: int = 48, seed: int = 0) -> Path:
    """A film at 8 fps: a bright bar over a picture moves one pixel a frame."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(60, 200, (1, height // 8, width // 8, 3)).repeat(8, 1).repeat(8, 2)
    shown = picture.repeat(frames, 0).astype(np.uint8)
    for t in range(frames):
        shown[t, :, t % width] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(Clip(shown, 8), path)


def frozen(path: Path) -> Path:
    """A film of 34 frames in which nothing moves."""
    picture = np.random.default_rng(7).integers(0, 255, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(Clip(np.repeat(picture[None].astype(np.uint8), 34, 0), 8), path)


def alikes(folder: Path) -> tuple[Path, Path]:
    """A film and the same in another size and codec."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    large = cv2.resize(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), (320, 180))
    frames = np.stack([np.roll(large, 2 * t, 1) for t in range(34)])
    small = np.stack([cv2.resize(frame, (160, 90)) for frame in frames])
    return write(Clip(frames, 8), folder / "a.mp4"), write(Clip(small, 8), folder / "b.webm")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def take(corpus: Corpus, *paths: Path, **options: Any) -> Report:
    return ingest_into(corpus, paths, **{"licence": "CC-BY-4.0", **options})


def test_a_film_becomes_windows_on_the_canvas(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "films" / "red_bus.mp4", 40)
    report = take(corpus, path, holder="Ann", url="https://example.org")
    rows = corpus.rows()
    assert (report.files, report.added, report.duplicates, report.refused) == (1, 3, 0, [])
    assert [row.labels["start"] for row in rows] == [0, 17 / 8, 23 / 8]
    for row in rows:
        assert (row.frames, row.width, row.height, row.fps) == (17, 112, 64, 8)
        assert row.captions == ("red bus",)
        assert (row.kind, row.source) == ("footage", str(path))
        assert (row.licence, row.holder, row.url) == ("CC-BY-4.0", "Ann", "https://example.org")
        x, y, w, h = row.labels["content"]
        assert (w / h, h, y) == (pytest.approx(64 / 48, abs=0.02), 64, 0)
        frames = corpus.read(row).frames
        assert frames[:, y : y + h, x : x + w].mean() > 60
        assert frames[:, :, : x - 1].max() < 12
        assert frames[:, :, x + w + 1 :].max() < 12


def test_seconds_stride_rate_and_size_are_kept(corpus: Corpus, tmp_path: Path) -> None:
    film(tmp_path / "f.mp4", 40)
    take(corpus, tmp_path / "f.mp4", renditions=[Canvas(64, 48, 4)], seconds=2.25, stride=1)
    rows = corpus.rows()
    assert {(row.frames, row.width, row.height, row.fps) for row in rows} == {(9, 64, 48, 4)}
    assert [row.labels["start"] for row in rows] == [0, 1, 2, 2.75]
    assert rows[0].labels["content"] == [0, 0, 64, 48]


def test_a_still_and_a_short_film_become_short_clips(corpus: Corpus, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
    write(Clip(picture, 1), tmp_path / "in" / "still.png")
    film(tmp_path / "in" / "short.mp4", 7)
    take(corpus, tmp_path / "in")
    assert {row.captions[0]: row.frames for row in corpus.rows()} == {"short": 5, "still": 1}


def test_a_second_ingest_adds_nothing(corpus: Corpus, tmp_path: Path) -> None:
    film(tmp_path / "f.mp4")
    assert take(corpus, tmp_path / "f.mp4").added == 3
    again = take(corpus, tmp_path / "f.mp4")
    assert (again.added, again.duplicates) == (0, 3)


def test_a_second_ingest_changes_what_is_said_now(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "f.mp4")
    take(corpus, path, split="train")
    (tmp_path / "f.txt").write_text("A bar moves.\n")
    again = take(corpus, path, split="validation", holder="Ann")
    assert (again.added, again.duplicates, again.updated) == (0, 0, 3)
    assert again.to_json()["updated"] == 3
    told = {(row.captions, row.split, row.holder) for row in corpus.rows()}
    assert told == {(("A bar moves.",), "validation", "Ann")}
    assert take(corpus, path, split="validation", holder="Ann").updated == 0


def test_sidecars_win_over_what_holds_for_all(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    film(folder / "a.mp4", 34, seed=1)
    (folder / "a.json").write_text(
        json.dumps({"licence": "mit", "holder": "Bo", "split": "heldout"})
    )
    (folder / "a.srt").write_text(
        "1\n00:00:00,500 --> 00:00:01,000\nA bus.\n\n2\n00:00:03,000 --> 00:00:04,000\nA tram.\n"
    )
    film(folder / "b.mp4", 17, seed=2)
    (folder / "b.txt").write_text("A street\nA long street with trees\n")
    assert not take(corpus, folder, holder="Ann", split=None).refused
    a1, a2, b = corpus.rows()
    assert (a1.captions, a2.captions) == (("A bus.",), ("A tram.",))
    assert (a1.licence, a1.holder, a1.split) == ("MIT", "Bo", "heldout")
    assert b.captions == ("A long street with trees", "A street")
    assert (b.licence, b.holder) == ("CC-BY-4.0", "Ann")


def test_the_split_is_the_files_and_can_be_given(corpus: Corpus, tmp_path: Path) -> None:
    for seed in range(3):
        film(tmp_path / "in" / f"{seed}.mp4", seed=seed)
    take(corpus, tmp_path / "in")
    for row in corpus.rows():
        assert row.split == split_of(row.labels["file"])
    other = Corpus.create(tmp_path / "other")
    (tmp_path / "in" / "1.json").write_text('{"split": "validation"}')
    take(other, tmp_path / "in", split="heldout")
    assert {row.split for row in other.rows()} == {"heldout"}


def test_splits_by_content_have_the_shares_they_should() -> None:
    splits = [split_of(f"{i * 2654435761 % 2**32:08x}") for i in range(20_000)]
    assert splits.count("heldout") / 20_000 == pytest.approx(0.10, abs=0.01)
    assert splits.count("validation") / 20_000 == pytest.approx(0.05, abs=0.01)


def test_a_refused_file_is_a_sentence_and_never_stops_the_rest(
    corpus: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    film(folder / "a.mp4", 17, seed=1)
    (folder / "b.mp4").write_bytes(b"no film at all" * 100)
    (folder / "c.mp4").touch()
    film(folder / "d.mp4", 17, seed=2)
    (folder / "d.json").write_text('{"licence": "do what you want"}')
    film(folder / "e.mp4", 17, seed=3)
    (folder / "e.json").write_text('{"split": "test"}')
    film(folder / "f.mp4", 17, seed=4)
    report = take(corpus, folder, tmp_path / "absent.mp4")
    assert [row.captions[0] for row in corpus.rows()] == ["a", "f"]
    assert sorted(Path(path).name for path, _ in report.refused) == [
        "absent.mp4",
        "b.mp4",
        "c.mp4",
        "d.mp4",
        "e.mp4",
    ]
    for _, reason in report.refused:
        assert reason.endswith(".")
    assert {d["source"]: d["reason"] for d in corpus.drops()} == dict(report.refused)
    assert all(d["start"] is None for d in corpus.drops())
    assert json.loads(json.dumps(report.to_json()))["refused"][0].keys() == {"path", "reason"}
    (folder / "d.json").unlink()
    take(corpus, folder)
    assert "d" in [row.captions[0] for row in corpus.rows()]
    assert str(folder / "d.mp4") not in [drop["source"] for drop in corpus.drops()]


def test_without_a_licence_nothing_is_taken(corpus: Corpus, tmp_path: Path) -> None:
    film(tmp_path / "f.mp4")
    report = take(corpus, tmp_path / "f.mp4", licence=None)
    assert not corpus.rows()
    assert "No licence is given" in report.refused[0][1]


@pytest.mark.parametrize(
    "options",
    [
        {"licence": "my own"},
        {"split": "test"},
        {"renditions": []},
        {"canvas": Canvas(64, 64, 0)},
        {"max_seconds": 0},
        {"seconds": -1},
        {"stride": 0},
        {"renditions": [Canvas(0, 64, 8)]},
        {"seconds": 60, "renditions": [Canvas(1920, 1080, 60)]},
        {"renditions": [Canvas(64, 64, float("nan"))]},
    ],
)
def test_settings_that_are_wrong_for_all_stop_at_once(
    corpus: Corpus, tmp_path: Path, options: dict[str, Any]
) -> None:
    film(tmp_path / "f.mp4", 5)
    with pytest.raises(YozoraError):
        take(corpus, tmp_path / "f.mp4", **options)
    assert corpus.drops() == []


def test_a_name_that_is_no_text_is_taken(corpus: Corpus, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9_street.mp4"))
    film(tmp_path / "f.mp4", 17)
    try:
        (tmp_path / "f.mp4").rename(path)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    broken = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    broken.write_bytes(b"nothing")
    report = take(corpus, path, broken)
    assert report.added + len(report.refused) == 2
    json.dumps(report.to_json()).encode()
    for row in corpus.rows():
        row.source.encode()


def test_progress_names_each_file(corpus: Corpus, tmp_path: Path) -> None:
    files = [film(tmp_path / "in" / f"{i}.mp4", 5, seed=i) for i in range(3)]
    told: list[tuple[Path, int, int]] = []
    take(corpus, tmp_path / "in", progress=lambda *facts: told.append(facts))
    assert told == [(path, i, 3) for i, path in enumerate(files)]


def test_a_sites_rules_above_a_film_count(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "site" / "films" / "a.mp4", 20)
    (tmp_path / "site" / "robots.txt").write_text("User-agent: *\nDisallow: /\n")
    report = take(corpus, tmp_path / "site")
    assert "robots.txt" in report.refused[0][1]
    assert corpus.rows() == []
    assert take(corpus, path).added  # named alone, nothing above it is a site's


def test_a_list_speaks_for_a_file_however_it_is_named(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "films" / "a.mp4", 20)
    (tmp_path / "link.mp4").symlink_to(path)
    (tmp_path / "list.csv").write_text(f"path,licence\n{path},CC-BY-ND-4.0\n")
    for order in (["films", "list.csv"], ["list.csv", "link.mp4"], ["link.mp4", "list.csv"]):
        report = take(corpus, *(tmp_path / name for name in order))
        assert "CC-BY-ND-4.0" in report.refused[0][1]
    (tmp_path / "other.csv").write_text(f"path,licence\n{path},CC0-1.0\n")
    report = take(corpus, tmp_path / "list.csv", tmp_path / "other.csv")
    assert "different things" in report.refused[0][1]
    assert corpus.rows() == []


def test_what_the_sieve_leaves_out_is_noted_until_it_is_let_in(
    corpus: Corpus, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    path = frozen(films / "frozen.mp4")
    film(films / "moving.mp4", 17)
    report = take(corpus, films)
    assert (report.added, report.left_out, report.refused) == (1, {"min_motion": 2}, [])
    assert {(d["source"], d["start"], d["rule"]) for d in corpus.drops()} == {
        (str(path), 0.0, "min_motion"),
        (str(path), 17 / 8, "min_motion"),
    }
    again = take(corpus, films, sieve=sieve_recipe("usual", {"min_motion": "0"}))
    # Both frozen clips are one.
    assert (again.added, again.left_out, again.duplicates) == (1, {}, 2)
    assert corpus.drops() == []


def test_the_same_film_in_another_file_is_left_out_but_not_on_the_next_ingest(
    corpus: Corpus, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    _, second = alikes(films)
    report = take(corpus, films)
    assert (report.added, report.left_out) == (2, {"duplicate_bits": 2})
    ids = [row.id for row in corpus.rows()]
    assert all(d["source"] == str(second) for d in corpus.drops())
    assert sorted(d["reason"] for d in corpus.drops()) == sorted(
        f"It looks the same as the clip {clip}." for clip in ids
    )
    again = take(corpus, films)
    assert (again.added, again.duplicates, again.left_out) == (0, 2, {"duplicate_bits": 2})


def test_a_file_that_was_taken_in_is_not_read_again_until_something_changes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path, *arguments: Any) -> Iterator[Cut]:
        read.append(path.name)
        return cuts(path, *arguments)

    monkeypatch.setattr("yozora.footage.work.cuts", counted)
    film(tmp_path / "in" / "a.mp4")
    film(tmp_path / "in" / "b.mp4", seed=1)
    take(corpus, tmp_path / "in")
    again = take(corpus, tmp_path / "in")
    assert (again.added, again.duplicates, read) == (0, 6, ["a.mp4", "b.mp4"])
    (tmp_path / "in" / "b.txt").write_text("Anything else.\n")
    assert take(corpus, tmp_path / "in").updated == 3
    assert read[2:] == ["b.mp4"]
    (corpus.path / corpus.rows()[0].path).unlink()
    take(corpus, tmp_path / "in")
    assert read[3:] == ["a.mp4"]
    assert all(len(corpus.read(row)) == row.frames for row in corpus.rows())
    take(corpus, tmp_path / "in", stride=1)
    assert read[4:] == ["a.mp4", "b.mp4"]


def test_measures_stand_with_each_clip(corpus: Corpus, tmp_path: Path) -> None:
    film(tmp_path / "f.mp4", 40)
    take(corpus, tmp_path / "f.mp4")
    for row in corpus.rows():
        found = row.labels["measures"]
        assert found["motion"].keys() == {"camera", "local", "shake"}
        assert 0.2 < found["light"]["brightness"] < 0.8
        assert len(found["hash"]) == 16
        assert row.labels["shot"] == 0


def test_what_is_said_again_counts_again(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "f.mp4")
    for licence in ("CC-BY-4.0", "CC0-1.0", "CC-BY-4.0"):
        take(corpus, path, licence=licence)
        assert {row.licence for row in corpus.rows()} == {licence}


def test_a_copy_that_comes_later_does_not_take_the_clips_over(
    corpus: Corpus, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    first = film(films / "a.mp4")
    (films / "a.txt").write_text("The first film.\n")
    take(corpus, films)
    (films / "b.mp4").write_bytes(first.read_bytes())
    for _ in range(2):
        again = take(corpus, films)
        assert (again.added, again.updated) == (0, 0)
    assert {(row.source, row.captions) for row in corpus.rows()} == {
        (str(first), ("The first film.",))
    }
    (films / "a.txt").write_text("Said anew.\n")
    assert take(corpus, films).updated == 3
    assert {row.captions for row in corpus.rows()} == {("Said anew.",)}


def test_look_alikes_that_are_there_take_on_what_is_said(corpus: Corpus, tmp_path: Path) -> None:
    alikes(tmp_path / "films")
    take(corpus, tmp_path / "films", sieve=sieve_recipe("everything"), split="train")
    assert len(corpus.rows()) == 4
    report = take(corpus, tmp_path / "films", split="validation")
    assert (report.updated, report.left_out) == (4, {})
    assert {row.split for row in corpus.rows()} == {"validation"}


def test_a_look_alike_comes_in_when_the_first_is_gone(corpus: Corpus, tmp_path: Path) -> None:
    first, second = alikes(tmp_path / "films")
    take(corpus, tmp_path / "films")
    assert all(str(first) not in drop["reason"] for drop in corpus.drops())
    ids = [row.id for row in corpus.rows()]
    corpus.remove(ids, [str(first)])
    noted = (corpus.path / "drops.jsonl").read_text() + (corpus.path / "finished.jsonl").read_text()
    assert not any(clip in noted for clip in ids)
    assert str(first) not in noted
    take(corpus, second)
    assert {row.source for row in corpus.rows()} == {str(second)}


def test_what_was_left_out_of_a_file_is_noted_before_it_is_finished(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "films"
    frozen(folder / "a.mp4")
    film(folder / "b.mp4")

    def interrupted(path: Path, *arguments: Any) -> Iterator[Cut]:
        if path.name == "b.mp4":
            raise KeyboardInterrupt
        return cuts(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("yozora.footage.work.cuts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            take(corpus, folder)
    report = take(corpus, folder)
    assert (report.added, report.left_out) == (3, {"min_motion": 2})


def test_whatever_a_film_brings_down_the_rest_goes_on(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        film(tmp_path / "films" / f"{seed}.mp4", 17, seed=seed)

    def failing(path: Path, *arguments: Any) -> Iterator[Cut]:
        if path.name == "1.mp4":
            raise MemoryError("too large")
        return cuts(path, *arguments)

    monkeypatch.setattr("yozora.footage.work.cuts", failing)
    report = take(corpus, tmp_path / "films")
    assert report.added == 2
    ((path, reason),) = report.refused
    assert Path(path).name == "1.mp4"
    assert "cannot be read: MemoryError: too large." in reason


def test_no_speaker_silences_anothers_licence(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 20)
    (tmp_path / "list.csv").write_text(f"path,licence\n{path},CC0-1.0\n")
    (tmp_path / "a.json").write_text('{"licence": "CC-BY-ND-4.0"}')
    report = take(corpus, tmp_path / "list.csv")
    assert "CC-BY-ND-4.0" in report.refused[0][1]
    (tmp_path / "a.json").write_text('{"licence": "CC-BY-SA-4.0"}')
    (tmp_path / "a.mp4.license").write_text("SPDX-License-Identifier: MIT\n")
    assert take(corpus, tmp_path / "list.csv", licence="CC-BY-ND-4.0").added
    assert {row.licence for row in corpus.rows()} == {"CC0-1.0 AND CC-BY-SA-4.0 AND MIT"}
    (entry,) = [e for e in corpus.ledger.about(corpus.rows()[0].id) if e.facts.get("allowed")]
    assert entry.facts["obligations"] == ["attribution", "share-alike"]


def test_the_address_of_a_collection_is_not_that_of_each_film(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = film(tmp_path / "site" / "films" / "a.mp4", 20)
    (tmp_path / "site" / "robots.txt").write_text("User-agent: *\nDisallow: /films/\n")
    report = take(corpus, tmp_path / "site", url="https://example.org/")
    assert "robots.txt" in report.refused[0][1]
    path.with_suffix(".json").write_text('{"url": "https://example.org/free/a.mp4"}')
    assert take(corpus, tmp_path / "site").added


def test_terms_that_are_missing_are_named(corpus: Corpus, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 20)
    path.with_suffix(".json").write_text('{"terms": "terms.pdf"}')
    ((_, reason),) = take(corpus, path).refused
    assert reason.startswith(f"{tmp_path / 'terms.pdf'} cannot be read")


def starts(corpus: Corpus) -> list[tuple[float | None, str]]:
    return sorted((drop["start"] or 0.0, drop["canvas"]) for drop in corpus.drops())


def test_what_is_noted_of_a_clip_is_taken_back_by_those_who_cut_it_so_alone(
    corpus: Corpus, tmp_path: Path
) -> None:
    path, large = frozen(tmp_path / "frozen.mp4"), Canvas(224, 128, 8)
    take(corpus, path, renditions=[Canvas(112, 64, 8), large])
    noted = [(start, canvas) for start in (0, 17 / 8) for canvas in ("112x64@8", "224x128@8")]
    assert starts(corpus) == noted
    still = sieve_recipe("usual", {"min_motion": "0"})
    report = take(corpus, path, licence=None)
    assert (len(report.refused), starts(corpus)) == (1, [(0, ""), *noted])
    report = take(corpus, path, renditions=[large], sieve=still)
    assert (report.left_out, starts(corpus)) == ({}, noted[::2])
    report = take(corpus, path, renditions=[large], sieve=still)
    assert (report.duplicates, report.left_out) == (1, {})


def test_a_film_that_breaks_off_takes_nothing_back(corpus: Corpus, tmp_path: Path) -> None:
    path = frozen(tmp_path / "f.mp4")
    whole = path.read_bytes()
    take(corpus, path)
    noted = starts(corpus)
    path.write_bytes(whole[: len(whole) // 2])
    assert len(take(corpus, path).refused) == 1
    assert starts(corpus) == [(0, ""), *noted]


def test_a_refusal_is_forgotten_when_the_file_is_found_finished(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = film(tmp_path / "f.mp4")
    take(corpus, path)
    assert take(corpus, path, licence=None).refused
    assert len(corpus.drops()) == 1
    again = take(corpus, path)
    assert (again.duplicates, again.refused, corpus.drops()) == (3, [], [])


def test_what_cannot_be_stored_is_one_refusal_of_one_file(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "f.mp4", 80)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yozora.corpus.recording.Recorder.store", full)
    ((source, reason),) = take(corpus, path).refused
    assert (source, reason.count("No space left")) == (str(path), 1)


def test_a_single_frame_of_a_film_is_short_and_no_still(corpus: Corpus, tmp_path: Path) -> None:
    report = take(corpus, film(tmp_path / "one.mp4", 1))
    assert (report.added, report.left_out) == (0, {"min_seconds": 1})


def test_a_job_can_be_done_in_any_folder(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a cluster's computers would: all that it is sent is unpacked where it works."""
    film(tmp_path / "films" / "red_bus.mp4")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def sent(work: Any, jobs: Iterable[Any], workers: int) -> Iterator[Any]:
        for job in jobs:
            packed = pickle.dumps((work, job))
            monkeypatch.chdir(tmp_path / "elsewhere")
            there, done = pickle.loads(packed)
            result = there(done)
            monkeypatch.chdir(tmp_path)
            yield job, result

    monkeypatch.setitem(ENGINES, "ray", sent)
    report = take(Corpus.open("corpus"), Path("films"), engine="ray")
    assert (report.added, report.refused) == (3, [])
    assert {row.source for row in corpus.rows()} == {"films/red_bus.mp4"}
    assert all(len(corpus.read(row)) == row.frames for row in corpus.rows())


def test_the_order_in_which_settings_are_given_does_not_matter(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = film(tmp_path / "f.mp4")
    canvases = [Canvas(112, 64, 8), Canvas(96, 64, 4)]
    take(corpus, path, renditions=canvases, taps=Taps(samples=5))
    (key,) = corpus.finished()
    take(corpus, path, renditions=[*canvases[::-1], *canvases], taps=Taps(samples=2))
    assert list(corpus.finished()) == [key]
    models = Taps(models=("text", "nsfw", "text"))
    assert models == Taps(models=("nsfw", "text"))


def test_pictures_that_wait_for_their_shot_are_counted(corpus: Corpus, tmp_path: Path) -> None:
    path, large = film(tmp_path / "f.mp4", 17), Canvas(3840, 2160, 24)
    with pytest.raises(YozoraError, match="wait until their shot is certain"):
        take(corpus, path, canvas=large, taps=Taps("transnet"))
    assert checked(Format(canvas=large), Taps()).canvas == large


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"expires": "2020-12-31"}, "terms.expired"),
        ({"depicted": 2, "releases": ["ann.pdf"]}, "people.without-release"),
        ({"third_party": ["music"]}, "third-party.uncleared"),
        ({"expires": "soon"}, "must be a date"),
        ({"depicted": -1}, "must be a whole number"),
        ({"releases": ["lost.pdf"]}, "lost.pdf cannot be read"),
    ],
)
def test_a_sidecar_says_what_the_policy_asks_for(
    corpus: Corpus, tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    path = film(tmp_path / "a.mp4", 20)
    (tmp_path / "ann.pdf").write_text("signed by Ann")
    path.with_suffix(".json").write_text(json.dumps(said))
    ((_, reason),) = take(corpus, path).refused
    assert why in reason
    well = {"expires": "2999-12-31", "depicted": 1, "releases": ["ann.pdf"], "third_party": []}
    path.with_suffix(".json").write_text(json.dumps(well))
    assert take(corpus, path).added
    entries = {entry.kind: entry.facts for entry in corpus.ledger.about(corpus.rows()[0].id)}
    assert entries["decided"]["expires"] == "2999-12-31"
    assert (entries["source"]["depicted"], len(entries["source"]["releases"])) == (1, 1)
