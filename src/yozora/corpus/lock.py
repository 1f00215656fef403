"""Who may change a corpus at once: any number of writers that add, or one that takes away.

Advisory locks of the operating system on DIR/lock, and for a moment on DIR/lock.rows, gone with the process that holds
them. Where there are none (Windows), nothing is kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yozora.errors import YozoraError

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

NAME, WRITING = "lock", "lock.rows"


@contextmanager
def locked(directory: Path, *, alone: bool) -> Iterator[None]:
    """Keeps a corpus for one that takes away (`alone`), or for all that add.

    Raises YozoraError when others hold it otherwise: those that add may take hours, so nobody waits for them.
    """
    with (directory / NAME).open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except OSError as error:
                raise YozoraError(
                    f"Another process is changing {directory}: try again when it has finished."
                ) from error
        yield


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Keeps rows as they were read until they are put back; waits for whoever is at it, which takes a moment."""
    with (directory / WRITING).open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
