"""What the benchmarks share: options, the machine, the model to measure, and the file a theme's figures go to."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("yozora", "torch", "diffusers", "transformers", "numpy", "av", "skia-python")
BUSY = 0.05  # cores in use by others above which figures are marked


def options(description: str | None) -> argparse.Namespace:
    """--quick and --out, which every script has."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where <theme>.md is written")
    return parser.parse_args()


# --- figures ---------------------------------------------------------------------------------


def seconds(work: Callable[[], object], rounds: int, warm_up: int = 1) -> list[float]:
    """Wall seconds of each of ``rounds`` calls of ``work``, after ``warm_up`` calls that do not count."""
    taken = []
    for number in range(warm_up + rounds):
        began = time.perf_counter()
        work()
        if number >= warm_up:
            taken.append(time.perf_counter() - began)
    return taken


def spread(values: Sequence[float], form: str = ".3g") -> str:
    """Median and range, as in "1.92 (1.88-2.01)"."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}}-{high:{form}})"


def verdict(value: float, target: float, *, at_least: bool) -> str:
    """The target, and whether ``value`` reaches it."""
    reached = value >= target if at_least else value <= target
    return f"{'≥' if at_least else '≤'} {target:g}: {'reached' if reached else 'missed'}"


# --- the machine -----------------------------------------------------------------------------


def machine() -> str:
    """Processor, cores, memory and system, in a line."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(
            (part.strip() for part in line.split(":", 1))
            for line in cpuinfo.read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        name = fields.get("model name", name)
        present = fields.get("flags", "").split()
        flags = ", ".join(f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in present)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return f"{name}, {os.cpu_count()} cores ({flags}), {memory:.0f} GB, {platform.system()}"


def versions() -> str:
    """The versions that matter for speed."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def memory(name: str = "VmHWM") -> float:
    """A figure of /proc/self/status in GB; VmHWM is the largest resident set of this process so far.

    Not from getrusage, whose maximum survives exec and so can be that of the parent.
    """
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines[name].split()[0]) * 1024 / 1e9


def _busy() -> float | None:
    """Seconds that all cores together have been busy; None where /proc does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, soft = map(int, stat.read_text().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


# --- results ---------------------------------------------------------------------------------


@dataclass
class Report:
    """The text of results/<theme>.md, made section by section while the figures come in."""

    theme: str
    title: str
    quick: bool
    out: Path
    parts: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A paragraph."""
        self.parts.append(text)
        print(text + "\n", flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; all columns but the first hold figures."""
        rule = ["---", *("---:" for _ in columns[1:])]
        self.say("\n".join("| " + " | ".join(row) + " |" for row in (columns, rule, *rows)))

    def header(self, when: str, others: float | None) -> str:
        command = shlex.join(["python", *sys.argv])
        lines = [
            f"# {self.title}",
            f"- machine: {machine()}",
            f"- date: {when}",
            f"- command: `{command}`",
            f"- versions: {versions()}",
        ]
        if others is not None:
            mark = " **: the figures are worse than the code**" if others > BUSY else ""
            lines.append(f"- other processes used {others:.2f} cores meanwhile{mark}")
        if self.quick:
            lines.append("- **quick: tiny sizes, the figures mean nothing**")
        return "\n".join([lines[0], "", *lines[1:]])


@contextmanager
def report(theme: str, title: str, args: argparse.Namespace) -> Iterator[Report]:
    """Yields a report and writes it when the block ends without an error."""
    made = Report(theme, title, args.quick, args.out)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    began, busy, own = time.perf_counter(), _busy(), _own()
    yield made
    elapsed, after = time.perf_counter() - began, _busy()
    others = None
    if busy is not None and after is not None:
        others = max(0.0, (after - busy) - (_own() - own)) / elapsed
    made.out.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join([made.header(when, others), *made.parts]) + "\n"
    (made.out / f"{theme}.md").write_text(text, encoding="utf-8")


# --- the model that is measured --------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A directory with a codec and a transformer, and what to call it in a report."""

    directory: Path
    description: str


def model(quick: bool, folder: Path) -> Model:
    """The shipped nano; while there is none, and with ``quick``, one of random weights, made in ``folder``."""
    import torch

    from yozora.checkpoint import config_of, save_weights
    from yozora.models.dit import DiT
    from yozora.models.vae import Codec
    from yozora.recipes import codec_recipe, model_recipe
    from yozora.sampling.pipeline import SHIPPED

    name = "debug" if quick else "nano"
    shipped = SHIPPED / name
    if (shipped / "codec.safetensors").exists() and (shipped / "dit.safetensors").exists():
        return Model(shipped, f"the shipped {name}")
    torch.manual_seed(0)
    codec, recipe = codec_recipe(name), model_recipe(name)
    shape = {"size": codec.size, "frames": codec.frames, "fps": codec.fps}
    config = {**asdict(codec.config), **shape}
    save_weights(folder / "codec.safetensors", Codec(codec.config).state_dict(), config=config)
    config = {
        **config_of(recipe.config),
        "text_encoder": recipe.text,
        "shapes": [asdict(shape) for shape in recipe.shapes],
    }
    save_weights(folder / "dit.safetensors", DiT(recipe.config).state_dict(), config=config)
    return Model(folder, f"random weights of the size of {name}")


if __name__ == "__main__":
    print(machine(), versions(), sep="\n")
