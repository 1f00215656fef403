"""A sample and what reviewers answered: one SQLite file a sample, DIR/review/NAME.sqlite.

SQLite for the reasons the rights ledger has: several reviewers write at once, a killed writer leaves nothing half done,
and what is taken back is erased. Answers are only ever added; of a reviewer's answers to one clip the last counts. An
answer to a clip that is no longer in the sample is refused by the file itself, so that no writer can be too late.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from yozora.artifact import scratch, sync
from yozora.corpus.catalogue import Corpus
from yozora.corpus.lock import locked
from yozora.errors import YozoraError
from yozora.review.questions import NOTE, Said
from yozora.review.sample import Drawn, Sample, draw

FOLDER = "review"
APPLICATION = 0x595A5631  # "YZV1", in SQLite's header: this file is a sample of the first format
WAIT = 60.0  # seconds that a writer waits for the others
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
REVIEWER = re.compile(r"[^\W_][\w .'-]{0,39}")

SCHEMA = f"""
    CREATE TABLE fields (name TEXT NOT NULL);
    CREATE TABLE clips (
        place INTEGER PRIMARY KEY, clip TEXT NOT NULL UNIQUE, stratum TEXT NOT NULL, weight REAL NOT NULL
    );
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY, time TEXT NOT NULL, reviewer TEXT NOT NULL, said TEXT NOT NULL, note TEXT NOT NULL,
        clip TEXT NOT NULL REFERENCES clips (clip) ON DELETE CASCADE
    );
    CREATE INDEX of_clip ON answers (clip);
    PRAGMA application_id = {APPLICATION};
"""


@dataclass(frozen=True)
class Answer:
    """What a reviewer said of a clip. time: in UTC."""

    clip: str
    reviewer: str
    said: Said
    note: str = ""
    time: str = ""


class Review:
    """A sample with its answers: `Review.create`, or `Review.open` for one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """What the sample is called."""
        return self.path.stem

    @classmethod
    def create(cls, directory: Path, name: str, sample: Sample) -> Review:
        """Stores a sample of the corpus in ``directory``. Raises YozoraError when the name is taken, or is none."""
        if not NAME.fullmatch(name):
            raise YozoraError(
                f"'{name}' cannot name a sample: use letters, digits, '.', '_' and '-'."
            )
        path = directory / FOLDER / f"{name}.sqlite"
        with scratch(path.parent, path.name) as folder:
            part = folder / path.name
            with closing(sqlite3.connect(part)) as database, database:
                database.executescript(SCHEMA)
                database.executemany("INSERT INTO fields VALUES (?)", [(by,) for by in sample.by])
                database.executemany(
                    "INSERT INTO clips (clip, stratum, weight) VALUES (?, ?, ?)",
                    [(one.clip, json.dumps(one.stratum), one.weight) for one in sample.clips],
                )
            sync(part)
            try:
                path.hardlink_to(part)  # unlike a rename, never over another one
            except FileExistsError:
                raise YozoraError(
                    f"{directory} has a sample '{name}' already: choose another --name."
                ) from None
        return cls(path)

    @classmethod
    def open(cls, directory: Path, name: str | None = None) -> Review:
        """The sample of this name, or the only one. Raises YozoraError when there is none such."""
        there = {review.name: review for review in reviews(directory)}
        if not there:
            raise YozoraError(
                f"{directory} has no sample yet: `yozora review sample {directory} --clips 100` draws one."
            )
        if name is None and len(there) > 1:
            raise YozoraError(f"{directory} has several samples: give --name {', '.join(there)}.")
        chosen = next(iter(there)) if name is None else name
        if chosen not in there:
            raise YozoraError(f"{directory} has no sample '{name}', but {', '.join(there)}.")
        return there[chosen]

    def sample(self) -> Sample:
        """The clips that were drawn, less those that were taken back."""
        with self._connection() as database:
            by = [name for (name,) in database.execute("SELECT name FROM fields ORDER BY rowid")]
            question = "SELECT clip, stratum, weight FROM clips ORDER BY place"
            clips = [Drawn(c, tuple(json.loads(s)), w) for c, s, w in database.execute(question)]
        return Sample(tuple(by), tuple(clips))

    def holds(self, clip: str) -> bool:
        """Whether this clip is in the sample."""
        with self._connection() as database:
            found = database.execute("SELECT 1 FROM clips WHERE clip = ?", (clip,))
            return found.fetchone() is not None

    def add(self, answer: Answer) -> None:
        """Stores an answer; it is on disk when this returns.

        Raises YozoraError when the clip is not in the sample, the name cannot be a reviewer's, or the note is too long.
        """
        reviewer = check_reviewer(answer.reviewer)
        if len(answer.note) > NOTE:
            raise YozoraError(f"A note has {NOTE} characters at most, not {len(answer.note)}.")
        values = (reviewer, json.dumps(answer.said), answer.note, answer.clip)
        try:
            with self._connection() as database:
                database.execute(
                    "INSERT INTO answers (time, reviewer, said, note, clip) "
                    "VALUES (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?, ?, ?, ?)",
                    values,
                )
        except sqlite3.IntegrityError:
            raise YozoraError(
                f"The clip {answer.clip[:16]} is not in the sample '{self.name}' (any more): go on with the next one."
            ) from None

    def history(self) -> list[Answer]:
        """Every answer that was ever given, in that order."""
        with self._connection() as database:
            question = "SELECT clip, reviewer, said, note, time FROM answers ORDER BY seq"
            return [
                Answer(c, r, json.loads(s), n, t) for c, r, s, n, t in database.execute(question)
            ]

    def answers(self) -> list[Answer]:
        """Each reviewer's last answer to each clip, in the order of the first ones."""
        return list({(one.clip, one.reviewer): one for one in self.history()}.values())

    def forget(self, clips: Collection[str]) -> None:
        """Erases clips and what was said of them from the file, so that its bytes hold nothing of them."""
        with self._connection() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM clips WHERE clip = ?", [(clip,) for clip in clips])
            database.execute("COMMIT")
            database.execute("VACUUM")  # a B-tree may hold copies that secure_delete does not see

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The file. Raises YozoraError when it is no sample, damaged or cannot be written."""
        where = f"{self.path.absolute().as_uri()}?mode=rw"  # a file that is gone stays gone
        try:
            with closing(
                sqlite3.connect(where, uri=True, timeout=WAIT, isolation_level=None)
            ) as database:
                (application,) = database.execute("PRAGMA application_id").fetchone()
                if application != APPLICATION:
                    raise YozoraError(f"{self.path} is no sample: move it away.")
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute("PRAGMA foreign_keys = ON")
                database.execute("PRAGMA secure_delete = ON")
                database.execute("PRAGMA temp_store = MEMORY")  # nothing personal in other files
                yield database
        except sqlite3.OperationalError as error:
            raise YozoraError(
                f"{self.path} cannot be used now: {error}. Try again, or free the disk."
            ) from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise YozoraError(f"{self.path} is damaged: {error}. Draw a new sample.") from error


def draw_review(
    corpus: Corpus, name: str, clips: int, *, by: Sequence[str], kind: str | None, seed: int
) -> tuple[Review, Sample]:
    """Draws a sample of a corpus and stores it, while nothing is taken back. Raises as `draw` and `Review.create` do,
    and when clips are being taken back."""
    with locked(corpus.path, alone=False):
        sample = draw(corpus.rows(kind=kind, masters=False), clips, by=by, seed=seed)
        return Review.create(corpus.path, name, sample), sample


def reviews(directory: Path) -> list[Review]:
    """All samples of a corpus, by name."""
    return [Review(path) for path in sorted((directory / FOLDER).glob("*.sqlite"))]


def forget(directory: Path, clips: Collection[str]) -> None:
    """Erases these clips from all samples of a corpus, with all that was said of them."""
    for review in reviews(directory):
        review.forget(clips)


def remains(directory: Path, clips: Collection[str]) -> list[str]:
    """What the samples of a corpus still hold of these clips, a sentence each."""
    return [
        f"{review.path} has {clip}"
        for review in reviews(directory)
        for clip in clips
        if clip.encode() in review.path.read_bytes()
    ]


def check_reviewer(name: str) -> str:
    """The name as it is stored. Raises YozoraError when it cannot be one."""
    tidy = unicodedata.normalize("NFC", " ".join(name.split()))
    if not REVIEWER.fullmatch(tidy):
        raise YozoraError(
            "A reviewer's name has 40 letters at most, digits, spaces and . ' - among them: choose another one."
        )
    return tidy
