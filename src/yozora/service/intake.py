"""What strangers send is decoded in a process of its own, which may use so much time and memory and no more.

A file that is no picture or film, or a bomb, takes that process down at worst, and neither the interface nor a worker.
What comes out is made anew, a PNG or an MP4, without anything of the file but what is seen in it: no tags, no place, no
names. Nobody else ever opens the file that was sent.

python -m yozora.service.intake IN OUT LIMITS is that process; it prints what it made, or why not, as a line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from yozora.errors import YozoraError

OUTPUT = 2**20  # bytes of the process's answer that are read
FILES = {"still": "still.png", "clip": "clip.mp4"}


@dataclass(frozen=True)
class Limits:
    """What one upload may cost.

    seconds: of processor time. patience: seconds by the clock, also when others work. memory: bytes of address space.
    pixels: of a frame as it is sent. Of what is made: longer: pixels of its longer side. frames. duration: seconds.
    fps. bytes.
    """

    seconds: int = 20
    patience: float = 90.0
    memory: int = 3 * 2**30
    pixels: int = 2**25
    longer: int = 1280
    frames: int = 900
    duration: float = 60.0
    fps: float = 30.0
    bytes: int = 2**28


LIMITS = Limits()


class IntakeError(YozoraError):
    """An upload that cannot be used: the sentence is for whoever sent it, and names no file of ours."""

    code = "invalid_file"


@dataclass(frozen=True)
class Admitted:
    """What was made of an upload: a PNG of one frame, or an MP4."""

    kind: Literal["still", "clip"]
    path: Path
    width: int
    height: int
    frames: int
    fps: float


def admit(upload: Path, folder: Path, limits: Limits = LIMITS) -> Admitted:
    """Decode an upload and write what is seen in it into a folder. Raises IntakeError when it cannot be used.

    A still becomes still.png, anything that moves clip.mp4. Both keep their shape, and are made smaller when their
    longer side is above the limit; of a film with more frames a second some are left out.
    """
    if not upload.is_file():  # a pipe would be waited for
        raise IntakeError(BROKEN)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".intake-") as scratch:
        said = decoded(upload.absolute(), Path(scratch), limits)
        try:
            kind = said["kind"]
            made = folder / FILES[kind]
            (Path(scratch) / FILES[kind]).replace(made)
            shape = (
                int(said["width"]),
                int(said["height"]),
                int(said["frames"]),
                float(said["fps"]),
            )
            return Admitted(kind, made, *shape)
        except (KeyError, OSError, ValueError, TypeError) as error:
            raise IntakeError(str(said.get("error") or BROKEN)) from error


BROKEN = "The file is not a picture or video that can be read here, or it is damaged or cut off."
COSTLY = (
    "The file takes more time or memory to read than an upload may: send a shorter or smaller one."
)


def decoded(upload: Path, scratch: Path, limits: Limits) -> Mapping[str, Any]:
    """What the limited process says. Raises IntakeError when it did not live to say anything."""
    return answered(__name__, [str(upload), str(scratch)], scratch, limits)


def answered(
    module: str, arguments: Sequence[str], scratch: Path, limits: Limits
) -> Mapping[str, Any]:
    """What a module, run as a process that is to `confine` itself, prints as JSON: python -m MODULE ARGUMENTS LIMITS.

    Raises IntakeError when it did not live to say anything.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, json.dumps(asdict(limits))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=surroundings(scratch),
        start_new_session=True,
    )
    try:
        answer, _ = process.communicate(timeout=limits.patience)
    except subprocess.TimeoutExpired:
        raise IntakeError(COSTLY) from None
    finally:
        process.kill()
        process.communicate()
    if process.returncode != 0:
        raise IntakeError(COSTLY if process.returncode < 0 else BROKEN)
    try:
        said: Mapping[str, Any] = json.loads(answer[:OUTPUT])
    except ValueError:
        raise IntakeError(BROKEN) from None
    return said


def surroundings(scratch: Path) -> dict[str, str]:
    """The environment of that process: nothing of ours that is secret, and libraries that begin no threads."""
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        "PYTHONPATH": paths,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        **one,
    }


# --- within the limited process --------------------------------------------------------------------


def confine(limits: Limits) -> None:
    """Let this process use no more than the limits, whatever it is made to do."""
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_FSIZE, limits.bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def normalise(upload: Path, folder: Path, limits: Limits) -> dict[str, Any]:
    """Make a still or a clip of an upload. Raises YozoraError."""
    from yozora.video import Writer, probe, read_image, stream, write_image

    info = probe(upload)
    if info.width * info.height > limits.pixels:
        raise IntakeError(
            f"The picture has {info.width}x{info.height} pixels: at most {limits.pixels >> 20} million are read."
        )
    scale = min(1.0, limits.longer / max(info.width, info.height))
    width, height = (max(1, round(side * scale)) for side in (info.width, info.height))
    if info.still:
        write_image(folder / FILES["still"], read_image(upload, size=(width, height)))
        return {"kind": "still", "width": width, "height": height, "frames": 1, "fps": 1.0}
    width, height = (max(2, side // 2 * 2) for side in (width, height))
    fps = min(info.fps, limits.fps)
    count = 0
    with Writer(folder / FILES["clip"], fps=fps, size=(width, height)) as writer:
        for frame in stream(upload, fps=fps, size=(width, height)):
            count += 1
            if count > limits.frames or count > limits.duration * fps + 1:
                raise IntakeError(
                    f"The video lasts longer than {limits.duration:g} seconds or {limits.frames} frames: send a part."
                )
            writer.write(frame)
    return {"kind": "clip", "width": width, "height": height, "frames": count, "fps": fps}


def main(upload: str, folder: str, limits: str) -> dict[str, Any]:
    """The whole of the process. What goes wrong is said in a sentence that does not name our files."""
    bounds = Limits(**json.loads(limits))
    confine(bounds)
    try:
        return normalise(Path(upload), Path(folder), bounds)
    except MemoryError:
        return {"error": COSTLY}
    except YozoraError as error:
        return {"error": str(error).replace(upload, "The file").replace(folder + os.sep, "")}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
