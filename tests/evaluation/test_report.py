from __future__ import annotations

import base64
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from yozora import video
from yozora.errors import YozoraError
from yozora.evaluation import material, suites
from yozora.evaluation.report import evaluate
from yozora.evaluation.samples import Canvas
from yozora.world.caption import prompts

Perfect = runpy.run_path(str(Path(__file__).with_name("perfect.py")))["Perfect"]
LAWS = ("uniform", "fall", "throw", "bounce", "pendulum", "roll")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluation") / "out"
    canvas = Canvas()
    scenes = [
        *suites.moving_scenes(6, 3, LAWS, canvas),
        *suites.moving_scenes(6, 4, ("uniform",), canvas),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(material, "PCA_CLIPS", 8)
        evaluate(Perfect(6, 3, scenes), out=out, prompts=6, seed=3)
    return out


def test_a_perfect_model_has_full_marks(done: Path) -> None:
    scores = json.loads((done / "scores.json").read_text())["scores"]
    assert set(scores) == {"align", "motion", "physics", "codec"}
    for bodies in ("one body", "two bodies"):
        for name, score in scores["align"][bodies].items():
            assert score["value"] == score["floor"]["value"] == 1, name
            assert score["low"] < 1 == score["high"]
    for task in suites.TASKS:
        table = scores["motion"][suites._TITLES[task]]
        assert table["path error"]["value"] < table["path error"]["copy"]["value"]
        assert table["seam"]["value"] == pytest.approx(table["seam"]["truth"]["value"])
    assert scores["physics"]["velocity"]["velocity error"]["value"] < 0.02
    assert scores["physics"]["effective gravity"]["g of all"]["value"] == pytest.approx(1, abs=0.06)
    assert scores["codec"]["world"]["gain over PCA"]["value"] > 3
    assert "world, stills" in scores["codec"]


def test_notes_say_what_was_asked_and_what_pca_keeps(done: Path) -> None:
    text = (done / "report.html").read_text()
    assert "Asked in dense captions only" in text
    assert "PCA keeps 16 components" in text  # as many as this model's latent has channels


def test_short_captions_are_asked_on_request(tmp_path: Path) -> None:
    out = tmp_path / "out"
    scores = evaluate(Perfect(6, 3), ["align"], out=out, prompts=6, seed=3, style="short")
    asked = set(json.loads((out / "clips" / "prompts.json").read_text()).values())
    short = [prompts(6, 3, bodies=bodies, style="short") for bodies in (1, 2)]
    assert asked == {text for some in short for text, _ in some}
    assert scores["style"] == "short"
    assert "Asked in short captions only" in (out / "report.html").read_text()
    one = scores["scores"]["align"]["one body"]
    assert one["all"]["value"] == 1
    assert one["size"]["n"] < one["colour"]["n"]  # a size that goes unsaid is not judged
    again = evaluate(out / "clips", ["align"], out=tmp_path / "again", seed=3)
    assert again["scores"]["align"] == scores["scores"]["align"]
    assert "style" not in again  # a folder has prompts of its own
    with pytest.raises(YozoraError, match="'terse'"):
        evaluate(Perfect(1, 3), ["align"], out=tmp_path / "x", prompts=1, style="terse")


def test_what_browsers_cannot_play_is_encoded_again(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exact"
    folder.mkdir()
    clip = video.read(done / "clips" / "0000.mp4")
    clip.save(folder / "a.mp4", quality="exact")
    clip.save(folder / "b.mp4")
    (folder / "prompts.txt").write_text("a red ball bounces\na red ball bounces\n")
    evaluate(folder, ["align"], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    embedded = [
        base64.b64decode(part.split('"')[0]) for part in text.split("video/mp4;base64,")[1:]
    ]
    for number, data in enumerate(embedded):
        (tmp_path / f"{number}.mp4").write_bytes(data)
        info = video.probe(tmp_path / f"{number}.mp4")
        assert (info.codec, info.pixel_format, info.frames) == ("h264", "yuv420p", 17)
    assert embedded[1] == (folder / "b.mp4").read_bytes()  # what plays is left as it is


def test_the_report_is_one_page_that_names_prompts_and_floors(done: Path) -> None:
    text = (done / "report.html").read_text()
    asked = json.loads((done / "clips" / "prompts.json").read_text())
    assert len(asked) == 12
    assert next(iter(asked.values())) in text.replace("&#x27;", "'")
    assert "floor" in text
    assert "<svg" in text
    assert "data:video/mp4;base64," in text
    for outside in ("http://", "https://", "<script"):
        assert outside not in text


def test_a_folder_scores_as_the_model_that_filled_it(done: Path, tmp_path: Path) -> None:
    scores = evaluate(done / "clips", ["align"], out=tmp_path / "again", seed=3)
    for bodies in ("one body", "two bodies"):
        assert scores["scores"]["align"][bodies]["all"]["value"] == 1
        assert "floor" in scores["scores"]["align"][bodies]["all"]


def test_all_suites_of_a_folder_are_those_that_apply(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.mp4").write_bytes((done / "clips" / "0000.mp4").read_bytes())
    (folder / "prompts.txt").write_text("a red ball bounces\n")
    scores = evaluate(folder, out=tmp_path / "out")
    assert scores["suites"] == list(scores["scores"]) == ["align", "motion", "physics"]


def test_plain_prompts_in_a_text_file_will_do(done: Path, tmp_path: Path) -> None:
    clip = done / "clips" / "0000.mp4"
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(clip.read_bytes())
    (folder / "prompts.txt").write_text("a red ball bounces\n")
    scores = evaluate(folder, ["align", "motion"], out=tmp_path / "out")
    assert scores["scores"]["align"]["one body"]["count"]["n"] == 1


def test_what_cannot_be_evaluated_is_said(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(YozoraError, match=r"no \.mp4"):
        evaluate(empty, out=out)
    (empty / "x.mp4").write_bytes((done / "clips" / "0000.mp4").read_bytes())
    with pytest.raises(YozoraError, match=r"no prompt for x\.mp4"):
        evaluate(empty, out=out)
    with pytest.raises(YozoraError, match="no suite 'beauty'"):
        evaluate(empty, ["beauty"], out=out)
    for asked in (["codec"], ["align", "codec"]):
        with pytest.raises(YozoraError, match="folder has no codec"):
            evaluate(done / "clips", asked, out=out)
    with pytest.raises(YozoraError, match="model shows no codec"):
        evaluate(SimpleNamespace(), ["align", "codec"], out=out)
    with pytest.raises(YozoraError, match="exists"):
        evaluate(done / "clips", out=done)
    assert not out.exists()


@pytest.mark.parametrize("count", [1, 5, 9, 13, 17, 33])
def test_tasks_give_whole_groups_and_leave_some_to_make(count: int) -> None:
    for task in suites.TASKS:
        known = suites.known_frames(task, count)
        if known is None:
            assert count < 13
            continue
        assert 0 < known.sum() < count
        assert (~known).sum() % 4 == (1 if task == "backward" else 0)
        assert (known[1:] != known[:-1]).sum() == (2 if task == "fill" else 1)
