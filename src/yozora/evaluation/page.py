"""report.html: one self-contained page, for light and dark screens."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yozora import video
from yozora.evaluation.intervals import Interval
from yozora.evaluation.results import Score, Suite, Table
from yozora.evaluation.samples import Sample
from yozora.page import document, still, table_row

SHOWN = 24  # clips in the gallery

NOTE = (
    "Brackets hold 95 % bootstrap intervals. Floor (a tick in the plots): what the same parser reads "
    "in true clips of the same scenes."
)


def page(facts: Mapping[str, Any], suites: Sequence[Suite], samples: Sequence[Sample]) -> str:
    """The report as HTML. facts: what scores.json says of the run (target, seed, prompts, version)."""
    about = f"{facts['target']} · seed {facts['seed']} · {len(samples)} clips · yozora {facts['yozora']}"
    parts = [
        f'<h1>Evaluation</h1><p>{html.escape(about)}</p><p class="note">{NOTE}</p>',
    ]
    for suite in suites:
        parts += [
            f"<h2>{html.escape(suite.name)}</h2>",
            *map(_table, suite.tables),
            _matrices(suite),
        ]
    shown = _spread(samples)
    if shown:
        parts += [
            '<h2>clips</h2><p class="note">Spread evenly over all prompts, not chosen.</p>',
            f'<div class="gallery">{"".join(map(_figure, shown))}</div>',
            f"<h2>contact sheet</h2>{_sheet(shown)}",
        ]
    parts.append(f"<footer>took {facts['seconds']} s</footer>")
    return document(f"Evaluation of {facts['target']}", parts)


def _table(table: Table) -> str:
    besides = list(dict.fromkeys(name for s in table.scores for name in s.beside))
    rows = "".join(
        table_row(
            [html.escape(s.name), _number(s.interval, s.unit)]
            + [_number(s.beside[b], s.unit) if b in s.beside else "" for b in besides]
            + [str(s.interval.n)]
        )
        for s in table.scores
    )
    shares = [s for s in table.scores if s.unit == "%" and s.interval.n]
    plot = _plot(shares) if len(shares) > 2 else ""
    head = table_row([html.escape(c) for c in ("", "score", *besides, "n")], "th")
    return (
        f'<h3>{html.escape(table.title)}</h3><p class="note">{html.escape(table.note)}</p>'
        f"{plot}<table>{head}{rows}</table>"
    )


def _number(interval: Interval, unit: str) -> str:
    if not interval.n:
        return "n/a"
    scale = 100 if unit == "%" else 1
    small = max(abs(scale * interval.high), abs(scale * interval.low)) < 1
    digits = 1 if unit in ("%", "dB") else 4 if small else 2
    if interval.low != interval.low:
        return f"{scale * interval.value:.{digits}f} {html.escape(unit)} <small>no interval</small>"
    numbers = (interval.low, interval.value, interval.high)
    low, value, high = (f"{scale * v:.{digits}f}" for v in numbers)
    return f"{value} {html.escape(unit)} <small>[{low}, {high}]</small>"


def _plot(scores: Sequence[Score]) -> str:
    """Shares as dots with their intervals; the floor as a tick."""
    left, width, step = 110, 460, 22
    height = step * len(scores) + 26

    def x(share: float) -> str:
        return f"{left + width * share:.1f}"

    def line(a: str, b: str, y1: float, y2: float, kind: str) -> str:
        return f'<line class="{kind}" x1="{a}" x2="{b}" y1="{y1}" y2="{y2}"/>'

    marks = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        marks.append(line(x(share), x(share), 4, height - 20, "grid"))
        marks.append(
            f'<text x="{x(share)}" y="{height - 5}" text-anchor="middle">{share:.0%}</text>'
        )
    for i, score in enumerate(scores):
        y, seen, floor = 14 + step * i, score.interval, score.beside.get("floor")
        name = html.escape(score.name)
        marks.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{name}</text>')
        marks.append(line(x(seen.low), x(seen.high), y, y, "interval"))
        marks.append(f'<circle class="mark" cx="{x(seen.value)}" cy="{y}" r="4.5"/>')
        if floor and floor.n:
            marks.append(line(x(floor.value), x(floor.value), y - 7, y + 7, "floor"))
    box = f'width="{left + width + 30}" viewBox="0 0 {left + width + 30} {height}"'
    return f'<svg role="img" aria-label="scores" {box}>{"".join(marks)}</svg>'


def _matrices(suite: Suite) -> str:
    """Confusion counts: rows are what was asked for, columns what was seen."""
    parts = []
    for name, counts in suite.confusion.items():
        if not counts:
            continue
        seen = list(dict.fromkeys([*counts, *(c for row in counts.values() for c in row)]))
        head = table_row(["asked / seen", *map(html.escape, seen)], "th")
        rows = "".join(
            table_row([html.escape(said), *(str(row.get(c, "")) for c in seen)])
            for said, row in counts.items()
        )
        summary = f"<summary>{html.escape(name)}: asked and seen</summary>"
        parts.append(f"<details>{summary}<table>{head}{rows}</table></details>")
    return "".join(parts)


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    step = -(-len(samples) // SHOWN) or 1
    return list(samples[::step])


def _figure(sample: Sample) -> str:
    """A clip beside its prompt, and what was not as asked."""
    data = base64.b64encode(_playable(sample.file)).decode("ascii")
    wrong = [name for name, share in sample.made.verdict.items() if share < 1 and name != "all"]
    bodies = "; ".join(f"{b.colour} {b.shape}, {b.motion}" for b in sample.made.parsed.bodies)
    verdict = f'<span class="no">not as asked: {", ".join(wrong)}</span>' if wrong else "as asked"
    return (
        "<figure><video controls loop autoplay muted playsinline "
        f'src="data:video/mp4;base64,{data}"></video><figcaption>{html.escape(sample.prompt)}'
        f"<br><b>seen:</b> {html.escape(bodies or 'no body')} · {verdict}</figcaption></figure>"
    )


def _playable(file: Path) -> bytes:
    """The bytes of an MP4 that browsers play: the file's own, or encoded again when it is not H.264 in 4:2:0.

    "Exact" files are H.264 in RGB, which few browsers decode; all decode 4:2:0.
    """
    info = video.probe(file)
    if info.codec == "h264" and info.pixel_format in ("yuv420p", "yuvj420p"):
        return file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return video.write(video.read(file), Path(folder) / "clip.mp4").read_bytes()


def _sheet(samples: Sequence[Sample]) -> str:
    clips = [video.read(s.file) for s in samples]
    sheet = video.contact_sheet(clips, [s.prompt for s in samples], columns=2)
    return still(sheet, "five frames of each clip")
