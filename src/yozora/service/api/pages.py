"""Lists in pages: ``after`` the last one of the page before, ``limit`` at once, in the ``order`` of their creation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select, tuple_
from starlette.requests import Request

from yozora.service.wishes import WishError, clean

USUAL, MOST = 20, 100


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for."""

    after: str | None
    limit: int
    ascending: bool

    @classmethod
    def of(cls, request: Request, *others: str) -> Page:
        """As the query says, which may name ``others`` besides. Raises WishError when it says something else."""
        given = query(request, "after", "limit", "order", *others)
        limit, order, after = given.get("limit", str(USUAL)), given.get("order", "desc"), None
        if "after" in given:
            after = clean(given["after"], "after")
        if not (
            limit.isascii() and limit.isdecimal() and len(limit) < 9 and 0 < int(limit) <= MOST
        ):
            raise WishError(f"The limit is a whole number from 1 to {MOST}.", "limit")
        if order not in ("asc", "desc"):
            raise WishError("The order is asc or desc.", "order")
        return cls(after, int(limit), order == "asc")

    def rows(
        self, tx: Connection, asked: Select[Any], table: Table, mine: ColumnElement[bool]
    ) -> tuple[Sequence[Any], bool]:
        """The rows of this page, and whether there are more. Raises WishError when ``after`` is not one of ``mine``."""
        place = (table.c.created_at, table.c.id)
        asked = asked.order_by(*(c.asc() if self.ascending else c.desc() for c in place))
        if self.after is not None:
            last = tx.execute(select(*place).where(table.c.id == self.after, mine)).first()
            if last is None:
                raise WishError(f"There is nothing called '{self.after[:64]}'.", "after")
            here, where = tuple_(*last), tuple_(*place)
            asked = asked.where(where > here if self.ascending else where < here)
        rows = tx.execute(asked.limit(self.limit + 1)).all()
        return rows[: self.limit], len(rows) > self.limit


def query(request: Request, *names: str) -> dict[str, str]:
    """What a query says, with these names, each once at most. Raises WishError when it says anything else."""
    given = request.query_params
    for name in sorted(given):
        if name not in names:
            raise WishError(f"Unknown parameter: '{name[:200]}'.", name[:200], "unknown_parameter")
        if len(given.getlist(name)) > 1:
            raise WishError(f"'{name}' is there more than once: say it once.", name)
    return dict(given)
