"""The accessibility checker axe-core (MPL-2.0), which is fetched from npm once and is no part of this repository."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VERSION = "4.14.1"
INTEGRITY = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="  # SHA-512
RUN = """() => axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
  .map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 160))]))"""


def script(cache: Path) -> str:
    """The script, of the version whose hash is above; skips where npm cannot fetch it."""
    archive = cache / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            pytest.skip("axe-core is fetched with npm, which is not installed")
        pack = ["npm", "pack", f"axe-core@{VERSION}", "--pack-destination", str(cache)]
        if subprocess.run(pack, capture_output=True, cwd=cache).returncode:
            pytest.skip("axe-core cannot be fetched")
    digest = hashlib.sha512(archive.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == INTEGRITY
    with tarfile.open(archive) as tar:
        file = tar.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def complaints(page: object, source: str) -> list[str]:
    """What is wrong with a page, seriously or worse."""
    page.evaluate(source)  # type: ignore[attr-defined]
    found = page.evaluate(RUN)  # type: ignore[attr-defined]
    return [json.dumps(one) for one in found if one[0] in ("serious", "critical")]
