"""What an organisation used and paid for: by key, model and day; as a table, as events, and as a month's statement.

All of it is read from the book. A charge counts on the day on which it was taken, a refund on the day on which it was
given back, in UTC; what is set aside is no charge yet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, case, func, select

from yozora.errors import YozoraError
from yozora.service.schema import keys, orgs, postings, videos
from yozora.service.settings import DAY

FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
)  # what makes a spreadsheet run a cell (OWASP, CSV injection)


@dataclass(frozen=True)
class Line:
    """What one key paid for one model on one day."""

    day: str  # 2026-11-22
    project_id: str
    key_id: str
    key: str  # its name
    model: str
    videos: int  # that were charged for
    charged: int  # micro-units
    refunded: int

    @property
    def net(self) -> int:
        """Micro-units in the end."""
        return self.charged - self.refunded


def lines(tx: Connection, org_id: str, *, since: int, until: int) -> list[Line]:
    """What an organisation paid from ``since`` until just before ``until`` (milliseconds), the first day first."""
    taken = postings.c.kind == "settle"
    who = (videos.c.project_id, videos.c.key_id, keys.c.name.label("key"), videos.c.model)
    found = tx.execute(
        select(
            (postings.c.at // DAY).label("day"),
            *who,
            func.sum(case((taken, 1), else_=0)).label("videos"),
            func.sum(case((taken, postings.c.amount), else_=0)).label("charged"),
            func.sum(case((taken, 0), else_=-postings.c.amount)).label("refunded"),
        )
        .join(videos, videos.c.id == postings.c.video_id)
        .join(keys, keys.c.id == videos.c.key_id)
        .where(*sold(org_id, since, until))
        .group_by("day", *who)
        .order_by("day", "key", videos.c.key_id, videos.c.model)
    )
    return [
        Line(**{name: plain(name, cell) for name, cell in row._mapping.items()}) for row in found
    ]


def sold(org_id: str, since: int, until: int) -> tuple[Any, ...]:
    """The condition for postings of charges and refunds."""
    at = postings.c.at
    return postings.c.account == f"revenue:{org_id}", at >= since, at < until


def plain(name: str, cell: Any) -> Any:
    """A day by its date, a sum as a whole number (PostgreSQL's are decimal), the rest as it is."""
    if name == "day":
        return moment(cell * DAY)[:10]
    return int(cell) if name in ("videos", "charged", "refunded") else cell


def moment(at: int) -> str:
    """Milliseconds as RFC 3339 writes them."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


# --- tables and events -------------------------------------------------------------------------------


def to_csv(table: Iterable[Line]) -> str:
    """Lines as CSV (RFC 4180). Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*(field.name for field in fields(Line)), "net"])
    for line in table:
        writer.writerow([defused(cell) for cell in (*asdict(line).values(), line.net)])
    return out.getvalue()


def defused(cell: str | int) -> str | int:
    """A cell that no spreadsheet takes for a formula; numbers are ours and stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def events(tx: Connection, org_id: str, *, since: int, until: int) -> Iterator[str]:
    """Charges and refunds as lines of JSON, each an event of CloudEvents 1.0, for whoever makes bills of them."""
    columns = (postings.c.transaction, postings.c.video_id, postings.c.kind, postings.c.at)
    about = (videos.c.project_id, videos.c.key_id, videos.c.model, videos.c.size, videos.c.seconds)
    found = tx.execute(
        select(*columns, postings.c.amount, *about)
        .join(videos, videos.c.id == postings.c.video_id)
        .where(*sold(org_id, since, until))
        .order_by(postings.c.at, postings.c.id)
    )
    for row in found:
        kind = "charged" if row.kind == "settle" else "refunded"
        event = {
            "specversion": "1.0",
            "id": row.transaction,
            "source": f"/orgs/{org_id}",
            "type": f"yozora.video.{kind}",
            "subject": row.video_id,
            "time": moment(row.at),
            "datacontenttype": "application/json",
            "data": {column.name: getattr(row, column.name) for column in about}
            | {"micro_units": abs(row.amount)},
        }
        yield json.dumps(event, ensure_ascii=False)


# --- a month's statement -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """A month of an organisation, in micro-units: opening + deposits - charged + refunded = closing.

    Below zero a balance is owed. What was set aside at the end of the month is part of the closing balance.
    """

    org_id: str
    org: str
    month: str  # 2026-11
    opening: int
    deposits: int
    charged: int
    refunded: int
    closing: int
    held: int
    lines: list[Line]


def statement(tx: Connection, org_id: str, month: str) -> Statement:
    """The statement of an organisation for a month such as 2026-11.

    Raises:
        YozoraError: there is no such organisation, or the month is none.
    """
    since, until = span(month)
    name = tx.scalar(select(orgs.c.name).where(orgs.c.id == org_id))
    if name is None:
        raise YozoraError(f"There is no organisation {org_id}.")
    own, held = f"org:{org_id}", f"held:{org_id}"
    table = lines(tx, org_id, since=since, until=until)
    return Statement(
        org_id=org_id,
        org=name,
        month=month,
        opening=total(tx, own, held, until=since),
        deposits=total(tx, own, since=since, until=until, kind="deposit"),
        charged=sum(line.charged for line in table),
        refunded=sum(line.refunded for line in table),
        closing=total(tx, own, held, until=until),
        held=total(tx, held, until=until),
        lines=table,
    )


def total(
    tx: Connection, *accounts: str, since: int = 0, until: int, kind: str | None = None
) -> int:
    """What accounts gained from ``since`` until just before ``until``, by postings of one kind or of all."""
    found = select(func.coalesce(func.sum(postings.c.amount), 0)).where(
        postings.c.account.in_(accounts), postings.c.at >= since, postings.c.at < until
    )
    return int(tx.scalar(found if kind is None else found.where(postings.c.kind == kind)) or 0)


def span(month: str) -> tuple[int, int]:
    """When a month begins and the next one does, in milliseconds. Raises YozoraError when it is none."""
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    except ValueError as error:
        raise YozoraError(f"'{month[:20]}' is no month: give one such as 2026-11.") from error
    return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000
