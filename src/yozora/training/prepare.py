"""From a corpus to what the transformer trains on: latents and text states, cached and keyed by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yozora.artifact import content_hash
from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.latents.augment import is_backwards, told_backwards
from yozora.latents.encode import Bucket, NothingFitsError, buckets, text_folder
from yozora.latents.store import TextCache
from yozora.models.adapter import Tensors
from yozora.models.text import TextEncoder
from yozora.models.vae import Codec
from yozora.training.dit import ModelRecipe

Progress = Callable[[str, int, int], None]  # what is being done, done, total


@dataclass(frozen=True)
class Prepared:
    """Buckets of latents for training and validation (perhaps none), the captions' states, and the clips' rights (see
    rights/ledger.py) with their ids."""

    train: list[Bucket]
    validation: list[Bucket]
    texts: TextCache
    rights: dict[str, Any]
    clips: tuple[str, ...]


def prepare(
    recipe: ModelRecipe,
    corpus: Corpus,
    codec: Codec,
    codec_path: Path,
    adapter: Tensors | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Prepared:
    """Encodes what is not cached yet: clips, and captions of both splits together with the empty one,
    by the text encoder as its ``adapter`` has it.

    Raises YozoraError when no clip fits the recipe's shapes, and, before anything is encoded, when the codec or the
    text encoder makes vectors of another width than the recipe takes, or a clip is not allowed to be trained on.
    """
    rows = [
        row for split in ("train", "validation") for row in corpus.rows(split=split, masters=False)
    ]
    clips = tuple(row.id for row in rows)
    rights = corpus.cleared(clips)
    captions = ["", *(caption for row in rows for caption in row.captions)]
    captions += [
        told_backwards(caption, row, number)
        for row in rows
        for number in range(1, recipe.variants + 1)
        if row.kind != "world" and is_backwards(row, recipe.augment, number)
        for caption in row.captions
    ]
    texts = TextCache(text_folder(corpus, recipe.text, adapter))
    encoder = TextEncoder(recipe.text, adapter) if texts.missing(captions) else None
    require_widths(recipe, codec, encoder.width if encoder else texts.states("").shape[1])
    codec_id = content_hash(codec_path)

    def encoded(split: str, variants: int = 0) -> list[Bucket]:
        return buckets(
            corpus, codec, codec_id, recipe.shapes, split, lambda d, t: progress("latents", d, t),
            variants=variants, augment=recipe.augment,
        )  # fmt: skip

    train = encoded("train", recipe.variants)
    try:
        validation = encoded("validation")
    except NothingFitsError:  # a run without validation is a run all the same
        validation = []
    if encoder is not None:
        texts.fill(captions, encoder, lambda done, total: progress("captions", done, total))
    return Prepared(train, validation, texts, rights, clips)


def require_widths(recipe: ModelRecipe, codec: Codec, text: int) -> None:
    """Raises YozoraError unless codec and text encoder make vectors of the widths that the recipe's network takes."""
    latent, config = codec.config.latent, recipe.config
    if latent != config.latent:
        raise YozoraError(
            f"The codec makes latents of {latent} channels, recipe '{recipe.name}' takes {config.latent}: name a codec "
            f"of that size with --codec, or --set config.latent={latent}."
        )
    if text != config.text:
        raise YozoraError(
            f"The text encoder '{recipe.text}' makes states of width {text}, recipe '{recipe.name}' takes "
            f"{config.text}: --set config.text={text}, or choose another encoder."
        )
