"""`yozora caption`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.captioning.clips import corpus_of
from tests.captioning.server import Answer, says, serving

from yozora import cli_caption
from yozora.captioning.run import FIELDS
from yozora.cli import main
from yozora.corpus.catalogue import Corpus


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["caption", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return corpus_of(tmp_path / "c", 3)


def test_help_knows_what_clips_can_be_chosen_by() -> None:
    assert tuple(FIELDS) == cli_caption.FIELDS
    assert cli_caption.prompt_text(None).startswith("You describe")


def test_facts_by_default(corpus: Corpus) -> None:
    planned = json.loads(run(corpus.path, "--dry-run", "--json").stdout)
    assert planned == {"dry_run": True, "clips": 3, "there": 0, "world": 0}
    assert "3 clips would be captioned" in run(corpus.path, "--dry-run").stderr
    assert all(len(row.captions) == 1 for row in corpus.rows())
    report = json.loads(run(corpus.path, "--json").stdout)
    assert (report["captioned"], report["failed"], report["dry_run"]) == (3, [], False)
    assert all(row.labels["caption"] == "facts" for row in corpus.rows())
    assert "captioned 0 clips" in (said := run(corpus.path).stderr)
    assert "3 have such a caption already" in said
    assert json.loads(run(corpus.path, "--replace", "--json").stdout)["captioned"] == 3


def test_an_endpoint_with_a_prompt_of_ones_own(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-mine\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Describe the wall.\n", encoding="utf-8")
    with serving(lambda request, _: says(request.clip)) as server:
        result = run(
            corpus.path, "--with", "endpoint", "--url", server.url + "/v1", "--model", "toy-vl",
            "--prompt", prompt, "--key-env", "MY_KEY", "--where", "source=1.mp4", "--json",
        )  # fmt: skip
        assert json.loads(result.stdout)["captioned"] == 1
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer sk-mine"
    assert request.body["messages"][0]["content"] == "Describe the wall."
    assert "sk-" not in result.output
    captions = {row.source: row.captions[0] for row in corpus.rows()}
    assert captions["1.mp4"] == f"What clip {request.clip} shows."
    assert captions["0.mp4"] == "The thing number 0."


def test_clips_without_a_caption_are_told_and_status_1(corpus: Corpus) -> None:
    bad = corpus.rows()[1].id[:12]
    with serving(lambda r, _: Answer({}, 400) if r.clip == bad else says(r.clip)) as server:
        wanted = (corpus.path, "--with", "endpoint", "--url", server.url, "--model", "m")
        result = run(*wanted)
    assert result.exit_code == 1
    assert f"no caption for {bad}" in result.stderr
    assert "captioned 2 clips" in result.stderr
    assert "error: 1 clips" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "c --with guesses",
        "c --with endpoint --model m",
        "c --with endpoint --url http://a",
        "c --with model",
        "c --url http://a",
        "c --with model --model m --url http://a",
        "c --with endpoint --url http://a --model m --download",
        "c --where red",
        "c --where colour=red",
        "c --prompt missing.txt",
    ],
)
def test_a_wrong_call_is_status_2(line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_what_cannot_be_done_is_one_line_and_status_1(corpus: Corpus, tmp_path: Path) -> None:
    empty, odd = tmp_path / "empty.txt", tmp_path / "odd.txt"
    empty.write_text(" \n", encoding="utf-8")
    odd.write_bytes(b"\xff\xfe\xfa")
    endpoint = ("--with", "endpoint", "--model", "m", "--url")
    for arguments, why in [
        ((tmp_path,), "is no corpus"),
        ((corpus.path, *endpoint, "localhost"), "no address of a server"),
        ((corpus.path, *endpoint, "http://a", "--prompt", empty), "is empty"),
        ((corpus.path, *endpoint, "http://a", "--prompt", odd), "no text in UTF-8"),
        ((corpus.path, "--with", "model", "--model", tmp_path), "cannot be loaded"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert why in result.stderr


def test_check_and_report_count_what_is_flagged(corpus: Corpus, tmp_path: Path) -> None:
    def play(request: object, _: int) -> Answer:
        clip = request.clip  # type: ignore[attr-defined]
        return says(clip, "A blue sky over green grass." if clip == first else "A red wall.")

    first = corpus.rows()[0].id[:12]
    with serving(play) as server:
        wanted = (corpus.path, "--with", "endpoint", "--url", server.url, "--model", "m")
        assert "1 are flagged" in run(*wanted).stderr
    checked = CliRunner().invoke(main, ["corpus", "check", str(corpus.path), "--json"])
    assert json.loads(checked.stdout)["captions"] == {"agree": 2, "flagged": 1}
    page = tmp_path / "page.html"
    CliRunner().invoke(main, ["corpus", "report", str(corpus.path), "--out", str(page)])
    assert "flagged" in page.read_text(encoding="utf-8")
