"""Takes rows, has their clips captioned, and writes the captions into the catalogue as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any

from yozora.captioning.agreement import agreement
from yozora.captioning.captioner import Captioner, CaptionerError, Subject
from yozora.captioning.look import content, look
from yozora.corpus.captions import Made, made_of, recaptioned, with_words
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError

BATCH = 32  # captions written at once; a killed run loses no more
SECONDS = 15.0  # after which they are written all the same
IN_A_ROW = 10  # clips that fail one after the other, after which no more are tried

Progress = Callable[[str, int, int], None]  # what is done, clips done, clips in all

# What clips can be chosen by.
FIELDS: Mapping[str, Callable[[Row], str]] = {
    "split": lambda row: row.split,
    "kind": lambda row: row.kind,
    "source": lambda row: row.source,
    "holder": lambda row: row.holder,
    "licence": lambda row: row.licence,
    "caption": lambda row: str(row.labels.get("caption", "")),
    "flagged": lambda row: "yes" if made_of(row).get("flagged") else "no",
}


@dataclass(frozen=True)
class Plan:
    """Which of the rows asked for are to be captioned. there: how many have just this caption. world: how many are of
    the world and keep their own."""

    rows: list[Row]
    there: int
    world: int


@dataclass
class Report:
    """What came of a run. failed: clips without a caption, by their ids, with a sentence each. flagged: of those
    captioned, how many disagree with what was measured; unchecked: of how many nothing could be."""

    captioned: int = 0
    there: int = 0
    world: int = 0
    flagged: int = 0
    unchecked: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {**asdict(self), "failed": [{"id": i, "reason": why} for i, why in self.failed]}


def chosen(rows: Iterable[Row], where: Mapping[str, str]) -> list[Row]:
    """The rows of which all this is so. Raises YozoraError for a name that is none of FIELDS."""
    for name in where:
        if name not in FIELDS:
            raise YozoraError(
                f"Clips cannot be chosen by '{name}': use one of {', '.join(FIELDS)}."
            )
    return [row for row in rows if all(FIELDS[name](row) == said for name, said in where.items())]


def planned(rows: Iterable[Row], captioner: Captioner, *, replace: bool = False) -> Plan:
    """What is to be captioned: footage that has no such caption yet, or all footage with ``replace``."""
    asked = list(rows)
    footage = [row for row in asked if row.kind == "footage"]
    todo = [r for r in footage if replace or made_of(r).get("key") != captioner.key(r)]
    return Plan(todo, len(footage) - len(todo), len(asked) - len(footage))


def run(
    corpus: Corpus,
    plan: Plan,
    captioner: Captioner,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Captions what is planned; whenever it is stopped, what was written is not asked for again.

    A clip that fails is listed, and the others go on. Raises CaptionerError when the captioner cannot go on, or ten
    clips fail one after the other; YozoraError when the corpus cannot be changed.
    """
    corpus.revise([], lambda row: row)  # before anybody is asked for what could not be written
    report = Report(there=plan.there, world=plan.world)
    writer = Writer(corpus, report)
    pool = ThreadPoolExecutor(captioner.parallel)
    waiting, running = iter(plan.rows), dict[Future[Made], Row]()
    stopped: YozoraError | None = None
    failures = 0
    try:
        while True:
            while stopped is None and len(running) < 2 * captioner.parallel:
                row = next(waiting, None)
                if row is None:
                    break
                running[pool.submit(made, corpus, row, captioner)] = row
            if not running:
                break
            done, _ = wait(running, timeout=SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                row = running.pop(future)
                if future.cancelled():
                    continue
                try:
                    writer.add(row, future.result())
                    failures = 0
                except CaptionerError as error:
                    stopped = stopped or error
                except (YozoraError, OSError) as error:
                    report.failed.append((row.id, str(error)))
                    failures += 1
                    if failures >= IN_A_ROW:
                        stopped = stopped or CaptionerError(
                            f"{failures} clips failed one after the other, the last one with: {error}"
                        )
            if stopped is not None:
                for future in running:
                    future.cancel()
            writer.write(late=SECONDS)
            progress("captioning", report.captioned + len(report.failed), len(plan.rows))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        writer.write()
    if stopped is not None:
        raise CaptionerError(
            f"{stopped} {report.captioned} clips were captioned; the rest are asked for by the same call."
        )
    return report


def made(corpus: Corpus, row: Row, captioner: Captioner) -> Made:
    """A clip's caption, and how far all that is then said of it agrees with what was measured."""
    clip = content(row, corpus.read(row))
    seen = look(row, clip)
    caption = captioner.caption(Subject(row, clip, seen))
    found = agreement(with_words(row, caption), seen)
    return Made(caption, captioner.name, captioner.key(row), found.share, found.wrong)


class Writer:
    """Writes captions into the catalogue, some at a time, and counts them."""

    def __init__(self, corpus: Corpus, report: Report) -> None:
        self._corpus, self._report = corpus, report
        self._pending: dict[str, Made] = {}
        self._written = time.monotonic()

    def add(self, row: Row, caption: Made) -> None:
        """Take a caption."""
        self._pending[row.id] = caption
        self._report.captioned += 1
        self._report.flagged += caption.flagged
        self._report.unchecked += caption.agreement is None

    def write(self, late: float = 0.0) -> None:
        """Write what there is, if it is enough or nothing was written for so many seconds."""
        if len(self._pending) < BATCH and time.monotonic() - self._written < late:
            return
        pending = self._pending
        self._written = time.monotonic()
        if pending:
            self._corpus.revise(pending, lambda row: recaptioned(row, pending[row.id]))
        self._pending = {}
