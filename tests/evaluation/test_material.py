from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from yozora.corpus.catalogue import Corpus
from yozora.evaluation import material, suites
from yozora.training.vae import CodecRecipe
from yozora.video import Clip, Record, fit
from yozora.world.dataset import make

Frames = NDArray[np.uint8]


def film(
    level: int, file: str, split: str = "train", *, frames: int = 17, start: float = 0
) -> tuple[Clip, Record]:
    """A 4:3 film of one grey on a canvas twice the world's size, with black bars at its sides."""
    pictures = np.full((frames, 128, 171, 3), level, np.uint8)
    pictures[:, 0, 0] = round(start)  # no two clips are the same
    canvas, rect = fit(pictures, (224, 128))
    labels = {"content": list(rect), "file": file, "start": start}
    return Clip(canvas, 8.0), Record(("grey",), file, "CC0-1.0", split=split, labels=labels)


def corpus_of(folder: Path, clips: Sequence[tuple[Clip, Record]]) -> Path:
    Corpus.create(folder).add(clips)
    return folder


def spoilt_bars(frames: Frames) -> Frames:
    """A codec that is perfect where the picture is, and nowhere else."""
    restored = frames.copy()
    restored[:, :, :13] = restored[:, :, 98:] = 255
    return restored


def brightened(frames: Frames) -> Frames:
    """A codec that is off by one level in a film of grey 50, by two at 100, by three at 150."""
    return frames + np.uint8(round(int(frames[0, 32, 56, 0]) / 50))


def score(
    codec: suites.Reconstruct, held_out: dict[str, list[suites.HeldOut]]
) -> dict[str, suites.Table]:
    learned = [make(0)[0].frames]
    suite = suites.codec(codec, held_out, learned, 4, lambda what, done, total: None)
    return {table.title: table for table in suite.tables}


def test_black_bars_do_not_count_on_a_larger_canvas(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", [film(150, "a", "heldout")])
    clips = material.held_out(corpus, 1, 0)
    assert clips["footage"][0].rect == (13, 0, 85, 64)
    footage = score(spoilt_bars, {"footage": clips["footage"]})["footage"].scores[0]
    assert (footage.name, footage.interval.value) == ("PSNR", 100)


@given(
    canvas=st.tuples(st.integers(8, 400), st.integers(8, 400)),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    share=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_pictures_are_scaled_inward_to_one_pixel_at_least(
    canvas: tuple[int, int], corner: tuple[float, float], share: tuple[float, float]
) -> None:
    start = [int(c * n) for c, n in zip(corner, canvas, strict=True)]
    length = [max(1, int(s * (n - a))) for s, n, a in zip(share, canvas, start, strict=True)]
    found = material.within((*start, *length), canvas, (0, 0, 112, 64))  # type: ignore[arg-type]
    for i, size in enumerate((112, 64)):
        first, last = found[i], found[i] + found[i + 2]
        assert 0 <= first < last <= size
        if last - first > 1:
            assert first / size >= start[i] / canvas[i] - 1e-9
            assert last / size <= (start[i] + length[i]) / canvas[i] + 1e-9


def test_windows_of_one_film_are_one_observation_and_stills_are_no_films(tmp_path: Path) -> None:
    windows = [
        film(50 * k, f"{k}", "heldout", frames=5, start=j) for k in (1, 2, 3) for j in range(2)
    ]
    still = film(200, "still", "heldout", frames=1)
    corpus = corpus_of(tmp_path / "corpus", [*windows, still])
    tables = score(brightened, {"footage": material.held_out(corpus, 1, 0)["footage"]})
    assert set(tables) == {"footage", "footage, stills"}
    assert "6 clips of 3 files" in tables["footage"].note
    assert "7 clips of 4 files" in tables["footage, stills"].note
    found = tables["footage"].scores[0].interval
    # One resample in 27 has the worst film alone: of three observations, the interval reaches to both ends.
    assert (found.n, found.low) == (6, pytest.approx(20 * math.log10(255 / 3)))
    assert found.high == pytest.approx(20 * math.log10(255 / 1))


def test_pca_learns_from_training_clips_in_the_codecs_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "PCA_CLIPS", 20)
    assert CodecRecipe("any").real_share == material.REAL_SHARE
    footage = [film(150, f"{i}", start=i) for i in range(3)]
    others = [
        film(250, "still", frames=1),
        film(250, "held", "heldout"),
        film(250, "v", "validation"),
    ]
    world = [make(i, 7) for i in range(3)]
    corpus = corpus_of(tmp_path / "corpus", [*footage, *others, *world])

    def kinds(clips: list[Frames]) -> list[int]:
        return [int(c[0, 32, 56, 0]) if np.ptp(c[:, 30:34, 50:60]) <= 4 else -1 for c in clips]

    learned = list(material.training(corpus))
    again = list(material.training(corpus))
    assert all((a == b).all() for a, b in zip(learned, again, strict=True))
    assert {c.shape for c in learned} == {(17, 64, 112, 3)}
    assert sum(abs(level - 150) < 4 for level in kinds(learned)) == 7
    assert not any(abs(level - 250) < 4 for level in kinds(learned))
    own = np.stack([clip.frames for clip, _ in world]).astype(int)
    away = [np.abs(own - c).mean((1, 2, 3, 4)).min() for c in learned[7:]]
    assert max(away) < 2  # the corpus' own clips of the world, through its files


def test_what_a_corpus_lacks_of_the_world_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "PCA_CLIPS", 20)
    corpus = corpus_of(tmp_path / "corpus", [film(150, "a")])
    assert (list(material.training(corpus))[-1] == make(12)[0].frames).all()
    plain = list(material.training(None))
    assert len(plain) == 20
    assert (plain[-1] == make(19)[0].frames).all()
