"""Asks the transformer, beside each step, what further captions tell: reading practice without a picture.

How a body moves is one phrase of a caption, and a flow loss over latents says little of it: a model that draws all it
read correctly still misreads phrases it has not met. A few tokens of pure noise, which know nothing but the text, cost
a thirtieth of a clip, so each step can read far more captions than it draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from yozora.latents.buckets import Shape
from yozora.latents.encode import Bucket
from yozora.latents.state import told
from yozora.latents.store import TextCache
from yozora.models.dit import DiT, Text
from yozora.models.precision import autocast
from yozora.models.text import pad
from yozora.training.frames import spread
from yozora.training.state import step_rng, torch_rng

PLACES = 4  # tokens that read each caption
Row = Any  # a corpus's row; this room knows it through its bucket alone


def by_id(row: Row) -> str:
    """Rows are drawn by their place in this order, which a change of the catalogue's does not touch."""
    return str(row.id)


class Page(NamedTuple):
    """Captions to read: text, noise [B, PLACES, Z] at cells ``places`` [PLACES] of the grid of ``shape``, and the
    share of each name in what is to be answered: ``things`` [B, names], ``motions`` [B, names]."""

    text: Text
    noise: Tensor
    places: Tensor
    shape: Shape
    things: Tensor
    motions: Tensor

    def to(self, device: torch.device) -> Page:
        """The same page on ``device``."""
        text = Text(self.text.states.to(device), self.text.mask.to(device))
        noise, places = self.noise.to(device), self.places.to(device)
        things, motions = self.things.to(device), self.motions.to(device)
        return Page(text, noise, places, self.shape, things, motions)


class Reading:
    """Pages as a pure function of the step, and the loss on them. ``count`` captions a page of the world's films.

    The classifier is fixed: each name has a direction of its own (fixed classifiers lose nothing, arXiv 1801.04540), so
    there is nothing to store, and the same name means the same to every run.
    """

    def __init__(self, buckets: Sequence[Bucket], texts: TextCache, count: int, seed: int) -> None:
        self.texts, self.count, self.seed = texts, count, seed
        self.rows = [
            (bucket.shape, row, told(row.labels))
            for bucket in buckets
            for row in sorted(bucket.rows, key=by_id)
            if bucket.shape.frames > 1 and row.captions and told(row.labels)[0]
        ]
        self.things = sorted({name for _, _, (things, _) in self.rows for name in things})
        self.motions = sorted({name for _, _, (_, motions) in self.rows for name in motions})

    def page(self, step: int, channels: int) -> Page | None:
        """What to read at ``step``; None when no clip tells anything."""
        if not self.rows or not self.count:
            return None
        rng = step_rng(self.seed, step, stream=11)
        drawn = [self.rows[i] for i in spread(len(self.rows), self.count, rng)]
        shape = drawn[0][0]
        captions = [str(rng.choice(row.captions)) for _, row, _ in drawn]
        cells = int(np.prod(shape.grid))
        places = torch.from_numpy(rng.choice(cells, min(PLACES, cells), replace=False))
        noise = torch.randn(self.count, len(places), channels, generator=torch_rng(rng))
        return Page(
            Text(*pad([self.texts.states(caption) for caption in captions])),
            noise,
            places,
            shape,
            shares([things for _, _, (things, _) in drawn], self.things),
            shares([motions for _, _, (_, motions) in drawn], self.motions),
        )

    def loss(self, network: DiT, page: Page) -> Tensor:
        """Cross-entropy of things plus that of motions, mean over tokens and captions."""
        shape, count = page.shape, len(page.noise)
        facts = page.noise.new_tensor([shape.fps, shape.frames / shape.fps, 0.0]).expand(count, 3)
        with autocast(page.noise.device):
            read = network.read(page.noise, page.places, shape.grid, page.text, facts).float()
        return sum(
            (
                F.cross_entropy(
                    (read @ directions(tuple(names), read.shape[-1]).to(read.device).T).flatten(
                        0, 1
                    ),
                    wanted.repeat_interleave(read.shape[1], 0),
                )
                for names, wanted in ((self.things, page.things), (self.motions, page.motions))
            ),
            start=read.new_zeros(()),
        )


def shares(told: Sequence[Sequence[str]], names: Sequence[str]) -> Tensor:
    """[B, names]: equal shares for what each of B captions tells."""
    out = torch.zeros(len(told), len(names))
    for row, mentioned in enumerate(told):
        for name in mentioned:
            out[row, names.index(name)] = 1 / len(mentioned)
    return out


@cache
def directions(names: tuple[str, ...], width: int) -> Tensor:
    """A unit vector for each name, [names, width], drawn by the name alone."""
    seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") for name in names]
    drawn = [torch.randn(width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return F.normalize(torch.stack(drawn), dim=-1)
