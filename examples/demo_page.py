"""The demo's page: one HTML file that holds its videos, pictures and plots, for light and dark screens."""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yozora.corpus.schema import Row

STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
KEY = '<p class="key note"><i class="given"></i>given<i></i>made</p>'


@dataclass(frozen=True)
class Shown:
    """A video file with its caption; given: for each frame whether the model was given it (empty: no bar is drawn)."""

    caption: str
    file: Path
    given: tuple[bool, ...] = ()


@dataclass
class Section:
    """One step's part of the page."""

    title: str
    text: str = ""
    seconds: float = 0.0
    parts: list[str] = field(default_factory=list)

    def html(self, text: str) -> None:
        """Add a part as it is."""
        self.parts.append(text)

    def gallery(self, title: str, videos: Sequence[Shown]) -> None:
        """Add videos side by side; those whose file is missing are left out."""
        figures = "".join(figure(video) for video in videos if video.file.exists())
        heading = f"<h3>{html.escape(title)}</h3>" if title else ""
        key = KEY if any(video.given for video in videos) else ""
        self.html(f'{heading}{key}<div class="gallery">{figures}</div>')

    def picture(self, file: Path, alt: str) -> None:
        """Add a PNG."""
        if file.exists():
            self.html(f'<p><img alt="{html.escape(alt)}" src="{data(file, "image/png")}"></p>')


def write_page(
    path: Path,
    model: str,
    sections: Sequence[Section],
    notes: Sequence[str],
    commands: Sequence[str],
    seconds: float,
) -> None:
    """Write the page; what could not be done stands first."""
    links = "".join(f'<a href="#{i}">{html.escape(s.title)}</a>' for i, s in enumerate(sections))
    said = "".join(f'<p class="said">{html.escape(note)}</p>' for note in notes)
    body = "".join(section_html(i, s) for i, s in enumerate(sections))
    ran = html.escape("\n".join(f"$ {command}" for command in commands))
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>yozora demo</title><style>{STYLE}</style></head><body>"
        "<header><h1>yozora</h1><p>From sentences to videos, and from footage to a model: all on this page "
        f"was made on this computer in {seconds // 60:.0f} min {seconds % 60:.0f} s, "
        f"with the model {html.escape(model)}.</p>"
        f"<nav>{links}</nav></header><main>{said}{body}"
        f"<h2>The commands</h2><pre>{ran}</pre></main>"
        "<footer>Made by examples/demo.py.</footer></body></html>\n",
        encoding="utf-8",
    )


def section_html(number: int, section: Section) -> str:
    """A section with its heading and time."""
    head = f'<h2 id="{number}">{html.escape(section.title)} <small>{section.seconds:.0f} s</small></h2>'
    return head + f'<p class="note">{html.escape(section.text)}</p>' + "".join(section.parts)


def figure(video: Shown) -> str:
    """A looping video, the bar of given frames, and its caption."""
    bar = "".join(f"<i{' class=given' if given else ''}></i>" for given in video.given)
    return (
        f'<figure><video src="{data(video.file, "video/mp4")}" autoplay loop muted playsinline></video>'
        + (f'<div class="time">{bar}</div>' if bar else "")
        + f"<figcaption>{html.escape(video.caption)}</figcaption></figure>"
    )


def data(file: Path, kind: str) -> str:
    """A file as a data: address, so that the page can be moved and mailed."""
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


WARNING = "A package's licence is what the package declares; it does not prove the rights to every clip inside it."


def sources(rows: Sequence[Row]) -> str:
    """Where a corpus's clips come from, under which licence, and how many there are of each."""
    count = Counter(
        (
            "the synthetic world" if row.kind == "world" else Path(row.source).name,
            row.split,
            row.licence,
            row.holder,
            row.url,
        )
        for row in rows
    )
    lines = [[*map(html.escape, origin), str(n)] for origin, n in sorted(count.items())]
    head = ("source", "split", "licence", "holder", "from", "clips")
    return f'{table(head, lines)}<p class="note">{html.escape(WARNING)}</p>'


def curve(log: Path) -> str:
    """The training loss of a run's log.jsonl by step, its running mean, and the validation losses' mean, as SVG."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    each = [(line["step"], line["loss"]) for line in lines]
    mean, smooth = each[0][1], []
    for step, loss in each:
        mean += 0.08 * (loss - mean)
        smooth.append((step, mean))
    held = []
    for line in lines:
        values = [v for k, v in line.items() if k.startswith("validation_")]
        held += [(line["step"], sum(values) / len(values))] if values else []
    width, height, left, bottom = 760, 260, 52, 34
    everything = [loss for _, loss in each + held]
    low, high = min(everything), max(everything)
    high = high if high > low else low + 1

    def x(step: int) -> float:
        return left + (width - left - 16) * (step - each[0][0]) / max(1, each[-1][0] - each[0][0])

    def y(loss: float) -> float:
        return 14 + (height - bottom - 14) * (high - loss) / (high - low)

    def path(points: Sequence[tuple[int, float]]) -> str:
        return "M" + "L".join(f"{x(s):.1f} {y(v):.1f}" for s, v in points)

    ticks = [low + (high - low) * k / 4 for k in range(5)]
    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{width - 16}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{left - 8}" y="{y(t) + 4:.1f}" text-anchor="end">{t:.3f}</text>'
        for t in ticks
    )
    ends = "".join(
        f'<text x="{x(s):.1f}" y="{height - 10}" text-anchor="{a}">step {s}</text>'
        for s, a in ((each[0][0], "start"), (each[-1][0], "end"))
    )
    dots = "".join(
        f'<circle class="held" cx="{x(s):.1f}" cy="{y(v):.1f}" r="4.5"/>' for s, v in held
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="training loss by step">{grid}{ends}'
        f'<path class="each" d="{path(each)}"/><path class="mean" d="{path(smooth)}"/>{dots}</svg>'
        '<p class="note">Thin: each step. Thick: running mean. Dots: mean over the tasks on validation clips.</p>'
    )


def figures(files: Mapping[str, Path]) -> str:
    """The scores of one or more scores.json side by side, with intervals; the first decides which rows there are."""
    found = {
        name: json.loads(file.read_text(encoding="utf-8"))["scores"] for name, file in files.items()
    }
    first, *others = found
    parts = []
    for suite, tables in found[first].items():
        for title, scores in tables.items():
            if title == "confusion":
                continue
            also = [name for name in others if title in found[name].get(suite, {})]
            beside = list(
                dict.fromkeys(
                    k for s in scores.values() for k, v in s.items() if isinstance(v, dict)
                )
            )
            rows = [
                [html.escape(name), number(score, score["unit"])]
                + [number(found[o][suite][title].get(name), score["unit"]) for o in also]
                + [number(score.get(b), score["unit"]) for b in beside]
                for name, score in scores.items()
            ]
            head = ["", first if also else "score", *also, *map(html.escape, beside)]
            parts.append(f"<h3>{html.escape(suite)}: {html.escape(title)}</h3>{table(head, rows)}")
    return "".join(parts)


def number(score: Mapping[str, Any] | None, unit: str) -> str:
    """A value with its interval in brackets; empty when nothing was measured."""
    if not score or score["value"] is None:
        return ""
    scale, digits = (100, 0) if unit == "%" else (1, 1 if unit == "dB" else 3)

    def shown(key: str) -> str:
        return f"{scale * score[key]:.{digits}f}"

    value = f"{shown('value')} {html.escape(unit)}"
    if score["low"] is None:  # one film says nothing of others
        return f"{value} <small>no interval</small>"
    return f"{value} <small>[{shown('low')}, {shown('high')}]</small>"
