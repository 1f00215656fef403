"""What a corpus holds, as a page that people can look at: clips, origins, rights, variety, refusals."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from yozora.corpus.catalogue import Corpus
from yozora.corpus.report import Check, check, origin, picture, show
from yozora.corpus.schema import Row
from yozora.page import document, still, table_row

SHOWN = 24  # clips on the contact sheet
LISTED = 30  # lines of a table
UNSAID = "not said"
NOTE = (
    "The effective number is the exponential of the entropy: how many equally common values there would have to be for "
    "the same variety. A corpus of ten countries of which one has nearly all clips has an effective number near 1."
)

# What variety is looked at, and where a row says it.
VARIETY: dict[str, Callable[[Row], str]] = {
    "source": origin,
    "country": lambda row: str(row.labels.get("country") or UNSAID),
    "language": lambda row: str(row.labels.get("language") or UNSAID),
    "domain": lambda row: str(row.labels.get("domain") or UNSAID),
    "holder": lambda row: row.holder or UNSAID,
    "caption's origin": lambda row: str(row.labels.get("caption") or "the world's grammar"),
}


def page(corpus: Corpus) -> str:
    """The report as HTML. Raises YozoraError when a clip that is shown has lost its file."""
    found, rows = check(corpus), corpus.rows()
    parts = [
        f"<h1>{html.escape(found.path)}</h1>",
        f"<p>{found.clips} clips, {clock(found.seconds)}</p>",
        *(f'<p class="no">{html.escape(problem)}</p>' for problem in found.problems),
        "<h2>rights</h2>",
        f'<p class="note">Policy {html.escape(corpus.policy.version)}, for {corpus.policy.use} use.</p>',
        columns(shares("what training may do", found.rights), shares("licence", found.licences)),
        "<h2>variety</h2>",
        f'<p class="note">{NOTE}</p>',
        columns(
            *(shares(name, Counter(map(said, rows))) for name, said in VARIETY.items()),
            shares("footage whose captions", found.captions),
        ),
        "<h2>shapes</h2>",
        shapes(found),
        columns(shares("split", found.splits)),
        "<h2>refused</h2>",
        columns(shares("left out by", found.left_out)),
        refusals(found),
        *clips(corpus),
    ]
    return document(f"Corpus {found.path}", parts)


def shares(name: str, numbers: Mapping[str, int]) -> str:
    """A table of how many clips say what, with the effective number of values."""
    total = sum(numbers.values())
    most = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    shown = [(html.escape(value), count) for value, count in most[:LISTED] if count]
    if len(most) > LISTED:
        shown.append((f"{len(most) - LISTED} more", sum(count for _, count in most[LISTED:])))
    lines = [
        f'<tr style="--part:{count / total:.1%}"><td>{value}</td><td>{count}</td><td>{count / total:.1%}</td></tr>'
        for value, count in shown
    ]
    head = table_row([html.escape(name), "clips", "share"], "th")
    number = f"effective number {effective(numbers.values()):.1f} of {len(numbers)}"
    table = f'<table>{head}{"".join(lines)}</table><p class="note">{number}</p>'
    return f"<section>{table}</section>" if total else ""


def columns(*parts: str) -> str:
    """Tables side by side, as many as the screen is wide."""
    return f'<div class="shares">{"".join(parts)}</div>' if any(parts) else ""


def effective(counts: Iterable[int]) -> float:
    """exp(entropy) of counts, the Hill number of order 1 (Hill 1973); 0 of nothing."""
    present = [count for count in counts if count]
    total = sum(present)
    return math.exp(-sum(n / total * math.log(n / total) for n in present)) if present else 0.0


def shapes(found: Check) -> str:
    """Clips of each shape and rate."""
    head = table_row(["frames", "size", "rate", "train", "validation", "held out"], "th")
    lines = [
        table_row([
            str(b.frames), f"{b.width}x{b.height}", f"{b.fps:g} fps", str(b.train), str(b.validation), str(b.heldout)
        ])
        for b in found.buckets[:LISTED]
    ]  # fmt: skip
    return f"<table>{head}{''.join(lines)}</table>"


def refusals(found: Check) -> str:
    """What was not taken in, and why."""
    if not found.drops:
        return '<p class="note">Nothing was refused.</p>'
    head = table_row(["source", "why"], "th")
    lines = [
        table_row([html.escape(drop["source"]), html.escape(drop["reason"])])
        for drop in found.drops
    ]
    return f"<table>{head}{''.join(lines)}</table>"


def clips(corpus: Corpus) -> list[str]:
    """A contact sheet of clips, spread evenly over the corpus."""
    rows = [row for row in show(corpus, limit=SHOWN) if (corpus.path / row.path).exists()]
    if not rows:
        return []
    return [
        '<h2>clips</h2><p class="note">Spread evenly over the corpus, not chosen.</p>',
        still(picture(corpus, rows), "five frames of each clip"),
    ]


def clock(seconds: float) -> str:
    """4000 -> '1 h 06 min'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
