"""The clips that are judged: made by a model from held-out prompts, or read from a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from yozora import video
from yozora.errors import YozoraError
from yozora.evaluation.alignment import Verdict, judge
from yozora.evaluation.expected import Expected, of_scene, of_words
from yozora.evaluation.motion import Persistence, energy, flicker, jitter, persistence
from yozora.evaluation.parse import Parsed, parse
from yozora.video import Clip
from yozora.world.caption import prompts
from yozora.world.render import render
from yozora.world.scene import Scene

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


class Model(Protocol):
    """What the suites ask of a model: many clips from prompts, one clip from what is known of it."""

    def generate_many(
        self, prompts: Sequence[str], *, seconds: float, seeds: Sequence[int]
    ) -> Iterator[Clip]: ...

    def generate(self, prompt: str, *, seconds: float, seed: int, **known: Any) -> Clip: ...


@dataclass(frozen=True)
class Canvas:
    """What a model makes in one pass: frames of width x height pixels at fps."""

    width: int = 112
    height: int = 64
    frames: int = 17
    fps: float = 8.0

    @classmethod
    def of(cls, model: Any) -> Canvas:
        """The model's own width, height, frames and fps, where it has such attributes."""
        own: dict[str, Any] = {f.name: getattr(model, f.name, f.default) for f in fields(cls)}
        return cls(**own)

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Reading:
    """A parsed clip, how far it agrees with its prompt, and its motion measures (see motion.py)."""

    parsed: Parsed
    verdict: Verdict
    flicker: float
    jitter: float
    energy: float
    persistence: Persistence


@dataclass(frozen=True)
class Sample:
    """A prompt, what it asks for, the file of the clip that was made of it, and its reading.

    truth: the reading of a true clip of the same scene, when the scene is known.
    """

    prompt: str
    expected: Expected
    scene: Scene | None
    file: Path
    made: Reading
    truth: Reading | None


def read_clip(clip: Clip, expected: Expected) -> Reading:
    """Parse, judge and measure one clip."""
    parsed = parse(clip)
    return Reading(
        parsed,
        judge(expected, parsed),
        flicker(clip),
        jitter(parsed),
        energy(clip),
        persistence(parsed),
    )


def sample_of(prompt: str, scene: Scene | None, clip: Clip, file: Path) -> Sample:
    """A clip's sample, with a true clip of its scene at the same size, rate and length beside it."""
    expected = of_scene(scene, prompt) if scene else of_words(prompt)
    truth = None
    if scene is not None:
        size = (clip.width, clip.height)
        truth = read_clip(render(scene, size=size, frames=len(clip), fps=clip.fps)[0], expected)
    return Sample(prompt, expected, scene, file, read_clip(clip, expected), truth)


def from_model(
    model: Model,
    count: int,
    seed: int,
    seconds: float,
    folder: Path,
    progress: Progress,
    style: str = "dense",
) -> list[Sample]:
    """`count` held-out prompts with one body and as many with two, each with a seed of its own.

    style: of the captions, "dense", "short" or "mixed". The clips are written to `folder` as NNNN.mp4
    with prompts.json beside them, so that the folder can be evaluated again; what is parsed are the
    model's own frames. Raises YozoraError for another style.
    """
    folder.mkdir(parents=True)
    pairs = [
        pair
        for bodies in (1, 2)
        for pair in prompts(count, seed, split="heldout", bodies=bodies, style=style)
    ]
    seeds = [seed + i for i in range(len(pairs))]
    clips = model.generate_many([text for text, _ in pairs], seconds=seconds, seeds=seeds)
    made: list[Sample] = []
    for (text, scene), clip in zip(pairs, clips, strict=True):
        progress("generating", len(made), len(pairs))
        file = clip.save(folder / f"{len(made):04d}.mp4")
        made.append(sample_of(text, scene, clip, file))
    names = {s.file.name: s.prompt for s in made}
    (folder / "prompts.json").write_text(
        json.dumps(names, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    return made


def from_folder(folder: Path, seed: int, progress: Progress) -> list[Sample]:
    """The folder's MP4s in the order of their names, each with its prompt.

    A prompt's scene comes from a clip's own NNNN.json (as `yozora world render` writes), else from
    the held-out prompts of `seed` when the text is one of them, else its words are read. Raises
    YozoraError when there are no clips or no prompts.
    """
    files = sorted(folder.glob("*.mp4"))
    if not files:
        raise YozoraError(f"{folder} has no .mp4 files to evaluate")
    texts = _texts(folder, files)
    known = _held_out(texts, seed)
    made: list[Sample] = []
    for path in files:
        progress("reading", len(made), len(files))
        record = path.with_suffix(".json")
        scene = _recorded(record) if record.exists() else known.get(texts[path.name])
        made.append(sample_of(texts[path.name], scene, video.read(path), path))
    return made


def _texts(folder: Path, files: list[Path]) -> dict[str, str]:
    """File name -> prompt, from prompts.json, prompts.txt (a line per clip, in order) or the clips' records."""
    listing, lines = folder / "prompts.json", folder / "prompts.txt"
    texts: dict[str, str] = {}
    try:
        if listing.exists():
            texts = {
                str(k): str(v) for k, v in json.loads(listing.read_text(encoding="utf-8")).items()
            }
        elif lines.exists():
            said = [line.strip() for line in lines.read_text(encoding="utf-8").splitlines()]
            texts = dict(
                zip([f.name for f in files], [line for line in said if line], strict=False)
            )
        else:
            for path in files:
                record = path.with_suffix(".json")
                if record.exists():
                    texts[path.name] = str(
                        json.loads(record.read_text(encoding="utf-8"))["captions"][0]
                    )
    except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise YozoraError(f"the prompts in {folder} cannot be read: {error}") from error
    missing = [f.name for f in files if f.name not in texts]
    if missing:
        raise YozoraError(
            f"{folder} has no prompt for {missing[0]}: add prompts.txt with one line per clip, in the "
            "order of the names, or prompts.json with name: prompt"
        )
    return texts


def _recorded(path: Path) -> Scene | None:
    """The scene in a clip's record, when it has one."""
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return Scene.from_json(labels["scene"]) if "scene" in labels else None
    except (ValueError, KeyError, TypeError) as error:
        raise YozoraError(f"{path} is no record of a clip: {error}") from error


def _held_out(texts: dict[str, str], seed: int) -> dict[str, Scene]:
    """Those texts that are held-out prompts of this seed, with their scenes."""
    wanted = set(texts.values())
    found = {}
    for bodies in (1, 2, 3, None):
        for style in ("dense", "short"):
            some = prompts(max(16, len(wanted)), seed, split="heldout", bodies=bodies, style=style)
            found.update({text: scene for text, scene in some if text in wanted})
        if len(found) == len(wanted):
            break
    return found
