from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.latents import encode
from yozora.latents.buckets import Shape
from yozora.latents.encode import Bucket, buckets, clip_tensor, latents_folder, text_folder
from yozora.latents.state import state_map
from yozora.latents.store import Shards
from yozora.models import precision
from yozora.models.precision import autocast
from yozora.models.vae import Codec, CodecConfig
from yozora.video import Clip, Record
from yozora.world.dataset import make

FILM, STILL = Shape(5, 32, 48, 8.0), Shape(1, 32, 48, 8.0)
SHAPES = (FILM, STILL)
SIZE = (48, 32)  # width, height


def small_codec(seed: int = 0) -> Codec:
    torch.manual_seed(seed)
    config = CodecConfig(8, (4, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    return Codec(config).eval()


def small_corpus(directory: Path, films: int = 5, stills: int = 2, fps: float = 8.0) -> Corpus:
    """Films of the world, and stills of noise."""
    corpus = Corpus.create(directory)
    world = (make(i, size=SIZE, frames=5, fps=fps) for i in range(films))
    corpus.add([*world, *(_still(i) for i in range(stills))])
    return corpus


def _still(seed: int) -> tuple[Clip, Record]:
    coarse = np.random.default_rng(seed).integers(0, 256, (1, 2, 3, 3), np.uint8)
    frames = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return Clip(frames, 8.0), Record((f"still {seed}",), f"still:{seed}", "CC0-1.0")


class Watching:
    """A codec that notes in which precision it encodes."""

    def __init__(self) -> None:
        self.fast: set[bool] = set()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.fast.add(torch.is_autocast_enabled("cpu"))
        return torch.zeros(len(x), 8, 2, 2, 3)


@pytest.mark.parametrize("fast", [True, False])
def test_clips_are_encoded_in_the_precision_that_the_processor_has(
    fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda kind: fast)
    codec = Watching()
    buckets(small_corpus(tmp_path / "c", stills=0), codec, "x", [FILM], "train")  # type: ignore[arg-type]
    assert codec.fast == {fast}


class Counting:
    """A codec that notes how many clips it encodes."""

    def __init__(self, codec: Codec) -> None:
        self.codec, self.clips = codec, 0

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.clips += len(x)
        return self.codec.encode(x)


def test_latents_are_those_of_the_clip(tmp_path: Path) -> None:
    corpus, codec = small_corpus(tmp_path / "c"), small_codec()
    made = buckets(corpus, codec, "codec", SHAPES, "train")
    assert [(b.shape, len(b.rows)) for b in made] == [(STILL, 2), (FILM, 5)]
    for bucket in made:
        for row in bucket.rows:
            x = clip_tensor(corpus.read(row).frames, bucket.shape)[None]
            with torch.no_grad(), autocast(x.device):
                wanted = codec.encode(x)[0]
            latent = bucket.latent(row)
            assert latent.shape == (8, *bucket.shape.grid)
            torch.testing.assert_close(latent.float(), wanted.float(), atol=0.02, rtol=0.02)


def test_states_are_those_of_the_record_and_footage_has_none(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path / "c", films=12)
    seen = set()
    for bucket in buckets(corpus, small_codec(), "codec", SHAPES, "train"):
        for row in bucket.rows:
            state, known = bucket.state(row)
            wanted = state_map(row.labels, bucket.shape.grid)
            assert known == (wanted is not None)
            np.testing.assert_array_equal(
                state.numpy(), np.zeros(state.shape) if wanted is None else wanted
            )
            seen.add((row.kind, known))
    assert ("world", True) in seen
    assert ("footage", True) not in seen


def test_truth_of_other_frames_than_the_buckets_is_not_used(tmp_path: Path) -> None:
    """A clip at 16 fps, trained at 8: frame 4 of its truth is not frame 4 of what the codec sees."""
    corpus = small_corpus(tmp_path / "fast", films=3, stills=0, fps=16.0)
    made = buckets(
        corpus,
        small_codec(),
        "codec",
        [Shape(5, 32, 48, 16.0)],
        "train",
    )
    assert any(made[0].state(row)[1] for row in made[0].rows)
    for shape in (Shape(5, 32, 64, 16.0), Shape(1, 32, 48, 16.0)):  # bars at the sides; a still
        other = buckets(corpus, small_codec(), "codec", [shape, Shape(5, 32, 64, 16.0)], "train")
        assert not any(bucket.state(row)[1] for bucket in other for row in bucket.rows)


def test_nothing_is_encoded_twice_and_another_codec_encodes_anew(tmp_path: Path) -> None:
    corpus, codec = small_corpus(tmp_path / "c"), Counting(small_codec(0))

    def fill(counting: Counting, codec_id: str) -> list[Bucket]:
        counting.clips = 0
        return buckets(corpus, counting, codec_id, SHAPES, "train")  # type: ignore[arg-type]

    before = fill(codec, "a" * 64)
    assert codec.clips == 7
    assert fill(codec, "a" * 64)[0].rows == before[0].rows
    assert codec.clips == 0

    other = Counting(small_codec(1))
    after = fill(other, "b" * 64)
    assert other.clips == 7
    row = before[1].rows[0]
    assert not torch.equal(before[1].latent(row), after[1].latent(row))
    assert torch.equal(before[1].latent(row), fill(codec, "a" * 64)[1].latent(row))


def test_only_new_clips_are_encoded(tmp_path: Path) -> None:
    corpus, codec = small_corpus(tmp_path / "c", stills=0), Counting(small_codec())
    buckets(corpus, codec, "codec", SHAPES, "train")  # type: ignore[arg-type]
    more = small_corpus(tmp_path / "more", films=8, stills=0)
    corpus.add((more.read(row), row.record) for row in more.rows())
    added = len(corpus.rows()) - 5
    codec.clips = 0
    reports: list[tuple[int, int]] = []
    (bucket,) = buckets(corpus, codec, "codec", SHAPES, "train", lambda *r: reports.append(r))  # type: ignore[arg-type]
    assert codec.clips == added > 0
    assert reports == [(added, added)]
    assert len(bucket.rows) == 5 + added
    assert all(bucket.latent(row).shape == (8, *FILM.grid) for row in bucket.rows)


def test_many_clips_go_into_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "BATCH", 2)
    monkeypatch.setattr(encode, "SHARD", 4)
    corpus, codec = small_corpus(tmp_path / "c", films=11, stills=0), small_codec()
    reports: list[tuple[int, int]] = []
    (bucket,) = buckets(corpus, codec, "x", [FILM], "train", lambda *r: reports.append(r))
    assert len(list(bucket.shards.folder.iterdir())) == 3
    assert reports == [(n, 11) for n in (2, 4, 6, 8, 10, 11)]
    (again,) = buckets(corpus, codec, "x", [FILM], "train")
    for row in bucket.rows:
        assert torch.equal(again.latent(row), bucket.latent(row))


KILLED = """
import sys, time
import torch
from yozora.corpus.catalogue import Corpus
from yozora.latents import encode
from yozora.latents.buckets import Shape
encode.BATCH, encode.SHARD = 1, 2
class Slow:
    def encode(self, x):
        time.sleep(0.05)
        return torch.zeros(1, 8, 2, 2, 3)
encode.buckets(Corpus.open(sys.argv[1]), Slow(), "codec", [Shape(5, 32, 48, 8.0)], "train",
               lambda done, total: print(done, flush=True))
"""


def test_a_killed_run_leaves_complete_files_and_is_gone_on_with(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path / "c", films=20, stills=0)
    command = [sys.executable, "-c", KILLED, str(corpus.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 7:
                time.sleep(0.03)
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    folder = latents_folder(corpus, "codec", FILM)
    kept = Shards(folder).place.keys()
    assert 6 <= len(kept) < 20
    codec = Counting(small_codec())
    (bucket,) = buckets(corpus, codec, "codec", [FILM], "train")  # type: ignore[arg-type]
    assert codec.clips == 20 - len(kept)
    assert len([bucket.latent(row) for row in bucket.rows]) == 20


def test_no_batches_name_the_filter_that_took_them(tmp_path: Path) -> None:
    corpus, codec = small_corpus(tmp_path / "c"), small_codec()
    long = Shape(17, 32, 48, 8.0)
    with pytest.raises(YozoraError) as error:
        buckets(corpus, codec, "codec", [long], "train")
    text = str(error.value)
    assert "0 batches" in text
    assert "of 7 clips of split 'train'" in text
    assert "5 x 5 frames at 8 fps, shorter than every bucket (from 17 frames)" in text
    assert "2 x a still" in text
    with pytest.raises(YozoraError, match="of 0 clips of split 'validation'"):
        buckets(corpus, codec, "codec", SHAPES, "validation")
    assert not (corpus.path / "latents").exists()


def test_clips_of_another_size_are_fitted(tmp_path: Path) -> None:
    frames = np.full((4, 10, 10, 3), 255, np.uint8)  # one frame short, square
    x = clip_tensor(frames, FILM)
    assert x.shape == (3, 5, 32, 48)
    assert x.min() == -1  # bars
    assert x.max() == 1
    assert torch.equal(x[:, 4], x[:, 3])


def test_text_encoders_in_directories_are_known_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = small_corpus(tmp_path / "c", films=1, stills=0)
    assert text_folder(corpus, "google/t5").name == "google--t5"
    model = tmp_path / "encoder"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"old")
    old = text_folder(corpus, str(model))
    monkeypatch.chdir(tmp_path)
    assert text_folder(corpus, "encoder") == old
    (model / "model.safetensors").write_bytes(b"new")
    assert text_folder(corpus, str(model)) != old
    (tmp_path / "minilm").mkdir()  # the default encoder is never read from a directory
    assert text_folder(corpus, "minilm").name == "minilm"
