from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yozora.corpus.catalogue import Corpus
from yozora.corpus.dedup import RULE, dedup
from yozora.corpus.likeness import PARTS, alike, look
from yozora.corpus.looks import fill, of_film, of_row, place, read_looks
from yozora.corpus.report import check
from yozora.corpus.search import by_look
from yozora.errors import YozoraError
from yozora.footage.ingest import ingest_into
from yozora.recipes import sieve_recipe
from yozora.revoke import revoke
from yozora.video import Clip, read, write
from yozora.video.canvas import Canvas
from yozora.video.clip import Frames

LARGE = Canvas(224, 128, 8.0)  # of masters


def scene(seed: int) -> Frames:
    """Soft spots that move, each film its own: [17, 64, 112, 3]."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (10, 18, 3), np.uint8)
    picture = cv2.resize(small, (180, 100), interpolation=cv2.INTER_CUBIC)
    way = rng.integers(-2, 3, 2)
    starts = [(18 + t * way[0] // 2, 34 + t * way[1]) for t in range(17)]
    return np.stack([picture[y : y + 64, x : x + 112] for y, x in starts])


def resized(frames: Frames) -> Frames:
    return np.stack(
        [cv2.resize(frame, (112, 64), interpolation=cv2.INTER_AREA) for frame in frames]
    )


def subtitled(frames: Frames) -> Frames:
    out = frames.copy()
    for frame in out:
        cv2.putText(frame, "And so", (20, 58), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    return out


COPIES: dict[str, Callable[[Frames], Frames]] = {
    "the same": lambda x: x,
    "mirrored": lambda x: x[:, :, ::-1],
    "cropped": lambda x: resized(x[:, 6:, :101]),
    "darker and warmer": lambda x: (x * [0.8, 0.65, 0.5]).astype(np.uint8),
    "grey": lambda x: np.repeat((x @ [0.299, 0.587, 0.114])[..., None], 3, 3).astype(np.uint8),
    "subtitled": subtitled,
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_are_alike_and_others_are_not(change: Callable[[Frames], Frames]) -> None:
    films = np.stack([look(scene(seed)) for seed in range(12)])
    changed = np.stack([look(np.ascontiguousarray(change(scene(seed)))) for seed in range(12)])
    fits = alike(changed, films)
    assert fits.diagonal().min() > 0.8
    assert fits[~np.eye(12, dtype=bool)].max() < fits.diagonal().min()
    assert np.allclose(fits, alike(films, changed).T, atol=1e-5)


def test_played_backwards_is_something_else() -> None:
    film = scene(3)
    there, back = look(film), look(film[::-1])
    assert alike(there[None], back[None])[0, 0] < 0.9 < alike(there[None], there[None])[0, 0]


def test_where_nothing_is_to_be_seen_nothing_is_alike() -> None:
    black = look(np.zeros((17, 64, 112, 3), np.uint8))
    assert black.shape == (len(PARTS), 256)
    assert alike(black[None], look(scene(0))[None])[0, 0] == pytest.approx(0, abs=0.02)


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    """A film, another one, and the first one mirrored."""
    made = {"a": scene(0), "b": scene(1), "mirrored": scene(0)[:, :, ::-1]}
    return [
        write(Clip(np.ascontiguousarray(frames), 8.0), tmp_path / f"{name}.mp4")
        for name, frames in made.items()
    ]


def ingest(corpus: Corpus, films: list[Path]) -> int:
    return ingest_into(corpus, films, licence="CC-BY-4.0", holder="Ann", split="train").added


def test_a_copy_is_left_out_and_stays_out(tmp_path: Path, films: list[Path]) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    assert ingest(corpus, films) == 3
    a, b, copy = corpus.rows()
    corpus.give_tag("all")
    (found,) = dedup(corpus, dry_run=True)
    assert (found.clip, found.like, len(corpus.rows())) == (copy.id, a.id, 3)
    assert dedup(corpus) == [found]
    assert corpus.ids() == [a.id, b.id]
    (drop,) = corpus.drops()
    assert (drop["source"], drop["rule"], drop["start"]) == (str(films[2]), RULE, 0.0)
    assert copy.id in drop["reason"]
    assert a.id in drop["reason"]
    assert check(corpus).left_out == {RULE: 1}
    assert dedup(corpus) == []
    assert ingest(corpus, films) == 0
    films[2].with_suffix(".txt").write_text("now with words")  # its file is read anew
    assert ingest(corpus, films) == 0
    assert corpus.ids() == [a.id, b.id]
    assert corpus.drops() == [drop]
    assert len(Corpus.open(f"{corpus.path}@all").rows()) == 3
    assert corpus.read(copy).frames.shape == (17, 64, 112, 3)


def test_what_is_taken_back_goes_from_the_vectors_and_its_copy_may_come_in(
    tmp_path: Path, films: list[Path]
) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    ingest(corpus, films)
    a, b, copy = corpus.rows()
    dedup(corpus)
    assert sorted(read_looks(corpus)[0]) == sorted([a.id, b.id])
    revoke(corpus, clips=[a.id])
    assert read_looks(corpus)[0] == [b.id]
    assert corpus.drops() == []
    assert ingest(corpus, films[1:]) == 1
    assert corpus.ids() == [b.id, copy.id]
    extra = place(corpus) / "data" / "left.lance"
    extra.write_bytes(a.id.encode())
    assert any("left.lance" in left for left in corpus.remains({a.id}))


def test_a_master_goes_with_the_last_of_its_renditions(tmp_path: Path, films: list[Path]) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    report = ingest_into(corpus, films, licence="CC-BY-4.0", split="train", canvas=LARGE)
    assert report.added == 6
    left = dedup(corpus)
    assert {one.source for one in left} == {str(films[2])}
    assert [row.role for row in corpus.rows() if row.source == str(films[2])] == []
    films[2].with_suffix(".txt").write_text("now with words")
    ingest_into(corpus, films, licence="CC-BY-4.0", split="train", canvas=LARGE)
    assert len(corpus.rows()) == 4


def test_search_finds_what_looks_alike(tmp_path: Path, films: list[Path]) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    ingest(corpus, films)
    a, b, copy = corpus.rows()
    assert by_look(corpus, [of_row(corpus, a)]) == []  # nobody has looked
    dedup(corpus, dry_run=True)
    found = by_look(corpus, [of_row(corpus, copy)])
    assert {one.row.id for one in found[:2]} == {a.id, copy.id}
    assert found[1].fit > 0.9 > found[2].fit


def test_what_was_left_out_as_a_copy_stays_out_whatever_an_ingest_does(
    tmp_path: Path,
) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    frames = np.concatenate([scene(0), scene(0)[::-1]])
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])
    films = [tmp_path / "a.mp4", tmp_path / "mirrored.mp4"]
    for path, shown in zip(films, (frames, mirrored), strict=True):
        write(Clip(shown, 8.0), path)
    canvases = {"renditions": [Canvas(112, 64, 8.0), Canvas(96, 64, 8.0)]}

    def take(**options: Any) -> None:
        ingest_into(corpus, films, **{"licence": "CC0-1.0", "split": "train", **options})

    take(**canvases)
    left = {one.clip for one in dedup(corpus)}
    assert len(left) == 4
    noted = corpus.drops()
    assert {drop["clip"] for drop in noted} == left
    assert {drop["canvas"] for drop in noted} == {"112x64@8", "96x64@8"}
    for options in ({"stride": 1}, {"licence": None}, {"sieve": sieve_recipe("everything")}):
        take(**options)
        assert [drop for drop in corpus.drops() if drop["start"] is not None] == noted
    take(**canvases)
    assert corpus.drops() == noted
    assert left.isdisjoint(corpus.ids())


def test_films_and_masters_are_looked_at_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, path = Corpus.create(tmp_path / "corpus"), tmp_path / "a.mp4"
    large = np.stack([cv2.resize(frame, (672, 384)) for frame in np.tile(scene(0), (3, 1, 1, 1))])
    write(Clip(large, 8.0), path)
    narrow = {"canvas": Canvas(768, 384, 8.0), "renditions": [Canvas(128, 64, 8.0)]}
    ingest_into(corpus, [path], licence="CC0-1.0", split="train", **narrow)
    dedup(corpus, dry_run=True)
    monkeypatch.setattr("yozora.video.reading.MAX_CLIP_BYTES", large.nbytes // 2)
    with pytest.raises(YozoraError):
        read(path)
    films, ids = of_film(path, 17), [row.id for row in corpus.rows(masters=False)]
    assert len(films) == 3
    assert by_look(corpus, films)[0].fit > 0.97
    master = next(row for row in corpus.rows() if row.role == "master")
    seen, vectors = read_looks(corpus)
    assert sorted(seen) == sorted(ids)
    assert alike(of_row(corpus, master)[None], vectors).max() > 0.97


def test_clips_that_are_gone_before_they_are_looked_at_are_no_matter(
    tmp_path: Path, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    ingest(corpus, films)
    monkeypatch.setattr(Corpus, "pick", lambda *_: {})
    fill(corpus)
    assert read_looks(corpus)[0] == []


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    films = np.stack([look(scene(seed)) for seed in range(7)])
    whole = alike(films[:3], films)
    monkeypatch.setattr("yozora.corpus.likeness.MANY", 3)
    assert np.allclose(alike(films[:3], films), whole, atol=1e-5)
    assert np.allclose(
        alike(films[:3].astype(np.float16), films.astype(np.float16)), whole, atol=2e-3
    )
