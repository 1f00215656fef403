"""The demo with a model that was trained for two steps: every step is done, and what is missing is said."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from yozora import Clip, read, write
from yozora.cli import main as command_line

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = ("--quick",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's directory; it has learned nothing."""
    folder = tmp_path_factory.mktemp("model")
    corpus, codec, run = (folder / name for name in ("corpus", "codec", "run"))
    for words in (
        ("world", "render", "--corpus", corpus, "--clips", 8, "--size", "32x32", "--frames", 9),
        ("train", "codec", "debug", "--corpus", corpus, "--out", codec, "--steps", 2),
        (
            "train",
            "model",
            "debug",
            "--corpus",
            corpus,
            "--codec",
            codec,
            "--out",
            run,
            "--steps",
            2,
        ),
    ):
        result = CliRunner().invoke(command_line, [str(word) for word in words])
        assert result.exit_code == 0, result.output
    return run


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A film and a photograph with sidecars, and a file that is neither."""
    folder = tmp_path / "my-footage"
    folder.mkdir()
    picture = np.random.default_rng(1).integers(0, 255, (48, 90, 3), dtype=np.uint8)
    moving = np.stack([picture[:, i : i + 64] for i in range(26)])
    write(Clip(moving, 12), folder / "street.mp4")
    write(Clip(moving[:1], 12), folder / "wall.png")
    for name in ("street", "wall"):
        facts = {"caption": f"a {name}", "licence": "CC-BY-4.0", "split": "train"}
        (folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "broken.mp4").write_bytes(b"no film")
    return folder


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of the folder examples, which sees its neighbours as when it is run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(name)


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    status: int | None = load(name, monkeypatch).main()
    return status


def test_every_step_is_done_and_shown(
    model: Path, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    options = ("--quick", "--model", model, "--out", out, "--footage", footage)
    assert run("demo", monkeypatch, *options) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "this step failed" not in page
    videos = re.findall(r'<video src="data:video/mp4;base64,[\w+/=]{100}', page)
    assert len(videos) == 2 + 2 + 5 + 1 + 5  # sentences, before and after, film, photograph, world
    for shown in ("street.mp4", "CC-BY-4.0", "<svg", "one body", "yozora evaluate"):
        assert shown in page
    assert not re.search(r'(src|href)="http', page), "the page fetches nothing"
    film = read(out / "continued" / "film" / "forwards.mp4")
    assert len(film) == len(read(out / "continued" / "film" / "the-clip.mp4"))
    assert (out / "report" / "report.html").exists()


def test_without_a_package_index_the_rest_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    demo = load("demo", monkeypatch)
    for step in ("generate", "train", "evaluate"):
        monkeypatch.setattr(demo, step, lambda demo, section: None)
    out = tmp_path / "demo"
    assert run("demo", monkeypatch, "--quick", "--model", model, "--out", out) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "No footage was fetched" in page
    assert "this step failed" not in page
    assert f"Look at {out / 'index.html'}" in capfd.readouterr().out


def test_a_step_that_fails_is_a_sentence_and_a_status(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = load("demo", monkeypatch)

    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    for step in ("generate", "gather", "train", "go_on"):
        monkeypatch.setattr(demo, step, fails)
    monkeypatch.setattr(demo, "evaluate", lambda demo, section: section.html("<b>measured</b>"))
    assert run("demo", monkeypatch, "--quick", "--model", model, "--out", tmp_path / "demo") == 1
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert page.count("this step failed. the disk is full") == 4
    assert "<b>measured</b>" in page


def test_only_a_demo_is_emptied_and_its_corpus_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    (mine / "videos").mkdir(parents=True)
    assert run("demo", monkeypatch, "--out", mine) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert (mine / "videos").exists()

    demo = load("demo", monkeypatch)
    out = demo.emptied(tmp_path / "demo")
    for name in ("corpus", "footage", "run"):
        (out / name).mkdir()
    demo.emptied(out)
    assert {path.name for path in out.iterdir()} == {"corpus", "footage", demo.MARK}


def test_the_curve_has_a_point_for_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"step": s, "loss": 1.0 / s} for s in range(1, 6)]
    lines[3] |= {"validation_text": 0.5, "validation_image": 0.7}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    drawn = load("demo_page", monkeypatch).curve(log)
    assert re.search(r'class="each" d="M([\d.]+ [\d.]+L){4}[\d.]+ [\d.]+"', drawn)
    assert drawn.count("<circle") == 1
    log.write_text('{"step": 7, "loss": 0.25}\n', encoding="utf-8")
    assert "step 7" in load("demo_page", monkeypatch).curve(log)


def test_a_figure_carries_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    number = load("demo_page", monkeypatch).number
    share = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert number(share, "%") == "50 % <small>[25, 75]</small>"
    assert number(dict.fromkeys(share), "%") == number(None, "%") == ""


def test_the_gallery_shows_every_prompt(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("gallery", monkeypatch, "--model", model, "--steps", 1, "--out", tmp_path / "g.png")
    prompts = (EXAMPLES / "prompts.txt").read_text(encoding="utf-8").splitlines()
    assert len(prompts) == len(set(prompts)) == 12
    picture = read(tmp_path / "g.png").frames[0]
    assert picture.shape[0] > 6 * 32
    assert picture.shape[1] > 2 * 5 * 32
