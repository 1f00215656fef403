"""Artifact directories: identity, provenance, atomic completion.

A stage writes its result into a directory beside the final one and renames it when all of it is on disk, so that a
directory that exists is complete. Its id is the hash of what determines it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yozora import __version__
from yozora.errors import YozoraError

PROVENANCE = "provenance.json"


def content_hash(path: str | Path) -> str:
    """SHA-256, in hex, of a file's bytes, or of the names and hashes of all files in a directory.

    Raises YozoraError when the path cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            return json_hash({p.relative_to(path).as_posix(): content_hash(p) for p in files})
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise YozoraError(f"{path} cannot be read: {error.strerror}.") from error


def json_hash(value: object) -> str:
    """SHA-256, in hex, of a value's canonical JSON: sorted keys, no spaces, no NaN.

    Raises YozoraError when the value is not JSON.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise YozoraError(f"Only JSON values have an identity: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def identity(stage: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """The id of what `stage` (its name and version) makes of `inputs` with `parameters`."""
    return json_hash({"stage": stage, "inputs": inputs, "parameters": parameters})


@contextmanager
def building(
    final_dir: str | Path, *, stage: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Iterator[Path]:
    """Yield a directory to fill, which becomes `final_dir` when the block ends without error.

    provenance.json is added to it, and everything is on disk before the rename: whatever happens, `final_dir` is
    complete or absent. On an error nothing is left; what a killed process left is removed by the next one.
    Raises YozoraError when `final_dir` holds something already or cannot be made.
    """
    final = Path(final_dir)
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise YozoraError(f"{final} exists already: remove it or choose another name.")
    provenance = {
        "id": identity(stage, inputs, parameters),
        "stage": stage,
        "inputs": inputs,
        "parameters": parameters,
        "yozora": __version__,
        "python": platform.python_version(),
        "finished": "",
    }
    with scratch(final.parent, final.name) as folder:
        yield folder
        provenance["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json.dumps(provenance, indent=1, ensure_ascii=False) + "\n"
        (folder / PROVENANCE).write_text(text, encoding="utf-8")
        for path in folder.rglob("*"):
            sync(path)
        sync(folder)
        try:
            folder.replace(final)
        except OSError as error:
            raise YozoraError(f"{final} cannot be put in place: {error.strerror}.") from error
        sync(final.parent)


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A hidden directory in `parent`, named after `name` and this process, removed at the end.

    Directories of the same name whose process is gone are removed first.
    """
    mine = f".{name}.building-{socket.gethostname()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{glob.escape(mine)}-*-*"):
            # Other hosts' names may begin like this one's: "ray-1" after "ray".
            process = re.fullmatch(re.escape(mine) + r"-(\d+)-\d+", left.name)
            if process and not alive(int(process[1])):
                shutil.rmtree(left, ignore_errors=True)
        folder = parent / f"{mine}-{os.getpid()}-{time.monotonic_ns()}"
        folder.mkdir()
    except OSError as error:
        raise YozoraError(f"{parent} cannot be written to: {error.strerror}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def alive(process: int) -> bool:
    """Whether a process of this number runs on this host (always yes where one cannot ask)."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Have the system put a file or directory on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_provenance(directory: str | Path) -> dict[str, Any]:
    """What an artifact was made from. Raises YozoraError when the directory is no artifact."""
    path = Path(directory) / PROVENANCE
    try:
        provenance: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise YozoraError(
            f"{directory} is no finished artifact: {path.name} is missing or damaged."
        ) from error
    return provenance


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a file so that readers see the old content or the new, never half of it."""
    path = Path(path)
    with scratch(path.parent, path.name) as folder:
        part = folder / path.name
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        sync(part)
        part.replace(path)
