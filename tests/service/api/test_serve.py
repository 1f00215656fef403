"""`yozora serve` with the shipped model, used by the SDK's last two major versions and by our own commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from yozora.service.serve import web_server
from yozora.service.settings import Settings

SCRIPT = Path(__file__).with_name("contract.py")
YOZORA = [sys.executable, "-c", "from yozora.cli import main; main()"]
OLD = ("openai==2.54.0", "httpx==0.28.1", "httpcore==1.0.9", "distro==1.9.0")
READY = 180.0  # seconds


def yozora(*arguments: str, **environment: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [*YOZORA, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and key of a service with nano."""
    data = tmp_path_factory.mktemp("data")
    command = [*YOZORA, "serve", "--data", str(data), "--port", "0", "--json"]
    with open(data / "log", "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") or text.count("{") != text.count("}"):
            text += process.stdout.readline()
        address = json.loads(text)["address"]
        until = time.monotonic() + READY
        while httpx2.get(f"{address}/readyz", timeout=60).status_code != 200:
            assert time.monotonic() < until, (data / "log").read_text()
            time.sleep(0.2)
        made = yozora("keys", "create", "--data", str(data), "--org", "default", "--json")
        yield address, json.loads(made)["key"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)


@pytest.mark.parametrize(
    ("asks", "believed"),
    [("127.0.0.1", True), ("172.31.250.1", True), ("10.9.8.7", True), ("172.31.250.2", False)],
)
def test_only_proxies_that_are_named_say_who_asks(
    tmp_path: Path, asks: str, believed: bool
) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.update(scope)

    settings = Settings(tmp_path, proxy=("172.31.250.1", "10.0.0.0/8"))
    config = web_server(app, settings)
    config.load()
    said = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "scheme": "http", "client": (asks, 1), "headers": said, "path": "/"}
    asyncio.run(config.loaded_app(scope, None, None))  # type: ignore[arg-type]
    assert (seen["scheme"], seen["client"][0]) == (
        ("https", "203.0.113.7") if believed else ("http", asks)
    )


def follow(served: tuple[str, str], path: list[str]) -> str:
    """Runs the script; the version of the SDK that it was run with."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *served], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sdk(served: tuple[str, str]) -> None:
    assert follow(served, []).startswith("3.")


def test_the_sdk_of_before(served: tuple[str, str], tmp_path: Path) -> None:
    install = ["pip", "install", "-q", "--no-deps", "--target", str(tmp_path), *OLD]
    done = subprocess.run([sys.executable, "-m", *install], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the older SDK cannot be had here")
    assert follow(served, [str(tmp_path)]).startswith("2.")
