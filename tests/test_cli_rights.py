"""The commands about rights, from taking footage in to taking it back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from yozora import Clip, cli, cli_rights, write
from yozora.checkpoint import load_weights
from yozora.corpus.catalogue import Corpus
from yozora.rights.record import REASONS


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report(*arguments: object) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    picture = picture.repeat(2, 0).repeat(2, 1)
    frames = np.stack([np.roll(picture, 2 * t, 1) for t in range(20)])
    return write(Clip(frames, 8.0), Path("harbour.mp4"))


def take(*options: object) -> Result:
    cut = ("--rendition", "32x32@8", "--seconds", 1.125, "--split", "train")
    return run("ingest", "harbour.mp4", "--corpus", "c", *cut, *options)


def test_help_says_what_the_room_knows() -> None:
    assert cli_rights.REASONS == REASONS


def test_footage_is_known_trained_on_audited_and_taken_back(film: Path) -> None:
    assert take("--licence", "CC-BY-4.0", "--holder", "Ann Example").exit_code == 0
    codec = report("train", "codec", "debug", "--corpus", "c", "--out", "k", "--steps", 1)
    manifest = load_weights(Path(str(codec["weights"])))[2]["rights"]
    assert (manifest["clips"], manifest["use"]) == (3, "research")
    (policy,) = manifest["policies"].values()
    assert (policy["rules"], policy["obligations"]) == ({"licence.allowed": 3}, ["attribution"])

    shown = run("rights", "show", "harbour.mp4", "--corpus", "c").stdout
    assert "Ann Example" in shown
    assert "allowed by licence.allowed of default/1" in shown
    clip = Corpus.open("c").rows()[0].id
    of_clip = run("rights", "show", clip[:16], "--corpus", "c").stdout
    assert "harbour" in of_clip
    assert "checkpoint k" in of_clip
    consumers = report("rights", "consumers", clip[:16], "--corpus", "c")["consumers"]
    assert [one["by"] for one in consumers] == ["run", "checkpoint"]  # type: ignore[index,attr-defined]
    assert report("rights", "audit", "c")["clips"] == {
        "allowed": 3, "undecided": 0, "refused": 0, "revoked": 0
    }  # fmt: skip

    said = run("revoke", "--holder", "Ann Example", "--corpus", "c")
    assert "3 clips of 1 sources were taken back" in said.stderr
    assert "checkpoint k" in said.stderr
    assert Corpus.open("c").rows() == []
    assert "taken back" in take("--licence", "CC-BY-4.0").output


def test_a_prohibition_beats_a_licence_before_anything_is_decoded(film: Path) -> None:
    film.write_bytes(b"this is no film, and nobody finds out")
    Path("harbour.mp4.headers").write_text("HTTP/1.1 200 OK\nX-Robots-Tag: noai\n\n")
    result = take("--licence", "CC0-1.0")
    assert result.exit_code == 1
    assert "x-robots-tag" in result.output.lower()
    assert Corpus.open("c").rows() == []
    assert not Path("c/latents").exists()


def test_training_refuses_what_was_decided_anew(film: Path) -> None:
    assert take("--licence", "CC-BY-SA-4.0").exit_code == 0
    text = run("rights", "policy", "show").stdout
    strict = text.replace('on_share_alike = "allow" ', 'on_share_alike = "refuse"')
    Path("mine.toml").write_text(strict.replace('name = "default"', 'name = "mine"'))
    assert run("rights", "policy", "set", "mine.toml", "--corpus", "c").exit_code == 0
    assert run("rights", "policy", "show", "--corpus", "c").stdout == Path("mine.toml").read_text()
    assert run("rights", "audit", "c").exit_code == 0, (
        "what was decided stands until it is decided anew"
    )

    assert "licence.share-alike" in take("--licence", "CC-BY-SA-4.0").output
    audit = run("rights", "audit", "c", "--json")
    assert audit.exit_code == 1
    assert json.loads(audit.stdout)["clips"]["refused"] == 3
    for what in ("codec", "model"):
        trained = run("train", what, "debug", "--corpus", "c", "--out", what, "--steps", 1)
        assert trained.exit_code == 1
        assert "refused for research use" in trained.output
    assert not Path("c/latents").exists()


def test_clips_that_nobody_decided_on_are_not_trained_on(film: Path) -> None:
    from yozora.video import Record

    corpus = Corpus.create("c")
    corpus.add([(Clip(np.zeros((9, 32, 32, 3), np.uint8), 8.0), Record(("a",), "?", "MIT"))])
    trained = run("train", "codec", "debug", "--corpus", "c", "--out", "k", "--steps", 1)
    assert trained.exit_code == 1
    assert "1 of 1 clips are undecided" in trained.output


def test_consent_stands_in_for_a_licence(film: Path) -> None:
    Path("signed.pdf").write_bytes(b"%PDF")
    Path("ann.toml").write_text(
        'holder = "Ann Example"\nsigned = 2020-01-01\nuses = ["research"]\ncovers = "all"\n'
        'overrides = []\ndocument = "signed.pdf"\n'
    )
    assert take().exit_code == 1
    assert take("--consent", "ann.toml").exit_code == 0
    (row, *_) = Corpus.open("c").rows()
    assert row.licence == "LicenseRef-consent"
    assert len(report("revoke", "--holder", "Ann Example", "--corpus", "c")["clips"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    ["rights show x --corpus c", "rights consumers x --corpus c", "revoke --clip x --corpus c", "revoke --corpus c"],
)  # fmt: skip
def test_what_is_not_there_is_said(film: Path, call: str) -> None:
    Corpus.create("c")
    result = run(*call.split())
    assert result.exit_code == 1
    assert "error:" in result.output
