"""Footage into clips: find, ask for its rights, probe, cut within shots on one canvas, sieve, caption.

Rights come before anything is decoded: a file that the policy refuses gives no clip.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from yozora.errors import YozoraError
from yozora.footage.caption import captions_of
from yozora.footage.cut import cuts
from yozora.footage.find import Context, find
from yozora.footage.sidecar import Sidecar, read_sidecar
from yozora.footage.sieve import Hashes, Missed, Sieve
from yozora.footage.survey import Measures
from yozora.footage.windows import clip_length
from yozora.rights.consent import Consent, read_consent
from yozora.rights.intake import admit
from yozora.rights.ledger import Ledger
from yozora.rights.licence import check_licence
from yozora.rights.policy import Evidence, Policy
from yozora.rights.signals.read import read_signals
from yozora.video import MAX_CLIP_BYTES, Clip, Info, Record, fit, probe

SPLITS = ("train", "validation", "heldout")
NANO = (112, 64)
GAMES = ("game", "games", "gameplay", "gaming", "video game", "video games")
FACTS = ("country", "language", "domain")  # that a row keeps of what is said of its file

Drop = Mapping[str, Any]
Progress = Callable[[Path, int, int], None]  # the file, how many came before it, how many there are


class Store(Protocol):
    """What ingest needs of a corpus."""

    @property
    def ledger(self) -> Ledger:
        """Where sources and decisions are entered."""

    @property
    def policy(self) -> Policy:
        """What decides on them."""

    def add(self, items: Iterable[tuple[Clip, Record]]) -> Any:
        """Store clips; returns an object with the numbers `added`, `duplicates` and `updated`, and what was
        `revoked` before: sources with a sentence each."""

    def rows(self, *, kind: str) -> Sequence[Any]:
        """What is there of a kind: objects with `id`, `source` and `labels`."""

    def drop(
        self, source: str | Path, reason: str, *, rule: str = "", start: float | None = None
    ) -> None:
        """Note a refusal, of a file or of the clip that would start there; without a reason, take it back."""

    def drops(self) -> Sequence[Drop]:
        """The refusals noted, each with `source` and `start`."""


@dataclass(frozen=True)
class Settings:
    """How footage is cut, and what holds for files whose sidecar says nothing else.

    size: (width, height) of the canvas in pixels. frames: of a clip, at `fps`. stride: frames from one clip's
    start to the next one's. split: for all files, whatever a sidecar says; by content when empty. consent: the
    holder's, for the files that it covers.
    """

    licence: str = ""
    holder: str = ""
    url: str = ""
    split: str = ""
    consent: Consent | None = None
    size: tuple[int, int] = NANO
    fps: float = 8.0
    frames: int = 17
    stride: int = 17
    sieve: Sieve = field(default_factory=Sieve)


@dataclass(frozen=True)
class Left:
    """A clip that was left out: its source, the second it starts at, the threshold it missed, the reason."""

    source: str
    start: float
    rule: str
    reason: str


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
    size: tuple[int, int] = NANO,
    fps: float = 8.0,
    seconds: float = 17 / 8,
    stride: float | None = None,
    sieve: Sieve | None = None,
    progress: Progress | None = None,
) -> Report:
    """Add the footage in files and folders to a corpus; what is there already takes on what is said of it now.

    licence, holder and url hold for files whose sidecar does not state its own. Before a file is decoded, what it and
    its surroundings say of training is read, and the corpus' policy decides; consent is the holder's word for the
    files that it covers. Clips never cross a cut; seconds and stride (default: as seconds) are rounded to frames. What
    the sieve does not let pass is left out. A file that cannot be used is refused with a sentence, and never stops the
    rest; what was good of it stays. Both are noted in the corpus.
    Raises YozoraError for settings that are wrong for every file.
    """
    settings = replace(
        make_settings(licence, holder, url, split, size, fps, seconds, stride),
        consent=consent,
        sieve=sieve or Sieve(),
    )
    found = find(paths)
    policy, ledger = corpus.policy, corpus.ledger
    refused = [(shown(path), reason) for path, reason in found.refused]
    hashes = Hashes(known_hashes(corpus))
    left: list[Left] = []

    def items() -> Iterator[tuple[Clip, Record]]:
        for number, (path, context) in enumerate(found.contexts.items()):
            if progress is not None:
                progress(path, number, len(found.files))
            try:
                for clip, record, measures in clips(path, context, settings, policy, ledger):
                    seconds = clip.seconds if len(clip) > 1 else 0.0
                    missed = sieved(record, measures, seconds, settings.sieve, hashes)
                    if missed is None:
                        yield clip, record
                    else:
                        left.append(Left(record.source, record.labels["start"], *missed))
            except (YozoraError, OSError) as error:
                refused.append((shown(path), readable(str(error))))

    before = corpus.drops()
    added = corpus.add(items())
    refused += added.revoked
    note(corpus, before, {shown(path) for path in found.files}, refused, left)
    return Report(
        files=len(found.files),
        added=added.added,
        duplicates=added.duplicates,
        updated=added.updated,
        left_out=dict(Counter(one.rule for one in left).most_common()),
        refused=refused,
        ignored=found.ignored,
    )


def known_hashes(corpus: Store) -> Iterator[tuple[int, str, str]]:
    """The perceptual hashes of the footage that a corpus has, with its files and clips."""
    for row in corpus.rows(kind="footage"):
        if found := row.labels.get("measures"):
            yield int(found["hash"], 16), row.labels["file"], at(row.source, row.labels["start"])


def at(source: str, start: float) -> str:
    """A clip's place in words."""
    return f"{source} at {start:.4g} s"


def sieved(
    record: Record, measures: Measures, seconds: float, sieve: Sieve, hashes: Hashes
) -> Missed | None:
    """Why a clip is left out; None where it is kept, which the hashes then know."""
    if missed := sieve.missed(measures, seconds):
        return missed
    bits, file = measures.hash.bits, record.labels["file"]
    if same := hashes.same(bits, file, sieve.duplicate_bits):
        return Missed("duplicate_bits", f"it is the same as {same}.")
    hashes.add(bits, file, at(record.source, record.labels["start"]))
    return None


def note(
    corpus: Store,
    before: Iterable[Drop],
    files: Collection[str],
    refused: Iterable[tuple[str, str]],
    left: Iterable[Left],
) -> None:
    """Enter what was refused and left out, and take back what was said of these files before and holds no more."""
    for path, reason in refused:
        corpus.drop(path, reason)
    for one in left:
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
        size=size,
        fps=fps,
        frames=frames,
        stride=frames if stride is None else max(1, round(stride * fps)),
    )


def clips(
    path: Path, context: Context, settings: Settings, policy: Policy, ledger: Ledger
) -> Iterator[tuple[Clip, Record, Measures]]:
    """The clips of one file with their records and measures. Raises YozoraError where it cannot go on."""
    sidecar = context.said(read_sidecar(path))
    if sidecar.split and sidecar.split not in SPLITS:
        raise YozoraError(
            f"{path}: its sidecar's split '{sidecar.split}' is none of {', '.join(SPLITS)}."
        )
    digest = file_hash(path)
    licence = licence_of(path, digest, context.root, sidecar, settings, policy, ledger)
    info = probe(path)
    split = settings.split or sidecar.split or split_of(digest)
    content = list(content_rect(info, settings.size))
    facts = {name: value for name in FACTS if (value := readable(getattr(sidecar, name)))}
    for cut in cuts(path, settings.size, settings.fps, settings.frames, settings.stride):
        start, end = cut.first / settings.fps, (cut.first + len(cut.frames)) / settings.fps
        captions, origin = captions_of(path, sidecar, info.tags, start, end)
        labels = {
            "content": content,
            "start": start,
            "shot": cut.shot,
            "file": digest,
            "caption": origin,
            "measures": rounded(cut.measures.to_json()),
            **facts,
        }
        record = Record(
            captions=tuple(readable(text) for text in captions),
            source=shown(path),
            licence=licence,
            holder=readable(sidecar.holder or settings.holder),
            url=readable(sidecar.url or settings.url),
            split=split,
            labels=labels,
        )
        yield Clip(cut.frames, settings.fps), record, cut.measures


def rounded(measures: dict[str, Any]) -> dict[str, Any]:
    """Four digits are all that a measure is good for."""
    return {
        name: rounded(value)
        if isinstance(value, dict)
        else float(f"{value:.4g}")
        if isinstance(value, float)
        else value
        for name, value in measures.items()
    }


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


def content_rect(info: Info, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where `stream` puts the picture on a canvas of `size`: x, y, width, height."""
    return fit(np.zeros((1, info.height, info.width, 3), np.uint8), size)[1]


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


def shown(path: Path) -> str:
    """A path as text that can be stored and printed, also where its name is no valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def readable(text: str) -> str:
    """Text without the lone surrogates that stand for undecodable bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")
