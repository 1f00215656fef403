"""report.html: one self-contained page, for light and dark screens."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from yozora import video
from yozora.evaluation.intervals import Interval
from yozora.evaluation.results import Score, Suite, Table
from yozora.evaluation.samples import Sample

SHOWN = 24  # clips in the gallery

STYLE = """
:root{color-scheme:light dark;--ink:#1b1c22;--paper:#fafafc;--faint:#6c6f7d;--line:#dcdde4;--mark:#3557d6;--bad:#c2352b}
@media(prefers-color-scheme:dark){:root{--ink:#e9e9ee;--paper:#15161b;--faint:#9a9dab;--line:#33353f;--mark:#8aa4ff;--bad:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;margin:2rem auto;padding:0 1rem}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
p.note,figcaption,footer{color:var(--faint);font-size:.9rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0;display:block;overflow-x:auto}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
td small{color:var(--faint)}td.hit{font-weight:600}
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font-size:12px}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:1rem}
figure{margin:0}video{width:100%;image-rendering:auto;border-radius:4px}
.no{color:var(--bad)}
"""


def page(facts: Mapping[str, Any], suites: Sequence[Suite], samples: Sequence[Sample]) -> str:
    """The report as HTML. facts: what scores.json says of the run (target, seed, prompts, version)."""
    parts = [
        f"<h2>{html.escape(s.name)}</h2>" + "".join(map(_table, s.tables)) + _matrices(s)
        for s in suites
    ]
    gallery = "".join(map(_figure, _spread(samples)))
    if gallery:
        parts.append(
            f'<h2>clips</h2><p class="note">Spread evenly over all prompts, not chosen.</p><div class="gallery">{gallery}</div>'
        )
        parts.append(f"<h2>contact sheet</h2>{_sheet(_spread(samples))}")
    about = f"{facts['target']} · seed {facts['seed']} · {len(samples)} clips · yozora {facts['yozora']}"
    note = "Brackets hold 95 % bootstrap intervals. Floor: what the same parser reads in true clips of the same scenes."
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Evaluation of {html.escape(str(facts['target']))}</title><style>{STYLE}</style>"
        f'<h1>Evaluation</h1><p>{html.escape(about)}</p><p class="note">{note}</p>{"".join(parts)}'
        f"<footer>took {facts['seconds']} s</footer></html>"
    )


def _table(table: Table) -> str:
    besides = list(dict.fromkeys(name for s in table.scores for name in s.beside))
    head = "".join(f"<th>{html.escape(c)}</th>" for c in ("", "score", *besides, "n"))
    rows = "".join(
        f"<tr><td>{html.escape(s.name)}</td><td>{_number(s.interval, s.unit)}</td>"
        + "".join(
            f"<td>{_number(s.beside[b], s.unit) if b in s.beside else ''}</td>" for b in besides
        )
        + f"<td>{s.interval.n}</td></tr>"
        for s in table.scores
    )
    shares = [s for s in table.scores if s.unit == "%" and s.interval.n]
    plot = _plot(shares) if len(shares) > 2 else ""
    return f'<h3>{html.escape(table.title)}</h3><p class="note">{html.escape(table.note)}</p>{plot}<table><tr>{head}</tr>{rows}</table>'


def _number(interval: Interval, unit: str) -> str:
    if not interval.n:
        return "–"
    scale = 100 if unit == "%" else 1
    small = max(abs(scale * interval.high), abs(scale * interval.low)) < 1
    digits = 1 if unit in ("%", "dB") else 4 if small else 2
    low, value, high = (
        f"{scale * v:.{digits}f}" for v in (interval.low, interval.value, interval.high)
    )
    return f"{value} {html.escape(unit)} <small>[{low}, {high}]</small>"


def _plot(scores: Sequence[Score]) -> str:
    """Shares as dots with their intervals; the floor as a tick."""
    left, width, step = 110, 460, 22
    height = step * len(scores) + 26

    def x(share: float) -> float:
        return left + width * share

    lines = [
        f'<line x1="{x(v):.0f}" x2="{x(v):.0f}" y1="4" y2="{height - 20}" stroke="var(--line)"/>'
        f'<text x="{x(v):.0f}" y="{height - 5}" text-anchor="middle">{v:.0%}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    ]
    for i, score in enumerate(scores):
        y = 14 + step * i
        s = score.interval
        lines.append(
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{html.escape(score.name)}</text>'
        )
        lines.append(
            f'<line x1="{x(s.low):.1f}" x2="{x(s.high):.1f}" y1="{y}" y2="{y}" stroke="var(--mark)" stroke-width="3" opacity=".45"/>'
        )
        lines.append(f'<circle cx="{x(s.value):.1f}" cy="{y}" r="4.5" fill="var(--mark)"/>')
        if "floor" in score.beside and score.beside["floor"].n:
            at = x(score.beside["floor"].value)
            lines.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - 7}" y2="{y + 7}" stroke="var(--ink)" stroke-width="1.5"><title>floor</title></line>'
            )
    return f'<svg role="img" aria-label="scores" width="{left + width + 30}" viewBox="0 0 {left + width + 30} {height}">{"".join(lines)}</svg>'


def _matrices(suite: Suite) -> str:
    """Confusion counts: rows are what was asked for, columns what was seen."""
    parts = []
    for name, counts in suite.confusion.items():
        seen = list(dict.fromkeys([*counts, *(c for row in counts.values() for c in row)]))
        head = "".join(f"<th>{html.escape(c)}</th>" for c in ("asked \\ seen", *seen))
        rows = "".join(
            f"<tr><td>{html.escape(said)}</td>"
            + "".join(
                f'<td class="{"hit" if c == said else ""}">{row.get(c, "") or ""}</td>'
                for c in seen
            )
            + "</tr>"
            for said, row in counts.items()
        )
        if rows:
            parts.append(
                f"<details><summary>{html.escape(name)}: asked and seen</summary><table><tr>{head}</tr>{rows}</table></details>"
            )
    return "".join(parts)


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    step = max(1, len(samples) // SHOWN)
    return list(samples[::step][:SHOWN])


def _figure(sample: Sample) -> str:
    """A clip beside its prompt, and what was not as asked."""
    data = base64.b64encode(sample.file.read_bytes()).decode("ascii")
    wrong = [name for name, share in sample.made.verdict.items() if share < 1 and name != "all"]
    bodies = (
        "; ".join(f"{b.colour} {b.shape}, {b.motion}" for b in sample.made.parsed.bodies)
        or "no body"
    )
    verdict = f'<span class="no">not as asked: {", ".join(wrong)}</span>' if wrong else "as asked"
    return (
        f'<figure><video controls loop autoplay muted playsinline src="data:video/mp4;base64,{data}"></video>'
        f"<figcaption>{html.escape(sample.prompt)}<br><b>seen:</b> {html.escape(bodies)} · {verdict}</figcaption></figure>"
    )


def _sheet(samples: Sequence[Sample]) -> str:
    clips = [video.read(s.file) for s in samples]
    sheet = video.contact_sheet(clips, [s.prompt for s in samples], columns=2)
    return f'<img alt="five frames of each clip" style="max-width:100%" src="data:image/png;base64,{_png(sheet)}">'


def _png(image: Any) -> str:
    from yozora.video.writing import encode_still

    return base64.b64encode(encode_still(image, "png")).decode("ascii")
