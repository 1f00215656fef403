"""What every command shares: errors in a sentence, the look of options, reports and progress bars."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from yozora.errors import YozoraError

T = TypeVar("T")


class Failure(click.ClickException):
    """An error that the user can mend: one red line on stderr, exit status 1."""

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.secho(f"error: {self.message}", fg="red", err=True)


class Commands(click.Group):
    """A group whose commands say what went wrong in a sentence, never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a YozoraError and a file that cannot be used become a Failure."""
        try:
            return super().invoke(ctx)
        except YozoraError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # whoever read a pipe has seen enough, as `head` has; click ends quietly
        except OSError as error:
            where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Failure(where) from error


# --- what options look like ------------------------------------------------------------------


def parsed(parse: Callable[[Any], T], form: str) -> Callable[[Any, Any, Any], T | None]:
    """A click callback that reads an option with ``parse`` and explains the ``form`` when it fails."""

    def callback(_ctx: click.Context, _option: click.Parameter, value: Any) -> T | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not {form}") from error

    return callback


def parse_size(text: str) -> tuple[int, int]:
    """'112x64' -> (112, 64)."""
    width, height = (int(part) for part in text.lower().split("x"))
    if width < 1 or height < 1:
        raise ValueError(text)
    return width, height


def parse_span(text: str) -> tuple[float, float]:
    """'0.8:1.4' -> (0.8, 1.4), in seconds."""
    start, end = (float(part) for part in text.split(":"))
    if not 0 <= start < end < math.inf:
        raise ValueError(text)
    return start, end


def parse_names(text: str) -> list[str]:
    """'fall,throw' -> ['fall', 'throw']."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_settings(_ctx: Any, _option: Any, values: Sequence[str]) -> dict[str, str]:
    """('lr=1e-4', 'config.depth=3') -> {'lr': '1e-4', 'config.depth': '3'}."""
    settings = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{value!r} is not key=value")
        settings[key] = text
    return settings


class Finite(click.FloatRange):
    """A number in a range, and neither infinite nor NaN."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read the number."""
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is no number", param, ctx)


FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
ANY = click.Path(path_type=Path)
POSITIVE = Finite(min=0, min_open=True)
SEED = click.IntRange(0, 2**32 - 1)
COUNT = click.IntRange(min=1)
SPLIT = click.Choice(["train", "validation", "heldout"])
SIZE = parsed(parse_size, "a size such as 112x64")
SUFFIXES = (".mp4", ".webm", ".gif")
# What the world and sampling know, said here again so that help need not import them; the tests compare.
KINDS = ("rest", "uniform", "fall", "throw", "bounce", "collision", "pendulum", "roll", "camera")
SOLVERS = ("euler", "multistep")
EXISTING = click.Path(exists=True, path_type=Path)
DATA = click.option(
    "--data",
    envvar="YOZORA_DATA",
    show_envvar=True,
    type=FOLDER,
    help="Folder of the service's files; that of the database, if left out, or in your data folder.",
)
DB = click.option(
    "--db",
    envvar="YOZORA_DB",
    show_envvar=True,
    metavar="URL",
    help="sqlite:///FILE or postgresql://USER@HOST/NAME; a file in --data, if left out.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")


# --- what people see -------------------------------------------------------------------------


def say(message: str) -> None:
    """Tell people what happened: on stderr, so that stdout holds only reports."""
    click.echo(message, err=True)


def print_json(report: Mapping[str, Any]) -> None:
    """Print a report for machines."""
    click.echo(json.dumps(report, indent=2, ensure_ascii=False))


def print_rich(report: Any) -> None:
    """Print a report for people, one that rich knows how to lay out."""
    from rich.console import Console

    Console().print(report)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield show(what, done, total): a bar with the time left, on a terminal's stderr only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield show


def tracked(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items behind a progress bar."""
    with progress_bar() as show:
        for done, item in enumerate(items):
            show(what, done, total)
            yield item


@contextmanager
def training_bar(minutes: float | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show the reports of a training loop and of what comes before it: a live bar on a terminal, else a line every half
    minute."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"))
    live = console.is_terminal
    pace, said = Pace(minutes), time.monotonic()
    with Progress(*columns, console=console, disable=not live) as bar:
        task = bar.add_task("starting", total=1.0, facts="")

        def watch(report: dict[str, Any]) -> None:
            nonlocal said
            now = time.monotonic()
            what, done, facts = pace.told(report, now)
            bar.update(task, description=what, completed=done, facts=facts)
            if "warning" in report:
                bar.console.print(f"warning: {report['warning']}", style="yellow")
            if not live and now - said > 30:
                said = now
                say(f"{what}  {facts}")

        yield watch


class Pace:
    """What a run is doing, how much of it is done, and how long the rest takes; each phase has a clock of its own.

    ``minutes`` is the longest that training may take.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self.what, self.began, self.first, self.clips = "", 0.0, 0, 0

    def told(self, report: Mapping[str, Any], now: float) -> tuple[str, float, str]:
        """The phase of a report, the share of it that is done, and a line about it; ``now`` in seconds."""
        what = "training" if "step" in report else str(report["phase"])
        if what != self.what:
            # A resumed run does not begin at step 1.
            self.what, self.began, self.first = what, now, report.get("step", 1)
        if "step" in report:
            return what, *self._training(report, now - self.began)
        if "of" not in report:
            return what, 0.0, "  ".join(f"{k} {v}" for k, v in report.items() if k != "phase")
        done = report["done"] / max(1, report["of"])
        facts = f"{report['done']}/{report['of']}  {_left(now - self.began, done)}"
        return what, done, facts

    def _training(self, report: Mapping[str, Any], elapsed: float) -> tuple[float, str]:
        self.clips += report["clips"]
        done = (report["step"] - self.first + 1) / (report["steps"] - self.first + 1)
        if self.minutes is not None:
            done = max(done, elapsed / (60 * self.minutes))
        facts = (
            f"step {report['step']}/{report['steps']}  loss {report['loss']:.4f}  "
            f"{self.clips / max(elapsed, 1e-9):.1f} clips/s  {_left(elapsed, done)}"
        )
        return done, facts


def _left(elapsed: float, done: float) -> str:
    """How long the rest takes when a share ``done`` took ``elapsed`` seconds."""
    return f"{timedelta(seconds=round(elapsed / done * max(0.0, 1 - done)))} left" if done else ""
