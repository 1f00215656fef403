"""The dashboard: figures as plots, each with the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from yozora.service import ids, ledger, limits
from yozora.service.amounts import money
from yozora.service.pages.figures import RANGES, Bar, Figures, Times, bars, collect
from yozora.service.pages.web import Pages, Visit

NAMES = {"half": "half below", "slow": "95 % below"}
pages = Pages()


@dataclass(frozen=True)
class Plot:
    """Bars over time, and the table that says the same."""

    name: str
    title: str
    figure: str  # the one number that sums it up
    note: str
    top: str  # of the axis
    bars: list[Bar]
    kinds: Mapping[str, str]  # of bars, and what they are called
    spans: list[str]
    rows: list[list[str]]  # span, then a cell for each kind


@pages.get("/dashboard", "usage:read")
async def dashboard(visit: Visit) -> Response:
    """Spend, videos, times and errors of the organisation; asked for anew while it is looked at."""
    name = visit.query("range") if visit.query("range") in RANGES else "24h"
    at = ids.now()

    def work(tx: Any) -> tuple[Any, ...]:
        return (
            collect(tx, visit.org, name=name, at=at), ledger.balance(tx, visit.org),
            limits.of(tx, org_id=visit.org, scope=visit.org, at=at),
        )  # fmt: skip

    found, balance, limited = await visit.count(work)
    return visit.show(
        "dashboard.html", name=name, ranges=list(RANGES), found=found, balance=balance, limits=limited,
        plots=plots(found), at=at, days={"24h": 1, "7d": 7, "30d": 30}[name],
    )  # fmt: skip


def plots(found: Figures) -> list[Plot]:
    """What is drawn."""
    failed = sum(found.outcomes["failed"])
    outcomes = {name: [str(n) for n in row] for name, row in found.outcomes.items()}
    paid = [money(n) for n in found.spend]
    asked = list(map(str, map(sum, zip(*found.outcomes.values(), strict=True))))
    note = f"{failed:,} failed" if failed else ""
    return [
        plot(
            "spend",
            "Spend",
            (money(found.total), ""),
            found.spans,
            {"spend": found.spend},
            {"spend": paid},
            paid,
        ),
        plot(
            "videos",
            "Videos",
            (f"{found.videos:,}", note),
            found.spans,
            found.outcomes,
            outcomes,
            asked,
        ),
        times("queued", "Waiting in the queue", found.spans, found.queued),
        times("generating", "Generating", found.spans, found.generating),
    ]


def plot(
    name: str, title: str, said: tuple[str, str], spans: Sequence[str],
    layers: Mapping[str, Sequence[float]], shown: Mapping[str, Sequence[str]], whole: Sequence[str],
) -> Plot:  # fmt: skip
    """A plot of layers on top of each other. ``shown`` says each value, ``whole`` the height of all layers."""
    sums = [sum(values) for values in zip(*layers.values(), strict=True)]
    top = whole[max(range(len(sums)), key=sums.__getitem__)]
    rows = [[span, *(shown[kind][i] for kind in layers)] for i, span in enumerate(spans)]
    kinds = {kind: NAMES.get(kind, kind) for kind in layers}
    return Plot(name, title, *said, top, bars(spans, layers, shown), kinds, list(spans), rows)


def times(name: str, title: str, spans: Sequence[str], found: Sequence[Times]) -> Plot:
    """A plot of durations: half of the videos stay below the lower bar, 95 % below both."""
    layers = {
        "half": [one.middle or 0.0 for one in found],
        "slow": [(one.slow or 0.0) - (one.middle or 0.0) for one in found],
    }
    slow = [seconds(one.slow) for one in found]
    shown = {"half": [seconds(one.middle) for one in found], "slow": slow}
    latest = next((one.middle for one in reversed(found) if one.middle is not None), None)
    said = (seconds(latest), "half of the latest took less" if latest is not None else "")
    return plot(name, title, said, spans, layers, shown, slow)


def seconds(value: float | None) -> str:
    """A duration as people say it; a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
