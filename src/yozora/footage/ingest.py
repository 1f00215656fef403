"""Footage into clips: find files, ask for their rights, have them cut and measured, leave out what is there already.

Rights come before anything is decoded: a file that the policy refuses gives no clip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from yozora.artifact import content_hash
from yozora.errors import YozoraError
from yozora.footage.cut import Format
from yozora.footage.engine import local
from yozora.footage.find import Context, find
from yozora.footage.on_ray import on_ray
from yozora.footage.sidecar import Sidecar, read_sidecar
from yozora.footage.sieve import Sieve
from yozora.footage.store import Store
from yozora.footage.taking import Taking
from yozora.footage.taps.learned import DETECTORS, USUAL, Taps
from yozora.footage.work import Job, Taken, readable, sentence, shown, take
from yozora.rights.consent import Consent, read_consent
from yozora.rights.intake import admit
from yozora.rights.ledger import Ledger
from yozora.rights.licence import all_of, check_licence
from yozora.rights.policy import Evidence, People, Policy
from yozora.rights.signals.read import read_signals
from yozora.video import MAX_CLIP_BYTES, SPLITS, Canvas

GAMES = ("game", "games", "gameplay", "gaming", "video game", "video games")

ENGINES = {"local": local, "ray": on_ray}

Progress = Callable[[Path, int, int], None]  # the file, how many came before it, how many there are


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
    taps: Taps = USUAL


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
    renditions: Sequence[Canvas] = Format.renditions,
    seconds: float = Format.seconds,
    stride: float | None = None,
    canvas: Canvas | None = None,
    max_seconds: float = Format.max_seconds,
    aspect_buckets: bool = False,
    sieve: Sieve | None = None,
    taps: Taps = USUAL,
    engine: str = "local",
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Add the footage in files and folders to a corpus; what is there already takes on what is said of it now.

    licence, holder and url hold for files whose sidecar does not state its own. Before a file is decoded, what it and
    its surroundings say of training is read, and the corpus' policy decides; consent is the holder's word for the
    files that it covers. How films are cut is said in `Format`; stride is as seconds unless given. What
    the sieve does not let pass is left out. taps: what is measured besides the usual, and whether faces are blurred. A
    file that cannot be used is refused with a sentence, and never stops the
    rest; what was good of it stays. Both are noted in the corpus. engine: "local", or "ray" for a cluster that shares
    the disk. workers: processes that read files side by side; the same comes of any number and engine, and with more
    than one a file that takes its reader down is refused like any other.
    Raises YozoraError for settings that are wrong for every file.
    """
    settings = replace(
        make_settings(licence, holder, url, split),
        consent=consent,
        format=checked(
            Format(
                tuple(sorted(set(renditions))),
                seconds,
                seconds if stride is None else stride,
                canvas,
                max_seconds,
                aspect_buckets,
            ),
            taps,
        ),
        sieve=sieve or Sieve(),
        taps=taps,
    )
    settings.sieve.check(taps.models)
    taps.check()
    found = find(paths)
    taking = Taking(corpus, settings.sieve.duplicate_bits)
    for path, reason in found.refused:
        taking.refuse(shown(path), reason)

    def jobs() -> Iterator[Job]:
        for number, (path, context) in enumerate(found.contexts.items()):
            if progress is not None:
                progress(path, number, len(found.contexts))
            try:
                yield admitted(path, context, settings, corpus.policy, corpus.ledger)
            except (YozoraError, OSError) as error:
                taking.refuse(shown(path), sentence(shown(path), error))

    def read(pending: Iterable[Job]) -> Iterator[tuple[Job, Taken | None]]:
        return ENGINES[engine](partial(take, corpus.recorder), pending, workers)

    added = corpus.enter(taking.rows(jobs(), read), committed=taking.note)
    taking.close(added.revoked)
    order = {shown(path): number for number, path in enumerate(found.contexts)}
    return Report(
        files=len(found.contexts),
        added=added.added,
        duplicates=added.duplicates + taking.again,
        updated=added.updated,
        left_out=dict(Counter(one.rule for one in taking.left).most_common()),
        refused=sorted(taking.refused, key=lambda one: order.get(one[0], -1)),
        ignored=found.ignored,
    )


def make_settings(licence: str | None, holder: str, url: str, split: str | None) -> Settings:
    """What holds for all files, checked once."""
    if split is not None and split not in SPLITS:
        raise YozoraError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    return Settings(
        licence=check_licence(licence) if licence else "", holder=holder, url=url, split=split or ""
    )


def checked(format: Format, taps: Taps) -> Format:
    """The format, if films can be cut so where shots are found by this detector. Raises YozoraError if not."""
    if not format.renditions:
        raise YozoraError("There is nothing to train on without a rendition: name one canvas.")
    if not (
        0 < format.seconds < 3600 and 0 < format.stride < 86400 and 0 < format.max_seconds < 86400
    ):
        raise YozoraError(
            f"Clips of {format.seconds:g} s every {format.stride:g} s, of stretches of {format.max_seconds:g} s, "
            "cannot be cut: all are above 0, and a clip is shorter than an hour."
        )
    for canvas in format.canvases:
        Canvas.parse(str(canvas))
    windows = sum(format.length(canvas) * canvas.picture_bytes for canvas in format.renditions)
    waiting = DETECTORS[taps.shots].waiting
    held = sum(waiting(canvas.fps) * canvas.picture_bytes for canvas in format.canvases)
    if windows + held > MAX_CLIP_BYTES:
        raise YozoraError(
            f"Windows of {format.seconds:g} s of {', '.join(map(str, format.renditions))} ({windows >> 20} MiB) and "
            f"pictures that wait until their shot is certain ({held >> 20} MiB) are above {MAX_CLIP_BYTES >> 20} MiB: "
            "choose fewer seconds, a lower rate, a smaller canvas, or --shots cheap; a master's length (--canvas) does "
            "not count."
        )
    return format


def admitted(
    path: Path, context: Context, settings: Settings, policy: Policy, ledger: Ledger
) -> Job:
    """What is to be done with one file, once its rights are read, decided on and entered.

    Raises YozoraError when it may not be used, or what is said of it makes no sense.
    """
    beside = read_sidecar(path)
    sidecar = context.said(beside)
    if sidecar.split and sidecar.split not in SPLITS:
        raise YozoraError(
            f"{path}: its sidecar's split '{sidecar.split}' is none of {', '.join(SPLITS)}."
        )
    try:
        declared = all_of(context.licences(beside) or filter(None, [settings.licence]))
    except YozoraError as error:
        raise YozoraError(f"{path}: {error}") from None
    digest = content_hash(path)
    return Job(
        path=path.absolute(),
        source=shown(path),
        digest=digest,
        sidecar=sidecar,
        licence=licence_of(path, digest, context.root, sidecar, declared, settings, policy, ledger),
        holder=readable(sidecar.holder or settings.holder),
        url=readable(sidecar.url or settings.url),
        split=settings.split or sidecar.split or split_of(digest),
        format=settings.format,
        sieve=settings.sieve,
        taps=settings.taps,
    )


def licence_of(
    path: Path,
    digest: str,
    root: Path,
    sidecar: Sidecar,
    declared: str,
    settings: Settings,
    policy: Policy,
    ledger: Ledger,
) -> str:
    """The licence by which a file may be used, the declared one and those that were found, once its rights are read,
    decided on and entered. Raises YozoraError when the policy refuses it.

    By the rules of a site only the address of this very file is looked up: `settings.url` may be a whole collection's.
    """
    terms = content_hash(sidecar.terms) if sidecar.terms else ""
    if sidecar.domain.casefold() in GAMES and not terms:
        raise YozoraError(
            f"{path} is a recording of a game, and its publisher decides what may be done with it: put the publisher's "
            "policy on file, and name it as its 'terms'."
        )
    evidence = Evidence(
        digest,
        read_signals(path, licence=declared, url=readable(sidecar.url), root=root),
        read_consent(sidecar.consent) if sidecar.consent else settings.consent,
        sidecar.country,
        date.fromisoformat(sidecar.expires) if sidecar.expires else None,
        People(
            int(sidecar.depicted) if sidecar.depicted else None,
            tuple(map(content_hash, sidecar.releases)),
        ),
        sidecar.third_party,
    )
    decision = admit(
        ledger,
        policy,
        evidence,
        holder=readable(sidecar.holder or settings.holder),
        licence=declared,
        url=readable(sidecar.url or settings.url),
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
    return all_of(filter(None, [declared, *decision.licences])) or "LicenseRef-consent"


def split_of(digest: str) -> str:
    """A file's split by its hash: 10 % heldout, 5 % validation, the same wherever the file lies.

    By file and not by clip, so that frames of one shot never fall on both sides.
    """
    part = int(digest[:8], 16) / 2**32
    return "heldout" if part < 0.10 else "validation" if part < 0.15 else "train"
