"""Adapts the text encoder to captions: a small reader is asked what they say, and the encoder learns with it.

A frozen sentence encoder tells apart what its own training told apart. Of captions in words that training never used, a
reader of frozen states misread one motion in ten; one that could change 74,000 numbers of the encoder, one in twenty,
the side that a pendulum starts from left aside (docs/journal.md). It learns on the processor, where the encoder works.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yozora.artifact import json_hash
from yozora.checkpoint import save_weights
from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.latents.state import answers
from yozora.models.adapter import Adapter
from yozora.models.dit import Text
from yozora.models.reader import Reader
from yozora.models.text import TextEncoder
from yozora.training.frames import spread
from yozora.training.optim import (
    optimizer_tensors,
    restore_optimizer,
    set_lr_factor,
    warmup_stable_decay,
)
from yozora.training.state import (
    Facts,
    Log,
    Parts,
    open_run,
    planned_steps,
    require_finite,
    save_state,
    step_rng,
)

Watch = Callable[[dict[str, Any]], None]
QUESTIONS = ("thing", "motion", "place", "size", "speed")
UNASKED = -100  # no answer: cross-entropy leaves it out
VALIDATION = 256  # captions


@dataclass(frozen=True)
class TextRecipe:
    """Everything that determines an adapted text encoder besides the corpus.

    ``rank`` of the changes to the ``text`` encoder (see models/adapter.py), whose learning rate is ``lr``. The reader
    has ``depth`` layers of ``width`` and learns at ``reader_lr``. ``batch`` captions are read a step.
    """

    name: str
    text: str = "minilm"
    rank: int = 8
    width: int = 192
    heads: int = 3
    depth: int = 2
    batch: int = 64
    steps: int = 700
    lr: float = 1e-3
    reader_lr: float = 1e-3
    warmup: int = 50
    decay: float = 0.4
    seed: int = 1
    checkpoint_minutes: float = 3.0
    validate_every: int = 100


class Told(NamedTuple):
    """A clip, its captions, and what is right of it: an answer to each question that it answers."""

    id: str
    captions: tuple[str, ...]
    facts: Mapping[str, str]


class Asked(NamedTuple):
    """Captions, and the number of the ``right`` answer to each question of the exam [B, questions], or UNASKED."""

    captions: list[str]
    right: Tensor


class Exam:
    """What a corpus's captions can be asked, and batches of it as a pure function of the step.

    Captions of one thing alone: which of several does what is another lesson, beside which this one is learned slowly.
    Raises YozoraError when there is nothing to ask: the world alone knows the answers.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.train, self.validation = (told(corpus, split) for split in ("train", "validation"))
        if not self.train:
            raise YozoraError(
                f"No caption of {corpus.path} can be asked anything, since answers are known of the world's clips "
                f"alone: add some with `yozora world render --corpus {corpus.path} --clips 2000`."
            )
        told_of = {q: {c.facts[q] for c in self.train if q in c.facts} for q in QUESTIONS}
        self.answers = {question: sorted(names) for question, names in told_of.items() if names}

    def batch(self, seed: int, step: int, size: int) -> Asked:
        """``size`` captions of the training split."""
        rng = step_rng(seed, step, stream=17)
        clips = [self.train[i] for i in spread(len(self.train), size, rng)]
        return self.asked([(str(rng.choice(clip.captions)), clip.facts) for clip in clips])

    def held_out(self) -> list[Asked]:
        """The first captions of the validation split."""
        told = [(clip.captions[0], clip.facts) for clip in self.validation[:VALIDATION]]
        return [self.asked(told[start : start + 64]) for start in range(0, len(told), 64)]

    def asked(self, told: Sequence[tuple[str, Mapping[str, str]]]) -> Asked:
        """Captions with their answers as numbers. What no clip of training answers is not asked."""
        right = [
            [
                names.index(facts[question]) if facts.get(question) in names else UNASKED
                for question, names in self.answers.items()
            ]
            for _, facts in told
        ]
        return Asked([caption for caption, _ in told], torch.tensor(right))


def told(corpus: Corpus, split: str) -> list[Told]:
    """The clips of a split that show one thing and of which all is known, in the order of their ids."""
    rows = sorted(corpus.rows(split=split, masters=False), key=lambda row: row.id)
    clips = [Told(row.id, row.captions, answers(row.labels)) for row in rows if row.kind == "world"]
    return [clip for clip in clips if clip.captions and clip.facts]


class Learner:
    """What training changes: the encoder's adapter and the reader, with their optimiser."""

    def __init__(self, recipe: TextRecipe, exam: Exam) -> None:
        torch.manual_seed(recipe.seed)
        self.questions = list(exam.answers)
        self.encoder = TextEncoder(recipe.text)
        self.adapter = Adapter(self.encoder.model, recipe.rank)
        counts = [len(names) for names in exam.answers.values()]
        self.reader = Reader(self.encoder.width, recipe.width, recipe.heads, recipe.depth, counts)
        self.learned = nn.ModuleDict({"adapter": self.adapter, "reader": self.reader})
        rates = ((self.adapter, recipe.lr), (self.reader, recipe.reader_lr))
        self.optimizer = torch.optim.AdamW(
            [{"params": part.parameters(), "lr": lr, "base_lr": lr} for part, lr in rates],
            betas=(0.9, 0.98),
            weight_decay=0.01,
        )

    def answers(self, captions: Sequence[str]) -> list[Tensor]:
        """Logits of each question, [B, names]."""
        answered: list[Tensor] = self.reader(Text(*self.encoder.states(captions)))
        return answered

    def loss(self, asked: Asked) -> Tensor:
        """Cross-entropy, summed over the questions that are asked."""
        pairs = zip(self.answers(asked.captions), asked.right.T, strict=True)
        parts = [F.cross_entropy(a, right) for a, right in pairs if bool((right != UNASKED).any())]
        return torch.stack(parts).sum()

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """A checkpoint's content."""
        return {
            "weights": self.learned.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }

    def restore(self, parts: Parts) -> None:
        self.learned.load_state_dict(parts["weights"])
        restore_optimizer(self.optimizer, parts["optimizer"])


def train(
    recipe: TextRecipe,
    corpus: Corpus,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    watch: Watch = lambda report: None,
) -> Path:
    """Adapts a text encoder to a corpus's captions and writes ``out/text.safetensors``; returns its path.

    Stops after ``steps`` (default the recipe's) or ``minutes``, whichever comes first; ``resume`` goes on from the
    newest checkpoint in ``out``, bit for bit unless ``steps`` is another number than before. Raises YozoraError when
    the corpus has no clip of the world, one that may not be trained on, or is another one than the resumed run's, or
    when loss or gradient is not finite; the last good checkpoint stays.
    """
    last = planned_steps(out, steps, recipe.steps, resume=resume)
    exam = Exam(corpus)
    clips = [clip.id for clip in (*exam.train, *exam.validation)]
    rights = corpus.cleared(clips)
    corpus.consumed("run", out, clips)
    facts = Facts(json_hash(asdict(recipe)), corpus.identity(), last)
    done, parts = open_run(out, facts, resume=resume)
    learner = Learner(recipe, exam)
    if parts is not None:
        learner.restore(parts)
    held_out = exam.held_out()
    began = saved = time.monotonic()
    with Log(out, done) as log:
        for step in range(done, last):
            factor = warmup_stable_decay(step, steps=last, warmup=recipe.warmup, decay=recipe.decay)
            set_lr_factor(learner.optimizer, factor)
            loss = learner.loss(exam.batch(recipe.seed, step, recipe.batch))
            require_finite(out, step, loss=loss.item())
            now = time.monotonic()
            if step and now - saved > 60 * recipe.checkpoint_minutes:  # its loss proves the weights
                save_state(out, step, learner.parts(), facts)
                saved = now
            loss.backward()
            norm = nn.utils.clip_grad_norm_(learner.learned.parameters(), 1.0)
            require_finite(out, step, gradient=norm.item())
            learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)
            done = step + 1

            report = {"loss": loss.item()}
            if held_out and (done % recipe.validate_every == 0 or done == last):
                report |= understood(learner, held_out)
            log.write(done, report)
            watch({"phase": "train", "step": done, "steps": last, "clips": recipe.batch, **report})
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                break
    save_state(out, done, learner.parts(), facts)
    save_weights(
        out / "text.safetensors",
        learner.adapter.state_dict(),
        config={"text_encoder": recipe.text},
        provenance={
            "recipe": asdict(recipe),
            "steps": done,
            "planned_steps": last,
            "corpus": facts.data,
            "rights": rights,
        },
        dtype=torch.float16,
    )
    corpus.consumed("checkpoint", out, clips)
    return out / "text.safetensors"


@torch.no_grad()
def understood(learner: Learner, batches: Sequence[Asked]) -> dict[str, float]:
    """The share of right answers to each question that was asked, as "understood_<question>"."""
    good, asked = torch.zeros(2, len(learner.questions))
    for batch in batches:
        said = torch.stack([logits.argmax(-1) for logits in learner.answers(batch.captions)], 1)
        good += (said == batch.right).sum(0)
        asked += (batch.right != UNASKED).sum(0)
    shares = (good / asked).tolist()  # of no question: not a number
    return {
        f"understood_{question}": share
        for question, share in zip(learner.questions, shares, strict=True)
        if math.isfinite(share)
    }
