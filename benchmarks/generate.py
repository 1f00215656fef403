"""What a 2-second clip costs: model loaded, one by one and in batches; and from a cold start, by phase.

python benchmarks/generate.py [--quick]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Model, Report, memory, model, options, report, seconds, spread, verdict

PROMPT = "a red ball bounces on a dark background while a blue square moves slowly to the left"
SECONDS, STEPS, GUIDANCE, BATCH = 2.0, 20, 4.0, 16
COMMAND = [sys.executable, "-c", "from yozora.cli import main; main()", "generate", PROMPT]


# --- model loaded ----------------------------------------------------------------------------


def warm(page: Report, chosen: Model, folder: Path) -> None:
    """Seconds over playing time, written files included."""
    import torch

    import yozora

    rounds, steps = (1, 2) if page.quick else (9, STEPS)
    pipeline = yozora.load(chosen.directory)
    options = {"seconds": SECONDS, "steps": steps, "guidance": GUIDANCE}
    playing = pipeline.generate(PROMPT, **options).seconds

    def one() -> None:
        pipeline.generate(PROMPT, **options).save(folder / "one.mp4")

    def many() -> None:
        for number, clip in enumerate(
            pipeline.generate_many([PROMPT] * BATCH, batch=BATCH, **options)
        ):
            clip.save(folder / f"{number:04d}.mp4")

    rows = []
    for name, work, clips, target in (("one", one, 1, 0.3), (f"{BATCH}", many, BATCH, 0.2)):
        share = [taken / clips / playing for taken in seconds(work, rounds)]
        reached = verdict(statistics.median(share), target, at_least=False)
        per_clip = statistics.median(share) * playing
        rows.append([name, spread(share), f"{per_clip:.3f}", reached])
    page.say(
        f"Model loaded: {chosen.description}, {steps} steps, guidance {GUIDANCE:g}, {playing:.3f} s of "
        f"{pipeline.width}x{pipeline.height} at {pipeline.fps:g} fps, decoded and written as MP4; "
        f"{torch.get_num_threads()} threads, {rounds} rounds. Medians, with ranges."
    )
    page.table(["clips a batch", "seconds over playing time", "seconds a clip", "target"], rows)

    latents = torch.randn(1, pipeline.codec.config.latent, *pipeline.grid)
    clip = pipeline.generate(PROMPT, **options)
    parts = {
        "text": seconds(lambda: pipeline.encoder([PROMPT, ""]), rounds),
        "decoding": seconds(lambda: pipeline.decode(latents), rounds),
        "writing": seconds(lambda: clip.save(folder / "one.mp4"), rounds),
    }
    medians = {name: 1e3 * statistics.median(taken) for name, taken in parts.items()}
    whole = 1e3 * statistics.median(seconds(one, rounds))
    medians["sampling (the rest)"] = whole - sum(medians.values())
    page.say("The same clip by part, batch of one:")
    page.table(["part", "ms"], [[name, f"{value:.0f}"] for name, value in medians.items()])


# --- cold start ------------------------------------------------------------------------------


def cold_phases(directory: str, out: str, steps: int) -> None:
    """What `yozora generate` does, in this fresh process, with a clock between the phases; prints them as JSON.

    The first one is the interpreter's own start, counted from when the parent started this process.
    """
    marks = [("started", float(os.environ["BENCH_STARTED"]))]

    def mark(name: str) -> None:
        marks.append((name, time.monotonic()))

    mark("interpreter")
    import torch

    mark("import torch")
    from yozora.sampling.pipeline import load

    mark("import the rest of the pipeline")
    pipeline = load(directory)
    mark("read the weights")
    encoder = pipeline.encoder
    mark("read the text encoder")
    encoder([PROMPT, ""])
    mark("first run of the text encoder")
    clip = pipeline.generate(PROMPT, seconds=SECONDS, steps=steps, guidance=GUIDANCE)
    mark("sample (text again)")
    pipeline.decode(torch.zeros(1, pipeline.codec.config.latent, *pipeline.grid))
    decoding = time.monotonic() - marks[-1][1]
    written = time.monotonic()
    clip.save(out)
    writing = time.monotonic() - written

    phases = {name: at - before for (name, at), (_, before) in zip(marks[1:], marks, strict=False)}
    phases["sample (text again)"] -= decoding
    phases |= {"decode": decoding, "write": writing, "memory": memory()}
    print(json.dumps(phases))


def cold(page: Report, chosen: Model, folder: Path) -> None:
    """The command's whole time and memory, and where it goes."""
    rounds, steps = (1, 2) if page.quick else (5, STEPS)
    out, directory = str(folder / "cold.mp4"), str(chosen.directory)
    words = ["-o", out, "--model", directory, "--seconds", SECONDS, "--steps", steps]
    command = [*COMMAND, *map(str, words), "--guidance", str(GUIDANCE)]

    def run_command() -> None:
        subprocess.run(command, check=True, capture_output=True)

    taken = seconds(run_command, rounds, warm_up=0 if page.quick else 1)

    def run_phases() -> dict[str, float]:
        started = {**os.environ, "BENCH_STARTED": str(time.monotonic())}
        child = [sys.executable, __file__, "--phases", directory, out, str(steps)]
        done = subprocess.run(child, check=True, capture_output=True, text=True, env=started)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    profiles = [run_phases() for _ in range(rounds)]
    peak = max(profile.pop("memory") for profile in profiles)
    page.say(
        f"Cold: `yozora generate` from start to end takes {spread(taken)} s ({rounds} runs, files in the page cache). "
        f"Peak memory {peak:.2f} GB; target {verdict(peak, 1.5, at_least=False)}. "
        "By phase, medians of as many runs in fresh processes:"
    )
    medians = {
        name: statistics.median(profile[name] for profile in profiles) for name in profiles[0]
    }
    total = sum(medians.values())
    page.table(
        ["phase", "seconds", "share"],
        [[name, f"{value:.2f}", f"{value / total:.0%}"] for name, value in medians.items()],
    )


def measure(page: Report) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        chosen = model(page.quick, folder)
        cold(page, chosen, folder)
        warm(page, chosen, folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--phases"]:
        cold_phases(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        arguments = options(__doc__)
        with report("generate", "Generating", arguments) as page:
            measure(page)
