"""Footage into clips: find files, ask for their rights, have them cut and measured, leave out what is there already.

Rights come before anything is decoded: a file that the policy refuses gives no clip.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from yozora.errors import YozoraError
from yozora.footage.cut import Format
from yozora.footage.engine import local
from yozora.footage.find import Context, find
from yozora.footage.on_ray import on_ray
from yozora.footage.sidecar import Sidecar, read_sidecar
from yozora.footage.sieve import Hashes, Sieve
from yozora.footage.windows import clip_length
from yozora.footage.work import Job, Left, readable, shown, take
from yozora.rights.consent import Consent, read_consent
from yozora.rights.intake import admit
from yozora.rights.ledger import Ledger
from yozora.rights.licence import check_licence
from yozora.rights.policy import Evidence, Policy
from yozora.rights.signals.read import read_signals
from yozora.video import MAX_CLIP_BYTES, Clip, Record

SPLITS = ("train", "validation", "heldout")
GAMES = ("game", "games", "gameplay", "gaming", "video game", "video games")

ENGINES = {"local": local, "ray": on_ray}

Drop = Mapping[str, Any]
Progress = Callable[[Path, int, int], None]  # the file, how many came before it, how many there are


class Stored(Protocol):
    """A clip in its place: what ingest knows of a corpus's row."""

    @property
    def id(self) -> str:
        """The clip's name by its content."""

    @property
    def source(self) -> str:
        """Its file."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its record's labels."""


class Store(Protocol):
    """What ingest needs of a corpus."""

    @property
    def ledger(self) -> Ledger:
        """Where sources and decisions are entered."""

    @property
    def policy(self) -> Policy:
        """What decides on them."""

    def store(self, clip: Clip, record: Record) -> Any:
        """Put a clip in its place, from any process; returns its row."""

    def enter(self, rows: Iterable[Any], *, committed: Callable[[], None]) -> Any:
        """Make stored clips known; returns an object with the numbers `added`, `duplicates` and `updated`, and what
        was `revoked` before: sources with a sentence each. None stands for a clip that came before; `committed` is
        called whenever all rows so far are known."""

    def finish(self, key: str, source: str, clips: Sequence[str]) -> None:
        """Note that a file was taken in to its end."""

    def finished(self) -> Mapping[str, Sequence[str]]:
        """The clips of files that were, while all of them are there."""

    def forget(self, row: Any) -> None:
        """Take a stored clip away again, unless it is known."""

    def rows(self, *, kind: str) -> Sequence[Stored]:
        """What is known of a kind."""

    def drop(
        self, source: str | Path, reason: str, *, rule: str = "", start: float | None = None
    ) -> None:
        """Note a refusal, of a file or of the clip that would start there; without a reason, take it back."""

    def drops(self) -> Sequence[Drop]:
        """The refusals noted, each with `source` and `start`."""


@dataclass(frozen=True)
class Settings:
    """How footage is cut, and what holds for files whose sidecar says nothing else.

    split: for all files, whatever a sidecar says; by content when empty. consent: the holder's, for the files that it
    covers.
    """

    licence: str = ""
    holder: str = ""
    url: str = ""
    split: str = ""
    consent: Consent | None = None
    format: Format = field(default_factory=Format)
    sieve: Sieve = field(default_factory=Sieve)


@dataclass(frozen=True)
class Report:
    """What came of an ingest: clips added, clips the corpus had just so, clips whose captions, rights or split were
    changed, how many clips each threshold left out, files refused with a sentence each."""

    files: int
    added: int
    duplicates: int
    updated: int
    left_out: dict[str, int]
    refused: list[tuple[str, str]]
    ignored: int

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        refused = [{"path": path, "reason": reason} for path, reason in self.refused]
        return {**vars(self), "refused": refused}


def ingest_into(
    corpus: Store,
    paths: Iterable[str | Path],
    *,
    licence: str | None = None,
    holder: str = "",
    url: str = "",
    split: str | None = None,
    consent: Consent | None = None,
    size: tuple[int, int] = Format.size,
    fps: float = 8.0,
    seconds: float = 17 / 8,
    stride: float | None = None,
    sieve: Sieve | None = None,
    engine: str = "local",
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Add the footage in files and folders to a corpus; what is there already takes on what is said of it now.

    licence, holder and url hold for files whose sidecar does not state its own. Before a file is decoded, what it and
    its surroundings say of training is read, and the corpus' policy decides; consent is the holder's word for the
    files that it covers. Clips never cross a cut; seconds and stride (default: as seconds) are rounded to frames. What
    the sieve does not let pass is left out. A file that cannot be used is refused with a sentence, and never stops the
    rest; what was good of it stays. Both are noted in the corpus. engine: "local", or "ray" for a cluster that shares
    the disk. workers: processes that read files side by side; the same comes of any number and engine, and with more
    than one a file that takes its reader down is refused like any other.
    Raises YozoraError for settings that are wrong for every file.
    """
    settings = replace(
        make_settings(licence, holder, url, split, size, fps, seconds, stride),
        consent=consent,
        sieve=sieve or Sieve(),
    )
    found = find(paths)
    refused = [(shown(path), reason) for path, reason in found.refused]
    left: list[Left] = []
    before, finished = corpus.drops(), corpus.finished()
    ended: list[tuple[str, str, list[str]]] = []  # files whose last row was handed out
    again = 0

    def jobs() -> Iterator[Job]:
        nonlocal again
        for number, (path, context) in enumerate(found.contexts.items()):
            if progress is not None:
                progress(path, number, len(found.files))
            try:
                job = admitted(path, context, settings, corpus.policy, corpus.ledger)
                if (clips := finished.get(job.key)) is None:
                    yield job
                else:
                    again += len(clips)
                    left.extend(left_before(shown(path), before))
            except (YozoraError, OSError) as error:
                refused.append((shown(path), readable(str(error))))

    def rows() -> Iterator[Any]:
        hashes, seen = Hashes(known_hashes(corpus)), set[str]()
        for job, taken in ENGINES[engine](partial(take, corpus.store), jobs(), workers):
            if taken is None:
                refused.append(
                    (
                        shown(job.path),
                        f"{job.path}: reading it ended the process that read it, twice.",
                    )
                )
                continue
            left.extend(taken.left)
            refused.extend((shown(job.path), reason) for reason in taken.errors)
            alike: list[Left] = []
            for row in taken.rows:
                if one := look_alike(row, hashes, settings.sieve):
                    alike.append(one)
                    if row.id not in seen:
                        corpus.forget(row)
                else:
                    yield None if row.id in seen else row
                    seen.add(row.id)
            left.extend(alike)
            # What looked like another file's clip may be the only one some day, and what failed may be mended.
            if not alike and not taken.errors:
                ended.append((job.key, shown(job.path), [row.id for row in taken.rows]))

    def committed() -> None:
        while ended:
            corpus.finish(*ended.pop(0))

    added = corpus.enter(rows(), committed=committed)
    refused += added.revoked
    order = {shown(path): number for number, path in enumerate(found.files)}
    refused.sort(key=lambda one: order.get(one[0], -1))
    note(corpus, before, {shown(path) for path in found.files}, refused, left)
    return Report(
        files=len(found.files),
        added=added.added,
        duplicates=added.duplicates + again,
        updated=added.updated,
        left_out=dict(Counter(one.rule for one in left).most_common()),
        refused=refused,
        ignored=found.ignored,
    )


def left_before(source: str, drops: Iterable[Drop]) -> Iterator[Left]:
    """What was left out of a file when it was taken in."""
    for drop in drops:
        if drop["source"] == source and drop["start"] is not None:
            yield Left(source, drop["start"], drop["rule"], drop["reason"])


def known_hashes(corpus: Store) -> Iterator[tuple[int, str, str]]:
    """The perceptual hashes of the footage that a corpus has, with its files and clips."""
    for row in corpus.rows(kind="footage"):
        if "measures" in row.labels:
            yield hash_entry(row)


def hash_entry(row: Stored) -> tuple[int, str, str]:
    """A clip's perceptual hash, its file, and its place in words."""
    place = f"{row.source} at {row.labels['start']:.4g} s"
    return int(row.labels["measures"]["hash"], 16), row.labels["file"], place


def look_alike(row: Stored, hashes: Hashes, sieve: Sieve) -> Left | None:
    """Why a clip is left out that another file's clip equals; None where it is kept, which the hashes then know."""
    bits, file, place = hash_entry(row)
    same = hashes.same(bits, file, sieve.duplicate_bits)
    if same is None:
        hashes.add(bits, file, place)
        return None
    return Left(row.source, row.labels["start"], "duplicate_bits", f"It is the same as {same}.")


def note(
    corpus: Store,
    before: Iterable[Drop],
    files: Collection[str],
    refused: Iterable[tuple[str, str]],
    left: Iterable[Left],
) -> None:
    """Enter what was refused and left out, and take back what was said of these files before and holds no more."""
    said = {(drop["source"], drop["start"], drop["reason"]) for drop in before}
    for path, reason in refused:
        corpus.drop(path, reason)
    for one in left:
        if (one.source, one.start, one.reason) not in said:
            corpus.drop(one.source, one.reason, rule=one.rule, start=one.start)
    again = {(path, None) for path, _ in refused} | {(one.source, one.start) for one in left}
    for drop in before:
        if drop["source"] in files and (drop["source"], drop["start"]) not in again:
            corpus.drop(drop["source"], "", start=drop["start"])


def make_settings(
    licence: str | None,
    holder: str,
    url: str,
    split: str | None,
    size: tuple[int, int],
    fps: float,
    seconds: float,
    stride: float | None,
) -> Settings:
    """Settings in frames, checked once for all files."""
    if split is not None and split not in SPLITS:
        raise YozoraError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    step = seconds if stride is None else stride
    if not (0 < fps <= 1000 and 0 < seconds < 3600 and 0 < step < 86400 and min(size) >= 1):
        raise YozoraError(
            f"Clips of {size[0]}x{size[1]} pixels, {seconds:g} s every {step:g} s at {fps:g} fps cannot be cut: "
            "size, seconds, stride and fps are above 0, a clip is shorter than an hour."
        )
    frames = clip_length(seconds * fps)
    if frames * size[0] * size[1] * 3 > MAX_CLIP_BYTES:
        raise YozoraError(
            f"A clip of {frames} frames of {size[0]}x{size[1]} is above {MAX_CLIP_BYTES >> 20} MiB: "
            "choose fewer seconds, a lower rate or a smaller canvas."
        )
    return Settings(
        licence=check_licence(licence) if licence else "",
        holder=holder,
        url=url,
        split=split or "",
        format=Format(size, fps, frames, frames if stride is None else max(1, round(stride * fps))),
    )


def admitted(
    path: Path, context: Context, settings: Settings, policy: Policy, ledger: Ledger
) -> Job:
    """What is to be done with one file, once its rights are read, decided on and entered.

    Raises YozoraError when it may not be used, or what is said of it makes no sense.
    """
    sidecar = context.said(read_sidecar(path))
    if sidecar.split and sidecar.split not in SPLITS:
        raise YozoraError(
            f"{path}: its sidecar's split '{sidecar.split}' is none of {', '.join(SPLITS)}."
        )
    digest = file_hash(path)
    return Job(
        path=path,
        digest=digest,
        sidecar=sidecar,
        licence=licence_of(path, digest, context.root, sidecar, settings, policy, ledger),
        holder=readable(sidecar.holder or settings.holder),
        url=readable(sidecar.url or settings.url),
        split=settings.split or sidecar.split or split_of(digest),
        format=settings.format,
        sieve=settings.sieve,
    )


def licence_of(
    path: Path,
    digest: str,
    root: Path,
    sidecar: Sidecar,
    settings: Settings,
    policy: Policy,
    ledger: Ledger,
) -> str:
    """The licence by which a file may be used, once its rights are read, decided on and entered.

    Raises YozoraError when the policy refuses it, or its declared licence is no SPDX expression.
    """
    declared = sidecar.licence or settings.licence
    try:
        licence = check_licence(declared) if declared else ""
    except YozoraError as error:
        raise YozoraError(f"{path}: {error}") from None
    terms = file_hash(Path(sidecar.terms)) if sidecar.terms else ""
    if sidecar.domain.casefold() in GAMES and not terms:
        raise YozoraError(
            f"{path} is a recording of a game, and its publisher decides what may be done with it: put the publisher's "
            "policy on file, and name it as its 'terms'."
        )
    url = readable(sidecar.url or settings.url)
    evidence = Evidence(
        digest,
        read_signals(path, licence=licence, url=url, root=root),
        read_consent(sidecar.consent) if sidecar.consent else settings.consent,
        sidecar.country,
    )
    decision = admit(
        ledger,
        policy,
        evidence,
        holder=readable(sidecar.holder or settings.holder),
        licence=licence,
        url=url,
        path=shown(path),
        terms=terms,
    )
    if decision.rule == "licence.missing":
        raise YozoraError(
            f"{path}: No licence is given: name one with --licence, in a sidecar or a manifest, or give the holder's "
            "--consent."
        )
    if not decision.allowed:
        raise YozoraError(f"{path} is refused by the rule {decision.rule}: {decision.why}")
    return licence or " AND ".join(decision.licences) or "LicenseRef-consent"


def file_hash(path: Path) -> str:
    """SHA-256, in hex, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_of(digest: str) -> str:
    """A file's split by its hash: 10 % heldout, 5 % validation, the same wherever the file lies.

    By file and not by clip, so that frames of one shot never fall on both sides.
    """
    part = int(digest[:8], 16) / 2**32
    return "heldout" if part < 0.10 else "validation" if part < 0.15 else "train"
