"""Organisations with a key, and their videos, for tests of what hangs on them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from yozora.service import accounts, ids, keys, ledger
from yozora.service.schema import videos

PEPPER = b"a pepper of thirty-two characters"
AT = 1_795_392_000_000  # 2026-11-23T00:00:00Z
DAY = 24 * 3600 * 1000


@dataclass(frozen=True)
class Tenant:
    org_id: str
    project_id: str
    key_id: str
    key: str

    @property
    def scopes(self) -> list[str]:
        return [self.key_id, self.project_id, self.org_id]


def tenant(tx: Connection, name: str = "acme", at: int = AT) -> Tenant:
    org_id = accounts.create_org(tx, name=name, by="test", at=at)
    return with_key(tx, org_id, at)


def with_key(tx: Connection, org_id: str, at: int = AT) -> Tenant:
    project_id = accounts.find_project(tx, org_id).id
    row, key = keys.create(
        tx, PEPPER, org_id=org_id, project_id=project_id, name="a key", created_by="test", at=at
    )
    return Tenant(org_id, project_id, row.id, key)


def video(tx: Connection, of: Tenant, model: str = "nano", at: int = AT) -> str:
    video_id = ids.new("video")
    row = {"id": video_id, "org_id": of.org_id, "project_id": of.project_id, "key_id": of.key_id}
    row |= {"model": model, "prompt": "a ball falls", "seconds": "4", "size": "112x64"}
    tx.execute(videos.insert().values(row | {"params": {}, "status": "queued", "created_at": at}))
    return video_id


def reserved(tx: Connection, of: Tenant, amount: int, at: int = AT, model: str = "nano") -> str:
    """A new video that ``amount`` is set aside for."""
    video_id = video(tx, of, model, at)
    ledger.reserve(
        tx,
        video_id=video_id,
        scopes=of.scopes,
        org_id=of.org_id,
        amount=amount,
        price_version=None,
        at=at,
    )
    return video_id
