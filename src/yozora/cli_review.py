"""The commands of a review: people look at a sample of a corpus, and what they see is counted."""

from __future__ import annotations

from pathlib import Path

import click

from yozora.terminal import (
    COUNT,
    FOLDER,
    SEED,
    as_json,
    parse_names,
    parsed,
    print_json,
    print_rich,
    say,
)

# What review.sample knows, said here again so that help need not import it; the tests compare.
BY = ("source", "kind", "split", "country", "language", "domain")
USUAL = ("kind", "split", "country", "language", "domain")
NAME = click.option("--name", metavar="NAME", help="The sample; needed where there are several.")


@click.group()
def review() -> None:
    """People look at a sample of a corpus, and what they see is counted."""


@review.command("sample")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.option("--clips", type=COUNT, required=True, help="How many; all, where there are fewer.")
@click.option("--name", default="first", show_default=True, help="What the sample is called.")
@click.option(
    "--by",
    metavar="a,b,..",
    default=",".join(USUAL),
    show_default=True,
    callback=parsed(parse_names, "a list of names"),
    help=f"Each combination of these has its share: {', '.join(BY)}.",
)
@click.option("--kind", type=click.Choice(["world", "footage"]), help="Only clips of this kind.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="The same seed, the same clips."
)
@as_json
def draw_sample(
    directory: Path,
    clips: int,
    name: str,
    by: list[str],
    kind: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Draw a stratified sample of a corpus for people to look at.

    Every stratum has at least one clip as long as they last. The corpus stays as it is; the sample and its
    answers are in DIR/review/NAME.sqlite.
    """
    from yozora.corpus.catalogue import Corpus
    from yozora.review.answers import draw_review

    corpus = Corpus.open(directory)
    made, sample = draw_review(corpus, name, clips, by=by, kind=kind, seed=seed)
    if as_json:
        print_json({"sample": name, "file": str(made.path), **sample.to_json()})
    else:
        print_rich(sample)
        say(f"drew {len(sample.clips)} clips; `yozora review serve {directory}` shows them")


@review.command("serve")
@click.argument("directory", type=FOLDER, metavar="DIR")
@NAME
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes any."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address of this computer."
)
@as_json
def serve_sample(directory: Path, name: str | None, port: int, host: str, as_json: bool) -> None:
    """Serve the page on which reviewers label a sample, until it is interrupted.

    Its address is printed; whoever has it can answer. Several reviewers may use it at once.
    """
    from yozora.corpus.catalogue import Corpus
    from yozora.review.answers import Review
    from yozora.review.server import serve

    corpus = Corpus.open(directory)

    def tell(address: str) -> None:
        if as_json:
            print_json({"address": address})
        else:
            say(f"reviewers open {address}\nCtrl-C ends it; what was saved stays")

    serve(corpus, Review.open(corpus.path, name), host=host, port=port, say=tell)


@review.command("agree")
@click.argument("directory", type=FOLDER, metavar="DIR")
@NAME
@as_json
def measure_agreement(directory: Path, name: str | None, as_json: bool) -> None:
    """Say how far reviewers agree, what was looked at, and who is seen how often, with 95 % intervals."""
    from yozora.corpus.catalogue import Corpus
    from yozora.review.agreement import agree
    from yozora.review.answers import Review

    corpus = Corpus.open(directory)
    report = agree(Review.open(corpus.path, name), corpus.rows())
    print_json(report.to_json()) if as_json else print_rich(report)
