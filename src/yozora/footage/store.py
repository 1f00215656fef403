"""What ingest needs of a corpus, which it may not import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from yozora.rights.ledger import Ledger
from yozora.rights.policy import Policy
from yozora.video import Clip, Record

Drop = Mapping[str, Any]


class Stored(Protocol):
    """A clip in its place: what ingest knows of a corpus's row."""

    @property
    def id(self) -> str:
        """The clip's name by its content."""

    @property
    def source(self) -> str:
        """Its file."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its record's labels."""


class Store(Protocol):
    """What ingest needs of a corpus."""

    @property
    def ledger(self) -> Ledger:
        """Where sources and decisions are entered."""

    @property
    def policy(self) -> Policy:
        """What decides on them."""

    def store(self, clip: Clip, record: Record) -> Any:
        """Put a clip in its place, from any process; returns its row."""

    def enter(self, rows: Iterable[Any], *, committed: Callable[[], None]) -> Any:
        """Make stored clips known; returns an object with the numbers `added`, `duplicates` and `updated`, and what
        was `revoked` before: sources with a sentence each. None stands for a clip that came before; `committed` is
        called whenever all rows so far are known."""

    def finish(self, key: str, source: str, clips: Sequence[str]) -> None:
        """Note that a file was taken in to its end."""

    def finished(self) -> Mapping[str, Sequence[str]]:
        """The clips of files that were, while all of them are there."""

    def forget(self, rows: Sequence[Any]) -> None:
        """Take stored clips away again that are not known."""

    def rows(self, *, kind: str) -> Sequence[Stored]:
        """What is known of a kind."""

    def drop(
        self, source: str | Path, reason: str, *, rule: str = "", start: float | None = None
    ) -> None:
        """Note a refusal, of a file or of the clip that would start there; without a reason, take it back."""

    def drops(self) -> Sequence[Drop]:
        """The refusals noted, each with `source` and `start`."""
