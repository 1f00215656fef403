"""The tables. Times are milliseconds since 1970 in UTC; money is whole micro-units (a millionth of the currency)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Id = String(40)
Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER keys alone
ROLES = ("owner", "admin", "member", "viewer")


def where(condition: str) -> dict[str, Any]:
    """The arguments of an index that holds only some of the rows."""
    return {f"{name}_where": text(condition) for name in ("sqlite", "postgresql")}


# --- who ---------------------------------------------------------------------------------------------

orgs = Table(
    "orgs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("concurrency", Integer, nullable=False, server_default="16"),  # jobs in progress at once
    Column("created_at", BigInteger, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("org_id", "name"),
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # what one signs in with
    Column("password_hash", Text, nullable=False),  # argon2id, in its own notation
    Column("operator", Boolean, nullable=False, server_default=text("false")),  # may change prices
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger),
)

members = Table(
    "members",
    metadata,
    Column("org_id", Id, ForeignKey("orgs.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("role", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("project_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # HMAC-SHA-256 of the whole key under the pepper
    Column("previous_digest", String(64)),  # of what it was before a rotation ...
    Column("previous_until", BigInteger),  # ... which is taken until then
    Column("scopes", JSON, nullable=False),  # list of names, see keys.SCOPES
    Column("models", JSON(none_as_null=True)),  # list of names; null: all of them
    Column("created_by", Id),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("org_id", Id, index=True),
    Column("actor", Text, nullable=False),  # a user's, a key's or a command's name
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# --- money -------------------------------------------------------------------------------------------

prices = Table(  # append-only: the newest that matches and has begun holds
    "prices",
    metadata,
    Column("version", Serial, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),  # a name, or * for every model
    Column("size", String(16), nullable=False),  # WxH, or *
    Column("per_second", BigInteger, nullable=False),
    Column("per_video", BigInteger, nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    CheckConstraint("per_second >= 0 AND per_video >= 0", name="not_negative"),
)

limits = Table(
    "limits",
    metadata,
    Column("scope", String(48), primary_key=True),  # the id of a key, a project or an organisation
    Column("measure", String(16), primary_key=True),  # see limits.MEASURES
    Column("period", String(8), primary_key=True),
    Column("amount", BigInteger, nullable=False),  # micro-units, requests or videos
    Column("set_at", BigInteger, nullable=False),
    Column(
        "used", BigInteger, nullable=False
    ),  # by then in the period: a limit may be set below it
)

usage = Table(  # what each scope has set aside and used in a period; the rows that reservations contend for
    "usage",
    metadata,
    Column("scope", String(48), primary_key=True),
    Column("start", String(10), primary_key=True),  # 2026-11-22, 2026-11, or empty
    Column("measure", String(16), primary_key=True),  # spend, videos, concurrent
    Column("period", String(8), primary_key=True),  # day, month, lifetime, now
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("spent", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("held >= 0 AND spent >= 0", name="not_negative"),
)

rates = Table(  # how often something was done in the present window of time, and in the one before
    "rates",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("window", BigInteger, nullable=False),  # its number since 1970
    Column("count", BigInteger, nullable=False),
    Column("before", BigInteger, nullable=False),
    Column("over", BigInteger, nullable=False, index=True),  # when neither counts any more
)

holds = Table(  # money set aside for one video; never more than one
    "holds",
    metadata,
    Column("video_id", Id, ForeignKey("videos.id"), primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("amount", BigInteger, nullable=False),
    Column("charged", BigInteger),  # what was taken in the end
    Column("scopes", JSON, nullable=False),  # whose usage it counts in, at the time of creation
    Column("price_version", BigInteger, ForeignKey("prices.version")),
    Column("state", String(8), nullable=False),  # open, settled, released, refunded
    Column("created_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    CheckConstraint("amount >= 0", name="not_negative"),
    Index("ix_holds_open", "amount", **where("state = 'open'")),
)

postings = Table(  # append-only double entry: each transaction's amounts sum to zero
    "postings",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("transaction", Id, nullable=False, index=True),
    Column("account", String(64), nullable=False),  # org:ID, held:ID, revenue:ID, bank
    Column("amount", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),  # reserve, settle, release, refund, deposit
    Column("video_id", Id, index=True),
    Column("at", BigInteger, nullable=False),
    Index("ix_postings_account_at", "account", "at"),
)

# --- work --------------------------------------------------------------------------------------------

videos = Table(
    "videos",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False),
    Column("project_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("key_id", Id, ForeignKey("keys.id"), nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seconds", Text, nullable=False),  # as the client wrote it
    Column("size", String(16), nullable=False),
    Column(
        "params", JSON, nullable=False
    ),  # seed, steps, guidance, conditions: what a worker needs besides
    Column("batch", String(64)),  # jobs with the same one may be denoised together; null: alone
    Column("remixed_from", Id),
    Column("status", String(12), nullable=False),  # queued, in_progress, completed, failed
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),  # the higher, the sooner
    Column("attempt", Integer, nullable=False, server_default="0"),  # fencing token of the lease
    Column("lost", Integer, nullable=False, server_default="0"),  # workers that ended over it
    Column(
        "upstream", JSON(none_as_null=True)
    ),  # {"provider", "video"}: who was asked to make it, and its name there once known
    Column("worker", Text),
    Column("lease_until", BigInteger),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("file", Text),  # name of the finished clip in the artifact store
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("seconds_taken", Float),  # of a worker's time
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    Index("ix_videos_org_created", "org_id", "created_at", "id"),
    Index("ix_videos_lease", "status", "lease_until"),
    Index("ix_videos_key_created", "key_id", "created_at"),
    Index("ix_videos_expires", "expires_at", **where("deleted_at IS NULL")),
    Index("ix_videos_files", "deleted_at", **where("file IS NOT NULL")),
    Index("ix_videos_waiting", "model", **where("status = 'queued'")),
)
# Who is next, in its order; and among those that can be denoised together with a job.
first = (videos.c.priority.desc(), videos.c.created_at, videos.c.id)
Index("ix_videos_queue", videos.c.org_id, videos.c.status, *first)
alike = (
    videos.c.batch,
    videos.c.org_id,
    videos.c.status,
)  # three: else SQLite takes the index above
Index("ix_videos_company", *alike, *first, **where("status = 'queued'"))

events = (
    Table(  # what happened to a video, in order; streams read on from the last one a client saw
        "events",
        metadata,
        Column("id", Serial, primary_key=True, autoincrement=True),
        Column("video_id", Id, nullable=False, index=True),
        Column(
            "kind", String(16), nullable=False
        ),  # queued, started, progress, preview, completed, failed
        Column("data", JSON, nullable=False),
        Column("at", BigInteger, nullable=False, index=True),
    )
)

workers = Table(  # processes that make videos, as they last said of themselves
    "workers",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("models", JSON, nullable=False),  # list of names
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

requests = Table(  # creations that may be asked for again: by Idempotency-Key, or by what they say
    "requests",
    metadata,
    Column("key_id", Id, primary_key=True),
    Column("token", String(80), primary_key=True),
    Column("body", String(64), nullable=False),  # SHA-256 of what was asked for
    Column("made", Id, nullable=False),  # the id of the video, the file or the batch
    Column("created_at", BigInteger, nullable=False, index=True),
)

files = Table(  # uploads: stills and clips that videos start from
    "files",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("key_id", Id),
    Column("name", Text, nullable=False),  # as the client called it; never a path here
    Column("purpose", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    Index("ix_files_expires", "expires_at", **where("deleted_at IS NULL")),
    Index("ix_files_deleted", "deleted_at", **where("deleted_at IS NOT NULL")),
)

batches = Table(  # many videos asked for by one file
    "batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False),
    Column("key_id", Id, ForeignKey("keys.id"), nullable=False),
    Column("input_file_id", Id, nullable=False),
    Column("status", String(12), nullable=False),  # as the contract calls them
    Column("notes", JSON, nullable=False),  # the client's own words
    Column("errors", JSON, nullable=False),  # what is wrong with the file
    Column("output_file_id", Id),
    Column("error_file_id", Id),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("cancelling_at", BigInteger),
    Column("ended_at", BigInteger),
    Index("ix_batches_org_created", "org_id", "created_at", "id"),
    Index("ix_batches_status", "status"),
)

batch_lines = Table(
    "batch_lines",
    metadata,
    Column("batch_id", Id, ForeignKey("batches.id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("custom_id", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("video_id", Id),  # null, and no error: not begun
    Column("error", JSON(none_as_null=True)),
    Column("status", Integer),  # the HTTP status of the error
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("org_id", Id, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),  # sealed; see secrets of the service
    Column("kinds", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

outbox = Table(  # deliveries, written with what they tell of; sent at least once
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),  # the webhook-id
    Column("webhook_id", Id, ForeignKey("webhooks.id"), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", BigInteger, index=True),  # null: done or given up
    Column("lease_until", BigInteger),
    Column("delivered_at", BigInteger),
    Column("answer", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_outbox_due", "webhook_id", "next_at"),
)
