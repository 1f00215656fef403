"""The commands about rights: what is known of a clip, which policy decides, and taking clips back."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora.errors import YozoraError
from yozora.terminal import FILE, FOLDER, Failure, as_json, print_json, progress_bar, say

if TYPE_CHECKING:
    from yozora.corpus.catalogue import Corpus
    from yozora.rights.ledger import Entry

CORPUS = click.option("--corpus", type=FOLDER, required=True, help="The corpus.")
# What rights.record knows, said here again so that help need not import it; the tests compare.
REASONS = ("consent-withdrawn", "takedown", "licence", "law", "mistake")


@click.group()
def rights() -> None:
    """What is known of each clip's rights, and which policy decides."""


@rights.command("show")
@click.argument("name", metavar="CLIP|SOURCE")
@CORPUS
@as_json
def show_rights(name: str, corpus: Path, as_json: bool) -> None:
    """Show all that the ledger knows of a clip (its id, or how it begins) or a source (path, address or hash)."""
    opened = open_corpus(corpus)
    entries = [entry for digest in meant(opened, name) for entry in opened.ledger.about(digest)]
    if as_json:
        print_json({"entries": [dataclasses.asdict(entry) for entry in entries]})
        return
    for entry in entries:
        click.echo(f"{entry.time}  {entry.kind:<9} {entry.subject[:16]}  {in_words(entry)}")


@rights.command("consumers")
@click.argument("clip", metavar="CLIP")
@CORPUS
@as_json
def show_consumers(clip: str, corpus: Path, as_json: bool) -> None:
    """Name the runs, tags and checkpoints that took a clip in."""
    from yozora.revoke import consumers, of_clip

    opened = open_corpus(corpus)
    found = consumers(opened, [of_clip(opened, clip)])
    if as_json:
        print_json({"consumers": found})
        return
    for one in found:
        click.echo(f"{one['time']}  {one['by']:<11} {one['name']}")
    if not found:
        say("nothing was trained on it")


@rights.command("audit")
@click.argument("directory", type=FOLDER, metavar="DIR")
@as_json
def audit_rights(directory: Path, as_json: bool) -> None:
    """Check that every clip of a corpus may be trained on, and that its ledger is as it was written.

    The exit status is 1 when a clip is refused or undecided, or the ledger was changed.
    """
    corpus = open_corpus(directory)
    rows = corpus.rows()
    standing = corpus.ledger.standing((row.id for row in rows), corpus.policy.use)
    report: dict[str, Any] = {
        "policy": corpus.policy.version,
        "use": corpus.policy.use,
        "clips": {name: len(clips) for name, clips in standing.items()},
        "licences": dict(Counter(row.licence for row in rows).most_common()),
        "ledger": {**corpus.ledger.head()._asdict(), "problems": corpus.ledger.verify()},
    }
    if as_json:
        print_json(report)
    else:
        click.echo(f"policy    {report['policy']}, for {report['use']} use")
        click.echo("clips     " + counted(report["clips"]))
        click.echo("licences  " + counted(report["licences"]))
        problems = report["ledger"]["problems"]
        click.echo(
            f"ledger    {report['ledger']['entries']} entries, head {report['ledger']['hash']}"
        )
        for problem in problems:
            click.echo(f"          {problem}")
    unfit = len(rows) - len(standing["allowed"])
    if unfit or report["ledger"]["problems"]:
        raise Failure(
            f"{directory} is not fit for training: {unfit} of {len(rows)} clips are not allowed."
        )


@rights.group()
def policy() -> None:
    """The policy that decides which footage may be trained on."""


@policy.command("show")
@click.option("--corpus", type=FOLDER, help="This corpus's; else the one that comes with yozora.")
@as_json
def show_policy(corpus: Path | None, as_json: bool) -> None:
    """Print the policy file: a copy of it is the start of your own."""
    import tomllib

    from yozora.rights.policy_file import policy_text

    text = policy_text(open_corpus(corpus).own_policy if corpus else None)
    print_json(tomllib.loads(text)) if as_json else click.echo(text, nl=False)


@policy.command("set")
@click.argument("file", type=FILE)
@CORPUS
@as_json
def set_policy(file: Path, corpus: Path, as_json: bool) -> None:
    """Make FILE the corpus's policy.

    It decides on what is taken in from now on: take footage in again to decide anew.
    """
    chosen = open_corpus(corpus).set_policy(file)
    if as_json:
        print_json({"policy": chosen.version, "use": chosen.use, "hash": chosen.hash})
    else:
        say(f"{corpus} is under the policy {chosen.version}, for {chosen.use} use")


@click.command()
@CORPUS
@click.option("--holder", "holders", multiple=True, metavar="NAME", help="All of this holder's.")
@click.option(
    "--source", "sources", multiple=True, metavar="PATH|URL", help="All of this file or address."
)
@click.option(
    "--clip", "clips", multiple=True, metavar="ID", help="This clip; its first digits do."
)
@click.option("--hash", "hashes", multiple=True, metavar="SHA256", help="All of this file.")
@click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be taken back.")
@as_json
def revoke(
    corpus: Path,
    holders: tuple[str, ...],
    sources: tuple[str, ...],
    clips: tuple[str, ...],
    hashes: tuple[str, ...],
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take clips back: delete all that was made of them, and look for what is left.

    What was trained on them is named, since a model that has seen a clip has learned from it. Interrupted at any
    point, the same call finishes what was begun; --corpus alone does only that.
    """
    from yozora.revoke import revoke as take_back

    with progress_bar() as bar:
        report = take_back(
            open_corpus(corpus),
            holders=holders,
            sources=(*sources, *hashes),
            clips=clips,
            reason=reason,
            dry_run=dry_run,
            progress=bar,
        )
    if as_json:
        print_json({**report.to_json(), "dry_run": dry_run})
        return
    done = "would be taken" if dry_run else "were taken"
    say(f"{len(report.clips)} clips of {len(report.sources)} sources {done} back")
    if report.searched:
        say(f"searched {report.searched / 2**20:.1f} MiB: nothing of them is left")
    for one in report.consumers:
        say(f"{one['by']} {one['name']} of {one['time']} has seen them")


def open_corpus(directory: Path) -> Corpus:
    """The corpus in a directory."""
    from yozora.corpus.catalogue import Corpus

    return Corpus.open(directory)


def meant(corpus: Corpus, name: str) -> list[str]:
    """The clip or the sources that are meant by a name. Raises YozoraError when nothing is known by it."""
    from yozora.revoke import of_clip, of_source

    try:
        return of_source(corpus, name)
    except YozoraError:
        return [of_clip(corpus, name)]


def in_words(entry: Entry) -> str:
    """What an entry says, on one line."""
    said = {**entry.facts, **(entry.payload or {})}
    if entry.kind == "decided":
        return (
            f"{'allowed' if said['allowed'] else 'refused'} by {said['rule']} of {said['policy']}"
        )
    if entry.kind == "source":
        facts = (said.get(key, "") for key in ("path", "licence", "holder", "url"))
        return ", ".join(filter(None, facts)) or "its payload is erased"
    if entry.kind == "clip":
        return f"of {entry.parent[:16]}: {'; '.join(said.get('captions', []))}"
    if entry.kind == "consumed":
        return f"{said['by']} {said['name']}"
    return ", ".join(f"{key} {value}" for key, value in entry.facts.items())


def counted(numbers: dict[str, int]) -> str:
    """{'allowed': 3, 'refused': 0} -> '3 allowed'."""
    return ", ".join(f"{count} {name}" for name, count in numbers.items() if count) or "none"
