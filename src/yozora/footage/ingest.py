"""Footage into clips: find, ask for its rights, probe, cut into windows on one canvas, caption.

Rights come before anything is decoded: a file that the policy refuses gives no clip.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from yozora.errors import YozoraError
from yozora.footage.caption import captions_of
from yozora.footage.find import Context, find
from yozora.footage.sidecar import Sidecar, read_sidecar
from yozora.footage.windows import clip_length, windows
from yozora.rights.consent import Consent, read_consent
from yozora.rights.intake import admit
from yozora.rights.ledger import Ledger
from yozora.rights.licence import check_licence
from yozora.rights.policy import Evidence, Policy
from yozora.rights.signals.read import read_signals
from yozora.video import MAX_CLIP_BYTES, Clip, Info, Record, fit, probe, stream

SPLITS = ("train", "validation", "heldout")
NANO = (112, 64)
GAMES = ("game", "games", "gameplay", "gaming", "video game", "video games")
FACTS = ("country", "language", "domain")  # that a row keeps of what is said of its file

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

    def drop(self, source: str | Path, reason: str) -> None:
        """Note a refusal."""

    def drops(self) -> list[dict[str, str]]:
        """The refusals noted."""


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


@dataclass(frozen=True)
class Report:
    """What came of an ingest: clips added, clips the corpus had just so, clips whose captions, rights or split were
    changed, files refused with a sentence each."""

    files: int
    added: int
    duplicates: int
    updated: int
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
    progress: Progress | None = None,
) -> Report:
    """Add the footage in files and folders to a corpus; what is there already takes on what is said of it now.

    licence, holder and url hold for files whose sidecar does not state its own. Before a file is decoded, what it and
    its surroundings say of training is read, and the corpus' policy decides; consent is the holder's word for the
    files that it covers. seconds and stride (default: as seconds) are rounded to frames. A file that cannot be used
    is refused with a sentence, in the report and in the corpus, and never stops the rest; what was good of it stays.
    Raises YozoraError for settings that are wrong for every file.
    """
    settings = replace(
        make_settings(licence, holder, url, split, size, fps, seconds, stride), consent=consent
    )
    found = find(paths)
    policy, ledger = corpus.policy, corpus.ledger
    refused = [(shown(path), reason) for path, reason in found.refused]

    def items() -> Iterator[tuple[Clip, Record]]:
        for number, (path, context) in enumerate(found.contexts.items()):
            if progress is not None:
                progress(path, number, len(found.files))
            try:
                yield from clips(path, context, settings, policy, ledger)
            except (YozoraError, OSError) as error:
                refused.append((shown(path), readable(str(error))))

    before = corpus.drops()
    added = corpus.add(items())
    refused += added.revoked
    for path, reason in refused:
        corpus.drop(path, reason)
    mended = {shown(path) for path in found.files} - {path for path, _ in refused}
    for drop in before:
        if drop["source"] in mended:
            corpus.drop(drop["source"], "")
    return Report(
        files=len(found.files),
        added=added.added,
        duplicates=added.duplicates,
        updated=added.updated,
        refused=refused,
        ignored=found.ignored,
    )


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
) -> Iterator[tuple[Clip, Record]]:
    """The clips of one file with their records. Raises YozoraError where it cannot go on."""
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
    pictures = stream(path, fps=settings.fps, size=settings.size)
    for first, frames in windows(pictures, settings.frames, settings.stride):
        start, end = first / settings.fps, (first + len(frames)) / settings.fps
        captions, origin = captions_of(path, sidecar, info.tags, start, end)
        record = Record(
            captions=tuple(readable(text) for text in captions),
            source=shown(path),
            licence=licence,
            holder=readable(sidecar.holder or settings.holder),
            url=readable(sidecar.url or settings.url),
            split=split,
            labels={"content": content, "start": start, "file": digest, "caption": origin, **facts},
        )
        yield Clip(np.stack(frames), settings.fps), record


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
