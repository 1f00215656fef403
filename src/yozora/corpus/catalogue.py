"""A corpus on disk: clips as files named by their content, a Lance catalogue, and what was dropped.

    DIR/clips/ab/ab….mp4     visually lossless, H.264 as a rule, named by the SHA-256 of the frames it was made from
    DIR/catalogue.lance      one row a clip (schema.py); a commit adds its rows whole or not at all
    DIR/drops.jsonl          what was refused, a line each, with the reason
    DIR/finished.jsonl       files that were taken in to their end, a line each, so that nobody reads them again
    DIR/rights.ledger        whose each clip is, what was decided on it, and who took it in (see rights/)
    DIR/policy.toml          the policy that decides, where it is not the one that comes with yozora

A clip is in the ledger before its row is committed, and its file in place before both, so that a process killed at any
moment leaves at most files and entries without a row; adding the same clips again finds them. A clip that comes again
from its own source, with other captions, rights or split, changes its row; what it came with before and still does is
no reason to forget a caption that was made of it since (captions.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from yozora import video
from yozora.artifact import building, scratch, write_atomic
from yozora.corpus import notes, tables
from yozora.corpus.captions import keeping
from yozora.corpus.lock import locked, writing
from yozora.corpus.recording import Recorder, clip_hash
from yozora.corpus.schema import (
    FILE,
    HASH,
    HIDDEN,
    SCHEMA,
    Row,
    check_record,
    from_table,
    same_source,
    source_digest,
    span_of,
    start_of,
    to_table,
)
from yozora.corpus.spans import Spans
from yozora.errors import YozoraError
from yozora.rights import record
from yozora.rights.intake import named_source
from yozora.rights.ledger import Ledger
from yozora.rights.policy import Policy
from yozora.rights.policy_file import load_policy
from yozora.video import SPLITS, Clip, Record

STAGE = "corpus/1"
LEDGER, REVOKING = "rights.ledger", "revoking.json"
COMMIT_ROWS = 256
COMMIT_SECONDS = 20.0  # a slow source must not keep finished clips out of the catalogue
COMPACT_ABOVE = 64  # fragments; reading slows down with their number


@dataclass(frozen=True)
class Added:
    """What an add did: clips that are new, clips the corpus had just so, and clips whose row was changed.

    revoked: the sources of clips that were taken back once and did not come in again, with a sentence each.
    """

    added: int
    duplicates: int
    updated: int = 0
    revoked: list[tuple[str, str]] = field(default_factory=list)


class Corpus:
    """A collection of clips with captions and rights. `Corpus.create(dir)` or `Corpus.open(dir)`.

    state: the catalogue as it was when it was tagged so, or in that version, for reading only; empty for the present.
    """

    def __init__(self, path: Path, state: str | int = "") -> None:
        self.path, self.state = path, state

    def __getstate__(self) -> dict[str, Any]:
        """Absolute, since whoever it is sent to may work in another folder."""
        return {"path": self.path.absolute(), "state": self.state}

    @classmethod
    def create(cls, directory: str | Path) -> Corpus:
        """A new, empty corpus. Raises YozoraError when the directory holds something."""
        path = Path(directory)
        with building(path, stage=STAGE, inputs={}, parameters={}) as folder:
            (folder / "clips").mkdir()
            lance.write_dataset(SCHEMA.empty_table(), str(folder / "catalogue.lance"))
            Ledger.create(folder / LEDGER)
        return cls(path)

    @classmethod
    def open(cls, directory: str | Path) -> Corpus:
        """An existing corpus: DIR, or DIR@TAG for the state that was tagged so.

        Raises YozoraError when there is none.
        """
        base, _, name = str(directory).rpartition("@")
        tagged = bool(base) and (Path(base) / "catalogue.lance").is_dir()
        path, tag = (Path(base), name) if tagged else (Path(directory), "")
        if not (path / "catalogue.lance").is_dir():
            raise YozoraError(
                f"{path} is no corpus: `yozora ingest` and `yozora world render --corpus` make one."
            )
        corpus = cls(path, tag)
        if tag and tag not in corpus.tags():
            known = ", ".join(corpus.tags()) or "none"
            raise YozoraError(f"{path} has no tag '{tag}'; its tags are {known}.")
        return corpus

    # --- reading -------------------------------------------------------------------------------

    def rows(
        self, split: str | None = None, kind: str | None = None, *, masters: bool = True
    ) -> list[Row]:
        """The catalogue's rows in the order they were added or changed; `kind` is "world" or "footage".

        Without ``masters``, only what is to be looked at clip by clip: see `Row.role`.
        """
        wanted = [condition(split, kind), None if masters else "master != id"]
        found = " AND ".join(one for one in wanted if one)
        return from_table(self._dataset().to_table(filter=found or None))

    def batches(self, columns: list[str], kind: str | None = None) -> Iterator[Any]:
        """Some columns of all rows, as Arrow record batches: for what has to look at every row."""
        yield from self._dataset().to_batches(columns=columns, filter=condition(None, kind))

    def table(
        self, columns: Sequence[str], split: str | None = None, kind: str | None = None
    ) -> pa.Table:
        """Ids and some columns of the rows, in their order, as an Arrow table: for what looks at very many."""
        wanted = list(dict.fromkeys(["id", *columns]))
        table = self._dataset().to_table(columns=wanted, filter=condition(split, kind))
        if pc.count_distinct(table["id"]).as_py() < len(table):
            first = {clip: place for place, clip in reversed([*enumerate(table["id"].to_pylist())])}
            table = table.take(sorted(first.values()))
        return table

    def ids(self, split: str | None = None, kind: str | None = None) -> list[str]:
        """The ids of the rows, in their order."""
        found: list[str] = self.table([], split, kind)["id"].to_pylist()
        return found

    def pick(self, clips: Iterable[str]) -> dict[str, Row]:
        """The rows of these clips, by id; without those that are not there."""
        wanted = ", ".join(f"'{digest}'" for digest in clips)
        if not wanted:
            return {}
        rows = from_table(self._dataset().to_table(filter=f"id IN ({wanted})"))
        return {row.id: row for row in rows}

    def read(
        self, row: Row, *, fps: float | None = None, size: tuple[int, int] | None = None
    ) -> Clip:
        """A row's clip, at another frame rate or size on request. Raises YozoraError when its file is gone."""
        return video.read(self.file(row), fps=fps, size=size)

    def file(self, row: Row) -> Path:
        """Where a row's clip lies. Raises YozoraError when its file is gone."""
        path = self.path / row.path
        if not path.exists():
            raise YozoraError(f"{path} is missing: add the clip's source to the corpus again.")
        return path

    def identity(self) -> str:
        """The hash of which clips there are, with which captions and splits; order does not count."""
        table = self.table(["split", "captions"]).sort_by("id")
        captions = table["captions"]
        digest = hashlib.sha256(np.asarray(pc.list_value_length(captions), "<i8").tobytes())
        for texts in (table["id"], table["split"], pc.list_flatten(captions)):
            for part in packed(texts):
                digest.update(part)
        return digest.hexdigest()

    def tags(self) -> list[str]:
        """The names that states of the catalogue were given, in alphabetical order."""
        return sorted(lance.dataset(self._catalogue).tags.list())

    def drops(self) -> list[dict[str, Any]]:
        """What is refused: the last word on each source, and on each clip of one that was left out, counts.

        {"source", "reason", "rule", "start", "canvas", "clip"} each. The second at which the clip starts is None for a
        source as a whole; its canvas then is "", and so is the clip's id unless it is noted by that.
        """
        return notes.read_drops(self.path)

    def finished(self) -> dict[str, list[str]]:
        """The clips of each file that was taken in to its end, by the key that `finish` was given; without those of
        which a clip is no longer there."""
        marks = notes.read_finished(self.path)
        if not marks:
            return {}
        ids, paths = (column.to_pylist() for column in self.table(["path"]).columns)
        lost = set(self.absent(paths))
        known = {clip for clip, path in zip(ids, paths, strict=True) if path not in lost}
        return {key: clips for key, clips in marks.items() if known.issuperset(clips)}

    def footage(self) -> Iterator[tuple[str, int | None, str, bool]]:
        """Each clip of footage: its id, the bits of its perceptual hash if it has one, the hash of its file, and
        whether faces in it are hidden."""
        for batch in self.batches(["id", "labels"], kind="footage"):
            labels = batch["labels"]
            hashes = pc.struct_field(pc.extract_regex(labels, HASH), "hash").to_pylist()
            files = pc.struct_field(pc.extract_regex(labels, FILE), "file").to_pylist()
            hidden = pc.match_substring(labels, HIDDEN).to_pylist()
            for clip, bits, *facts in zip(
                batch["id"].to_pylist(), hashes, files, hidden, strict=True
            ):
                yield clip, None if bits is None else int(bits, 16), facts[0] or "", facts[1]

    def absent(self, paths: Iterable[str]) -> list[str]:
        """Those of these paths inside the corpus at which there is no file.

        Folders are listed: to ask for a million files one by one takes half a minute.
        """
        wanted = list(paths)
        there = set[str]()
        for folder in {path.rpartition("/")[0] for path in wanted}:
            with suppress(FileNotFoundError), os.scandir(self.path / folder) as entries:
                there.update(f"{folder}/{entry.name}" for entry in entries)
        return [path for path in wanted if path not in there]

    def pinned(self) -> Corpus:
        """The corpus as it is now, whatever others add meanwhile; for reading only."""
        return Corpus(self.path, self.state or self._dataset().version)

    # --- rights --------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """Whose the clips are, what was decided on them, and who took them in."""
        path = self.path / LEDGER
        if not path.exists():
            raise YozoraError(
                f"{path} is gone, and nobody can say what the clips of {self.path} may be used for: put it back, "
                "or take the footage into a new corpus."
            )
        return Ledger(path)

    @property
    def policy(self) -> Policy:
        """The policy that decides on footage: the corpus's own, else the one that comes with yozora."""
        return load_policy(self.own_policy)

    @property
    def own_policy(self) -> Path | None:
        """The corpus's own policy file, if it has one."""
        own = self.path / "policy.toml"
        return own if own.exists() else None

    def set_policy(self, file: str | Path) -> Policy:
        """Makes a policy file the corpus's own: it decides on what is taken in from now on. Raises as `load_policy`."""
        policy = load_policy(file)
        write_atomic(self.path / "policy.toml", Path(file).read_bytes())
        return policy

    def cleared(self, clips: Iterable[str]) -> dict[str, Any]:
        """The rights manifest of these clips, for the header of what is trained on them.

        Raises YozoraError unless every one of them is allowed for the use that the policy is for, and while clips are
        being taken back.
        """
        self._require_settled()
        return self.ledger.manifest(clips, self.policy.use)

    def encoded(self, clips: Iterable[str], where: str) -> None:
        """Enters that latents of these clips were made; where: their folder, which names codec and shape."""
        self.ledger.append(
            *(record.latent(named_source(f"{where}/{clip}"), clip, codec=where) for clip in clips)
        )

    def consumed(self, by: str, name: str | Path, clips: Iterable[str]) -> None:
        """Enters that a tag, run, checkpoint or export (`by`) took these clips in.

        Of a path its last part is kept: entries stay for ever, and folders above may be called after people.
        """
        code = re.sub(r"[^\w.:@+-]", "_", Path(name).absolute().name, flags=re.ASCII)[-200:]
        self.ledger.append(record.consumed(by, code or "_", clips))

    def inherited(self, *rights: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """What weights with these manifests of rights have seen, and so has all that goes on from them: the hashes of
        the lists of clips, and those of the clips that the ledger knows."""
        known = [one for one in rights if "list" in one]
        lists = list(
            dict.fromkeys(
                name for one in known for name in (one["list"], *one.get("inherited", []))
            )
        )
        return lists, [clip for one in lists for clip in self.ledger.members(one)]

    # --- writing -------------------------------------------------------------------------------

    def add(
        self,
        items: Iterable[tuple[Clip, Record]],
        *,
        progress: Callable[[int], None] | None = None,
        workers: int = 2,
    ) -> Added:
        """Store clips and their records; what is there already is not added twice.

        A clip that is there takes the new record when it comes from the same source; of several records for one clip
        the first counts. items are taken one by one and encoded by `workers` threads; rows are committed every few
        hundred clips. progress is called with the number of clips done. Several processes may add to one corpus at
        once.
        Raises YozoraError when a record has no licence, or a file cannot be written.
        """
        self._require_present()
        with self.recorder() as recorder:
            return self.enter(self._stored(items, recorder, workers), progress=progress)

    @contextmanager
    def recorder(self) -> Iterator[Recorder]:
        """What puts clips in their place and makes their rows; `enter` makes them known. Any process may record."""
        with scratch(self.path, "incoming") as folder:
            yield Recorder(self.path, folder)

    def enter(
        self,
        rows: Iterable[Row | None],
        *,
        progress: Callable[[int], None] | None = None,
        committed: Callable[[], None] = lambda: None,
    ) -> Added:
        """Make stored clips known, as `add` does; None stands for a clip that came before.

        Clips are to be stored while this is at work, so that what nobody knows yet is not taken for a leftover.
        ``committed`` is called whenever all rows so far are known for good. Raises YozoraError as `add` does, and while
        clips are being taken back.
        """
        self._require_present()
        pending: list[Row] = []
        revoked: list[tuple[str, str]] = []
        done, count = 0, Counter[str]()
        last = time.monotonic()
        with locked(self.path, alone=False):
            self._require_settled()
            try:
                for row in rows:
                    done += 1
                    if row is not None:
                        pending.append(row)
                    late = time.monotonic() - last > COMMIT_SECONDS
                    if len(pending) >= COMMIT_ROWS or (pending and late):
                        count.update(self._commit(pending, revoked))
                        pending, last = [], time.monotonic()
                        committed()
                    if progress is not None:
                        progress(done)
            finally:
                # Whoever still stores clips for it ends before the lock does.
                if isinstance(rows, Generator):
                    rows.close()
                count.update(self._commit(pending, revoked))
                committed()
            if count.total():
                self._compact()
        same = done - count.total() - len(revoked)
        return Added(count["added"], same, count["updated"], revoked)

    def forget(self, rows: Sequence[Row]) -> None:
        """Takes stored clips' files away again that the catalogue does not know.

        While others add, who may have stored the same clips and not entered them yet, the files stay: nobody finds
        them, and the next revocation clears them.
        """
        with suppress(YozoraError), locked(self.path, alone=True):
            known = self.pick(row.id for row in rows)
            for row in rows:
                if row.id not in known:
                    (self.path / row.path).unlink(missing_ok=True)

    def revise(self, clips: Collection[str], change: Callable[[Row], Row]) -> int:
        """Puts changed rows in the place of these clips' rows, all at once; returns how many are other than before.

        change is given each row as it is now, whoever has changed it meanwhile. Clips that are gone stay gone.
        Raises YozoraError for a state of the past, while clips are being taken back, or when rows cannot be written.
        """
        self._require_present()
        with locked(self.path, alone=False):
            if not clips:
                return 0
            with writing(self.path):
                there = self.pick(clips).values()
                changed = [new for row in there if (new := change(row)) != row]
                self._put(changed)
            self._compact()
        return len(changed)

    def give_tag(self, name: str) -> None:
        """Names the catalogue's present state, which can be opened as DIR@NAME from now on; the ledger is told.

        Raises YozoraError when the name is taken, or is none that a file could have.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise YozoraError(f"'{name}' cannot be a tag: use letters, digits, '.', '_' and '-'.")
        if name in self.tags():
            raise YozoraError(f"{self.path} has a tag '{name}' already: choose another name.")
        self._require_present()
        with locked(self.path, alone=False):
            now = self.pinned()
            self.consumed("tag", name, now.ids())
            self._dataset().tags.create(name, now.state)

    def drop(
        self,
        source: str | Path,
        reason: str,
        *,
        rule: str = "",
        start: float | None = None,
        canvas: str = "",
        clip: str = "",
    ) -> None:
        """Note that a source was refused, or that its clip at ``start`` seconds on a canvas, or with this id, was left
        out by a rule, and why; an empty reason takes that back."""
        place = {"rule": rule, "start": start, "canvas": canvas, "clip": clip}
        said = {name: value for name, value in place.items() if value not in ("", None)}
        notes.add(self.path / notes.DROPS, {"source": str(source), "reason": reason, **said})

    def finish(self, key: str, source: str, clips: Sequence[str]) -> None:
        """Note that a file was taken in to its end, and which clips are of it."""
        there = self.pick(clips)
        kept = [clip for clip in clips if clip in there]
        notes.add(self.path / notes.FINISHED, {"key": key, "source": source, "clips": kept})

    def leave_out(self, clips: Mapping[str, str], rule: str) -> None:
        """Takes clips' rows away by a rule, with a reason each, and notes that.

        Tagged states keep their rows, and so the files stay until something is taken back. Raises YozoraError for a
        state of the past, while clips are being taken back, or when the catalogue cannot be rewritten.
        """
        self._require_present()
        with locked(self.path, alone=False), writing(self.path):
            rows = self.pick(clips)
            for clip, row in rows.items():
                start, canvas = start_of(row) or 0.0, str(row.canvas)
                self.drop(row.source, clips[clip], rule=rule, start=start, canvas=canvas, clip=clip)
            notes.leave_out(self.path, set(rows))
            for table in tables.tables(self.path):
                tables.delete(table, list(rows))

    def remove(self, clips: Collection[str], sources: Collection[str] = ()) -> None:
        """Removes clips for good: their files, their rows, all earlier versions of the catalogue with the tags on them,
        what is noted of ``sources`` and of the clips' files, and what killed processes left. To be called alone (see
        lock.py).

        Raises YozoraError when the catalogue cannot be rewritten.
        """
        self._require_present()
        notes.erase(self.path, clips, sources)
        for table in tables.tables(self.path):
            tables.purge(table, clips)
        there = {row.path for row in self.rows()}
        for file in sorted((self.path / "clips").rglob("*.mp4")):
            if file.relative_to(self.path).as_posix() not in there:
                file.unlink()
        for left in self.path.rglob(".*.building-*"):
            shutil.rmtree(left, ignore_errors=True)

    def remains(self, clips: Collection[str]) -> list[str]:
        """What is still known of removed clips, a sentence each: tables' rows, versions and files of neither, notes."""
        held = [left for table in tables.tables(self.path) for left in tables.remains(table, clips)]
        return held + notes.remains(self.path, clips)

    def _stored(
        self, items: Iterable[tuple[Clip, Record]], recorder: Recorder, workers: int
    ) -> Iterator[Row | None]:
        """The row of each item once its file is in place, in order; None for a clip that came before."""
        seen: set[str] = set()
        running: deque[Future[Row] | None] = deque()
        failure: Exception | None = None
        with ThreadPoolExecutor(workers) as pool:
            try:
                for clip, record in items:
                    check_record(record)
                    digest = clip_hash(clip)
                    again = digest in seen
                    seen.add(digest)
                    job = None if again else pool.submit(recorder.store_clip, clip, record)
                    running.append(job)
                    if len(running) > 2 * workers:
                        yield result(running.popleft())
            except Exception as error:
                failure = error  # what came before it is good
            while running:
                yield result(running.popleft())
        if failure is not None:
            raise failure

    def _require_present(self) -> None:
        """Raises YozoraError for a state of the past, which cannot be changed."""
        if self.state:
            raise YozoraError(
                f"{self.path}@{self.state} is a state of the past: change {self.path} itself."
            )

    def _require_settled(self) -> None:
        """Raises YozoraError while clips are being taken back, and after that was interrupted."""
        if (self.path / REVOKING).exists():
            raise YozoraError(
                f"Clips are being taken back from {self.path}: if nobody is at it, "
                f"`yozora revoke --corpus {self.path}` finishes what was interrupted."
            )

    def _commit(self, rows: list[Row], revoked: list[tuple[str, str]]) -> dict[str, int]:
        """Append the rows whose clip is new, put those that differ in the old ones' place; says how many.

        Those that were revoked once are left out, and noted in ``revoked``.
        """
        rows = self._entered(rows, revoked)
        if not rows:
            return {}
        with writing(self.path):
            there = self.pick(row.id for row in rows)
            fresh, changed = dict[str, Row](), dict[str, Row]()
            for row in rows:
                old = there.get(row.id)
                if old is None:
                    fresh.setdefault(row.id, row)
                elif same_source(row, old) and (new := keeping(row, old)) != old:
                    changed[row.id] = new
            try:  # two commits, each whole or not at all
                if fresh:
                    table = to_table(fresh.values())
                    lance.write_dataset(table, self._catalogue, mode="append")
            except (OSError, RuntimeError) as error:
                raise YozoraError(f"{self._catalogue} could not take new rows: {error}.") from error
            self._put(list(changed.values()))
        return {"added": len(fresh), "updated": len(changed)}

    def _put(self, rows: list[Row]) -> None:
        """Put rows in the place of those with the same ids, in one commit; those of other clips are lost."""
        try:
            if rows:
                merge = self._dataset().merge_insert("id").when_matched_update_all()
                merge.execute(to_table(rows))
        except (OSError, RuntimeError) as error:
            raise YozoraError(f"{self._catalogue} could not take new rows: {error}.") from error

    def _entered(self, rows: list[Row], revoked: list[tuple[str, str]]) -> list[Row]:
        """The rows whose clips the ledger knows when this returns: all but those that show what was revoked once."""
        if not rows:
            return []
        ids = [row.id for row in rows]
        gone = self._gone(rows)
        there = self.pick(gone)
        for row in rows:
            if row.id in gone:
                if row.id not in there:
                    (self.path / row.path).unlink(missing_ok=True)
                revoked.append((row.source, "Clips of it were taken back once, and stay out."))
        known = self.ledger.made_from(ids)
        kept = [row for row in rows if row.id not in gone]
        self.ledger.append(
            *(
                record.clip(
                    row.id,
                    source,
                    start=start_of(row),
                    seconds=row.seconds,
                    captions=row.captions,
                )
                for row in kept
                if (source := source_digest(row)) not in known[row.id]
            )
        )
        return kept

    def _gone(self, rows: list[Row]) -> set[str]:
        """The clips that were revoked, are renditions of one that was, or show some of the same seconds of a film."""
        asked = {row.id for row in rows} | {row.master for row in rows if row.master}
        revoked = set(self.ledger.standing(asked)["revoked"])
        spans = {(row.id, source_digest(row)): span for row in rows if (span := span_of(row))}
        back = {source: Spans(self.ledger.taken_back(source)) for _, source in spans}
        return {row.id for row in rows if row.id in revoked or row.master in revoked} | {
            clip for (clip, source), span in spans.items() if back[source].meet(span)
        }

    def _compact(self) -> None:
        """Merge the small fragments that many commits leave."""
        dataset = self._dataset()
        if len(dataset.get_fragments()) > COMPACT_ABOVE:
            with suppress(OSError, RuntimeError):  # another process commits: its turn will come
                dataset.optimize.compact_files()

    @property
    def _catalogue(self) -> str:
        return str(self.path / tables.CATALOGUE)

    def _dataset(self) -> Any:
        try:
            return lance.dataset(self._catalogue, version=self.state or None)
        except (OSError, ValueError) as error:
            raise YozoraError(f"{self.path} has no readable catalogue: {error}.") from error


def result(job: Future[Row] | None) -> Row | None:
    """What a job returned; None where there was none to do."""
    return None if job is None else job.result()


def condition(split: str | None, kind: str | None) -> str | None:
    """Which rows are meant, as Lance takes it. Raises YozoraError when there is no such split."""
    if split is not None and split not in SPLITS:
        raise YozoraError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    wanted = {"split": split, "kind": kind}
    return " AND ".join(f"{name} = '{value}'" for name, value in wanted.items() if value) or None


def packed(texts: pa.ChunkedArray) -> Iterator[Any]:
    """The bytes of a column of texts: how long each is, which says where it ends, then all of them end to end."""
    yield np.asarray(pc.binary_length(texts), "<i8").tobytes()
    for chunk in texts.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        yield data[ends[0] : ends[-1]] if data is not None else b""
