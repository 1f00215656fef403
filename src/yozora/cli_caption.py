"""The command that captions a corpus's footage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora.errors import YozoraError
from yozora.terminal import COUNT, FILE, FOLDER, Failure, as_json, print_json, progress_bar, say

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from yozora.captioning.captioner import Captioner
    from yozora.captioning.run import Plan, Report

# What captioning.run knows, said here again so that help need not import it; the tests compare.
FIELDS = ("split", "kind", "source", "holder", "licence", "caption", "flagged")
SHOWN = 20  # failed clips that are told of
# Which options go with which captioner.
NEEDED = {"facts": (), "endpoint": ("url", "model"), "model": ("model",)}
TAKEN = {
    "facts": (),
    "endpoint": ("url", "model", "prompt", "parallel"),
    "model": ("model", "prompt", "download"),
}


def parse_where(_ctx: Any, _option: Any, values: Sequence[str]) -> dict[str, str]:
    """('split=train', 'kind=footage') -> {'split': 'train', 'kind': 'footage'}."""
    where = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name not in FIELDS:
            raise click.BadParameter(
                f"{value!r} is not NAME=VALUE with a NAME of {', '.join(FIELDS)}"
            )
        where[name] = text
    return where


@click.command("caption")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.option(
    "--with",
    "kind",
    type=click.Choice(["facts", "endpoint", "model"]),
    default="facts",
    show_default=True,
    help="Measured facts, a vision endpoint, or a vision-language model on this computer.",
)
@click.option("--url", help="Of an OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
@click.option(
    "--model", metavar="NAME", help="The endpoint's model, or a model's name or directory."
)
@click.option(
    "--prompt", type=FILE, help="What to describe; else the prompt that comes with yozora."
)
@click.option(
    "--key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    metavar="VARIABLE",
    help="The environment variable with the endpoint's key, if it wants one.",
)
@click.option("--parallel", type=COUNT, help="Requests at once to the endpoint; 4 by default.")
@click.option("--download", is_flag=True, help="Fetch the model if it is not on this computer.")
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_where,
    help=f"Only clips of which this is so; repeatable. NAME: {', '.join(FIELDS)}.",
)
@click.option("--replace", is_flag=True, help="Also caption anew what has just such a caption.")
@click.option("--dry-run", is_flag=True, help="Only say how many clips would be captioned.")
@as_json
def caption_footage(
    directory: Path,
    kind: str,
    key_env: str,
    where: dict[str, str],
    replace: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Describe footage clip by clip; clips of the world keep their own captions, which are exact.

    The new caption comes first, and the words that a clip came with stay behind it, unless they were only its
    file's name. What captions claim of colours, camera, motion and light is checked against what is measured, and
    clips whose captions claim more that is not so than what is are flagged.

    Killed at any time, the same call goes on: clips that have this captioner's caption, by the same model and prompt,
    are not asked for again. The exit status is 1 when a clip could not be captioned.
    """
    given = [name for name, value in options.items() if value]
    if strange := [name for name in given if name not in TAKEN[kind]]:
        raise click.UsageError(f"--{strange[0]} does not go with --with {kind}")
    if missing := [name for name in NEEDED[kind] if name not in given]:
        raise click.UsageError(f"--with {kind} needs --{missing[0]}")
    from yozora.captioning.run import chosen, planned, run
    from yozora.corpus.catalogue import Corpus

    corpus = Corpus.open(directory)
    rows = chosen(corpus.rows(masters=False), where)
    with captioner(kind, key_env=key_env, **options) as describe:
        plan = planned(rows, describe, replace=replace)
        if dry_run:
            tell_plan(plan, as_json)
            return
        with progress_bar() as show:
            report = run(corpus, plan, describe, show)
    tell(directory, report, as_json)


def captioner(
    kind: str,
    *,
    key_env: str,
    url: str | None,
    model: str | None,
    prompt: Path | None,
    parallel: int | None,
    download: bool,
) -> AbstractContextManager[Captioner]:
    """The captioner that was asked for. Raises YozoraError when it cannot be used."""
    if kind == "facts":
        from yozora.captioning.facts import Facts

        return nullcontext(Facts())
    words = prompt_text(prompt)
    if kind == "endpoint":
        from yozora.captioning.endpoint import Endpoint

        secret = os.environ.get(key_env, "").strip()
        return closing(Endpoint(str(url), str(model), words, secret=secret, parallel=parallel or 4))
    from yozora.captioning.local import Local

    return nullcontext(Local(str(model), words, download=download))


def prompt_text(file: Path | None) -> str:
    """The prompt in a file, else the one that comes with yozora. Raises YozoraError when it is no text."""
    path = file or Path(__file__).parent / "captioning" / "prompt.txt"
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise YozoraError(f"{path} is no text in UTF-8: save it again as that.") from error
    if not text:
        raise YozoraError(f"{path} is empty: write what is to be described.")
    return text


def tell_plan(plan: Plan, as_json: bool) -> None:
    """Say what would be captioned."""
    facts = {"dry_run": True, "clips": len(plan.rows), "there": plan.there, "world": plan.world}
    if as_json:
        print_json(facts)
    else:
        say(f"{len(plan.rows)} clips would be captioned{rest(plan.there, plan.world)}")


def tell(directory: Path, report: Report, as_json: bool) -> None:
    """Say what came of it."""
    if as_json:
        print_json({"corpus": str(directory), "dry_run": False, **report.to_json()})
    else:
        for clip, reason in report.failed[:SHOWN]:
            say(f"no caption for {clip[:12]}: {reason}")
        say(f"captioned {report.captioned} clips of {directory}{rest(report.there, report.world)}")
        if report.flagged:
            say(f"{report.flagged} are flagged: their captions disagree with what was measured")
    if report.failed:
        raise Failure(
            f"{len(report.failed)} clips of {directory} got no caption; the same call asks for them again."
        )


def rest(there: int, world: int) -> str:
    """What is said of clips that are left as they are."""
    return (f"; {there} have such a caption already" if there else "") + (
        f"; {world} of the world keep their own" if world else ""
    )
