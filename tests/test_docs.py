"""The docs build, their links lead somewhere, and every command that they show is run.

Blocks marked `console` (lines after "$ ") or `bash` are run page by page, in order, in an empty folder that holds
PROVIDED; blocks marked `python` are executed there too; `text` is only shown. A page that shows `yozora serve` has one
running meanwhile. SMALLER makes commands quick that would take minutes; ELSEWHERE lists those that other checks run.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from yozora import Clip, write
from yozora.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

SMALLER = [
    (r"--clips \d+", "--clips 16"),
    (r"--minutes [\d.]+", "--steps 2"),
    (r"--steps \d+", "--steps 2"),
    (r"--prompts \d+", "--prompts 2"),
    (r"\btrain (codec|text|model) \w+", r"train \1 debug"),
    (r"\b(world render)\b", r"\1 --size 32x32"),
    (
        r"\b(ingest)\b(?!.*--rendition)",
        r"\1 --rendition 32x32@8",
    ),  # what the debug recipes train on
]
ELSEWHERE = [
    r"make \w+.*",  # .ci/run, and a fresh clone
    r"git clone .*",
    r"source \.venv/bin/activate",
    r"\.venv/bin/pre-commit install",
    r"pip install .*",
    r"yozora review serve .*",  # tests/review: it would not end
    r"yozora (serve|worker)\b.*",  # `serving` runs it beside the page
    r"python examples/.*",  # tests/examples
    r"python benchmarks/.*",
    r"yozora caption .* --with (endpoint|model) .*",  # tests/captioning
]

USUAL = "http://127.0.0.1:8000"  # where a service is in the docs

BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: (language, text without the fence's indent)."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (kind, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)) for indent, kind, text in found
    ]


def commands(kind: str, text: str) -> Iterator[str]:
    """The commands of a console or bash block; a line that ends in a backslash goes on in the next."""
    joined = re.sub(r"\\\n(> )?\s*", "", text)
    for line in joined.splitlines():
        if kind == "console":
            if line.startswith("$ "):
                yield line[2:].strip()
        elif line.strip() and not line.startswith("#"):
            yield line.strip()


def small(command: str) -> str:
    """The command with less work to do."""
    for pattern, replacement in SMALLER:
        command = re.sub(pattern, replacement, command)
    return command


def run(command: str) -> None:
    """Run a command as a shell would, but yozora in this process, which has loaded torch already."""
    command = re.sub(r"\s+#.*", "", command)
    if any(re.fullmatch(pattern, command) for pattern in ELSEWHERE):
        return
    if made := re.fullmatch(r"export (\w+)=\$\((yozora .+)\)", command):
        os.environ[made[1]] = invoke(made[2]).splitlines()[-1]
    elif command.startswith("yozora "):
        command, _, file = command.partition(" > ")
        said = invoke(small(command))
        if file:
            Path(file).write_text(said, encoding="utf-8")
    else:
        subprocess.run(command, shell=True, check=True, capture_output=True)


def invoke(command: str) -> str:
    """What a yozora command prints."""
    result = CliRunner().invoke(main, shlex.split(command)[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    return result.stdout


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `yozora serve`, as a page says it, while it is running."""
    program = [Path(sys.executable).with_name("yozora"), "serve", "--port", "0", "--json"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "YOZORA_DATA": str(folder)}
    with subprocess.Popen(
        [*program, "--lease", "600"], stdout=subprocess.PIPE, text=True, env=quiet
    ) as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "}\n"))
        try:
            yield json.loads(said + "}")["address"]
        finally:
            process.terminate()


def provide(folder: Path) -> None:
    """The files that the docs say a reader brings."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (72, 128 + 40, 3), dtype=np.uint8)
    moving = np.stack([picture[:, i : i + 128] for i in range(40)])
    footage = folder / "my-footage"
    footage.mkdir()
    for name in ("street", "garden"):
        write(Clip(moving, 10), footage / f"{name}.mp4")
        (footage / f"{name}.txt").write_text(f"The {name} moves to the left.\n", encoding="utf-8")
    write(Clip(moving, 10), folder / "clip.mp4")
    write(Clip(moving[:1], 10), folder / "still.png")


def runnable(page: Path) -> list[tuple[str, str]]:
    return [block for block in blocks(page) if block[0] in {"console", "bash", "python"}]


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if runnable(page)],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_command_shown_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOZORA_DATA", str(tmp_path / "service"))
    monkeypatch.setenv("YOZORA_KEY", "")  # put back as it was, whatever a page makes of it
    shown = runnable(page)
    served = any(re.search(r"^\$ yozora serve", text, re.MULTILINE) for _, text in shown)
    names: dict[str, object] = {"__name__": "__main__"}
    with serving(tmp_path / "service") if served else nullcontext(USUAL) as address:
        for kind, text in shown:
            if kind == "python":
                exec(compile(text.replace(USUAL, address), str(page), "exec"), names)
            else:
                for command in commands(kind, text):
                    run(command)


def test_no_block_of_commands_is_unmarked() -> None:
    """A block that shows a yozora command in another language than these would not be run."""
    for page in PAGES:
        if page.name == "cli.md":
            continue
        for kind, text in blocks(page):
            if kind not in {"console", "bash", "python"}:
                assert not re.search(r"^\s*(\$ )?yozora [a-z]", text, re.MULTILINE), (
                    f"{page}: {text}"
                )


def test_the_readers_of_this_file_see_their_commands() -> None:
    text = "$ yozora a \\\n>   --b 1\noutput\n$ c\n"
    assert list(commands("console", text)) == ["yozora a --b 1", "c"]
    assert list(commands("bash", "# why\nyozora a\n\nb \\\n  c\n")) == ["yozora a", "b c"]


def test_the_command_line_reference_is_fresh() -> None:
    script = ROOT / "docs" / "reference" / "write_cli.py"
    page = runpy.run_path(str(script))["page"]()
    assert script.with_name("cli.md").read_text(encoding="utf-8") == page, f"run: python {script}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_outside_the_docs_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{name} links to {target}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_docs_build_without_warnings(site: Path) -> None:
    assert (site / "index.html").exists()
    assert "simulate" in (site / "reference" / "world.html").read_text(encoding="utf-8")


def test_the_docs_fetch_nothing(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"<(?:script|img|link rel=\"stylesheet\")[^>]+(?:src|href)=\"(https?:[^\"]+)", html
        )
        assert not fetched, page
