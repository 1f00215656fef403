"""The ledger: an append-only, hash-chained record of what is known of footage, in one SQLite file.

SQLite, and not lines of JSON, because its journal undoes a torn append, its locks order several writers, its indexes
answer at a million entries, and what is revoked can be erased from the file; JSON lines would need all four by hand.

The hash of an entry covers the entry before it, its facts, and a salted hash of its payload. A payload can therefore be
erased, as a revocation has to, while the chain stays verifiable; and without the salt, which goes with it, nobody can
find out by trial whether a hash was of a certain name. The chain shows every change of the past to whoever knows a
later `head`: `manifest` hands it out with each checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from yozora.artifact import scratch, sync
from yozora.errors import YozoraError
from yozora.rights.record import REASONS, Json, New, check_hash, list_hash, plain

APPLICATION = 0x595A5231  # "YZR1", in SQLite's header: this file is a ledger of the first format
CACHE = 65536  # KiB: hashes fall anywhere in the indexes, and those of a million entries should fit
WAIT = 60.0  # seconds that a writer waits for the others
START = bytes(32)  # what the first entry names as the one before it

SCHEMA = f"""
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL, parent BLOB,
        facts TEXT NOT NULL, seal BLOB, hash BLOB NOT NULL
    );
    CREATE INDEX by_subject ON entries (subject);
    CREATE INDEX by_parent ON entries (parent) WHERE parent IS NOT NULL;
    CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries stay'); END;
    CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are final'); END;
    -- what a revocation erases
    CREATE TABLE payloads (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL, data BLOB NOT NULL);
    CREATE TABLE holders (holder TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (holder, seq)) WITHOUT ROWID;
    CREATE INDEX holder_of ON holders (seq);
    -- lists of clips, each stored once however many runs read it
    CREATE TABLE lists (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE);
    CREATE TABLE members (clip BLOB NOT NULL, list INTEGER NOT NULL, PRIMARY KEY (clip, list)) WITHOUT ROWID;
    PRAGMA application_id = {APPLICATION};
"""


class Head(NamedTuple):
    """How many entries there are, and the hash of the last one in hex."""

    entries: int
    hash: str


@dataclass(frozen=True)
class Entry:
    """One entry. payload is None when there was none, or when it is erased, which `erased` tells apart."""

    seq: int
    time: str
    kind: str
    subject: str
    parent: str
    facts: Json
    payload: Json | None
    erased: bool
    hash: str


class Ledger:
    """A rights ledger. `Ledger.create(path)` or `Ledger.open(path)`; any number of processes may use it at once.

    Every call opens the file for itself, so that a Ledger may cross a fork or a thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: str | Path) -> Ledger:
        """A new, empty ledger. Raises YozoraError when the file exists or cannot be made."""
        final = Path(path)
        journal = final.with_name(final.name + "-journal")
        if journal.exists() and not final.exists():
            raise YozoraError(
                f"{journal} was left by a ledger that is gone and would damage a new one: put that ledger back beside "
                "it, or remove it too."
            )
        with scratch(final.parent, final.name) as folder:
            part = folder / final.name
            with closing(sqlite3.connect(part)) as database:
                database.executescript(SCHEMA)
            sync(part)
            try:
                os.link(part, final)  # unlike a rename it never replaces a ledger made meanwhile
            except FileExistsError:
                raise YozoraError(
                    f"{final} exists already: open it, or choose another name."
                ) from None
            except OSError as error:
                raise YozoraError(f"{final} cannot be made: {error.strerror}.") from error
            sync(final.parent)
        return cls(final)

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """An existing ledger; what a killed writer left half done is undone. Raises YozoraError when it is none."""
        ledger = cls(Path(path))
        with ledger._reading() as database:
            database.execute("SELECT max(seq) FROM entries").fetchone()
        return ledger

    # --- appending -----------------------------------------------------------------------------

    def append(self, *entries: New) -> Head:
        """Append entries, all or none, and have them on the disk before this returns.

        Raises YozoraError when one is about something that was revoked or would be made from itself, or the file
        cannot be written.
        """
        with self._writing() as database:
            for entry in entries:
                check_place(database, entry)
                add(database, entry)
            return head_of(database)

    def revoke(self, digests: Iterable[str], reason: str) -> list[str]:
        """Erase the payloads of these sources or clips and of all that was made from them; leave tombstones.

        A tombstone holds hashes only. reason: one of REASONS. Returns everything that is now revoked, by its hash, and
        does nothing to what was revoked before. Raises YozoraError when a hash is no hash, or the reason none.
        """
        if reason not in REASONS:
            raise YozoraError(
                f"'{reason}' is no reason to revoke: use one of {', '.join(REASONS)}."
            )
        wanted = [bytes.fromhex(check_hash(digest)) for digest in digests]
        with self._writing() as database:
            fresh = False
            doomed = list(dict.fromkeys(d for digest in wanted for d in below(database, digest)))
            for digest in doomed:
                rows = database.execute(
                    "SELECT seq FROM payloads WHERE seq IN (SELECT seq FROM entries WHERE subject = ?)",
                    (digest,),
                )
                erased = [seq for (seq,) in rows]
                if erased or not revoked_on(database, digest):
                    fresh = True
                    database.executemany(
                        "DELETE FROM payloads WHERE seq = ?", [(seq,) for seq in erased]
                    )
                    database.executemany(
                        "DELETE FROM holders WHERE seq = ?", [(seq,) for seq in erased]
                    )
                    add(
                        database,
                        New("revoked", digest.hex(), facts={"reason": reason, "erased": erased}),
                    )
            if fresh:
                database.execute("PRAGMA user_version = 1")
        self._sweep()
        return [digest.hex() for digest in doomed]

    def _sweep(self) -> None:
        """Rewrite the file without what was erased from it.

        secure_delete overwrites deleted rows, but not the copies that a B-tree leaves behind when it once moved them
        between pages: tests found names there. user_version stays 1 until this is done, also by a later process.
        """
        with self._connection() as database:
            if database.execute("PRAGMA user_version").fetchone()[0]:
                database.execute(
                    "PRAGMA temp_store = FILE"
                )  # a large ledger need not fit into memory
                database.execute("VACUUM")
                database.execute("PRAGMA user_version = 0")

    # --- asking --------------------------------------------------------------------------------

    def head(self) -> Head:
        """How long the chain is, and its last hash."""
        with self._reading() as database:
            return head_of(database)

    def entries(self) -> Iterator[Entry]:
        """All entries in order. Read page by page, so that a slow reader keeps no writer waiting."""
        last = 0
        while True:
            with self._reading() as database:
                question = f"{ENTRY} WHERE entries.seq > ? ORDER BY entries.seq LIMIT 1000"
                page = [entry_of(row) for row in database.execute(question, (last,))]
            if not page:
                return
            yield from page
            last = page[-1].seq

    def about(self, digest: str) -> list[Entry]:
        """All that is known of a source, clip or latent, of what it was made from, and who consumed it; in order.

        Raises YozoraError when the hash is none.
        """
        subject = bytes.fromhex(check_hash(digest))
        with self._reading() as database:
            line = above(database, subject)
            lists = [found for one in line for found in lists_with(database, one)]
            found = {
                row[0]: entry_of(row)
                for one in (*line, *lists)
                for row in database.execute(f"{ENTRY} WHERE subject = ?", (one,))
            }
        return [found[seq] for seq in sorted(found)]

    def sources_of(self, holder: str) -> list[str]:
        """The sources of a holder, or that a holder consented to, by their hashes.

        The last that was said of a source counts, where it names anybody.
        """
        question = """
            SELECT DISTINCT subject FROM entries JOIN holders USING (seq) WHERE holder = ? AND seq = (
                SELECT max(later.seq) FROM entries AS later JOIN holders USING (seq)
                WHERE later.subject = entries.subject
            ) ORDER BY subject
        """
        return self._hashes(question, plain(holder))

    def sources_called(self, name: str) -> list[str]:
        """The sources whose path or address this is, by their hashes. Reads all payloads: seconds at a million."""
        question = (
            "SELECT DISTINCT subject FROM entries JOIN payloads USING (seq) WHERE kind = 'source' AND "
            "? IN (json_extract(data, '$.path'), json_extract(data, '$.url')) ORDER BY subject"
        )
        return self._hashes(question, name)

    def unerased(self, digests: Iterable[str]) -> list[str]:
        """Those of which the file still holds words, after a revocation that was not finished. Raises as `about`."""
        question = "SELECT 1 FROM entries JOIN payloads USING (seq) WHERE subject = ? LIMIT 1"
        with self._reading() as database:
            swept = not database.execute("PRAGMA user_version").fetchone()[0]
            return [
                digest
                for digest in digests
                if not swept
                or database.execute(question, (bytes.fromhex(check_hash(digest)),)).fetchone()
            ]

    def clips_of(self, source: str) -> list[str]:
        """The clips that were cut from a source, by their hashes. Raises YozoraError when the hash is none."""
        question = "SELECT DISTINCT subject FROM entries WHERE parent = ? AND kind = 'clip' ORDER BY subject"
        return self._hashes(question, bytes.fromhex(check_hash(source)))

    def taken_back(self, source: str) -> list[tuple[float, float]]:
        """Where the clips of a source that were taken back began and ended in it, in seconds, as far as that is known.

        Raises YozoraError when the hash is none.
        """
        question = (
            "SELECT facts FROM entries AS clip WHERE parent = ? AND kind = 'clip' AND EXISTS "
            "(SELECT 1 FROM entries WHERE subject = clip.subject AND kind = 'revoked')"
        )
        with self._reading() as database:
            rows = database.execute(question, (bytes.fromhex(check_hash(source)),)).fetchall()
        facts = [json.loads(one) for (one,) in rows]
        return [
            (one["start"], one["start"] + one["seconds"])
            for one in facts
            if one["start"] is not None and one.get("seconds") is not None
        ]

    def made_from(self, digests: Iterable[str]) -> dict[str, list[str]]:
        """What each of these clips or latents was made from, by their hashes; nothing for what is not known.

        Raises YozoraError when a hash is none.
        """
        with self._reading() as database:
            return {
                digest: [
                    parent.hex() for parent in parents(database, bytes.fromhex(check_hash(digest)))
                ]
                for digest in digests
            }

    def consumers(self, clip: str) -> list[Entry]:
        """The tags, runs and checkpoints that took a clip in. Raises YozoraError when the hash is none."""
        with self._reading() as database:
            rows = [
                row
                for digest in lists_with(database, bytes.fromhex(check_hash(clip)))
                for row in database.execute(
                    f"{ENTRY} WHERE subject = ? AND kind = 'consumed'", (digest,)
                )
            ]
        return sorted(map(entry_of, rows), key=lambda entry: entry.seq)

    def members(self, digest: str) -> list[str]:
        """The clips of a list that was consumed; none where it is not known. Raises YozoraError for no hash."""
        question = (
            "SELECT clip FROM members JOIN lists ON lists.id = list WHERE digest = ? ORDER BY clip"
        )
        return self._hashes(question, bytes.fromhex(check_hash(digest)))

    def standing(self, clips: Iterable[str], use: str = "research") -> dict[str, list[str]]:
        """Clips by what training may do with them: "allowed", "refused", "undecided" or "revoked".

        The last decision on each counts, and of a clip's and its sources' the worst. A decision for research says
        nothing of commercial use. Raises YozoraError when a hash is none.
        """
        found: dict[str, list[str]] = {name: [] for name in STANDINGS}
        wanted = {bytes.fromhex(check_hash(clip)): clip for clip in clips}
        with self._reading() as database:
            known: dict[bytes, str] = {}
            alike: dict[tuple[History, ...], str] = {}  # most clips of a film have the same history
            for digest, rows in histories(database, wanted).items():
                if rows not in alike:
                    alike[rows] = stands(database, rows, use, known)
                found[alike[rows]].append(wanted[digest])
        return found

    def manifest(self, clips: Iterable[str], use: str = "research") -> dict[str, Any]:
        """What a checkpoint carries of the rights in its training clips: hashes, codes and counts, nothing personal.

        Raises YozoraError unless every clip is allowed for this use.
        """
        wanted = sorted(set(clips))
        standing = self.standing(wanted, use)
        for name in STANDINGS[1:]:
            if unfit := standing[name]:
                raise YozoraError(
                    f"{len(unfit)} of {len(wanted)} clips are {name} for {use} use, such as {unfit[0]}: take their "
                    "sources in again under a policy that allows them, or take the clips out with `yozora revoke`."
                )
        policies: dict[str, dict[str, Any]] = {}
        with self._reading() as database:
            for clip in wanted:
                for facts in decisions(database, bytes.fromhex(clip)):
                    entry = policies.setdefault(
                        facts["policy_hash"],
                        {
                            "policy": facts["policy"],
                            "use": facts["use"],
                            "rules": {},
                            "obligations": [],
                        },
                    )
                    entry["rules"][facts["rule"]] = entry["rules"].get(facts["rule"], 0) + 1
                    entry["obligations"] = sorted({*entry["obligations"], *facts["obligations"]})
            head = head_of(database)
        return {
            "clips": len(wanted),
            "list": list_hash(wanted),
            "use": use,
            "policies": policies,
            "ledger": head._asdict(),
        }

    def verify(self, head: Head | None = None) -> list[str]:
        """Read the whole ledger and return a sentence for everything that is not as it was appended.

        head: one that was noted earlier, say in a checkpoint's manifest. Only with one can it be told whether entries
        were cut off the end, or all were written anew.
        """
        try:
            with self._reading() as database:
                return list(problems(database, head))
        except YozoraError as error:
            return [str(error)]
        except (ValueError, TypeError, KeyError) as error:
            return [f"{self.path} holds what no ledger writes: {error}."]

    def _hashes(self, question: str, value: object) -> list[str]:
        with self._reading() as database:
            return [subject.hex() for (subject,) in database.execute(question, (value,))]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A view of the file as it is now. Raises YozoraError when it is no ledger, or damaged."""
        with self._connection() as database:
            database.execute("BEGIN")
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The file for one writer; what the block did is kept when it ends without an error, and only then."""
        with self._connection() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise YozoraError(f"{self.path} is no ledger: there is no such file.")
        try:
            with closing(connect(self.path)) as database:
                (application,) = database.execute("PRAGMA application_id").fetchone()
                if application != APPLICATION:
                    raise YozoraError(
                        f"{self.path} is no ledger, or was cut off at its beginning: take a copy of it."
                    )
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute(f"PRAGMA cache_size = -{CACHE}")
                database.execute("PRAGMA secure_delete = ON")
                database.execute(
                    "PRAGMA temp_store = MEMORY"
                )  # nothing personal in files of its own
                yield database
        except sqlite3.OperationalError as error:
            raise YozoraError(
                f"{self.path} cannot be used now: {error}. Try again, or free the disk."
            ) from error
        except sqlite3.DatabaseError as error:
            raise YozoraError(
                f"{self.path} is damaged: {error}. Take a copy of it from before."
            ) from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that exists; SQLite would else make an empty one."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT, isolation_level=None
    )


# --- rows ------------------------------------------------------------------------------------------

ENTRY = """
    SELECT entries.seq, time, kind, subject, parent, facts, seal, hash, salt, data
    FROM entries LEFT JOIN payloads USING (seq)
"""
ASKED = 10_000  # hashes in one question; for more, all entries are read: a million questions take a minute
History = tuple[str, bytes | None, str | None]  # what says what training may do
HISTORY = "SELECT subject, kind, parent, iif(kind = 'decided', facts, NULL) FROM entries"
STANDINGS = ("allowed", "undecided", "refused", "revoked")  # from best to worst


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An Entry from a row of ENTRY."""
    seq, when, kind, subject, parent, facts, seal, digest, _, data = row
    payload = json.loads(data) if data is not None else None
    erased = seal is not None and data is None
    parent_hex = parent.hex() if parent else ""
    return Entry(
        seq, when, kind, subject.hex(), parent_hex, json.loads(facts), payload, erased, digest.hex()
    )


def check_place(database: sqlite3.Connection, new: New) -> None:
    """Raise YozoraError when an entry is about something that was revoked, or would close a circle."""
    for digest in filter(None, (new.subject, new.parent)):
        if when := revoked_on(database, bytes.fromhex(digest)):
            raise YozoraError(
                f"{digest} was taken back on {when}: it and what is made from it cannot be entered again."
            )
    if new.parent and bytes.fromhex(new.subject) in above(database, bytes.fromhex(new.parent)):
        raise YozoraError(
            f"{new.subject} cannot be made from itself: give the hash of what it was made from."
        )


def add(database: sqlite3.Connection, new: New) -> None:
    """Put an entry at the end of the chain."""
    last = head_of(database)
    seq, before = last.entries + 1, bytes.fromhex(last.hash)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    subject, parent = bytes.fromhex(new.subject), bytes.fromhex(new.parent) or None
    facts, seal = canonical(new.facts), None
    if new.payload is not None:
        salt, data = (
            secrets.token_bytes(16),
            canonical(new.payload, readable=True).encode("utf-8", "replace"),
        )
        seal = sealed(salt, data)
        database.execute("INSERT INTO payloads VALUES (?, ?, ?)", (seq, salt, data))
        names = {plain(holder) for holder in new.holders}
        database.executemany("INSERT INTO holders VALUES (?, ?)", [(name, seq) for name in names])
    if new.members:
        add_list(database, subject, new.members)
    digest = chained(seq, before, when, new.kind, subject, parent, facts, seal)
    row = (seq, when, new.kind, subject, parent, facts, seal, digest)
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def add_list(database: sqlite3.Connection, digest: bytes, members: Iterable[str]) -> None:
    """Store a list of clips, unless it is known."""
    if database.execute("SELECT 1 FROM lists WHERE digest = ?", (digest,)).fetchone():
        return
    number = database.execute("INSERT INTO lists (digest) VALUES (?)", (digest,)).lastrowid
    rows = ((bytes.fromhex(member), number) for member in members)
    database.executemany("INSERT INTO members VALUES (?, ?)", rows)


def canonical(value: Json, readable: bool = False) -> str:
    """A value's canonical JSON, in ASCII unless `readable`. Raises YozoraError when it is none.

    A payload is readable, so that a search of the file for a name in any script finds it, or proves it gone.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=not readable
        )
    except (TypeError, ValueError) as error:
        raise YozoraError(f"Only JSON values can be entered: {error}.") from error


def chained(
    seq: int,
    before: bytes,
    when: str,
    kind: str,
    subject: bytes,
    parent: bytes | None,
    facts: str,
    seal: bytes | None,
) -> bytes:
    """The hash of an entry, which covers everything before it."""
    hexed = [part.hex() if part else "" for part in (before, subject, parent, seal)]
    return hashlib.sha256(json.dumps([seq, when, kind, facts, *hexed]).encode()).digest()


def sealed(salt: bytes, data: bytes) -> bytes:
    """The salted hash that stands for a payload in the chain."""
    return hashlib.sha256(bytes(salt) + bytes(data)).digest()


def head_of(database: sqlite3.Connection) -> Head:
    """The end of the chain."""
    row = database.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(row[0], row[1].hex()) if row else Head(0, START.hex())


def revoked_on(database: sqlite3.Connection, digest: bytes) -> str:
    """When this was taken back; empty when it was not."""
    question = "SELECT time FROM entries WHERE subject = ? AND kind = 'revoked'"
    row = database.execute(question, (digest,)).fetchone()
    return row[0] if row else ""


def below(database: sqlite3.Connection, digest: bytes) -> list[bytes]:
    """This and everything that was made from it."""
    found = {digest: None}
    for one in (queue := [digest]):
        for (subject,) in database.execute(
            "SELECT DISTINCT subject FROM entries WHERE parent = ?", (one,)
        ):
            if subject not in found:
                found[subject] = None
                queue.append(subject)
    return list(found)


def above(database: sqlite3.Connection, digest: bytes) -> list[bytes]:
    """This and everything that it was made from."""
    found = {digest: None}
    for one in (queue := [digest]):
        for parent in parents(database, one):
            if parent not in found:
                found[parent] = None
                queue.append(parent)
    return list(found)


def parents(database: sqlite3.Connection, digest: bytes) -> list[bytes]:
    """What this was made from."""
    question = "SELECT DISTINCT parent FROM entries WHERE subject = ? AND parent IS NOT NULL"
    return [parent for (parent,) in database.execute(question, (digest,))]


def lists_with(database: sqlite3.Connection, clip: bytes) -> list[bytes]:
    """The hashes of the lists that a clip is in."""
    question = "SELECT digest FROM members JOIN lists ON lists.id = list WHERE clip = ?"
    return [digest for (digest,) in database.execute(question, (clip,))]


def histories(
    database: sqlite3.Connection, digests: Iterable[bytes]
) -> dict[bytes, tuple[History, ...]]:
    """What was entered about each of these, in order; nothing of what is not known."""
    found: dict[bytes, tuple[History, ...]] = dict.fromkeys(digests, ())
    if len(found) <= ASKED:
        places = ",".join("?" * len(found))
        rows = database.execute(f"{HISTORY} WHERE subject IN ({places}) ORDER BY seq", [*found])
    else:
        rows = database.execute(f"{HISTORY} ORDER BY seq")
    for subject, *entry in rows:
        if subject in found:
            found[subject] += (tuple(entry),)
    return found


def stands(
    database: sqlite3.Connection, rows: Iterable[History], use: str, known: dict[bytes, str]
) -> str:
    """What training may do with a clip or source of which this was entered; `known` remembers what clips are of."""
    made_from = {parent for _, parent, _ in rows if parent}
    for parent in made_from.difference(known):
        known[parent] = stands(database, histories(database, [parent])[parent], use, known)
    own = [json.loads(facts) for _, _, facts in rows if facts is not None]
    answers = [known[parent] for parent in made_from]
    if own:
        answers = [answer for answer in answers if answer != "undecided"] + [
            stands_by(own[-1], use)
        ]
    if any(kind == "revoked" for kind, _, _ in rows):
        answers = ["revoked"]
    return max(answers, key=STANDINGS.index, default="undecided")


def stands_by(decision: Json, use: str) -> str:
    """What one decision means today for a use: a permission for commercial use covers research, and not the reverse;
    one that has expired permits nothing."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    if not decision["allowed"] or (decision["expires"] and decision["expires"] < today):
        return "refused"
    return "allowed" if decision["use"] in (use, "commercial") else "undecided"


def decisions(database: sqlite3.Connection, digest: bytes) -> Iterator[Json]:
    """The facts of the last decisions on a clip and on what it was made from."""
    question = (
        "SELECT facts FROM entries WHERE subject = ? AND kind = 'decided' ORDER BY seq DESC LIMIT 1"
    )
    for one in above(database, digest):
        for (facts,) in database.execute(question, (one,)):
            yield json.loads(facts)


# --- verifying -------------------------------------------------------------------------------------


def problems(database: sqlite3.Connection, head: Head | None) -> Iterator[str]:
    """What `Ledger.verify` returns."""
    for (line,) in database.execute("PRAGMA quick_check"):
        if line != "ok":
            yield f"The file is damaged: {line}."
    before, expected, missing, forgiven = START, 1, [], set()
    for row in database.execute(f"{ENTRY} ORDER BY entries.seq"):
        seq, when, kind, subject, parent, facts, seal, digest, salt, data = row
        if seq != expected:
            yield f"Entries {expected} to {seq - 1} are missing."
        if digest != chained(seq, before, when, kind, subject, parent, facts, seal):
            yield f"Entry {seq} is not what was appended, or not in its place."
        if data is None and seal is not None:
            missing.append(seq)
        elif data is not None and sealed(salt, data) != seal:
            yield f"The payload of entry {seq} is not what was appended."
        if kind == "revoked":
            forgiven.update(json.loads(facts)["erased"])
        if head and seq == head.entries and digest.hex() != head.hash:
            yield f"Entry {seq} is another one than when its hash was noted."
        before, expected = digest, seq + 1
    if head and expected <= head.entries:
        yield f"There are {expected - 1} entries, and there were {head.entries} when the hash was noted."
    for seq in missing:
        if seq not in forgiven:
            yield f"The payload of entry {seq} is gone, and no revocation says so."
    yield from index_problems(database)


def index_problems(database: sqlite3.Connection) -> Iterator[str]:
    """Lists and holders that are not what their entries say."""
    lists = dict(database.execute("SELECT id, digest FROM lists").fetchall())
    hashes = {number: hashlib.sha256() for number in lists}
    for clip, number in database.execute("SELECT clip, list FROM members ORDER BY clip"):
        hashes.setdefault(number, hashlib.sha256()).update(clip)
    for number, found in hashes.items():
        if found.digest() != lists.get(number):
            yield f"The list of clips {lists.get(number, b'').hex() or number} is not what was appended."
    asked = "SELECT count(*) FROM entries WHERE kind = 'consumed' AND subject NOT IN (SELECT digest FROM lists)"
    lost = database.execute(f"{asked} AND json_extract(facts, '$.clips') > 0").fetchone()[0]
    if lost:
        yield f"{lost} lists of clips are gone."
    names: dict[int, set[str]] = {}
    for seq, data in database.execute("SELECT seq, data FROM payloads"):
        payload = json.loads(data)  # json_extract would end a name at its first NUL
        said = (payload.get("holder"), payload.get("consented_by"))
        names[seq] = {plain(name) for name in said if name}
    indexed: dict[int, set[str]] = {}
    for holder, seq in database.execute("SELECT holder, seq FROM holders"):
        indexed.setdefault(seq, set()).add(holder)
    for seq, holders in indexed.items():
        if not holders <= names.get(seq, set()):
            yield f"The holder of entry {seq} is not what was appended."
    for seq, holders in names.items():
        if not holders <= indexed.get(seq, set()):
            yield f"The holder of entry {seq} cannot be searched for any more."
