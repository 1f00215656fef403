"""Organisations that ask for videos, without an interface: what the tests of jobs and workers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from yozora.service import accounts, jobs, keys, ledger
from yozora.service.database import Database
from yozora.service.jobs import Job
from yozora.service.keys import Identity
from yozora.service.schema import events, holds, orgs, postings, videos
from yozora.service.wishes import Wish

PRICE = 700
LEASE = 1000


@dataclass
class Queue:
    """A database with organisations in it, and a clock that stands still until it is moved."""

    database: Database
    at: int = 1_800_000_000_000
    owners: dict[str, Identity] = field(default_factory=dict)

    def owner(self, org: str = "a", concurrency: int = 16) -> Identity:
        """A key of an organisation, which is made when it is new."""
        if org not in self.owners:
            with self.database.write() as tx:
                org_id = accounts.create_org(tx, name=org, by="test", at=self.at)
                tx.execute(orgs.update().where(orgs.c.id == org_id).values(concurrency=concurrency))
                project = accounts.find_project(tx, org_id).id
                row, key = keys.create(
                    tx, b"p" * 32, org_id=org_id, project_id=project, name="k", created_by="test", at=self.at
                )  # fmt: skip
                self.owners[org] = keys.verify(tx, b"p" * 32, key, self.at)
        return self.owners[org]

    def ask(
        self,
        org: str = "a",
        *,
        model: str = "nano",
        seconds: str = "2",
        priority: int = 0,
        **params: Any,
    ) -> str:
        """Queue a video of an organisation; a millisecond passes."""
        who = self.owner(org)
        self.at += 1
        facts: Mapping[str, Any] = {"task": "create", "seed": 0, **params}
        wish = Wish(model, "a red ball", seconds, "112x64", facts, priority=priority)
        with self.database.write() as tx:
            return jobs.create(tx, identity=who, wish=wish, price=(PRICE, None), at=self.at)

    def claim(self, worker: str = "w", most: int = 1) -> list[Job]:
        """Jobs for a worker."""
        with self.database.write() as tx:
            return jobs.claim(
                tx, worker=worker, models=["nano"], at=self.at, lease=LEASE, most=most
            )

    def finish(self, job: Job) -> bool:
        """Say that a job is done."""
        with self.database.write() as tx:
            return jobs.finish(
                tx, job, file=job.artifact, bytes=1, sha256="0" * 64, taken=1.0, at=self.at
            )

    def row(self, video: str) -> Any:
        """A video as it is now."""
        with self.database.read() as tx:
            return tx.execute(select(videos).where(videos.c.id == video)).one()

    def kinds(self, video: str) -> list[str]:
        """What has happened to a video."""
        with self.database.read() as tx:
            found = select(events.c.kind).where(events.c.video_id == video).order_by(events.c.id)
            return list(tx.scalars(found))

    def settlements(self, video: str) -> int:
        """How often a video was charged."""
        with self.database.read() as tx:
            found = select(func.count(func.distinct(postings.c.transaction))).where(
                postings.c.video_id == video, postings.c.kind == "settle"
            )
            return int(tx.scalar(found) or 0)

    def hold(self, video: str) -> str:
        """What became of the money that was set aside for a video."""
        with self.database.read() as tx:
            return str(tx.scalar(select(holds.c.state).where(holds.c.video_id == video)))

    def audit(self) -> list[str]:
        """What is wrong with the money."""
        with self.database.read() as tx:
            return ledger.check(tx)
