"""What is asked of the database many times a second."""

from __future__ import annotations

import json
from collections import namedtuple
from typing import Any

from sqlalchemy import JSON, Boolean, Select

from yozora.service.database import Database


class Lookup:
    """A SELECT that is asked many times a second: compiled once, and on SQLite run without SQLAlchemy between.

    SQLite answers in microseconds, on one connection that is kept, in the thread that asks; nothing is left open, so
    that each answer is of the present state. A PostgreSQL connection is taken from the pool.
    """

    def __init__(self, database: Database, statement: Select[Any]) -> None:
        self.statement, self.engine = statement, database.engine
        self.kept: Any = None
        if not database.sqlite:
            return
        compiled = statement.compile(
            dialect=database.engine.dialect, compile_kwargs={"render_postcompile": True}
        )
        self.sql, self.order = str(compiled), tuple(compiled.positiontup or ())
        self.fixed = compiled.params  # those that the statement itself knows, such as a LIMIT
        columns = list(statement.selected_columns)
        self.row: Any = namedtuple("Row", [str(column.key) for column in columns])  # type: ignore[misc]
        kinds = [column.type for column in columns]
        self.documents = [i for i, kind in enumerate(kinds) if isinstance(kind, JSON)]
        self.flags = [i for i, kind in enumerate(kinds) if isinstance(kind, Boolean)]

    def all(self, **values: Any) -> list[Any]:
        """The rows for these values of the statement's parameters."""
        if not hasattr(self, "sql"):
            with self.engine.connect() as connection:
                return list(connection.execute(self.statement, values))
        if self.kept is None:
            self.kept = self.engine.raw_connection()
            self.kept.driver_connection.execute("PRAGMA busy_timeout = 1000")
        given = [values[name] if name in values else self.fixed[name] for name in self.order]
        cursor = self.kept.driver_connection.execute(self.sql, given)
        return [self._read(row) for row in cursor.fetchall()]

    def _read(self, raw: tuple[Any, ...]) -> Any:
        row = list(raw)
        for i in self.documents:
            row[i] = None if row[i] is None else json.loads(row[i])
        for i in self.flags:
            row[i] = bool(row[i])
        return self.row._make(row)
