"""What ingest needs of a corpus, which it may not import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from yozora.rights.ledger import Ledger
from yozora.rights.policy import Policy
from yozora.video import Canvas, Record
from yozora.video.clip import Frames

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

    @property
    def canvas(self) -> Canvas:
        """Its size and rate."""

    def of_master(self, clip: str) -> Stored:
        """The row as a rendition of the clip with this id; its own makes it a master, none neither."""


class Recording(Protocol):
    """A clip under way, of which only what an encoder needs is in memory."""

    def write(self, picture: Frames) -> None:
        """Take the next picture, as the canvas lays it out."""

    def close(self) -> str:
        """No more pictures come; the clip's id."""

    def keep(self, record: Record) -> Stored:
        """Put the closed clip in its place; its row."""

    def drop(self) -> None:
        """Take the closed clip away."""


class Recorder(Protocol):
    """What puts clips in their place, in any process."""

    def begin(self, canvas: Canvas) -> Recording:
        """A clip whose pictures are to come."""

    def store(self, pictures: Iterable[Frames], canvas: Canvas, record: Record) -> Stored:
        """The row of a clip whose pictures are all there, once it is in its place."""


class Store(Protocol):
    """What ingest needs of a corpus."""

    @property
    def ledger(self) -> Ledger:
        """Where sources and decisions are entered."""

    @property
    def policy(self) -> Policy:
        """What decides on them."""

    def recorder(self) -> AbstractContextManager[Recorder]:
        """What puts clips in their place and makes their rows."""

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

    def footage(self) -> Iterable[tuple[str, int | None, str, bool]]:
        """The clips of footage that are known: their ids, the bits of their perceptual hashes where they have one, the
        SHA-256 of the files they are of, and whether faces in them are hidden."""

    def drop(
        self,
        source: str | Path,
        reason: str,
        *,
        rule: str = "",
        start: float | None = None,
        canvas: str = "",
        clip: str = "",
    ) -> None:
        """Note a refusal, of a file or of the clip that would start there on a canvas, or of a clip with this id;
        without a reason, take it back."""

    def drops(self) -> Sequence[Drop]:
        """The refusals noted, each with `source`, `reason`, `rule`, `start`, `canvas` and `clip`."""
