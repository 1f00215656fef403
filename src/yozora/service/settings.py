"""What a service is started with: options of the command line, or the environment's YOZORA_*."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DAY = 86_400_000  # milliseconds


@dataclass(frozen=True)
class Settings:
    """One installation of the service. Everything but the database lives in the folder ``data``.

    ``models`` are names of shipped models, folders, or NAME=FOLDER. Times are milliseconds.
    """

    data: Path
    db: str = ""  # the address of the database; empty: SQLite in ``data``
    models: tuple[str, ...] = ("nano",)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    batch: int = 16  # jobs that are denoised together at most
    memory: float = 4.0  # GB of loaded models a worker keeps
    lease: int = 60_000  # how long a worker may be silent before its job is another's
    grace: int = 30_000  # how long a worker may go on after it was told to end
    losses: int = 3  # workers that may die over one job before it is given up
    retention: int = 30 * DAY  # how long a finished video is kept
    providers: Path | None = None  # a file of services whose models are offered too: providers.py
    moderation: str = "rules"  # what judges prompts: rules, a file of rules, an endpoint, off
    reach: tuple[str, ...] = ()  # hosts that webhooks may reach though they are not public
    fetch: bool = False  # whether pictures are fetched from the addresses that clients give
    proxy: tuple[str, ...] = ()  # from where it is believed who asks, and that they ask over TLS
    log: str = "text"  # how processes write their logs: text or json

    @property
    def database(self) -> str:
        """The database's address."""
        return self.db or f"sqlite:///{self.data / 'service.sqlite'}"

    @property
    def artifacts(self) -> Path:
        """Finished videos."""
        return self.data / "artifacts"

    @property
    def uploads(self) -> Path:
        """Stills and clips that clients have sent."""
        return self.data / "uploads"

    @property
    def credentials(self) -> Path:
        """What videos are signed with."""
        return self.data / "credentials"
