"""Who may change a corpus at once: any number of writers that add, or one that takes away.

An advisory lock of the operating system on DIR/lock, gone with the process that holds it. Where there is none
(Windows), nothing is kept apart.
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

NAME = "lock"


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
