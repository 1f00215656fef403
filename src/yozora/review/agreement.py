"""What came of a review: how far reviewers agree, what was looked at, and who is seen how often.

Agreement is Krippendorff's alpha (Content Analysis, 2004, chapter 11): 1 when all agree, 0 when they agree as chance
would have it. 'Unclear' counts as no answer there, and its share is given beside. Where several people are described,
each is a unit of their own; intervals resample clips, since people of one clip are not independent.

Representation is of the corpus: each clip counts as many times as it was drawn to stand for, and where reviewers differ
each has an equal part in it. Intervals are Wilson's (1927), of Kish's effective number of clips (1965): a clip with
several people is one observation.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from yozora.corpus.schema import Row
from yozora.review.answers import Answer, Review
from yozora.review.questions import CLIP, DESCRIBED, NONE, PERSON, UNCLEAR, Question
from yozora.review.sample import UNSAID, Sample

LEAST = 10  # clips that two reviewers must have answered before alpha says anything
RESAMPLES = 500
Z = 1.959964  # of the normal distribution, for 95 %

Unit = tuple[str, int]  # a clip, and who of the people in it
Votes = dict[Unit, list[list[str]]]  # what each reviewer said of it
Counts = NDArray[np.int64]  # [unit, value]: how many reviewers said so


@dataclass(frozen=True)
class Agreement:
    """Alpha of one question with its 95 % interval, None where it cannot be said, and why not in ``why``.

    clips: those that at least two reviewers answered. unclear: the share of answers that are.
    """

    question: str
    level: str
    alpha: float | None
    low: float | None
    high: float | None
    clips: int
    unclear: float | None
    why: str = ""


@dataclass(frozen=True)
class Share:
    """How much of the corpus's people or clips something is, with its 95 % interval."""

    value: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Representation:
    """What is seen how often. of: "people" or "clips". clips: how many said anything about it."""

    question: str
    of: str
    clips: int
    shares: list[Share]


@dataclass(frozen=True)
class Coverage:
    """How much was looked at. strata: (what they are, clips in the corpus, drawn, labelled, by two or more)."""

    clips: int
    labelled: int
    by_two: int
    reviewers: dict[str, int]
    by: list[str]
    strata: list[tuple[list[str], float, int, int, int]]


@dataclass(frozen=True)
class Report:
    """What came of a review."""

    sample: str
    coverage: Coverage
    agreement: list[Agreement]
    representation: list[Representation]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)

    def __rich__(self) -> Group:
        """The report for a terminal."""
        there = self.coverage
        said = f"sample {self.sample}: {there.labelled} of {there.clips} clips labelled, {there.by_two} by two or more"
        who = ", ".join(f"{name} {count}" for name, count in there.reviewers.items())
        parts: list[Any] = [Text(said), Text(f"reviewers: {who or 'none yet'}"), strata(there)]
        if there.by_two < LEAST:
            parts.append(Text(few(there.by_two)))
        elif self.agreement:
            parts.append(alphas(self.agreement))
        return Group(*parts, *map(shown, self.representation))


def agree(review: Review, rows: Iterable[Row]) -> Report:
    """The report on a review. rows: of the corpus."""
    sample, answers = review.sample(), review.answers()
    questions = [*CLIP, *PERSON]
    votes = {question.name: collect(question, answers) for question in questions}
    return Report(
        review.name,
        coverage(sample, answers),
        [one for question in questions for one in agreements(question, votes[question.name])],
        [
            language(sample, rows),
            *(represent(question, votes[question.name], sample) for question in questions),
        ],
    )


def coverage(sample: Sample, answers: Sequence[Answer]) -> Coverage:
    """How much of a sample was looked at."""
    times = Counter(one.clip for one in answers)
    parts = defaultdict(list)
    for one in sample.clips:
        parts[one.stratum].append(one)
    return Coverage(
        clips=len(sample.clips),
        labelled=len(times),
        by_two=sum(count > 1 for count in times.values()),
        reviewers=dict(sorted(Counter(one.reviewer for one in answers).items())),
        by=list(sample.by),
        strata=[
            (
                list(stratum),
                sum(one.weight for one in ones),
                len(ones),
                sum(times[one.clip] > 0 for one in ones),
                sum(times[one.clip] > 1 for one in ones),
            )
            for stratum, ones in sorted(parts.items())
        ],
    )


def collect(question: Question, answers: Iterable[Answer]) -> Votes:
    """What was said to a question, by clip and person."""
    votes: Votes = defaultdict(list)
    for answer in answers:
        for person in range(1, DESCRIBED + 1) if question.person else (0,):
            if said := answer.said.get(question.key(person)):
                votes[answer.clip, person].append(said)
    return votes


# --- agreement -------------------------------------------------------------------------------------


def agreements(question: Question, votes: Votes) -> list[Agreement]:
    """The alpha of a question; of one with several answers that of each, as a yes or no."""
    if not question.several:
        values = [choice.value for choice in question.choices]
        return [agreement(question.name, question.level, values, votes)]
    return [
        agreement(f"{question.name}: {choice.value}", "nominal", ["no", "yes"], yes_no(votes, choice.value))
        for choice in question.choices
        if choice.value != NONE
    ]  # fmt: skip


def yes_no(votes: Votes, value: str) -> Votes:
    """Whether each reviewer chose one of several answers."""
    return {
        unit: [said if UNCLEAR in said else ["yes" if value in said else "no"] for said in all_said]
        for unit, all_said in votes.items()
    }


def agreement(name: str, level: str, values: Sequence[str], votes: Votes) -> Agreement:
    """Alpha of one question, bootstrapped over clips."""
    by_clip: dict[str, list[list[int]]] = defaultdict(list)
    said = [value for all_said in votes.values() for (value,) in all_said]
    for (clip, _), all_said in votes.items():
        counts = Counter(value for (value,) in all_said)
        if sum(counts[value] for value in values) > 1:
            by_clip[clip].append([counts[value] for value in values])
    unclear = said.count(UNCLEAR) / len(said) if said else None
    clips = [np.array(units) for units in by_clip.values()]
    if len(clips) < LEAST:
        return Agreement(name, level, None, None, None, len(clips), unclear, few(len(clips)))
    domain = np.array([float(v) if level == "interval" else i for i, v in enumerate(values)])
    measured = alpha(np.concatenate(clips), level, domain)
    if math.isnan(measured):
        return Agreement(name, level, None, None, None, len(clips), unclear, "all say the same")
    chosen = np.random.default_rng(0).integers(0, len(clips), (RESAMPLES, len(clips)))
    again = [alpha(np.concatenate([clips[i] for i in draw]), level, domain) for draw in chosen]
    low, high = np.nanpercentile(again, [2.5, 97.5])
    return Agreement(name, level, measured, float(low), float(high), len(clips), unclear)


def alpha(counts: Counts, level: str, domain: NDArray[np.float64]) -> float:
    """Krippendorff's alpha of counts [unit, value] at a level of measurement; nan where all say the same.

    1 - observed / expected disagreement, both over pairs of values, as in Krippendorff, "Computing Krippendorff's
    alpha-reliability" (2011), section E.
    """
    paired = counts[counts.sum(1) > 1].astype(float)
    totals = paired.sum(0)
    if (totals > 0).sum() < 2:
        return math.nan
    shared = paired / (paired.sum(1, keepdims=True) - 1)
    observed = paired.T @ shared - np.diag(shared.sum(0))
    expected = np.outer(totals, totals) / (totals.sum() - 1)
    apart = distances(level, domain, totals)
    return 1 - float((observed * apart).sum() / (expected * apart).sum())


def distances(
    level: str, domain: NDArray[np.float64], totals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The squared difference of each two values, [values, values], given how often each was said."""
    if level == "nominal":
        return 1 - np.eye(len(totals))
    # Ordinal: how many answers lie between two values, half of their own included.
    place = domain if level == "interval" else np.cumsum(totals) - totals / 2
    return np.asarray((place[:, None] - place) ** 2)


def few(clips: int) -> str:
    """Why there is no alpha."""
    return f"alpha needs at least two reviewers on {LEAST} clips: {clips} have them"


# --- representation --------------------------------------------------------------------------------


def represent(question: Question, votes: Votes, sample: Sample) -> Representation:
    """How often each answer holds, in the corpus that the sample stands for."""
    weights = {one.clip: one.weight for one in sample.clips}
    parts: list[dict[str, float]] = []
    sizes: dict[str, float] = defaultdict(float)
    for (clip, _), all_said in votes.items():
        clear = [said for said in all_said if UNCLEAR not in said]
        if clear and clip in weights:
            each = weights[clip] / len(clear)
            parts.append({v: each * n for v, n in Counter(v for s in clear for v in s).items()})
            sizes[clip] += weights[clip]
    labels = {choice.value: choice.label for choice in question.choices}
    return tally(question.name, "people" if question.person else "clips", labels, parts, sizes)


def language(sample: Sample, rows: Iterable[Row]) -> Representation:
    """The languages that the sources of the sample's clips declare; nobody has to look for that."""
    said = {row.id: str(row.labels.get("language") or UNSAID) for row in rows}
    weights = {one.clip: one.weight for one in sample.clips if one.clip in said}
    parts = [{said[clip]: weight} for clip, weight in weights.items()]
    labels = {value: value for value in sorted({said[clip] for clip in weights})}
    return tally("language, as declared", "clips", labels, parts, weights)


def tally(
    name: str,
    of: str,
    labels: Mapping[str, str],
    parts: Sequence[Mapping[str, float]],
    sizes: Mapping[str, float],
) -> Representation:
    """The shares of values. parts: of each unit, by value. sizes: what each clip weighs in all."""
    total = sum(sizes.values())
    effective = total**2 / sum(size**2 for size in sizes.values()) if total else 0.0
    shares = []
    for value, label in labels.items() if total else ():
        share = sum(part.get(value, 0.0) for part in parts) / total
        shares.append(Share(label, share, *wilson(share, effective)))
    return Representation(name, of, len(sizes), shares)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share among n (J. Am. Stat. Assoc. 22, 1927)."""
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(max(0.0, share * (1 - share)) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


# --- for a terminal --------------------------------------------------------------------------------


def strata(there: Coverage) -> Table:
    """What was looked at of each stratum."""
    table = Table(*there.by, "in the corpus", "drawn", "labelled", "by two")
    for stratum, corpus, *counts in there.strata:
        table.add_row(*map(Text, stratum), f"{corpus:.0f}", *map(str, counts))
    return table


def alphas(found: Sequence[Agreement]) -> Table:
    """Alpha of each question."""
    table = Table("question", "level", "alpha", "95 %", "clips", "unclear")
    for one in found:
        interval = "" if one.low is None else f"{one.low:.2f} to {one.high:.2f}"
        alpha = one.why if one.alpha is None else f"{one.alpha:.2f}"
        unclear = "" if one.unclear is None else f"{one.unclear:.0%}"
        table.add_row(one.question, one.level, alpha, interval, str(one.clips), unclear)
    return table


def shown(one: Representation) -> Table | Text:
    """The shares of one question."""
    if not one.shares:
        return Text(f"{one.question}: nobody has said anything about it yet")
    table = Table(one.question, f"share of {one.of}", "95 %", title=f"{one.clips} clips")
    for share in one.shares:
        interval = f"{share.low:.1%} to {share.high:.1%}"
        table.add_row(Text(share.value), f"{share.share:.1%}", interval)
    return table
