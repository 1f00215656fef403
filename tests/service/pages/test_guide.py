"""Every example of the API guide runs as it is shown."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from tests.service.api.conftest import Site, site

from yozora.service.api.app import written
from yozora.service.pages.guide import Operation, operations

__all__ = ["site"]  # a fixture
warnings.filterwarnings("ignore", category=DeprecationWarning, module="<string>")
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def shown(site: Site) -> Iterator[Operation]:
    """The operations; what deletes things comes last."""
    found = list(operations(written(), site.address))
    assert len(found) > 12
    assert {one.path for one in found} >= {
        "/v1/videos",
        "/v1/models",
        "/v1/videos/{video_id}/events",
    }
    yield from sorted(found, key=lambda one: one.method == "DELETE")


def things(site: Site, open_: bool) -> dict[str, str]:
    """A video, finished or still queued, and a file, by the names that the examples give them."""
    sdk = site.sdk()
    file = sdk.files.create(file=("clip.mp4", b"a clip"), purpose="vision")
    video = sdk.videos.create(prompt="p", model="nano")  # type: ignore[arg-type]
    if not open_:
        site.work()
    return {"VIDEO": video.id, "FILE": file.id, "MODEL": "nano"}


def test_curl(site: Site, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    for one in shown(site):
        if "batch" in one.path:
            continue
        names = things(site, one.path.endswith("/cancel")) | {"YOZORA_KEY": site.keys["a"]}
        command = ["bash", "-c", one.curl.replace("curl ", "curl --fail-with-body -sS ", 1)]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | names, capture_output=True)
        assert done.returncode == 0, (one.curl, done.stdout, done.stderr)


def test_python(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    for one in shown(site):
        if "batch" in one.path:
            continue
        names: dict[str, object] = {"openai": openai, "client": site.sdk()}
        found = things(site, one.path.endswith("/cancel"))
        names |= {"video_id": found["VIDEO"], "file_id": found["FILE"], "model": found["MODEL"]}
        names["open"] = lambda *given: Path(given[0]).read_bytes()
        exec(one.python, names)
    assert (tmp_path / "out.mp4").read_bytes()[4:8] == b"ftyp"
