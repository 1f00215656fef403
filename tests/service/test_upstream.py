"""Two services, of which one has its videos made by the other, and one that is made of a backup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
YOZORA = (sys.executable, "-c", "from yozora.cli import main; main()")


def yozora(*arguments: object) -> Any:
    done = subprocess.run(
        [*YOZORA, *map(str, arguments), "--json"], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@dataclass
class Running:
    address: str
    key: str

    @property
    def sdk(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=self.key)


@contextmanager
def serving(data: Path, *options: object, key: str = "", **environment: str) -> Iterator[Running]:
    key = key or yozora("keys", "create", "--org", "default", "--data", data)["key"]
    command = [*YOZORA, "serve", "--data", str(data), "--port", "0", "--json", *map(str, options)]
    log = data / "log.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment
        )
        assert process.stdout is not None
        try:
            told = ""
            while not told.endswith("\n}\n"):
                line = process.stdout.readline()
                assert line, log.read_text()
                told += line
            yield Running(json.loads(told)["address"], key)
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
            process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


def test_one_service_has_its_videos_made_by_another_and_comes_back_from_a_backup(
    folder: Path,
) -> None:
    providers = folder / "providers.toml"
    with serving(folder / "north") as north:
        providers.write_text(
            f'[[provider]]\nname = "north"\nurl = "{north.address}/v1"\nkey = "env:NORTH_KEY"\n'
            'parameters = ["seed", "steps"]\n'
            '[[provider.model]]\nname = "nano"\nhere = "north-nano"\nsizes = ["112x64"]\n'
            'tasks = ["create", "remix", "edit", "extend"]\n'
        )
        options = ("--workers", 0, "--providers", providers)
        with serving(folder / "south", *options, NORTH_KEY=north.key) as south:
            sdk = south.sdk
            assert {model.id for model in sdk.models.list()} == {"nano", "north-nano"}
            more = {"seed": 3, "steps": 4}
            video = sdk.videos.create_and_poll(
                prompt="a red ball falls", model="north-nano", seconds="1", extra_body=more
            )
            assert video.status == "completed", video.error
            longer = sdk.videos.extend(
                prompt="it lies still",
                seconds="1",
                video=openai.omit,
                extra_body={"video": {"id": video.id}},
            )
            longer = sdk.videos.poll(longer.id)
            assert longer.status == "completed", longer.error
            (theirs,) = [v for v in north.sdk.videos.list() if v.prompt == video.prompt]
            film = sdk.videos.download_content(video.id).read()
            assert film == north.sdk.videos.download_content(theirs.id).read()
            for variant in ("thumbnail", "spritesheet"):
                assert len(sdk.videos.download_content(video.id, variant=variant).read()) > 100
            told = yozora("backup", folder / "south.tar", "--data", folder / "south")
            assert told["videos"] == 2
    yozora("restore", folder / "south.tar", "--data", folder / "again")
    with serving(folder / "again", "--workers", 0, key=south.key) as again:
        assert again.sdk.videos.retrieve(video.id).status == "completed"
        assert again.sdk.videos.download_content(video.id).read() == film
