"""What the HTML pages of yozora share: their colours for light and dark screens, and htmx where one is served.

Pages that are written to disk are one self-contained file each.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from yozora.video.writing import encode_still

STYLE = """
:root{color-scheme:light dark;--ink:#1b1c22;--paper:#fafafc;--faint:#6c6f7d;--line:#dcdde4;
  --mark:#3557d6;--bar:#3557d633;--bad:#c2352b}
@media(prefers-color-scheme:dark){:root{--ink:#e9e9ee;--paper:#15161b;--faint:#9a9dab;
  --line:#33353f;--mark:#8aa4ff;--bar:#8aa4ff33;--bad:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
  max-width:72rem;margin:2rem auto;padding:0 1rem}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
.note,figcaption,footer{color:var(--faint);font-size:.9rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0;display:block;
  overflow-x:auto}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
td small{color:var(--faint)}
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font-size:12px}
svg .grid{stroke:var(--line)}svg .mark{fill:var(--mark)}svg .floor{stroke:var(--ink)}
svg .interval{stroke:var(--mark);stroke-width:3;opacity:.45}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:1rem}
.shares{columns:24rem auto;column-gap:3rem}.shares section{break-inside:avoid;margin-bottom:1.5rem}
.shares table{display:table;width:100%;table-layout:fixed}.shares th{width:5rem}
.shares th:first-child{width:auto}.shares td:first-child{overflow-wrap:anywhere}
.shares td:last-child{background:linear-gradient(90deg,var(--bar) var(--part),transparent 0)}
figure{margin:0}video{width:100%;border-radius:4px}img{max-width:100%}
.no{color:var(--bad)}
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page of parts that are HTML already."""
    return "\n".join([
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
        *parts,
        "</html>",
    ])  # fmt: skip


def htmx() -> bytes:
    """The script htmx 4.0.1, which lies beside its licence."""
    return (files("yozora") / "htmx" / "htmx.min.js").read_bytes()


def table_row(cells: Sequence[str], tag: str = "td") -> str:
    """One row of a table, of cells that are HTML already."""
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def still(picture: NDArray[np.uint8], alt: str) -> str:
    """A picture [H, W, 3] inside the page."""
    data = base64.b64encode(encode_still(picture, "png")).decode("ascii")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
