"""What a large catalogue costs: searching, checking and tagging a million rows.

python benchmarks/catalogue.py [--quick]
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lance
import numpy as np

from common import Report, options, report, seconds, spread
from yozora.corpus.catalogue import Corpus
from yozora.corpus.report import check, stock
from yozora.corpus.schema import Row, clip_path, to_table
from yozora.corpus.search import by_likeness, by_words
from yozora.latents.usage import usage
from yozora.recipes import model_recipe
from yozora.rights import record
from yozora.rights.intake import admit_named, named_source

PART = 50_000  # rows a commit
FILM = "a film"  # that all clips are of, as the ledger has it
THINGS = ["tram", "boat", "heron", "bridge", "street", "child", "dog", "window", "tree", "kitchen"]


def rows(first: int, count: int) -> Iterator[Row]:
    """Rows of footage as ingest writes them."""
    rng = np.random.default_rng(first)
    hashes = rng.integers(0, 2**63, count)
    for number in range(first, first + count):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        one, other = THINGS[number % 10], THINGS[number // 10 % 10]
        light = {
            "brightness": 0.45,
            "contrast": 0.2,
            "dark": 0.01,
            "bright": 0.0,
            "sharpness": 120.0,
        }
        measures = {
            "motion": {"camera": 0.03, "local": 0.01, "shake": 0.005},
            "light": light,
            "hash": f"{hashes[number - first]:016x}",
        }
        labels = {"content": [0, 0, 112, 64], "start": 2.125, "file": digest, "measures": measures}
        yield Row(
            id=digest,
            path=clip_path(digest),
            captions=(f"A {one} passes a {other} on day {number}.", f"A {one}."),
            split="train",
            kind="footage",
            source=f"films/{number // 100}.mp4",
            licence="CC-BY-4.0",
            holder="Ann",
            url="",
            frames=17,
            height=64,
            width=112,
            fps=8.0,
            labels_json=json.dumps(labels, separators=(",", ":")),
        )


def measure(page: Report) -> None:
    count, rounds = (2_000, 1) if page.quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Corpus.create(Path(scratch) / "corpus")
        catalogue = str(corpus.path / "catalogue.lance")
        admit_named(corpus.ledger, corpus.policy, FILM, "CC-BY-4.0")
        for first in range(0, count, PART):
            part = list(rows(first, min(PART, count - first)))
            lance.write_dataset(to_table(part), catalogue, mode="append")
            corpus.ledger.append(*(record.clip(row.id, named_source(FILM)) for row in part))
            for row in part:
                file = corpus.path / row.path
                file.parent.mkdir(exist_ok=True)
                file.touch()
        recipe = model_recipe("nano")
        works = {
            "search by words": lambda: by_words(corpus, "heron bridge"),
            "search by likeness": lambda: by_likeness(corpus, 2**62 + 12345),
            "identity": corpus.identity,
            "check": lambda: (check(corpus), usage("nano", recipe.shapes, stock(corpus))),
        }
        table = [[name, spread(seconds(work, rounds, warm_up=0))] for name, work in works.items()]
        table.append(["tag", spread(seconds(lambda: corpus.give_tag("first"), 1, warm_up=0))])
    page.say(f"{count} rows of footage, each with an entry in the ledger and an empty file.")
    page.table(["what", "seconds"], table)


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("catalogue", "A large catalogue", arguments) as page:
        measure(page)
