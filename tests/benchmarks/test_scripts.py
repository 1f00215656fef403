"""Every benchmark runs at its smallest and writes a page that says what it was measured on."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIGURES = {  # a row or phrase each page has to hold
    "training": ["| yozora DiT |", "| LTX, a level a token |", "| Wan, a level a clip |", "MFU"],
    "loop": ["| of it waiting for data |", "≤ 4: reached"],
    "world": ["| whole clip with its record |", "| scene |"],
    "generate": ["| one |", "| 16 |", "Peak memory", "| import torch |", "| decode |"],
    "decode": ["| 1080p | full size |", "clips/s"],
    "ingest": [
        "| 112x64@8 | yozora ingest |",
        "| 640x360@25 | bare encode |",
        "largest resident set",
    ],
    "catalogue": ["| search by words |", "| tag |"],
    "marks": ["| 112x64 | world | half size, crf 23 |", "dB", "| sign |"],
    "taps": ["| 1080p | all taps |", "decode-x", "≤ 1.5: "],
    "service_api": ["| bare |", "| ours |", "≥ 0.5", "| rows | list |"],
    "shots": ["| hard cut | cheap |", "recall"],
    "service": ["| yozora serve |", "| the same without start and loading |", "| videos a batch |"],
}


def test_each_script_is_tested() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*FIGURES, "common", "wire"}


@pytest.mark.parametrize("theme", FIGURES)
def test_quick_run_writes_its_page(theme: str, tmp_path: Path) -> None:
    if theme == "training" and importlib.util.find_spec("diffusers") is None:
        pytest.skip("the peers come with the bench extra")
    command = [sys.executable, BENCHMARKS / f"{theme}.py", "--quick", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    page = (tmp_path / f"{theme}.md").read_text(encoding="utf-8")
    for needed in (
        "- machine: ",
        "- date: 20",
        "- command: `python ",
        "quick: tiny",
        *FIGURES[theme],
    ):
        assert needed in page, page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table
