"""GET /metrics: figures for Prometheus. Requests are counted as they pass; the rest is read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select

from yozora.service import ids
from yozora.service.database import Database
from yozora.service.jobs import OPEN
from yozora.service.schema import holds, outbox, videos

KIND = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The figures of one process of the interface."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "yozora_requests", "Requests that were answered.", ["route", "method", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "yozora_request_seconds", "Time until a request was answered, by route.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._kept: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.registry.register(State(database))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (route, method, status)
        if key not in self._kept:  # finding them again takes longer than counting
            self._kept[key] = self._requests.labels(*key), self._seconds.labels(route)
        requests, times = self._kept[key]
        requests.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)


class State:
    """What the database says of work and money now, the same whichever process is asked."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def describe(self) -> list[Metric]:
        """Nothing beforehand, so that a process can begin while its database is away."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        at = ids.now()
        open_videos = GaugeMetricFamily(
            "yozora_videos_open",
            "Videos that are queued or in progress.",
            labels=["model", "status"],
        )
        oldest = GaugeMetricFamily(
            "yozora_queue_oldest_seconds",
            "How long the video that is next has waited.",
            labels=["model"],
        )
        with self.database.read() as tx:
            rows = tx.execute(
                select(videos.c.model, videos.c.status, func.count(), func.min(videos.c.created_at))
                .where(videos.c.status.in_(OPEN))
                .group_by(videos.c.model, videos.c.status)
            ).all()
            held = tx.execute(
                select(func.count(), func.coalesce(func.sum(holds.c.amount), 0)).where(
                    holds.c.state == "open"
                )
            ).one()
            waiting = tx.scalar(select(func.count()).where(outbox.c.next_at.is_not(None)))
        for model, status, count, since in rows:
            open_videos.add_metric([model, status], count)
            if status == "queued":
                oldest.add_metric([model], max(0, at - since) / 1000)
        yield open_videos
        yield oldest
        yield GaugeMetricFamily("yozora_holds_open", "Videos that money is set aside for.", held[0])
        yield GaugeMetricFamily("yozora_holds_micro", "Micro-units that are set aside.", held[1])
        yield GaugeMetricFamily(
            "yozora_webhooks_waiting", "Deliveries that are to be sent.", waiting or 0
        )
