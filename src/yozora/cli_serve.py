"""The commands that run the service: everything on one machine, or workers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora.service.settings import DAY
from yozora.terminal import ANY, COUNT, DATA, DB, FILE, POSITIVE, as_json, print_json, say

if TYPE_CHECKING:
    from yozora.service.settings import Settings

SECOND = 1000  # milliseconds


def option(*names: str, **more: Any) -> Callable[[Any], Any]:
    """An option that can also be said in the environment: --port is YOZORA_PORT."""
    variable = f"YOZORA_{names[0].removeprefix('--').replace('-', '_').upper()}"
    return click.option(*names, envvar=variable, show_envvar=True, **more)


WORK = (
    option(
        "--model",
        "models",
        multiple=True,
        default=("nano",),
        show_default=True,
        metavar="MODEL",
        help="A shipped model, a folder, or NAME=FOLDER; repeatable.",
    ),
    option("--batch", type=COUNT, default=16, show_default=True, help="Videos made together, at most."),
    option("--memory", type=POSITIVE, default=4.0, show_default=True, help="GB of weights kept loaded."),
    option(
        "--lease",
        type=POSITIVE,
        default=60.0,
        show_default=True,
        help="Seconds that a worker may be silent until its videos are given to another.",
    ),
    option(
        "--grace",
        type=POSITIVE,
        default=30.0,
        show_default=True,
        help="Seconds that a worker may go on after it was told to end.",
    ),
    option(
        "--log", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="Logs for people, or one JSON object a line.",
    ),
)  # fmt: skip


def with_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Gives a command several options, in this order."""

    def add(command: Any) -> Any:
        for one in reversed(options):
            command = one(command)
        return command

    return add


def settings(data: Path | None, db: str | None, **given: Any) -> Settings:
    """The settings that options say."""
    from yozora.service.database import located
    from yozora.service.settings import Settings

    for name, unit in (("lease", SECOND), ("grace", SECOND), ("retention", DAY)):
        if name in given:
            given[name] = round(given[name] * unit)
    return Settings(*located(data, db), **given)


@click.command()
@with_options(DATA, DB, *WORK)
@option(
    "--workers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes that generate.",
)
@option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any."
)
@option(
    "--retention", type=POSITIVE, default=30.0, show_default=True, help="Days that videos are kept."
)
@option(
    "--moderation",
    default="rules",
    show_default=True,
    metavar="HOW",
    help="What judges prompts: rules, a file of rules, an endpoint's address, or off.",
)
@option(
    "--reach",
    multiple=True,
    metavar="HOST",
    help="A host that webhooks may reach though it is not public; repeatable.",
)
@option(
    "--fetch",
    is_flag=True,
    help="Fetch pictures from public addresses that clients give; otherwise they send the files.",
)
@option(
    "--proxy",
    multiple=True,
    metavar="ADDRESS",
    help="Where a proxy asks from (an address or a network) whose X-Forwarded-For and -Proto are believed; repeatable.",
)
@option(
    "--providers",
    type=FILE,
    help="A TOML file of other services that speak the same API, whose models are offered too.",
)
@as_json
def serve(as_json: bool, **options: Any) -> None:
    """Serve models to others over the OpenAI Videos API, until SIGTERM or Ctrl-C.

    Its address is printed, and it is ready when GET /readyz says 200. At the end workers finish what they have begun,
    or put it back for the next start.
    """
    from yozora.service import serve as service

    def tell(address: str, password: str | None) -> None:
        if as_json:
            admin = {"user": "admin", "password": password} if password else None
            print_json({"address": address, "admin": admin})
            return
        say(f"serving at {address}; Ctrl-C ends it")
        if password:
            say(f"sign in as admin with the password {password}, which is shown this once")

    service.serve(settings(**options), tell)


@click.command()
@with_options(DATA, DB, *WORK)
@as_json
def worker(as_json: bool, **options: Any) -> None:
    """Generate what is queued, beside the workers of `yozora serve`, until SIGTERM or Ctrl-C.

    On other machines --db is PostgreSQL, and --data a folder that all of them see.
    """
    from yozora.service.serve import serve_worker

    chosen = settings(**options)
    models = list(chosen.models)
    print_json({"models": models}) if as_json else say(
        f"a worker for {', '.join(models)} begins; Ctrl-C ends it"
    )
    serve_worker(chosen)


@click.command()
@click.argument("file", type=ANY)
@with_options(DATA, DB)
@as_json
def backup(file: Path, data: Path | None, db: str | None, as_json: bool) -> None:
    """Write a whole service to FILE (.tar), while it runs: its tables, videos, uploads and secrets.

    The file holds the secrets that keys are checked with: keep it as safe as the service.
    """
    from yozora.service.backup import back_up

    counts = back_up(settings(data, db), file)
    print_json({"file": str(file), **counts}) if as_json else say(
        f"wrote {counts['videos']} videos and {counts['files']} files to {file}"
    )


@click.command()
@click.argument("file", type=FILE)
@with_options(DATA, DB)
@as_json
def restore(file: Path, data: Path | None, db: str | None, as_json: bool) -> None:
    """Make a service of a backup, in a new folder and an empty database.

    The database may be of another kind than before: so a service moves from SQLite to PostgreSQL.
    """
    from yozora.service.backup import restore as bring_back

    counts = bring_back(settings(data, db), file)
    print_json({"file": str(file), **counts}) if as_json else say(
        f"restored {counts['videos']} videos and {counts['files']} files from {file}"
    )
