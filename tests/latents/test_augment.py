from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.augment import BACKWARDS, Augment, is_backwards, told_backwards, version
from yozora.latents.buckets import Shape
from yozora.latents.encode import Bucket, buckets, clip_tensor
from yozora.models.precision import autocast
from yozora.models.vae import Codec, CodecConfig
from yozora.video import Clip, Record
from yozora.world.dataset import make

FILM = Shape(5, 32, 48, 8.0)
FRAMES = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)
NOTHING = Augment(crop=1.0, reverse=0.0, colour=0.0, noise=0.0)


def row(name: str = "a", frames: int = 5, **labels: Any) -> Row:
    return Row(
        id=name, path="", captions=("a tram passes",), split="train", kind="footage", source="", licence="CC0-1.0",
        holder="", url="", frames=frames, height=32, width=48, fps=8.0, labels_json=json.dumps(labels),
    )  # fmt: skip


SILENT = {"audio": False}


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=5), st.integers(1, 9), st.floats(0.1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_variant_depends_on_the_clip_and_its_number(
    name: str, number: int, crop: float, colour: float, noise: float
) -> None:
    augment = Augment(crop, 0.5, 0.5, colour, noise)
    changed = version(row(name), augment, number, FRAMES)
    assert (changed.shape, changed.dtype) == (FRAMES.shape, np.uint8)
    assert (version(row(name), augment, number, FRAMES) == changed).all()


def test_nothing_changes_where_nothing_is_to_and_backwards_is_backwards() -> None:
    assert (version(row(**SILENT), NOTHING, 1, FRAMES) == FRAMES).all()
    turned = replace(NOTHING, reverse=1.0)
    assert (version(row(**SILENT), turned, 1, FRAMES) == FRAMES[::-1]).all()
    assert not (version(row(), replace(NOTHING, noise=0.1), 1, FRAMES) == FRAMES).all()
    assert not is_backwards(row(**SILENT), turned, 0)


@pytest.mark.parametrize(
    ("labels", "careful", "insisting"),
    [
        ({"audio": False}, True, True),
        ({"audio": True}, False, True),
        ({}, False, True),
        ({"measures": {"sound": {"kind": "speech", "speech": 0.9}}}, False, False),
        ({"measures": {"sound": {"kind": "music", "speech": 0.1}}}, False, False),
        ({"measures": {"sound": {"kind": "other", "speech": 0.01}}, "audio": True}, False, False),
        ({"measures": {"sound": {"kind": "music", "speech": 0.0}}, "audio": True}, True, True),
        ({"measures": {"sound": {"kind": "silent", "speech": 0.0}}}, True, True),
    ],
)
def test_what_is_spoken_is_never_played_backwards(
    labels: dict[str, Any], careful: bool, insisting: bool
) -> None:
    turned = Augment(reverse=1.0)
    assert is_backwards(row(**labels), turned, 1) == careful
    assert is_backwards(row(**labels), replace(turned, reverse_unheard=True), 1) == insisting
    assert not is_backwards(row(frames=1, **labels), turned, 1)


def test_captions_say_that_time_runs_backwards_in_several_ways() -> None:
    said = {told_backwards("A tram passes", row(str(n)), 1) for n in range(60)}
    assert said == {form.format("A tram passes.") for form in BACKWARDS}
    assert told_backwards("Look!", row(), 3) == told_backwards("Look!", row(), 3)


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(YozoraError, match="crop=0 is no share"):
        Augment(crop=0)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(make(i, size=(48, 32), frames=5) for i in range(2))
    noise = np.random.default_rng(1)
    corpus.add(
        (
            Clip(noise.integers(0, 256, (5, 32, 48, 3), np.uint8), 8.0),
            Record((f"film {n}",), f"{n}.mp4", "CC0-1.0", labels={"audio": n % 2 == 1}),
        )
        for n in range(6)
    )
    return corpus


def codec() -> Codec:
    torch.manual_seed(0)
    return Codec(CodecConfig(8, (4, 8, 8), (1, 1, 1), (1, 1, 1))).eval()


def made(corpus: Corpus, variants: int, augment: Augment) -> Bucket:
    (bucket,) = buckets(
        corpus, codec(), "ab" * 32, [FILM], "train", variants=variants, augment=augment
    )
    return bucket


def files(corpus: Corpus) -> set[str]:
    return {path.parent.name for path in (corpus.path / "latents").rglob("*.safetensors")}


def test_latents_of_variants_are_those_of_the_changed_clip(corpus: Corpus) -> None:
    augment = Augment(reverse=1.0)
    bucket = made(corpus, 2, augment)
    network = codec()
    for one in bucket.rows:
        assert bucket.versions(one) == (1 if one.kind == "world" else 3)
        for number in range(bucket.versions(one)):
            frames = corpus.read(one).frames
            x = clip_tensor(version(one, augment, number, frames) if number else frames, FILM)
            with torch.no_grad(), autocast(x.device):
                expected = network.encode(x[None]).bfloat16()[0]
            assert torch.allclose(bucket.latent(one, number).float(), expected.float(), atol=0.05)
            silent = one.kind != "world" and not one.labels["audio"]
            caption = bucket.caption("A film.", one, number)
            assert (caption != "A film.") == (silent and number > 0)
            assert bucket.caption("", one, number) == ""


def test_a_cached_variant_is_known_by_all_that_made_it(corpus: Corpus) -> None:
    made(corpus, 0, Augment())
    assert len(files(corpus)) == 1
    made(corpus, 1, Augment())
    once = files(corpus)
    made(corpus, 1, Augment())
    assert files(corpus) == once
    made(corpus, 2, Augment())
    assert files(corpus) > once
    twice = files(corpus)
    made(corpus, 1, Augment(colour=0.3))
    assert files(corpus) > twice


def test_a_clip_in_which_speech_is_heard_later_runs_forwards(corpus: Corpus) -> None:
    turned = Augment(reverse=1.0)
    silent = next(row for row in made(corpus, 1, turned).rows if row.labels.get("audio") is False)

    def heard(row: Row) -> Row:
        labels = {**row.labels, "measures": {"sound": {"kind": "speech", "speech": 0.9}}}
        return replace(row, labels_json=json.dumps(labels))

    corpus.revise([silent.id], heard)
    again = made(corpus, 1, turned)
    (spoken,) = [row for row in again.rows if row.id == silent.id]
    assert again.caption("A film.", spoken, 1) == "A film."
    forwards = codec().encode(
        clip_tensor(version(spoken, turned, 1, corpus.read(spoken).frames), FILM)[None]
    )
    assert torch.allclose(again.latent(spoken, 1).float(), forwards[0], atol=0.1)
