"""The ledger: what was appended can be asked, changed nowhere unnoticed, and erased without breaking the chain."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.rights import ledger as module
from yozora.rights import record
from yozora.rights.consent import Consent
from yozora.rights.ledger import Head, Ledger
from yozora.rights.policy import Decision, People
from yozora.rights.record import New
from yozora.rights.signals.signal import Says, Signal

SPAWN = multiprocessing.get_context("spawn")
POLICY = "12" * 32


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def decision(allowed: bool = True, use: str = "research") -> Decision:
    return Decision(
        allowed, "licence.allowed", "Because.", use, "default/1", POLICY, ("MIT",), ("attribution",)
    )


def source(name: str, holder: str = "Ann Example", **more: Any) -> New:
    return record.source(sha(name), by="tests", signals=[], holder=holder, **more)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "rights.ledger")


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Source s of Ann with clips a and b and a latent of a; source t of Bob with clip c; two runs and a tag."""
    raw = Signal(
        "dc.rights",
        Says.ABSENT,
        "xmp/1",
        where="APP1",
        raw="© Ann Exämple 夜空".encode(),
        note="a note",
    )
    people = People(1, (sha("release"),))
    consent = Consent(
        "Ann Example", date(2026, 1, 1), ("research",), None, (), None, sha("pdf"), sha("toml")
    )
    asserted = record.source(
        sha("s"), by="Zoe Asserter", signals=[raw], holder="Ann  EXAMPLE", licence="MIT", url="https://example.org/s",
        terms=sha("terms"), consent=consent, people=people, third_party=["a melody"],
    )  # fmt: skip
    ledger.append(
        asserted,
        record.decided(sha("s"), decision()),
        record.clip(sha("a"), sha("s"), start=0.0, captions=["Ann walks her dog", "東京の犬"]),
        record.clip(sha("b"), sha("s"), start=2.0),
        record.latent(sha("la"), sha("a"), codec="vae@1"),
    )
    ledger.append(source("t", "Bob"), record.clip(sha("c"), sha("t"), captions=["a tram"]))
    ledger.append(record.consumed("tag", "v1", [sha("a"), sha("b"), sha("c")]))
    ledger.append(record.consumed("run", "runs/one", [sha("a"), sha("b"), sha("c")]))
    ledger.append(record.consumed("run", "runs/two", [sha("c")]))
    return ledger


def database(ledger: Ledger) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(ledger.path, isolation_level=None))


# --- asking ----------------------------------------------------------------------------------------


def test_what_is_known_of_a_clip_reaches_up_to_its_source_and_its_consumers(filled: Ledger) -> None:
    known = filled.about(sha("a"))
    assert [entry.kind for entry in known] == ["source", "decided", "clip", "consumed", "consumed"]
    asserted, clip = known[0], known[2]
    assert asserted.payload is not None
    assert asserted.payload["by"] == "Zoe Asserter"
    assert asserted.payload["signals"][0]["raw"] == "© Ann Exämple 夜空"
    assert asserted.facts["signals"] == {"dc.rights": ["absent", "xmp/1"]}
    assert asserted.facts["consent"] == [sha("toml"), sha("pdf")]
    assert (asserted.facts["terms"], asserted.facts["depicted"]) == (sha("terms"), 1)
    assert (clip.subject, clip.parent) == (sha("a"), sha("s"))
    assert [entry.kind for entry in filled.about(sha("la"))][-3:] == [
        "latent",
        "consumed",
        "consumed",
    ]
    assert filled.about(sha("nothing")) == []


def test_the_questions(filled: Ledger) -> None:
    assert filled.sources_of("ann example") == [sha("s")]
    assert filled.clips_of(sha("s")) == sorted([sha("a"), sha("b")])
    assert [entry.facts["name"] for entry in filled.consumers(sha("c"))] == [
        "v1",
        "runs/one",
        "runs/two",
    ]
    assert [entry.facts["name"] for entry in filled.consumers(sha("a"))] == ["v1", "runs/one"]
    assert filled.consumers(sha("x")) == []


def test_a_list_that_many_read_is_stored_once(filled: Ledger) -> None:
    with database(filled) as db:
        assert db.execute("SELECT count(*) FROM lists").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM members").fetchone() == (4,)


def test_standing_is_the_worst_of_a_clip_and_what_it_is_made_from(filled: Ledger) -> None:
    assert filled.standing([sha("a"), sha("b"), sha("c"), sha("x")]) == {
        "allowed": [sha("a"), sha("b")], "undecided": [sha("c"), sha("x")], "refused": [], "revoked": [],
    }  # fmt: skip
    assert filled.standing([sha("a")], use="commercial")["undecided"] == [sha("a")]
    filled.append(record.decided(sha("a"), decision(allowed=False)))
    assert filled.standing([sha("a")])["refused"] == [sha("a")]
    filled.append(record.decided(sha("a"), decision(use="commercial")))
    assert filled.standing([sha("a")])["allowed"] == [sha("a")]
    filled.append(record.decided(sha("s"), decision(allowed=False)))
    assert filled.standing([sha("a"), sha("b")])["refused"] == [sha("a"), sha("b")]


def test_very_many_clips_stand_as_each_by_itself(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [sha(name) for name in "abcx"]
    filled.revoke([sha("b")], "takedown")
    each = [filled.standing([clip], use) for clip in clips for use in ("research", "commercial")]
    monkeypatch.setattr("yozora.rights.ledger.ASKED", 0)
    assert each == [
        filled.standing([clip], use) for clip in clips for use in ("research", "commercial")
    ]
    assert {name for found in each for name, held in found.items() if held} >= {
        "revoked",
        "undecided",
    }


def test_a_manifest_is_given_for_allowed_clips_only_and_holds_nothing_personal(
    filled: Ledger,
) -> None:
    with pytest.raises(YozoraError, match="1 of 2 clips are undecided for research use"):
        filled.manifest([sha("a"), sha("c")])
    manifest = filled.manifest([sha("b"), sha("a"), sha("a")])
    assert manifest["clips"] == 2
    assert manifest["list"] == record.list_hash([sha("a"), sha("b")])
    assert manifest["ledger"] == filled.head()._asdict()
    assert manifest["policies"][POLICY]["rules"] == {"licence.allowed": 2}
    assert manifest["policies"][POLICY]["obligations"] == ["attribution"]
    assert "Ann" not in json.dumps(manifest)


# --- appending -------------------------------------------------------------------------------------


def test_an_append_is_whole_or_nothing(filled: Ledger) -> None:
    before = filled.head()
    with pytest.raises(YozoraError, match="cannot be made from itself"):
        filled.append(source("new"), record.clip(sha("s"), sha("a")))
    assert filled.head() == before
    assert filled.append() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: record.clip("ab", sha("s")),
        lambda: record.clip(sha("s").upper(), sha("s")),
        lambda: record.consumed("eater", "x", []),
        lambda: record.consumed("run", "a run with blanks", []),
        lambda: record.decided(sha("s"), Decision(True, "a rule", "", "research", "p", POLICY)),
    ],
)
def test_what_stays_for_ever_is_hashes_and_codes(make: Any) -> None:
    with pytest.raises(YozoraError, match=r"SHA-256|consumes no clips|cannot be entered"):
        make()


def test_creating_and_opening(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(YozoraError, match="exists already"):
        Ledger.create(ledger.path)
    with pytest.raises(YozoraError, match="no such file"):
        Ledger.open(tmp_path / "none")
    (tmp_path / "text").write_text("not a ledger, and long enough to be read as one" * 10)
    with pytest.raises(YozoraError, match="damaged"):
        Ledger.open(tmp_path / "text")
    (tmp_path / "empty").touch()
    with pytest.raises(YozoraError, match="no ledger"):
        Ledger.open(tmp_path / "empty")
    assert Ledger.open(ledger.path).head() == Head(0, "00" * 32)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_writer_left_is_not_applied_to_another_ledger(filled: Ledger) -> None:
    killed(die_within_an_append, filled.path)
    filled.path.unlink()
    with pytest.raises(YozoraError, match="would damage a new one"):
        Ledger.create(filled.path)


HASHES = st.integers(0, 5).map(sha)
TEXT = st.text(max_size=30)
APPENDS = st.lists(
    st.one_of(
        st.builds(
            lambda s, h, by: record.source(s, by=by, signals=[], holder=h), HASHES, TEXT, TEXT
        ),
        st.builds(
            lambda c, s, t: record.clip(c, s, captions=[t]), HASHES, st.just(sha("source")), TEXT
        ),
        st.builds(lambda c: record.consumed("run", "r", c), st.lists(HASHES)),
    ),
    max_size=12,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(appended=APPENDS, size=st.integers(1, 4), number=st.integers())
def test_replay_equals_what_was_appended(
    tmp_path: Path, appended: list[New], size: int, number: int
) -> None:
    path = tmp_path / "replay.ledger"
    path.unlink(missing_ok=True)
    ledger = Ledger.create(path)
    for start in range(0, len(appended), size):
        ledger.append(*appended[start : start + size])
    found = list(ledger.entries())
    assert [entry.seq for entry in found] == list(range(1, len(appended) + 1))
    for entry, new in zip(found, appended, strict=True):
        assert (entry.kind, entry.subject, entry.parent) == (new.kind, new.subject, new.parent)
        assert entry.facts == new.facts
        expected = json.loads(
            json.dumps(new.payload, ensure_ascii=False).encode("utf-8", "replace")
        )
        assert entry.payload == expected
    assert ledger.verify(ledger.head()) == []


# --- tampering and damage --------------------------------------------------------------------------

FORGERIES = {
    "a fact": "UPDATE entries SET facts = replace(facts, 'true', 'false') WHERE kind = 'decided'",
    "a time": "UPDATE entries SET time = '2020-01-01T00:00:00Z' WHERE seq = 2",
    "an entry out of the middle": "DELETE FROM entries WHERE seq = 4",
    "the last entry": "DELETE FROM entries WHERE seq = 10",
    "a payload": "UPDATE payloads SET data = replace(data, 'Zoe', 'Zed') WHERE seq = 1",
    "a payload's bytes": "UPDATE payloads SET salt = zeroblob(16) WHERE seq = 1",
    "a payload erased without a tombstone": "DELETE FROM payloads WHERE seq = 3",
    "a member of a list": "DELETE FROM members WHERE clip = (SELECT min(clip) FROM members)",
    "a list": "DELETE FROM lists WHERE id = 1",
    "a holder's name": "UPDATE holders SET holder = 'bob'",
    "a holder": "DELETE FROM holders WHERE seq = 1",
}


@pytest.mark.parametrize("what", FORGERIES)
def test_every_forgery_is_found(what: str, filled: Ledger) -> None:
    head = filled.head()
    assert filled.verify(head) == []
    with database(filled) as db:
        for trigger in ("entries_stay", "entries_are_final"):
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute(FORGERIES[what])
        assert db.execute("SELECT changes()").fetchone()[0] > 0
    assert filled.verify(head)


def test_a_chain_that_was_written_anew_differs_from_a_noted_head(
    filled: Ledger, tmp_path: Path
) -> None:
    head = filled.head()
    other = Ledger.create(tmp_path / "other.ledger")
    for number in range(head.entries):
        other.append(source(f"n{number}"))
    assert other.verify() == []
    assert other.verify(head) == ["Entry 10 is another one than when its hash was noted."]


def test_entries_cannot_be_changed_by_mistake(filled: Ledger) -> None:
    with database(filled) as db:
        for command in ("DELETE FROM entries", "UPDATE entries SET time = ''"):
            with pytest.raises(sqlite3.IntegrityError, match=r"entries (stay|are final)"):
                db.execute(command)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_noticed(tmp_path: Path, part: float) -> None:
    path = tmp_path / "whole.ledger"
    if not path.exists():
        Ledger.create(path).append(*(source(f"s{number}") for number in range(200)))
    head = Ledger.open(path).head()
    data = path.read_bytes()
    cut = tmp_path / "cut.ledger"
    cut.write_bytes(data[: int(part * len(data))])
    assert Ledger(cut).verify(), "a cut ledger passed for whole"
    assert Ledger(cut).verify(head)


# --- revoking --------------------------------------------------------------------------------------


def bytes_on_disk(ledger: Ledger) -> bytes:
    return b"".join(
        path.read_bytes() for path in sorted(ledger.path.parent.rglob("*")) if path.is_file()
    )


def test_revoking_a_clip_erases_its_words_and_keeps_the_chain(filled: Ledger) -> None:
    head = filled.head()
    words = [b"Ann walks her dog", "東京の犬".encode()]
    assert all(word in bytes_on_disk(filled) for word in words)
    gone = filled.revoke([sha("a")], "takedown")
    assert gone == [sha("a"), sha("la")]
    assert not any(word in bytes_on_disk(filled) for word in words)
    assert filled.verify(head) == []
    clip, stone = (
        next(e for e in filled.about(sha("a")) if e.kind == kind) for kind in ("clip", "revoked")
    )
    assert (clip.payload, clip.erased) == (None, True)
    assert (stone.payload, stone.facts) == (None, {"reason": "takedown", "erased": [clip.seq]})
    assert filled.standing([sha("a"), sha("b")]) == {
        "allowed": [sha("b")], "undecided": [], "refused": [], "revoked": [sha("a")],
    }  # fmt: skip
    assert [entry.facts["name"] for entry in filled.consumers(sha("a"))] == ["v1", "runs/one"]


def test_revoking_a_holder_leaves_no_personal_word(filled: Ledger) -> None:
    gone = filled.revoke(filled.sources_of("Ann Example"), "consent-withdrawn")
    assert set(gone) == {sha("s"), sha("a"), sha("b"), sha("la")}
    left = bytes_on_disk(filled).lower()
    for word in (
        "ann",
        "zoe",
        "asserter",
        "exämple",
        "夜空",
        "example.org",
        "melody",
        "because",
        "dog",
    ):
        assert word.encode() not in left, word
    assert b"a tram" in left
    assert filled.sources_of("Ann Example") == []
    assert filled.verify() == []


def test_what_is_revoked_stays_out(filled: Ledger) -> None:
    filled.revoke([sha("s"), sha("unseen")], "law")
    for entry in (
        source("s"),
        record.clip(sha("d"), sha("s")),
        record.latent(sha("l"), sha("a")),
        source("unseen"),
    ):
        with pytest.raises(YozoraError, match="was taken back on"):
            filled.append(entry)
    assert filled.standing([sha("unseen")])["revoked"] == [sha("unseen")]


def test_revoking_again_changes_nothing(filled: Ledger) -> None:
    first = filled.revoke([sha("s")], "licence")
    head = filled.head()
    assert filled.revoke([sha("s")], "licence") == first
    assert filled.head() == head
    with pytest.raises(YozoraError, match="no reason"):
        filled.revoke([sha("s")], "because Ann said so")


def test_much_that_is_erased_leaves_nothing_in_the_file(ledger: Ledger) -> None:
    """Long payloads take pages of their own, and B-trees move what is short: no copy may stay behind."""
    for batch in range(10):
        ledger.append(
            *(
                source(f"s{batch}-{n}", f"Holder{n % 7}X", url="SECRET" * (50 * n))
                for n in range(40)
            )
        )
    ledger.revoke(ledger.sources_of("Holder3X"), "takedown")
    left = bytes_on_disk(ledger).lower()
    assert b"holder3x" not in left
    assert b"holder4x" in left
    ledger.revoke(
        [entry.subject for entry in ledger.entries() if entry.kind == "source"], "takedown"
    )
    left = bytes_on_disk(ledger)
    assert b"SECRET" not in left
    assert not re.search(rb"holder\dx", left, re.IGNORECASE)
    assert ledger.verify() == []


def test_a_revocation_killed_before_the_file_was_swept_finishes_when_rerun(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_sweep", lambda self: None)
        gone = filled.revoke([sha("s")], "takedown")
    with database(filled) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    head = filled.head()
    assert filled.revoke([sha("s")], "takedown") == gone
    with database(filled) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
    assert filled.head() == head
    assert filled.verify(head) == []


# --- several processes, and killed ones ------------------------------------------------------------


def append_many(path: Path, name: str, count: int) -> None:
    ledger = Ledger.open(path)
    for number in range(count):
        ledger.append(
            source(f"{name}{number}", name),
            record.clip(sha(f"{name}c{number}"), sha(f"{name}{number}")),
        )


def test_several_processes_append_at_once(ledger: Ledger) -> None:
    names = ("one", "two", "three")
    workers = [SPAWN.Process(target=append_many, args=(ledger.path, name, 8)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert ledger.head().entries == 3 * 8 * 2
    assert ledger.verify() == []
    for name in names:
        assert len(ledger.sources_of(name)) == 8


def append_until_killed(path: Path, acknowledged: Any) -> None:
    ledger = Ledger.open(path)
    for number in range(10**6):
        ledger.append(
            source(f"k{number}", url="x" * 3000), record.clip(sha(f"kc{number}"), sha(f"k{number}"))
        )
        acknowledged.value = number + 1


def die_within_an_append(path: Path) -> None:
    """Far more than fits SQLite's cache, so that half of it is in the file already, when the process is killed."""

    def entries() -> Iterator[New]:
        for number in range(1500):
            yield source(f"torn{number}", url="torn" * 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    module.CACHE = 1000
    with Ledger.open(path)._writing() as writing:
        for entry in entries():
            module.add(writing, entry)


def die_within_a_revocation(path: Path) -> None:
    ledger = Ledger.open(path)
    add, count = module.add, [0]

    def dying(*arguments: Any) -> None:
        add(*arguments)
        count[0] += 1
        if count[0] == 20:
            os.kill(os.getpid(), signal.SIGKILL)

    module.add = dying
    ledger.revoke(ledger.sources_of("Ann Example"), "takedown")


def killed(target: Any, *arguments: Any) -> None:
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_what_was_acknowledged_survives_a_kill_at_any_moment(ledger: Ledger) -> None:
    for target in (2, 7, 5):
        acknowledged = SPAWN.Value("i", 0)
        process = SPAWN.Process(target=append_until_killed, args=(ledger.path, acknowledged))
        process.start()
        while acknowledged.value < target:
            assert process.is_alive()
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert ledger.verify() == []
        clips = [sha(f"kc{number}") for number in range(acknowledged.value)]
        assert all(ledger.about(clip) for clip in clips)


def test_an_append_torn_by_a_kill_is_undone(filled: Ledger) -> None:
    head, size = filled.head(), filled.path.stat().st_size
    killed(die_within_an_append, filled.path)
    assert filled.path.stat().st_size > size
    assert Ledger.open(filled.path).head() == head
    assert filled.verify(head) == []
    assert b"torntorn" not in bytes_on_disk(filled)
    assert filled.append(source("after")).entries == head.entries + 1


def test_a_killed_revocation_finishes_when_rerun(ledger: Ledger) -> None:
    ledger.append(*(source(f"s{number}", url="SECRET" * 100) for number in range(100)))
    killed(die_within_a_revocation, ledger.path)
    assert len(ledger.sources_of("Ann Example")) == 100
    assert len(ledger.revoke(ledger.sources_of("Ann Example"), "takedown")) == 100
    assert b"SECRET" not in bytes_on_disk(ledger)
    assert ledger.verify() == []
