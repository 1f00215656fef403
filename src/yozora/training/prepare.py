"""From a corpus to what the transformer trains on: latents and text states, cached and keyed by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yozora.artifact import content_hash
from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.latents.encode import Bucket, buckets, text_folder
from yozora.latents.store import TextCache
from yozora.models.text import TextEncoder
from yozora.models.vae import Codec
from yozora.training.dit import ModelRecipe

Progress = Callable[[str, int, int], None]  # what is being done, done, total


@dataclass(frozen=True)
class Prepared:
    """Buckets of latents for training and validation (perhaps none), and the captions' states."""

    train: list[Bucket]
    validation: list[Bucket]
    texts: TextCache


def prepare(
    recipe: ModelRecipe,
    corpus: Corpus,
    codec: Codec,
    codec_path: Path,
    progress: Progress = lambda what, done, total: None,
) -> Prepared:
    """Encodes what is not cached yet. Raises YozoraError when no clip fits the recipe's shapes."""
    codec_id = content_hash(codec_path)

    def encoded(split: str) -> list[Bucket]:
        return buckets(
            corpus, codec, codec_id, recipe.shapes, split, lambda d, t: progress("latents", d, t)
        )

    train = encoded("train")
    try:
        validation = encoded("validation")
    except YozoraError:  # no clip to validate with
        validation = []
    return Prepared(train, validation, prepare_text(recipe.text, corpus, progress))


def prepare_text(
    encoder: str, corpus: Corpus, progress: Progress = lambda what, done, total: None
) -> TextCache:
    """The states of all captions of the training and validation splits, and of the empty one."""
    cache = TextCache(text_folder(corpus, encoder))
    rows = [*corpus.rows(split="train"), *corpus.rows(split="validation")]
    wanted = ["", *(caption for row in rows for caption in row.captions)]
    if cache.missing(wanted):
        cache.fill(
            wanted, TextEncoder(encoder), lambda done, total: progress("captions", done, total)
        )
    return cache
