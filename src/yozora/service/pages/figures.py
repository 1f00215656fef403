"""What an organisation's videos cost, how long they took and what went wrong, in equal spans of time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, case, func, select

from yozora.service import usage
from yozora.service.accounts import PLAYGROUND
from yozora.service.schema import postings, videos

HOUR = 3_600_000
RANGES = {
    "24h": (24 * HOUR, HOUR),
    "7d": (168 * HOUR, 6 * HOUR),
    "30d": (720 * HOUR, 24 * HOUR),
}  # all of it, a span
LATEST = 5000  # finished videos whose times are looked at


@dataclass(frozen=True)
class Figures:
    """All of it, each list with one entry a span."""

    spans: list[str]
    spend: list[int]  # micro-units
    outcomes: dict[str, list[int]]  # completed, failed, open: by when they were asked for
    queued: list[Times]  # seconds until a worker began
    generating: list[Times]  # seconds that it took then
    waiting: int  # now
    working: int
    errors: list[tuple[str, int]]
    keys: list[tuple[str, int, int]]  # name, videos charged for, micro-units
    models: list[tuple[str, int, int]]
    days: list[tuple[str, int, int]]

    @property
    def total(self) -> int:
        """Micro-units in the whole range."""
        return sum(self.spend)

    @property
    def videos(self) -> int:
        """Videos that were asked for in the whole range."""
        return sum(map(sum, self.outcomes.values()))


@dataclass(frozen=True)
class Times:
    """The middle one of some durations in seconds, and the one that 95 % stay below; None of none."""

    middle: float | None = None
    slow: float | None = None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Times:
        """By the nearest rank."""
        ranked = sorted(seconds)
        if not ranked:
            return cls()
        return cls(*(ranked[-(-len(ranked) * share // 100) - 1] for share in (50, 95)))


def collect(tx: Connection, org: str, *, name: str, at: int) -> Figures:
    """The figures of an organisation for one of RANGES, which ends now."""
    whole, span = RANGES[name]
    first = (at // span + 1) * span - whole
    count = whole // span
    outcomes = counted(tx, org, first, span, count)
    queued, generating = durations(tx, org, first, span, count)
    now = {row[0]: int(row[1]) for row in tx.execute(open_now(org))}
    lines = usage.lines(tx, org, since=first, until=at + 1)
    return Figures(
        spans=[label(first + i * span, span) for i in range(count)],
        spend=spent(tx, org, first, at, span, count),
        outcomes=outcomes,
        queued=queued,
        generating=generating,
        waiting=now.get("queued", 0),
        working=now.get("in_progress", 0),
        errors=failures(tx, org, first),
        keys=summed((called(line), line) for line in lines),
        models=summed((line.model, line) for line in lines),
        days=sorted(summed((line.day, line) for line in lines), reverse=True),
    )


def called(line: usage.Line) -> str:
    """What a key is called; those of playgrounds, of which each browser has others, are one."""
    return line.key if line.key == PLAYGROUND else f"{line.key} …{line.key_id[-4:]}"


def label(start: int, span: int) -> str:
    """What a span is called."""
    return datetime.fromtimestamp(start / 1000, UTC).strftime(
        "%d %b" if span >= 24 * HOUR else "%d %b %H:%M"
    )


def spent(tx: Connection, org: str, first: int, at: int, span: int, count: int) -> list[int]:
    """Micro-units that were charged and not refunded, in each span."""
    found = select((postings.c.at // span).label("n"), func.sum(postings.c.amount).label("sum"))
    rows = tx.execute(found.where(*usage.sold(org, first, at + 1)).group_by("n"))
    return spread({row.n: int(row.sum) for row in rows}, first, span, count)


def counted(tx: Connection, org: str, first: int, span: int, count: int) -> dict[str, list[int]]:
    """How many videos of each span were completed, have failed or are open."""
    kind = case((videos.c.status.in_(("queued", "in_progress")), "open"), else_=videos.c.status)
    found = select(
        (videos.c.created_at // span).label("n"), kind.label("kind"), func.count().label("number")
    )
    by: dict[str, dict[int, int]] = defaultdict(dict)
    mine = (videos.c.org_id == org, videos.c.created_at >= first)
    for row in tx.execute(found.where(*mine).group_by("n", "kind")):
        by[row.kind][row.n] = row.number
    return {name: spread(by[name], first, span, count) for name in ("completed", "failed", "open")}


def durations(
    tx: Connection, org: str, first: int, span: int, count: int
) -> tuple[list[Times], list[Times]]:
    """How long videos waited, and how long they took then, by when they were asked for."""
    columns = (videos.c.created_at, videos.c.started_at, videos.c.completed_at)
    mine = (videos.c.org_id == org, videos.c.created_at >= first, videos.c.status == "completed")
    latest = select(*columns).where(*mine).order_by(videos.c.created_at.desc()).limit(LATEST)
    waited: dict[int, list[float]] = defaultdict(list)
    took: dict[int, list[float]] = defaultdict(list)
    for created, started, completed in tx.execute(latest):
        n = created // span - first // span
        waited[n].append((started - created) / 1000)
        took[n].append((completed - started) / 1000)
    return [Times.of(waited[n]) for n in range(count)], [Times.of(took[n]) for n in range(count)]


def open_now(org: str) -> Any:
    """The query for how many videos are queued and in progress."""
    found = select(videos.c.status, func.count()).where(
        videos.c.org_id == org, videos.c.status.in_(("queued", "in_progress"))
    )
    return found.group_by(videos.c.status)


def failures(tx: Connection, org: str, first: int) -> list[tuple[str, int]]:
    """How often each error came, the most frequent first."""
    mine = (videos.c.org_id == org, videos.c.created_at >= first, videos.c.error_code.is_not(None))
    found = select(videos.c.error_code, func.count().label("n")).where(*mine)
    return [
        (code, n)
        for code, n in tx.execute(found.group_by(videos.c.error_code).order_by(func.count().desc()))
    ]


def summed(lines: Iterable[tuple[str, usage.Line]]) -> list[tuple[str, int, int]]:
    """Videos and micro-units of lines by what they are called, the dearest first."""
    charged: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for name, line in lines:
        charged[name] += line.net
        number[name] += line.videos
    return [(name, number[name], amount) for name, amount in charged.most_common()]


def spread(found: Mapping[int, int], first: int, span: int, count: int) -> list[int]:
    """The values of numbered spans as a list without gaps."""
    return [found.get(first // span + i, 0) for i in range(count)]


# --- plots ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A bar, in a picture that is 100 high and one wide for each span."""

    x: float
    y: float
    height: float
    kind: str
    title: str


def bars(
    spans: Sequence[str], layers: Mapping[str, Sequence[float]], shown: Mapping[str, Sequence[str]]
) -> list[Bar]:
    """Layers on top of each other; ``shown`` is what each value is said as."""
    top = max((sum(values) for values in zip(*layers.values(), strict=True)), default=0) or 1
    made = []
    for i, span in enumerate(spans):
        base = 0.0
        for kind, values in layers.items():
            if values[i] > 0:
                height = 100 * values[i] / top
                base += height
                made.append(Bar(i + 0.12, 100 - base, height, kind, f"{span}: {shown[kind][i]}"))
    return made
