"""Our own commands on a running service."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.service.api.conftest import Site

from yozora.cli import main
from yozora.cli_videos import VARIANTS
from yozora.service.api.videos import VARIANTS as KNOWN


def run(site: Site, *arguments: str, ok: bool = True, **environment: str) -> Result:
    given = {"YOZORA_API_KEY": site.keys["a"], "YOZORA_BASE_URL": site.address, **environment}
    result = CliRunner(env=given).invoke(main, ["videos", *arguments])
    assert (result.exit_code == 0) == ok, result.output
    return result


def told(site: Site, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(site, *arguments, "--json").stdout)
    return found


def test_a_video_by_commands(sqlite_site: Site, tmp_path: Path) -> None:
    site = sqlite_site
    made = told(site, "create", "A red ball falls.", "--seconds", "2", "--seed", "7")
    other = told(site, "create", "A blue ball falls.")
    assert told(site, "cancel", other["id"])["error"]["code"] == "cancelled"
    worker = threading.Thread(target=site.work)
    worker.start()
    assert told(site, "get", made["id"], "--wait")["status"] == "completed"
    worker.join()
    assert {one["id"] for one in told(site, "list")["data"]} >= {made["id"], other["id"]}
    assert made["id"] in run(site, "list").stderr
    for variant in VARIANTS:
        out = tmp_path / "new" / variant
        report = told(site, "download", made["id"], "-o", str(out), "--variant", variant)
        assert report["bytes"] == out.stat().st_size > 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(VARIANTS)
    assert set(VARIANTS) == set(KNOWN)


def test_what_goes_wrong_is_a_sentence(sqlite_site: Site, tmp_path: Path) -> None:
    site = sqlite_site
    assert "not 9x9" in run(site, "create", "x", "--size", "9x9", ok=False).stderr
    assert "nothing at this address" in run(site, "get", "../files", ok=False).stderr
    assert "not valid" in run(site, "list", ok=False, YOZORA_API_KEY="yz_no").stderr
    assert (
        "does not answer" in run(site, "list", "--base-url", "http://127.0.0.1:9", ok=False).stderr
    )
    assert "no address" in run(site, "list", "--base-url", "file:///etc", ok=False).stderr
    assert "YOZORA_API_KEY" in run(site, "list", ok=False, YOZORA_API_KEY="").stderr
    made = told(site, "create", "x")
    run(site, "download", made["id"], "-o", str(tmp_path / "x.mp4"), ok=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [301, 307])
def test_a_key_is_taken_nowhere_else(sqlite_site: Site, status: int) -> None:
    seen: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(status)
            self.send_header("location", f"http://127.0.0.1:{server.server_port}/stolen")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        run(sqlite_site, "list", "--base-url", address, ok=False)
        server.shutdown()
        thread.join()
    assert seen == ["/v1/videos?limit=20"]
