"""The commands of a review, from a sample to what came of it, and back."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.corpus.test_catalogue import clip, record
from tests.test_cli_rights import report, run

from yozora.corpus.catalogue import Corpus
from yozora.review.answers import Answer, Review
from yozora.revoke import revoke
from yozora.rights.intake import admit_named


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.chdir(tmp_path)
    corpus = Corpus.create("c")
    for number in range(4):
        admit_named(corpus.ledger, corpus.policy, f"{number}.mp4", "MIT")
    corpus.add(
        [(clip(i), record(i, source=f"{i}.mp4", labels={"country": "PT"})) for i in range(4)]
    )
    return corpus


def test_a_sample_is_drawn_and_measured_and_the_corpus_stays_as_it_is(corpus: Corpus) -> None:
    before = corpus.identity()
    drawn = report("review", "sample", "c", "--clips", 3, "--by", "country,split", "--seed", 2)
    again = report(
        "review", "sample", "c", "--clips", 3, "--by", "country,split", "--seed", 2, "--name", "b"
    )
    assert drawn["clips"] == again["clips"]
    assert (drawn["file"], drawn["by"]) == ("c/review/first.sqlite", ["country", "split"])
    assert "PT" in run("review", "sample", "c", "--clips", 9, "--name", "all").stdout
    assert corpus.identity() == before

    ids = [one["clip"] for one in drawn["clips"]]  # type: ignore[attr-defined]
    Review.open(corpus.path, "first").add(Answer(ids[0], "Ann", {"region": ["europe"]}))
    found = report("review", "agree", "c", "--name", "first")
    assert found["coverage"]["labelled"] == 1  # type: ignore[index]
    page = run("review", "agree", "c", "--name", "first").stdout
    assert "1 of 3 clips labelled" in page
    assert "alpha needs at least two reviewers" in page
    assert "Europe" in page


def test_what_is_wrong_is_one_line(corpus: Corpus) -> None:
    for call, said in [
        ("review agree c", "yozora review sample c --clips 100"),
        ("review serve c", "has no sample yet"),
        ("review sample c --clips 1 --by colour", "cannot be drawn by 'colour'"),
        ("review sample c --clips 1 --name ../x", "cannot name a sample"),
        ("review sample nowhere --clips 1", "is no corpus"),
    ]:
        result = run(*call.split())
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert said in result.stderr
    assert run("review", "sample", "c").exit_code == 2


def test_what_is_taken_back_goes_from_reviews_too(corpus: Corpus) -> None:
    report("review", "sample", "c", "--clips", 4)
    review = Review.open(corpus.path)
    gone, *_ = (row.id for row in corpus.rows() if row.source == "1.mp4")
    for row in corpus.rows():
        review.add(Answer(row.id, "Ann", {}, f"somebody waves in {row.id}"))
    revoke(corpus, sources=["1.mp4"])
    assert len(review.sample().clips) == len(review.answers()) == 3
    assert gone.encode() not in review.path.read_bytes()


def test_the_page_is_served_until_it_is_interrupted(corpus: Corpus) -> None:
    report("review", "sample", "c", "--clips", 2)
    command = [
        sys.executable,
        "-c",
        "from yozora.cli import main; main()",
        "review",
        "serve",
        "c",
        "--json",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(3))
        address = json.loads(said)["address"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(address) as page:
            assert b'name="reviewer"' in page.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
