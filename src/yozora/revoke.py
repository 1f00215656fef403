"""Takes clips back: out of ledger, catalogue, files, latents, text states and reviews; then looks for what is left.

What is to be done is written down first (DIR/revoking.json), so that a process killed at any moment leaves a task that
the next call finishes; the note goes last. Weights stay as they are: a model that has seen a clip has learned from it,
so the checkpoints that did are named.

What is left is looked for in two ways. Where things have keys, by them: no row, no earlier version and no stray file
of the catalogue, no payload in the ledger, no file that no row has, no id in a review. Where they are bytes, by
searching every other file for the captions and for stretches of the clips' files. Clips that stay are not searched:
small files are alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yozora.artifact import content_hash, write_atomic
from yozora.corpus.catalogue import LEDGER, REVOKING, Corpus
from yozora.corpus.lock import locked
from yozora.corpus.notes import DROPS, FINISHED
from yozora.corpus.schema import Row, source_digest, span_of
from yozora.corpus.spans import Span, Spans
from yozora.errors import YozoraError
from yozora.latents.store import caption_key, prune
from yozora.review.answers import forget, remains
from yozora.rights.record import REASONS, SHA256

WINDOW = 32  # bytes of a clip's file that are searched for
WINDOWS = 4  # of each file
SHORTEST = 12  # bytes; shorter captions are found anywhere by chance
HEAD = 8  # bytes of a needle that are compared first; none is shorter
BLOCK = 2**24  # bytes of a file that are looked at together

Progress = Callable[[str, int, int], None]  # what is searched, files done, files in all


@dataclass(frozen=True)
class Task:
    """What is to be taken back: the sources and clips named, all their clips, and what to search for when it is done.

    captions: those that no clip says that stays. windows: stretches of the clips' files, in hex. names: what their
    sources are called.
    """

    reason: str
    digests: list[str]
    clips: list[str]
    captions: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def with_rest(self, other: Task) -> Task:
        """This and what another one left to do."""
        lists = ("digests", "clips", "captions", "windows", "names")
        both = {n: list(dict.fromkeys([*getattr(self, n), *getattr(other, n)])) for n in lists}
        return Task(self.reason, **both)


@dataclass(frozen=True)
class Report:
    """What was taken back, or would be: clips by their ids, and the runs, tags and checkpoints that took them in.

    searched: bytes that were read to see that nothing is left.
    """

    clips: list[str]
    sources: list[str]
    consumers: list[dict[str, Any]]
    searched: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)


def revoke(
    corpus: Corpus,
    *,
    holders: Sequence[str] = (),
    sources: Sequence[str] = (),
    clips: Sequence[str] = (),
    reason: str = "consent-withdrawn",
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Takes back all clips of these holders, sources (a path, an address or the hash of a file) and ids (or their
    beginnings), and finishes first what an interrupted call began.

    reason: one of rights.record.REASONS. With ``dry_run`` nothing is changed. Raises YozoraError when nothing is known
    by a name, the reason is none, or something is left afterwards; another call then tries again.
    """
    if reason not in REASONS:
        raise YozoraError(f"'{reason}' is no reason to revoke: use one of {', '.join(REASONS)}.")
    if dry_run:
        return reported(corpus, whole_task(corpus, holders, sources, clips, reason))
    with locked(
        corpus.path, alone=True
    ):  # nothing comes in between what is planned and what is done
        task = whole_task(corpus, holders, sources, clips, reason)
        report = reported(corpus, task)
        write_atomic(corpus.path / REVOKING, json.dumps(asdict(task), ensure_ascii=False))
        return replace(report, searched=finish(corpus, task, progress))


def reported(corpus: Corpus, task: Task) -> Report:
    """What a task would take back."""
    return Report(task.clips, task.names, consumers(corpus, task.clips))


# --- what is meant ---------------------------------------------------------------------------------


def whole_task(
    corpus: Corpus,
    holders: Sequence[str],
    sources: Sequence[str],
    clips: Sequence[str],
    reason: str,
) -> Task:
    """What is asked for, and what an interrupted call left to do. Raises YozoraError as `revoke` does."""
    left = read_task(corpus)
    if left is None and not (holders or sources or clips):
        raise YozoraError(
            f"Nothing is to be taken back from {corpus.path}: name a holder, a source, a clip or a hash."
        )
    digests = [
        *(source for holder in holders for source in of_holder(corpus, holder)),
        *(source for name in sources for source in of_source(corpus, name)),
        *(of_clip(corpus, start) for start in clips),
    ]
    task = planned(corpus, list(dict.fromkeys(digests)), reason)
    return task.with_rest(left) if left is not None else task


def of_holder(corpus: Corpus, holder: str) -> list[str]:
    """The sources of a holder."""
    return found(corpus.ledger.sources_of(holder), f"holder '{holder}'", corpus)


def of_source(corpus: Corpus, name: str) -> list[str]:
    """The sources of this path, address or hash."""
    known = corpus.ledger.sources_called(name) if name else []
    if not known and Path(name).is_file():
        name = content_hash(name)
    if SHA256.fullmatch(name) and corpus.ledger.about(name):
        known.append(name)
    return found(known, f"source '{name}'", corpus)


def of_clip(corpus: Corpus, start: str) -> str:
    """The one clip whose id begins so."""
    ids = [row.id for row in corpus.rows() if start and row.id.startswith(start)]
    if len(ids) > 1:
        raise YozoraError(
            f"{len(ids)} clips of {corpus.path} begin with '{start}': give more digits."
        )
    return found(ids, f"clip '{start}'", corpus)[0]


def found(digests: list[str], what: str, corpus: Corpus) -> list[str]:
    """The digests themselves. Raises YozoraError when there are none."""
    if not digests:
        raise YozoraError(
            f"{corpus.path} knows of no {what}: `yozora corpus show {corpus.path}` lists what it holds."
        )
    return digests


def planned(corpus: Corpus, digests: list[str], reason: str) -> Task:
    """The task of taking back these sources and clips, and all that shows some of the same."""
    ledger, rows, named = corpus.ledger, corpus.rows(), set(digests)
    of_sources = {clip for digest in digests for clip in ledger.clips_of(digest)}
    meant = [r for r in rows if r.id in of_sources or r.id in named or source_digest(r) in named]
    doomed = with_families(meant, rows)
    there = {row.id for row in doomed}
    staying = {caption for row in rows if row.id not in there for caption in row.captions}
    said = dict.fromkeys(caption for row in doomed for caption in row.captions)
    called = [entry.payload for d in digests for entry in ledger.about(d) if entry.kind == "source"]
    return Task(
        reason,
        digests,
        sorted(of_sources | there),
        [c for c in said if len(c.encode()) >= SHORTEST and c not in staying],
        [window.hex() for row in doomed for window in windows(corpus.path / row.path)],
        sorted(
            {row.source for row in doomed} | {str(payload["path"]) for payload in called if payload}
        ),
    )


def with_families(meant: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """These rows, those of the same seconds of the same film, on whatever canvas, and the whole stretches, masters and
    renditions, that any of them are of."""
    spans: dict[str, list[Span]] = {}
    for row in meant:
        if span := span_of(row):
            spans.setdefault(source_digest(row), []).append(span)
    films = {source: Spans(some) for source, some in spans.items()}
    ids, masters = {row.id for row in meant}, {row.master for row in meant if row.master}
    for row in rows:
        film, span = films.get(source_digest(row)), span_of(row)
        if film is not None and span is not None and film.meet(span):
            ids.add(row.id)
            masters |= {row.master} - {""}
    return [row for row in rows if row.id in ids or row.master in masters]


def windows(file: Path) -> Iterator[bytes]:
    """Stretches of a file by which its remains would be known: spread over its second half, past its header."""
    if not file.exists():
        return
    data = file.read_bytes()
    half = len(data) // 2
    for number in range(WINDOWS):
        start = half + number * max(0, half - WINDOW) // WINDOWS
        window = data[start : start + WINDOW]
        if len(set(window)) > WINDOW // 4:  # not a stretch of padding
            yield window


def consumers(corpus: Corpus, clips: Iterable[str]) -> list[dict[str, Any]]:
    """The runs, tags and checkpoints that took any of the clips in, in the order they did."""
    entries = {entry.seq: entry for clip in clips for entry in corpus.ledger.consumers(clip)}
    return [
        {"by": e.facts["by"], "name": e.facts["name"], "time": e.time}
        for _, e in sorted(entries.items())
    ]


# --- doing it --------------------------------------------------------------------------------------


def read_task(corpus: Corpus) -> Task | None:
    """What an interrupted call left to do, if one was. Raises YozoraError when its note is damaged."""
    note = corpus.path / REVOKING
    try:
        return Task(**json.loads(note.read_text(encoding="utf-8"))) if note.exists() else None
    except (ValueError, TypeError) as error:
        raise YozoraError(
            f"{note} is damaged ({error}): remove it, and name again what is to be taken back."
        ) from error


def finish(corpus: Corpus, task: Task, progress: Progress) -> int:
    """Does what is left of a task, each step as if it were the first; returns the number of bytes searched.

    Raises YozoraError when something is left; the note stays then.
    """
    revoked = corpus.ledger.revoke([*task.digests, *task.clips], task.reason)
    clips = {*task.clips, *set(revoked).intersection(corpus.ids())}
    corpus.remove(clips, task.names)
    forget(corpus.path, clips)
    rows = corpus.rows()
    staying = {row.id for row in rows}
    for folder in folders(corpus.path / "latents"):
        prune(folder, staying)
    said = {caption_key(caption) for row in rows for caption in row.captions} | {caption_key("")}
    for folder in folders(corpus.path / "text"):
        prune(folder, said)
    found, searched = search(corpus, task, rows, progress)
    left = corpus.remains(clips) + remains(corpus.path, clips) + found
    if corpus.ledger.unerased([*task.digests, *clips]):
        left.append(f"{corpus.ledger.path} still holds words")
    if left:
        raise YozoraError(
            f"{len(left)} traces of what was revoked are still in {corpus.path}: {'; '.join(left[:3])}. "
            "Look at them, and call revoke again."
        )
    (corpus.path / REVOKING).unlink(missing_ok=True)
    return searched


def folders(parent: Path) -> list[Path]:
    """The folders in a folder; none when it is not there."""
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def search(
    corpus: Corpus, task: Task, rows: Sequence[Row], progress: Progress
) -> tuple[list[str], int]:
    """What the files of a corpus still hold of a task, a sentence each, and how many bytes were read."""
    needles = {form: "a caption" for caption in task.captions for form in forms(caption)}
    needles |= {bytes.fromhex(window): "a stretch of a clip's file" for window in task.windows}
    known = {corpus.path / row.path for row in rows}
    known |= {corpus.path / name for name in (REVOKING, LEDGER, DROPS, FINISHED)}
    files = [
        path for path in sorted(corpus.path.rglob("*")) if path.is_file() and path not in known
    ]
    staying = b"\n".join(text.encode() for row in rows for text in spoken(row)) if needles else b""
    catalogue = corpus.path / "catalogue.lance"
    seeker = Search(needles)
    left, size = [], 0
    for number, path in enumerate(files):
        progress("searching", number, len(files))
        if not path.exists():  # whoever serves a review makes previews and drops them
            continue
        size += path.stat().st_size
        for needle in seeker.held(path):
            if not (path.is_relative_to(catalogue) and needle in staying):
                left.append(f"{path} holds {needles[needle]}")
    return left, size


def forms(caption: str) -> set[bytes]:
    """A caption as it may stand in a file: plain, and as JSON writes it."""
    escaped = (json.dumps(caption, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    return {caption.encode(), *(form.encode() for form in escaped)}


def spoken(row: Row) -> tuple[str, ...]:
    """All that a row says in words."""
    return (*row.captions, row.source, row.url, row.holder, row.labels_json)


class Search:
    """Looks for many needles in one pass over each file: only where their first bytes stand are they compared."""

    def __init__(self, needles: Collection[bytes]) -> None:
        self._longest = max(map(len, needles), default=0)
        self._beginning: dict[bytes, list[bytes]] = {}
        for needle in needles:
            self._beginning.setdefault(needle[:HEAD], []).append(needle)
        heads = np.frombuffer(b"".join(self._beginning), np.uint8).reshape(-1, HEAD)
        self._heads = as_numbers(heads.T)
        self._pairs = np.zeros(
            2**16, bool
        )  # of the first two bytes, which rule nearly all places out
        self._pairs[self._heads & 0xFFFF] = True

    def held(self, file: Path) -> list[bytes]:
        """Which needles a file holds."""
        found: dict[bytes, None] = {}
        with file.open("rb") as handle:
            data = b""
            while self._beginning and (more := handle.read(BLOCK)):
                data = data[max(0, len(data) - self._longest + 1) :] + more
                for place in self._places(data):
                    some = self._beginning[data[place : place + HEAD]]
                    found |= dict.fromkeys(n for n in some if data.startswith(n, place))
        return list(found)

    def _places(self, data: bytes) -> list[int]:
        """Where the first bytes of a needle stand."""
        octets = np.frombuffer(data, np.uint8)
        count = len(octets) - HEAD + 1
        if count < 1:
            return []
        pairs = octets[:-1] | octets[1:].astype(np.uint16) << 8
        likely = np.flatnonzero(self._pairs[pairs[:count]])
        heads = as_numbers(octets[likely + number] for number in range(HEAD))
        places: list[int] = likely[np.isin(heads, self._heads)].tolist()
        return places


def as_numbers(columns: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Numbers [N] by their bytes [N] each, the lowest first."""
    found = [octets.astype(np.uint64) << np.uint64(8 * n) for n, octets in enumerate(columns)]
    return np.asarray(np.bitwise_or.reduce(found), np.uint64)
