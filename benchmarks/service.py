"""What the service costs: N videos through it, beside the same N by `yozora generate --prompts`; and previews.

python benchmarks/service.py [--quick]
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from common import Model, Report, model, options, report, spread, verdict
from wire import asked, polling

if TYPE_CHECKING:
    from yozora.sampling.pipeline import Pipeline

WATCHERS = 200
PROMPT = "a red ball bounces on a dark background while a blue square moves slowly to the left"
COMMAND = [sys.executable, "-c", "from yozora.cli import main; main()"]


@dataclass
class Service:
    """One that runs, with one worker and a key."""

    client: httpx2.Client
    model: str
    steps: int

    def make(self, count: int, watchers: int = 0) -> float:
        """Seconds from the first request until ``count`` videos are completed and fetched; that many more look on."""
        began = time.perf_counter()
        body = {"prompt": PROMPT, "model": self.model, "seconds": "2", "steps": self.steps}
        names = [
            self.client.post("/v1/videos", json=body | {"seed": seed})
            .raise_for_status()
            .json()["id"]
            for seed in range(count)
        ]
        key = self.client.headers["authorization"].removeprefix("Bearer ")
        looks = [asked("GET", f"/v1/videos/{names[n % count]}", key) for n in range(watchers)]
        with polling(int(self.client.base_url.port or 0), looks) if looks else nullcontext():
            for name in names:
                self.fetch(name)
        return time.perf_counter() - began

    def fetch(self, name: str) -> None:
        """Wait for a video and get it."""
        while (status := self.client.get(f"/v1/videos/{name}").json()["status"]) != "completed":
            if status == "failed":
                raise SystemExit(f"{name} failed")
            time.sleep(0.1)
        self.client.get(f"/v1/videos/{name}/content").raise_for_status()


@contextmanager
def serving(chosen: Model, folder: Path, steps: int) -> Iterator[Service]:
    """`yozora serve`, warm: its first video is made."""
    data = ["--data", str(folder / "data"), "--json"]
    work = ["--port", "0", "--model", f"model={chosen.directory}"]
    process = subprocess.Popen(
        [*COMMAND, "serve", *data, *work],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n}\n"):
            said += process.stdout.readline()
        key = subprocess.run(
            [*COMMAND, "keys", "create", *data], check=True, capture_output=True, text=True
        ).stdout
        client = httpx2.Client(
            base_url=json.loads(said)["address"],
            headers={"authorization": f"Bearer {json.loads(key)['key']}"},
            timeout=60,
        )
        while client.get("/readyz").status_code != 200:
            time.sleep(0.2)
        service = Service(client, "model", steps)
        service.make(1)
        yield service
        client.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def command(chosen: Model, folder: Path, count: int, steps: int) -> float:
    """Seconds of `yozora generate --prompts` from start to end, files written."""
    prompts, out = folder / "prompts.txt", folder / f"command-{time.monotonic_ns()}"
    prompts.write_text(f"{PROMPT}\n" * count)
    options = ["--model", str(chosen.directory), "--steps", str(steps), "-o", str(out)]
    began = time.perf_counter()
    subprocess.run(
        [*COMMAND, "generate", "--prompts", str(prompts), *options], check=True, capture_output=True
    )
    return time.perf_counter() - began


def loaded(pipeline: Pipeline, folder: Path, count: int, steps: int) -> float:
    """Seconds of what that command does once its model is loaded."""
    began = time.perf_counter()
    clips = pipeline.generate_many([PROMPT] * count, seeds=list(range(count)), steps=steps)
    for number, clip in enumerate(clips):
        clip.save(folder / f"{number:04d}.mp4")
    return time.perf_counter() - began


def beside(page: Report, chosen: Model, folder: Path) -> None:
    """The same videos by the service, by the command, and by the command's inside."""
    import yozora

    rounds, count, steps = (1, 2, 2) if page.quick else (5, 32, 20)
    pipeline = yozora.load(chosen.directory)
    loaded(pipeline, folder, 1, steps)
    taken: dict[str, list[float]] = {"service": [], "watched": [], "command": [], "loaded": []}
    with serving(chosen, folder, steps) as service:
        for _ in range(rounds):
            taken["service"].append(service.make(count))
            taken["watched"].append(service.make(count, watchers=WATCHERS))
            taken["loaded"].append(loaded(pipeline, folder, count, steps))
            taken["command"].append(command(chosen, folder, count, steps))
    page.say(
        f"{count} videos of 2 s: {chosen.description}, {steps} steps, {rounds} rounds in turn. The service runs as "
        "`yozora serve` with one worker, warm, and is asked over HTTP by one client, who looks every 0.1 s and fetches "
        "each video; it also makes previews, thumbnails and spritesheets. Seconds for all videos, and in the same "
        f"round the service's over those of the command, and those with {WATCHERS} more clients that wait as they are "
        "asked over the service's alone."
    )
    names = {
        "service": "yozora serve",
        "watched": f"yozora serve, {WATCHERS} clients looking on",
        "command": "yozora generate --prompts, start to end",
        "loaded": "the same without start and loading",
    }
    rows = []
    for name, seconds in taken.items():
        ratios = [a / b for a, b in zip(taken["service"], seconds, strict=True)]
        if name == "watched":  # this over the service, not the service over this
            ratios = [1 / ratio for ratio in ratios]
        share = verdict(statistics.median(ratios), 1.05, at_least=False)
        over = ["", ""] if name == "service" else [spread(ratios), share]
        rows.append([names[name], spread(seconds), *over])
    page.table(["", "seconds", "ratio", "target"], rows)


def previews(page: Report, chosen: Model) -> None:
    """What part of a generation goes into its preview frames."""
    import yozora
    from yozora.sampling.solvers import Step
    from yozora.service.making import Tracker

    rounds, steps = (1, 4) if page.quick else (7, 20)
    pipeline = yozora.load(chosen.directory)
    spent = [0.0]

    class Timed(Tracker):
        def previews(self, step: Step) -> list[bytes]:
            began = time.perf_counter()
            made = super().previews(step)
            spent[0] += time.perf_counter() - began
            return made

    rows = []
    for count in (1, 2 if page.quick else 16):
        shares = []
        for _ in range(rounds + 1):
            spent[0], began = 0.0, time.perf_counter()
            tracker = Timed(pipeline, lambda progress, seen: None, count, 1)
            list(pipeline.generate_many([PROMPT] * count, steps=steps, watch=tracker))
            shares.append(100 * spent[0] / (time.perf_counter() - began))
        reached = verdict(statistics.median(shares[1:]), 3, at_least=False)
        rows.append([str(count), spread(shares[1:]), reached])
    page.say("Preview frames, two for each video, as a part of its generation:")
    page.table(["videos a batch", "per cent of the time", "target"], rows)


if __name__ == "__main__":
    args = options(__doc__)
    with (
        report("service", "The service beside the command line", args) as page,
        tempfile.TemporaryDirectory() as folder,
    ):
        chosen = model(args.quick, Path(folder))
        beside(page, chosen, Path(folder))
        previews(page, chosen)
