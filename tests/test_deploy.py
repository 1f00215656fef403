"""The files for deploying a service say what the commands understand."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from yozora.cli import main

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def understood(arguments: list[str]) -> dict[str, Any]:
    """The options that a command line of yozora's sets; raises where it has an error."""
    command = main.commands[arguments[0]]
    context = command.make_context(arguments[0], arguments[1:], **main.context_settings)
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }


def test_the_unit_starts_the_service(tmp_path: Path) -> None:
    text = (DEPLOY / "yozora.service").read_text()
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert understood(arguments)["data"] == Path("/var/lib/yozora")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    local = tmp_path / "yozora.service"
    local.write_text(text.replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", local], capture_output=True, text=True, check=False
    )
    assert "yozora.service" not in done.stderr, done.stderr


def test_the_composition_s_commands_and_settings_are_known() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = composed["services"]
    ours = {name: one for name, one in services.items() if "build" in one}
    assert set(ours) == {"interface", "worker"}
    variables = {
        option.envvar
        for command in (main.commands["serve"], main.commands["worker"])
        for option in command.params
        if option.envvar
    }
    for one in ours.values():
        understood(one["command"])
        assert set(one["environment"]) <= variables
        assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
    interface = understood(ours["interface"]["command"])
    assert interface["workers"] == 0
    (network,) = composed["networks"]["default"]["ipam"]["config"]
    assert interface["proxy"] == (network["gateway"],)


def test_the_image_copies_what_is_there_and_installs_what_is_declared() -> None:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in sources.split())
    (extras,) = re.findall(r"\"\.\[([^\]]+)\]\"", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (pinned,) = re.findall(r"torch==[0-9.]+", text)
    assert pinned in project["dependencies"]
    entry = [
        re.findall(rf"^{word} \[(.+)\]$", text, re.MULTILINE)[0] for word in ("ENTRYPOINT", "CMD")
    ]
    words = [word.strip().strip('"') for part in entry for word in part.split(",")]
    assert words[0] == "yozora"
    assert understood(words[1:])["host"] == "0.0.0.0"
