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
from yozora.service.pages.guide import Operation, operations, samples
from yozora.service.wishes import Model

__all__ = ["site"]  # a fixture
warnings.filterwarnings("ignore", category=DeprecationWarning, module="<string>")
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def shown(site: Site) -> Iterator[Operation]:
    """The operations; what deletes things comes last."""
    models = site.service.models
    found = list(operations(written(), site.address, samples(models.describe(models.names[0]))))
    assert len(found) > 12
    assert {one.path for one in found} >= {
        "/v1/videos",
        "/v1/models",
        "/v1/videos/{video_id}/events",
    }
    yield from sorted(found, key=lambda one: one.method == "DELETE")


def things(site: Site, path: str) -> dict[str, str]:
    """What examples speak of, by the names that they give it; where they cancel a video, it is still queued."""
    sdk, http = site.sdk(), site.http()
    line = b'{"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": {"prompt": "p"}}'
    clip = sdk.files.create(file=("clip.mp4", b"a clip"), purpose="vision").id
    lines = sdk.files.create(file=("in.jsonl", line), purpose="batch").id
    asked = {"input_file_id": lines, "endpoint": "/v1/videos", "completion_window": "24h"}
    batch = http.post("/v1/batches", json=asked).json()["id"]
    hook = ""
    if "webhooks" in path:
        hook = http.post("/v1/webhooks", json={"url": "https://receiver.example/"}).json()["id"]
    video = sdk.videos.create(prompt="p", model="nano")  # type: ignore[arg-type]
    if not path.endswith("/cancel"):
        site.work()
    told = http.get(f"/v1/webhooks/{hook}/deliveries").json()["data"] if hook else []
    names = {"VIDEO": video.id, "FILE": lines if "batch" in path else clip, "MODEL": "nano"}
    names |= {"BATCH": batch, "WEBHOOK": hook, "DELIVERY": told[0]["id"] if told else ""}
    return names


def test_curl(site: Site, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    for one in shown(site):
        names = things(site, one.path) | {"YOZORA_KEY": site.keys["a"]}
        command = ["bash", "-c", one.curl.replace("curl ", "curl --fail-with-body -sS ", 1)]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | names, capture_output=True)
        assert done.returncode == 0, (one.curl, done.stdout, done.stderr)


def test_python(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    for one in shown(site):
        names: dict[str, object] = {"openai": openai, "client": site.sdk()}
        found = things(site, one.path)
        names |= {f"{name.lower()}_id": value for name, value in found.items()}
        names |= {"model": found["MODEL"]}
        names["open"] = lambda *given: Path(given[0]).read_bytes()
        exec(one.python, names)
    assert (tmp_path / "out.mp4").read_bytes()[4:8] == b"ftyp"


def test_examples_ask_for_what_is_served() -> None:
    shown = samples(Model("large", ("1280x720", "640x360"), 24.0, usual="4"))
    found = {(one.method, one.path): one for one in operations(written(), "http://here", shown)}[
        "POST", "/v1/videos"
    ]
    for text in ("large", "1280x720", '"4"'):
        assert text in found.curl
        assert text in found.python
    assert not any("nano" in one for one in (found.curl, found.python))
