"""The command line. Each command imports what it needs inside, so that ``yozora --help`` answers at once."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora import __version__
from yozora.cli_caption import caption_footage
from yozora.cli_review import review
from yozora.cli_rights import revoke, rights
from yozora.cli_serve import backup, restore, serve, worker
from yozora.cli_service import keys, orgs, prices, usage, users
from yozora.cli_verify import verify
from yozora.cli_videos import videos
from yozora.errors import YozoraError
from yozora.terminal import (
    ANY,
    COUNT,
    EXISTING,
    FILE,
    FOLDER,
    KINDS,
    POSITIVE,
    SEED,
    SIZE,
    SOLVERS,
    SPLIT,
    SUFFIXES,
    Commands,
    Failure,
    Finite,
    as_json,
    parse_names,
    parse_settings,
    parse_span,
    parsed,
    print_json,
    print_rich,
    progress_bar,
    say,
    tracked,
    training_bar,
)

if TYPE_CHECKING:
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.schema import Row
    from yozora.training.dit import ModelRecipe
    from yozora.video import Canvas, Clip, Record

WEIGHTS = Path(__file__).parent / "weights"


# --- the commands ----------------------------------------------------------------------------


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="yozora")
def main() -> None:
    """Train a text-to-video model on footage you have the right to use, and generate with it."""


@main.group()
def world() -> None:
    """The synthetic world: clips whose physics and captions are exact."""


@world.command("render")
@click.option("--out", type=FOLDER, help="Write NNNNNN.mp4 and its NNNNNN.json here.")
@click.option("--corpus", type=FOLDER, help="Add the clips to this corpus.")
@click.option("--clips", type=COUNT, required=True, help="How many.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="The same seed, the same clips."
)
@click.option("--size", default="112x64", callback=SIZE, show_default=True, metavar="WxH")
@click.option("--frames", type=COUNT, default=17, show_default=True)
@click.option("--fps", type=POSITIVE, default=8.0, show_default=True)
@click.option(
    "--kinds",
    metavar="a,b,..",
    callback=parsed(parse_names, "a list of names"),
    help=f"Only these motions: {', '.join(KINDS)}.",
)
@click.option("--bodies", type=click.IntRange(1, 3), help="Only scenes with this many bodies.")
@click.option("--split", type=SPLIT, default="train", show_default=True)
@as_json
def render_world(
    out: Path | None,
    corpus: Path | None,
    clips: int,
    seed: int,
    size: tuple[int, int],
    frames: int,
    fps: float,
    kinds: list[str] | None,
    bodies: int | None,
    split: str,
    as_json: bool,
) -> None:
    """Render clips of the synthetic world, each with its caption and its exact truth.

    Give --out for a folder of files, --corpus for a corpus to train on, or both.
    """
    if out is None and corpus is None:
        raise click.UsageError("give --out DIR, --corpus DIR or both")
    from yozora.rights.intake import admit_named
    from yozora.world import dataset

    make = partial(
        dataset.make, split=split, kinds=kinds, bodies=bodies, size=size, frames=frames, fps=fps
    )
    pairs: Iterable[tuple[Clip, Record]] = (make(index, seed) for index in range(clips))
    pairs = tracked(pairs, "rendering", clips)
    if out is not None:
        pairs = saved(pairs, out)
    report: dict[str, Any] = {"clips": clips, "out": str(out) if out else None}
    if corpus is None:
        for _ in pairs:
            pass
    else:
        into = open_corpus(corpus)
        admit_named(into.ledger, into.policy, dataset.SOURCE, dataset.LICENCE)
        done = into.add(pairs)
        report |= {"corpus": str(corpus), **dataclasses.asdict(done)}
    print_json(report) if as_json else say(f"rendered {clips} clips into {out or corpus}")


def saved(pairs: Iterable[tuple[Clip, Record]], out: Path) -> Iterator[tuple[Clip, Record]]:
    """Write each clip and its record into ``out`` as they pass by."""
    from yozora.artifact import write_atomic

    out.mkdir(parents=True, exist_ok=True)
    for index, (clip, record) in enumerate(pairs):
        clip.save(out / f"{index:06d}.mp4", quality="exact")
        facts = json.dumps(dataclasses.asdict(record), ensure_ascii=False)
        write_atomic(out / f"{index:06d}.json", facts)
        yield clip, record


def open_corpus(directory: Path) -> Corpus:
    """The corpus in ``directory``; an empty or a new directory becomes one."""
    from yozora.corpus.catalogue import Corpus

    base = Path(str(directory).rpartition("@")[0])
    begun = directory.is_dir() and any(directory.iterdir())
    of_past = not directory.exists() and (base / "catalogue.lance").is_dir()
    return Corpus.open(directory) if begun or of_past else Corpus.create(directory)


def parse_canvas(text: str) -> Canvas:
    """'112x64@8' -> the canvas."""
    from yozora.video.canvas import Canvas

    try:
        return Canvas.parse(text)
    except YozoraError as error:
        raise ValueError(text) from error


def parse_canvases(texts: Iterable[str]) -> list[Canvas]:
    """('112x64@8', '224x128@8') -> the canvases."""
    return [parse_canvas(text) for text in texts]


@main.command()
@click.argument("paths", nargs=-1, required=True, type=EXISTING, metavar="PATH...")
@click.option("--corpus", type=FOLDER, required=True, help="Add the clips to this corpus.")
@click.option(
    "--licence",
    "--license",
    metavar="SPDX",
    help="What you may do with the footage, as an SPDX expression such as CC-BY-4.0.",
)
@click.option("--holder", default="", metavar="NAME", help="Who holds the rights.")
@click.option("--source", default="", metavar="URL", help="Where the footage comes from.")
@click.option("--consent", type=FILE, help="The holder's signed word, for files that it covers.")
@click.option("--split", type=SPLIT, help="Put all files into this split, not by their content.")
@click.option(
    "--rendition",
    "renditions",
    multiple=True,
    default=["112x64@8"],
    show_default="112x64@8",
    callback=parsed(parse_canvases, "canvases such as 112x64@8"),
    metavar="WxH@FPS",
    help="Cut clips for training of this size and rate; repeatable.",
)
@click.option(
    "--seconds", type=POSITIVE, default=2.125, show_default=True, help="Of a clip for training."
)
@click.option("--stride", type=POSITIVE, help="Seconds from such a clip's start to the next one's.")
@click.option(
    "--canvas",
    callback=parsed(parse_canvas, "a canvas such as 1920x1080@30"),
    metavar="WxH@FPS",
    help="Also keep each shot whole, such as 1920x1080@30.",
)
@click.option(
    "--max-seconds",
    type=POSITIVE,
    default=60.0,
    show_default=True,
    help="Shots are cut that are longer.",
)
@click.option(
    "--aspect-buckets",
    is_flag=True,
    help="Take, for each canvas, the one of its area nearest to the film's aspect: 16:9, 4:3, 1:1, 3:4 or 9:16.",
)
@click.option(
    "--sieve",
    default="usual",
    show_default=True,
    metavar="NAME",
    help="What clips have to be to be kept: usual, or everything.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="key=value",
    callback=parse_settings,
    help="Change a threshold of the sieve, such as min_motion=0.01; repeatable.",
)
@click.option(
    "--shots",
    type=click.Choice(["cheap", "transnet"]),
    default="cheap",
    show_default=True,
    help="What finds cuts: structure alone, or TransNet V2, which is slower and finds more dissolves.",
)
@click.option(
    "--taps",
    "models",
    default="",
    metavar="NAME,...",
    help="Models that look and listen as well: nsfw, text, faces, speech.",
)
@click.option(
    "--samples",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Pictures of each clip that models look at, at most one each half second.",
)
@click.option("--blur-faces", is_flag=True, help="Blur the faces in clips before they are stored.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What reads files side by side: processes here, or Ray (RAY_ADDRESS names a cluster).",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=lambda: os.cpu_count() or 1,
    show_default="one a core",
    help="Processes that read files side by side.",
)
@as_json
def ingest(
    paths: tuple[Path, ...],
    corpus: Path,
    licence: str | None,
    holder: str,
    source: str,
    consent: Path | None,
    sieve: str,
    settings: dict[str, str],
    shots: str,
    models: str,
    samples: int,
    blur_faces: bool,
    as_json: bool,
    **cut: Any,
) -> None:
    """Take video files, stills and folders of them into a corpus.

    Before a file is decoded, what it and its surroundings say of training is read (`yozora rights`), and
    the corpus's policy decides. Every file needs a licence: from its sidecar file (NAME.json), from
    --licence or from the file itself; or the holder's --consent. Captions come from
    a sidecar (NAME.txt, NAME.json or NAME.srt), the file's own tags or its name. What cannot be used
    is refused with its reason and the rest is taken in; the exit status is 1 when anything was refused.

    Each file is decoded once: its cuts are found, its clips never cross one, are resized and
    padded to each canvas, and those that do not pass the sieve (nothing moves, black, blurred, the same as
    another file's) are left out with their reason.

    Footage that is taken in again, cut as before, is not stored twice: its clips take on the captions,
    rights and split that hold now.
    """
    from yozora.footage.ingest import ingest_into
    from yozora.footage.taps.learned import Taps
    from yozora.recipes import sieve_recipe
    from yozora.rights.consent import read_consent

    chosen = sieve_recipe(sieve, settings)
    named = tuple(filter(None, models.replace(" ", "").split(",")))
    with progress_bar() as bar:

        def show(path: Path, done: int, total: int) -> None:
            bar(path.name, done, total)

        into = open_corpus(corpus)
        report = ingest_into(
            into,
            paths,
            licence=licence,
            holder=holder,
            url=source,
            consent=read_consent(consent) if consent else None,
            sieve=chosen,
            taps=Taps(shots, named, samples, blur_faces),
            progress=show,
            **cut,
        )
    if as_json:
        print_json(report.to_json())
    else:
        for path, reason in report.refused:
            say(f"refused {path}: {reason}")
        for rule, count in report.left_out.items():
            say(f"left out {count} clips by {rule}")
        again = f"; {report.updated} were there and are changed" if report.updated else ""
        same = f"; {report.duplicates} were there already" if report.duplicates else ""
        say(f"took {report.added} clips of {report.files} files into {corpus}{again}{same}")
    if not (report.added or report.updated or report.duplicates):
        raise Failure(f"nothing was taken into {corpus}; `yozora corpus check {corpus}` says why.")
    if report.refused:
        raise Failure(
            f"{len(report.refused)} of {report.files} files were refused; the rest is in {corpus}."
        )


@main.group("corpus")
def corpus_group() -> None:
    """A corpus: its clips, captions, sources and rights."""


@corpus_group.command("check")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.option(
    "--recipe",
    default="nano",
    show_default=True,
    metavar="NAME",
    help="The model recipe that is to be trained.",
)
@as_json
def check_corpus(directory: Path, recipe: str, as_json: bool) -> None:
    """Count the clips of each shape and split, and say what was dropped and why.

    This is where to look when a training run says that it has 0 batches: for each shape of the recipe
    it says how many clips fit, why the others do not, and how many seconds are left unused.
    """
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.report import check, stock
    from yozora.latents.usage import usage
    from yozora.recipes import model_recipe

    chosen, corpus = model_recipe(recipe), Corpus.open(directory)
    report, used = check(corpus), usage(recipe, chosen.shapes, stock(corpus))
    if as_json:
        print_json({**report.to_json(), "recipe": used.to_json()})
    else:
        print_rich(report)
        print_rich(used)


@corpus_group.command("show")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.option("--split", type=SPLIT, help="Only clips of this split.")
@click.option("--kind", type=click.Choice(["world", "footage"]), help="Only clips of this kind.")
@click.option("--limit", type=COUNT, default=20, show_default=True, help="How many clips.")
@click.option("--sheet", type=ANY, metavar="PNG", help="Also write a contact sheet of them.")
@as_json
def show_corpus(
    directory: Path,
    split: str | None,
    kind: str | None,
    limit: int,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Show clips of a corpus, spread evenly over it, with their captions."""
    from yozora.corpus import report
    from yozora.corpus.catalogue import Corpus

    corpus = Corpus.open(directory)
    rows = report.show(corpus, split=split, kind=kind, limit=limit)
    if sheet is not None:
        report.sheet(corpus, rows, sheet)
    if as_json:
        print_json({"clips": [clip_facts(row) for row in rows]})
        return
    for row in rows:
        shape = f"{row.frames} frames {row.width}x{row.height} at {row.fps:g} fps"
        role = (
            f"{row.role} of {row.master[:12]}, "
            if row.role == "rendition"
            else f"{row.role}, " * bool(row.role)
        )
        click.echo(f"{row.path}\n  {row.split}, {row.source}, {row.licence}, {role}{shape}")
        for caption in row.captions:
            click.echo(f"  {caption}")


@corpus_group.command("search")
@click.argument("directory", type=FOLDER, metavar="DIR[@TAG]")
@click.argument("words", nargs=-1)
@click.option(
    "--like",
    metavar="CLIP|FILE",
    help="Find footage like this clip of the corpus (the beginning of its id), or like this file.",
)
@click.option("--limit", type=COUNT, default=20, show_default=True, help="How many clips.")
@click.option("--sheet", type=ANY, metavar="PNG", help="Also write a contact sheet of them.")
@as_json
def search_corpus(
    directory: Path,
    words: tuple[str, ...],
    like: str | None,
    limit: int,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Find clips by words of their captions and sources, or by likeness."""
    from yozora.corpus import report
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.looks import of_film, of_row, place
    from yozora.corpus.search import by_id, by_likeness, by_look, by_words
    from yozora.footage.survey import hash_of_film

    if like and words:
        raise Failure("search for words, or for what is like a clip: both at once is not possible.")
    corpus = Corpus.open(directory)
    if like and place(corpus).is_dir():
        looks = (
            of_film(Path(like), 17)
            if Path(like).is_file()
            else [of_row(corpus, by_id(corpus, like))]
        )
        found = by_look(corpus, looks, limit)
    elif like:
        if Path(like).is_file():
            bits = hash_of_film(Path(like)).bits
        else:
            row = by_id(corpus, like)
            measured = row.labels.get("measures", {}).get("hash")
            bits = int(measured, 16) if measured else hash_of_film(corpus.file(row)).bits
        found = by_likeness(corpus, bits, limit)
    else:
        found = by_words(corpus, " ".join(words), limit)
    if sheet is not None:
        report.sheet(corpus, [one.row for one in found], sheet)
    if as_json:
        print_json({"clips": [{"fit": one.fit, **clip_facts(one.row)} for one in found]})
        return
    for one in found:
        click.echo(f"{one.fit:4.0%}  {one.row.id[:12]}  {one.row.source}  {one.row.role}".rstrip())
        for caption in one.row.captions[:1]:
            click.echo(f"      {caption}")
    if not found:
        say("no clip was found")


@corpus_group.command("dedup")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.option(
    "--similarity",
    type=click.FloatRange(0.5, 1),
    default=0.9,
    show_default=True,
    help="How alike two clips of different files are for the later one to be a copy.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be left out.")
@as_json
def dedup_corpus(directory: Path, similarity: float, dry_run: bool, as_json: bool) -> None:
    """Leave out footage that is a copy of another file's: cropped, mirrored, recoloured, coded again, subtitled.

    What is left out is noted with its reason, and stays out when its file is taken in again. The vectors by which
    clips are compared are kept in the corpus, and `corpus search --like` uses them from then on.
    """
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.dedup import dedup

    with progress_bar() as bar:
        found = dedup(Corpus.open(directory), similarity=similarity, dry_run=dry_run, progress=bar)
    if as_json:
        print_json({"copies": [one.to_json() for one in found], "dry_run": dry_run})
        return
    for one in found:
        say(f"{one.source}: {one.reason}")
    say(f"{len(found)} clips {'would be' if dry_run else 'are'} left out of {directory}")


@corpus_group.command("report")
@click.argument("directory", type=FOLDER, metavar="DIR[@TAG]")
@click.option("--out", type=ANY, default=Path("corpus.html"), show_default=True, help="The page.")
@as_json
def report_corpus(directory: Path, out: Path, as_json: bool) -> None:
    """Write an HTML page about a corpus: its rights, where it comes from, its variety, what was refused, its clips."""
    from yozora.artifact import write_atomic
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.page import page

    write_atomic(out, page(Corpus.open(directory)))
    print_json({"page": str(out)}) if as_json else say(f"wrote {out}")


@corpus_group.command("tag")
@click.argument("directory", type=FOLDER, metavar="DIR")
@click.argument("name", required=False)
@as_json
def tag_corpus(directory: Path, name: str | None, as_json: bool) -> None:
    """Give the corpus's present state a NAME; without one, list the tags.

    DIR@NAME is that state wherever a corpus is read, as in `train --corpus DIR@NAME`. Clips that are taken
    back take the tags with them.
    """
    from yozora.corpus.catalogue import Corpus

    corpus = Corpus.open(directory)
    if name is not None:
        corpus.give_tag(name)
    if as_json:
        print_json({"tags": corpus.tags()})
    else:
        click.echo("\n".join(corpus.tags())) if name is None else say(f"{directory}@{name}")


@corpus_group.command("diff")
@click.argument("before", type=FOLDER, metavar="DIR[@TAG]")
@click.argument("after", type=FOLDER, metavar="DIR[@TAG]")
@as_json
def diff_corpora(before: Path, after: Path, as_json: bool) -> None:
    """Say which clips were added, removed, or said anew from one corpus or tag to another."""
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.diff import diff

    found = diff(Corpus.open(before), Corpus.open(after))
    print_json(found.to_json()) if as_json else print_rich(found)


@corpus_group.command("export")
@click.argument("directory", type=FOLDER, metavar="DIR[@TAG]")
@click.option(
    "--out", type=FOLDER, required=True, help="A new folder for the clips and their list."
)
@click.option("--split", type=SPLIT, help="Only clips of this split.")
@click.option("--kind", type=click.Choice(["world", "footage"]), help="Only clips of this kind.")
@as_json
def export_corpus(
    directory: Path, out: Path, split: str | None, kind: str | None, as_json: bool
) -> None:
    """Write the clips as files, with a list that other tools and `ingest` can read, and their rights manifest."""
    from yozora.corpus.catalogue import Corpus
    from yozora.corpus.export import export

    with progress_bar() as bar:
        clips = export(
            Corpus.open(directory), out, split=split, kind=kind, progress=partial(bar, "copying")
        )
    print_json({"out": str(out), "clips": clips}) if as_json else say(
        f"wrote {clips} clips to {out}"
    )


def clip_facts(row: Row) -> dict[str, Any]:
    """A row for machines: its columns, with the labels as JSON."""
    facts = dataclasses.asdict(row)
    del facts["labels_json"]
    return {**facts, "role": row.role, "seconds": row.seconds, "labels": row.labels}


@main.group()
def train() -> None:
    """Train a codec, a text encoder or a model; a run can be killed at any moment and resumed exactly."""


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all training commands take."""
    options = [
        click.argument("recipe"),
        click.option("--corpus", type=FOLDER, required=True, help="What to train on."),
        click.option("--out", type=FOLDER, required=True, help="The run's directory."),
        click.option("--resume", is_flag=True, help="Go on with the run in --out."),
        click.option("--minutes", type=POSITIVE, help="Stop after M minutes."),
        click.option(
            "--steps", type=COUNT, help="Stop at step N; the recipe's own number by default."
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="key=value",
            callback=parse_settings,
            help="Change a field of the recipe, such as batch=8 or config.depth=4; repeatable.",
        ),
        as_json,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@train.command("codec")
@training_options
@click.option(
    "--from",
    "begin",
    metavar="MODEL",
    help="Go on from a codec's weights; with --set decoder_only=true its latents stay valid.",
)
def train_codec(
    recipe: str,
    corpus: Path,
    out: Path,
    settings: dict[str, str],
    minutes: float | None,
    begin: str | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Train a codec on a corpus's clips; OUT/codec.safetensors is the result."""
    from yozora.checkpoint import load_weights
    from yozora.corpus.catalogue import Corpus
    from yozora.recipes import codec_recipe
    from yozora.training.vae import train

    chosen = codec_recipe(recipe, settings)
    start, _, made_by = (
        load_weights(model_directory(begin) / "codec.safetensors") if begin else (None, {}, {})
    )
    with training_bar(minutes) as watch:
        path = train(
            chosen,
            Corpus.open(corpus).pinned(),
            out,
            start_from=start,
            seen=made_by.get("rights"),
            minutes=minutes,
            watch=watch,
            **limits,
        )
    tell_trained(out, path, as_json)


@train.command("text")
@training_options
def train_text(
    recipe: str,
    corpus: Path,
    out: Path,
    settings: dict[str, str],
    minutes: float | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Adapt the text encoder to a corpus's captions; OUT/text.safetensors is the result.

    It learns from the synthetic world's captions, whose right answers are known, to understand words that no caption
    has used. Name the run with --text when you train a model.
    """
    from yozora.corpus.catalogue import Corpus
    from yozora.recipes import text_recipe
    from yozora.training.text import train

    chosen = text_recipe(recipe, settings)
    with training_bar(minutes) as watch:
        path = train(
            chosen, Corpus.open(corpus).pinned(), out, minutes=minutes, watch=watch, **limits
        )
    tell_trained(out, path, as_json)


@train.command("model")
@training_options
@click.option("--codec", type=EXISTING, help="A codec's run; the shipped nano codec by default.")
@click.option(
    "--text",
    type=EXISTING,
    help="A text encoder's run; by default as the model to go on from has it, else as it is published.",
)
@click.option("--from", "begin", metavar="MODEL", help="Go on from a model's weights.")
def train_model(
    recipe: str,
    corpus: Path,
    out: Path,
    codec: Path | None,
    text: Path | None,
    begin: str | None,
    settings: dict[str, str],
    minutes: float | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Train a model on a corpus's clips and captions; OUT is then a model for generate and evaluate.

    Clips and captions are encoded first and kept in the corpus, so that this happens once.
    """
    from yozora.recipes import model_recipe

    chosen = model_recipe(recipe, settings)
    with training_bar(minutes) as watch:
        path = fit_model(chosen, corpus, out, codec, text, begin, watch, minutes=minutes, **limits)
    tell_trained(out, path, as_json)


def fit_model(
    recipe: ModelRecipe,
    directory: Path,
    out: Path,
    codec: Path | None,
    text: Path | None,
    begin: str | None,
    watch: Callable[[dict[str, Any]], None],
    **limits: Any,
) -> Path:
    """Encode the corpus, train, and put the codec beside the new weights."""
    from yozora.artifact import content_hash, write_atomic
    from yozora.checkpoint import load_weights
    from yozora.corpus.catalogue import Corpus
    from yozora.evaluation.previews import Previews
    from yozora.models.adapter import fingerprint
    from yozora.sampling.pipeline import load_codec
    from yozora.training.dit import Probe, train
    from yozora.training.prepare import prepare
    from yozora.training.state import latest_state

    if latest_state(out) is not None and not limits["resume"]:  # before encoding, not after it
        raise YozoraError(
            f"{out} already holds a run; go on with --resume or choose another --out."
        )
    start = model_directory(begin) if begin else None
    weights = codec_weights(codec, start, out)
    network, _, seen = load_weights(start / "dit.safetensors") if start else (None, {}, {})
    words = text_weights(text, start, out)
    adapter, _, words_seen = load_weights(words) if words else ({}, {}, {})
    corpus = Corpus.open(directory).pinned()  # what is added meanwhile is for the next run

    def report(phase: str, done: int, total: int) -> None:
        watch({"phase": phase, "done": done, "of": total})

    loaded = load_codec(weights)
    ready = prepare(recipe, corpus, loaded, weights, adapter, report)
    out.mkdir(parents=True, exist_ok=True)
    if weights.parent.resolve() != out.resolve():
        write_atomic(out / "codec.safetensors", weights.read_bytes())
    if words is not None and words.parent.resolve() != out.resolve():
        write_atomic(out / "text.safetensors", words.read_bytes())
    lists, inherited = corpus.inherited(
        *(made_by.get("rights", {}) for made_by in (seen, words_seen))
    )
    corpus.consumed("run", out, [*ready.clips, *inherited])
    shape = dataclasses.asdict(max(recipe.shapes, key=lambda s: s.frames))
    previews = Previews(loaded, recipe.text, shape, out / "previews", adapter)
    path = train(
        recipe,
        ready.train,
        ready.texts,
        out,
        validation=ready.validation,
        start_from=network,
        origin=content_hash(start / "dit.safetensors") if start else None,
        adapter=fingerprint(adapter) if adapter else "",
        probe=Probe(recipe.preview_every, previews),
        provenance={
            "corpus": corpus.identity(),
            "codec": content_hash(weights),
            **({"text": content_hash(words)} if words else {}),
        },
        rights={**ready.rights, "inherited": lists},
        watch=watch,
        **limits,
    )
    corpus.consumed("checkpoint", out, [*ready.clips, *inherited])
    return path


def model_directory(name: str) -> Path:
    """Where a model's weights are: the directory of this name, else the shipped model's."""
    return Path(name) if Path(name).is_dir() else WEIGHTS / name


def codec_weights(codec: Path | None, start: Path | None, out: Path) -> Path:
    """The codec to train with: the one given, else that of the model or run to go on from, else nano's.

    Raises:
        YozoraError: there is none, the run in ``out`` has another one, or the model to go on from knows other latents.
    """
    from yozora.artifact import content_hash

    own = out / "codec.safetensors"
    if codec is not None:
        found = codec / own.name if codec.is_dir() else codec
    elif own.exists():
        found = own
    else:
        found = (start or WEIGHTS / "nano") / own.name
    if not found.exists():
        raise YozoraError(f"There is no codec at {found}: train one, and name it with --codec.")
    if own.exists() and content_hash(own) != content_hash(found):
        raise YozoraError(f"The run in {out} has another codec than {found}: choose another --out.")
    if start is not None and not same_latents(found, start / own.name):
        raise YozoraError(
            f"The model in {start} learned the latents of its own codec, and {found} makes others: leave out --codec, "
            "or train a codec with --set decoder_only=true --from that model."
        )
    return found


def text_weights(text: Path | None, start: Path | None, out: Path) -> Path | None:
    """What the text encoder has learned of captions: of the run given, else of ``out`` itself, else of the model to go
    on from; None where it is as published.

    Raises:
        YozoraError: the run given has none, or the run in ``out`` has another one.
    """
    from yozora.artifact import content_hash

    own = out / "text.safetensors"
    if text is not None:
        found = text / own.name if text.is_dir() else text
        if not found.exists():
            raise YozoraError(f"There is no {found}: `yozora train text` makes one.")
    elif own.exists() or start is None:
        found = own
    else:
        found = start / own.name
    if own.exists() and content_hash(own) != content_hash(found):
        raise YozoraError(
            f"The run in {out} has another text encoder than {found}: choose another --out."
        )
    return found if found.exists() else None


def same_latents(one: Path, other: Path) -> bool:
    """Whether two codecs encode alike: bit for bit the same weights and statistics, but for the decoder's."""
    from yozora.checkpoint import load_weights

    if one.resolve() == other.resolve():
        return True
    a, b = (load_weights(path)[0] for path in (one, other))
    shared = (name for name in a.keys() | b.keys() if not name.startswith("decoder."))
    return all(
        name in a and name in b and a[name].float().equal(b[name].float()) for name in shared
    )


def tell_trained(out: Path, weights: Path, as_json: bool) -> None:
    """Report the end of a run: where it is, and the last line of its log."""
    from yozora.training.state import read_log

    last = read_log(out)[-1]
    if as_json:
        print_json({"out": str(out), "weights": str(weights), **last})
    else:
        say(f"trained to step {last['step']} (loss {last['loss']:.4f}); the weights are {weights}")


@main.command()
@click.argument("prompt", required=False)
@click.option("--prompts", type=FILE, help="Many prompts, one a line; -o is then a directory.")
@click.option("-o", "--out", type=ANY, required=True, help="The video: .mp4, .webm or .gif.")
@click.option("--model", default="nano", show_default=True, help="A name or a run's directory.")
@click.option("--seconds", type=POSITIVE, default=2.0, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same video.")
@click.option("--steps", type=COUNT, default=20, show_default=True, help="Solver steps.")
@click.option(
    "--guidance",
    metavar="FLOAT",
    type=Finite(),
    default=4.0,
    show_default=True,
    help="Weight of the prompt; 1 switches guidance off.",
)
@click.option("--negative-prompt", metavar="TEXT", default="", help="What to keep away from.")
@click.option(
    "--shift",
    type=POSITIVE,
    default=2.0,
    show_default=True,
    help="Above 1: more of the steps go to high noise, where motion is decided.",
)
@click.option(
    "--solver",
    type=click.Choice(SOLVERS),
    default="multistep",
    show_default=True,
    help="Of the ODE.",
)
@click.option("--image", type=FILE, help="Start from this still.")
@click.option("--video", type=FILE, help="The clip to extend or to fill.")
@click.option(
    "--extend",
    type=click.Choice(["forward", "backward", "both"]),
    help="Go on from --video in this direction of time.",
)
@click.option(
    "--fill",
    metavar="FROM:TO",
    callback=parsed(parse_span, "a span of seconds such as 0.8:1.4"),
    help="Make this span of --video anew, in seconds.",
)
@as_json
def generate(
    prompt: str | None,
    prompts: Path | None,
    out: Path,
    model: str,
    seed: int,
    image: Path | None,
    video: Path | None,
    extend: str | None,
    fill: tuple[float, float] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Generate a video from a sentence, and if you like from a still or a clip.

    With --prompts FILE the model is loaded once and -o DIR receives prompts.json, then 0000.mp4,
    0001.mp4 and so on in the file's order. DIR must hold no MP4 before, so that clips of two runs are
    never taken for one.
    """
    if (prompt is None) == (prompts is None):
        raise click.UsageError("give either a PROMPT or --prompts FILE")
    if image and video:
        raise click.UsageError("a clip starts from --image or from --video, not from both")
    if (video is None) != (extend is None and fill is None) or (extend and fill):
        raise click.UsageError("--video goes with one of --extend and --fill")
    if prompts is not None and (image or video):
        raise click.UsageError("--image and --video go with a single PROMPT")
    if prompts is None and out.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"-o {out}: the name must end in one of {', '.join(SUFFIXES)}")
    from yozora.sampling.pipeline import load

    texts = read_prompts(prompts) if prompts is not None else []
    if prompts is not None:
        require_no_clips(out)
    began = time.monotonic()
    pipeline = load(model)
    if prompts is not None:
        seeds = [seed + number for number in range(len(texts))]
        clips = pipeline.generate_many(texts, seeds=seeds, **options)
        files, clip = save_numbered(tracked(clips, "generating", len(texts)), texts, out)
    else:
        with progress_bar() as show:
            clip = pipeline.generate(
                str(prompt),
                seed=seed,
                image=image,
                video=video,
                extend=extend,
                fill=fill,
                watch=lambda step: show("sampling", step.done, step.total),
                **options,
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        files = [str(clip.save(out))]
    took = round(time.monotonic() - began, 2)
    report = {"model": model, "files": files, "seed": seed, "took_seconds": took, **options}
    report |= {"frames": len(clip), "fps": clip.fps, "width": clip.width, "height": clip.height}
    report["seconds"] = clip.seconds  # of each clip as it is, not as it was asked for
    print_json(report) if as_json else say(f"wrote {out} ({len(files)} videos)")


def read_prompts(path: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises YozoraError when there are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise YozoraError(f"{path} is no text in UTF-8: save it again as that.") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise YozoraError(f"{path} has no prompts: write one a line.")
    return prompts


def require_no_clips(folder: Path) -> None:
    """Raises YozoraError when a folder holds an MP4, which would be judged by another run's prompts."""
    if found := sorted(folder.glob("*.mp4")):
        raise YozoraError(
            f"{folder} holds clips already, {found[0].name} first: choose another -o, or remove them."
        )


def save_numbered(
    clips: Iterable[Clip], prompts: Sequence[str], out: Path
) -> tuple[list[str], Clip]:
    """Write prompts.json, then 0000.mp4 and so on as the clips come; the paths, and the last clip."""
    from yozora.artifact import write_atomic

    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{index:04d}.mp4" for index in range(len(prompts))]
    names = (file.name for file in files)
    listing = json.dumps(dict(zip(names, prompts, strict=True)), indent=2, ensure_ascii=False)
    write_atomic(out / "prompts.json", listing + "\n")
    for file, clip in zip(files, clips, strict=True):
        clip.save(file)
    return [str(file) for file in files], clip


@main.command()
@click.argument("target", metavar="MODEL|DIR-OF-MP4")
@click.option(
    "--suite",
    "suites",
    type=click.Choice(["align", "motion", "physics", "codec"]),
    multiple=True,
    help="Only this suite; repeatable.",
)
@click.option("--out", type=FOLDER, required=True, help="For report.html and scores.json.")
@click.option("--prompts", type=COUNT, default=300, show_default=True, help="Held-out prompts.")
@click.option(
    "--style",
    type=click.Choice(["dense", "short", "mixed"]),
    default="dense",
    show_default=True,
    help="Wording of the prompts: everything said, the least, or both.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the prompts and videos.")
@click.option("--corpus", type=FOLDER, help="Whose held-out clips the codec suite codes.")
@as_json
def evaluate(
    target: str,
    suites: tuple[str, ...],
    out: Path,
    prompts: int,
    style: str,
    seed: int,
    corpus: Path | None,
    as_json: bool,
) -> None:
    """Score a model, or a folder of MP4s that any model made, from pixels alone.

    A folder needs the prompts of its clips: prompts.json, or prompts.txt with a line for each clip in
    the order of the names. All suites that apply are run unless --suite chooses.
    """
    from yozora.evaluation.report import SUITES
    from yozora.evaluation.report import evaluate as score

    with progress_bar() as show:
        report = score(
            target,
            suites or SUITES,
            out=out,
            prompts=prompts,
            style=style,
            seed=seed,
            corpus=corpus,
            progress=show,
        )
    print_json(report) if as_json else say(f"wrote {out / 'report.html'} and {out / 'scores.json'}")


@main.command()
@click.option("--directory", type=EXISTING, default=Path(), help="Where you want to work.")
@as_json
def doctor(directory: Path, as_json: bool) -> None:
    """Show what works on this computer, what is missing and what to do.

    The exit status is 1 when something that yozora needs is missing.
    """
    from yozora.doctor import examine, healthy

    checks = examine(directory.resolve(), WEIGHTS)
    if as_json:
        print_json({"ok": healthy(checks), "checks": [dataclasses.asdict(c) for c in checks]})
    else:
        colours = {"ok": "green", "note": "yellow", "missing": "red"}
        for check in checks:
            mark = click.style(f"{check.status:<8}", fg=colours[check.status])
            click.echo(f"{mark}{check.name:<24}{check.value}")
            if check.advice:
                click.echo(f"{'':32}{check.advice}")
    if not healthy(checks):
        raise SystemExit(1)


main.add_command(caption_footage)
main.add_command(review)
main.add_command(rights)
main.add_command(revoke)
main.add_command(keys)
main.add_command(orgs)
main.add_command(prices)
main.add_command(usage)
main.add_command(users)
main.add_command(serve)
main.add_command(worker)
main.add_command(verify)
main.add_command(backup)
main.add_command(restore)
main.add_command(videos)
