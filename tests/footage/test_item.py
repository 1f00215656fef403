from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.footage.test_ingest import film, take

from yozora.corpus.catalogue import Corpus
from yozora.footage.item import read_item

XML = """<?xml version="1.0"?><metadata><identifier>tram_1950</identifier><title>Trams of 1950</title>
<description>Trams in a wet city.</description><creator>Ann Example</creator>
<licenseurl>{licence}</licenseurl><language>eng</language></metadata>"""
CC = "https://creativecommons.org/licenses/by/4.0/"


def test_an_items_files_are_described_and_licensed_by_it(tmp_path: Path) -> None:
    film(tmp_path / "tram_1950" / "tram.mp4", 20)
    (tmp_path / "tram_1950" / "tram_1950_meta.xml").write_text(XML.format(licence=CC))
    corpus = Corpus.create(tmp_path / "c")
    report = take(corpus, tmp_path / "tram_1950", licence=None)
    assert report.refused == []
    row = corpus.rows()[0]
    assert row.captions == ("Trams in a wet city.", "Trams of 1950")
    assert (row.licence, row.holder) == ("CC-BY-4.0", "Ann Example")
    assert row.url == "https://archive.org/details/tram_1950"
    assert (row.labels["caption"], row.labels["language"]) == ("archive.org", "eng")


@pytest.mark.parametrize("licence", ["", "https://creativecommons.org/licenses/by-nd/4.0/"])
def test_an_item_without_a_licence_that_is_allowed_is_refused(tmp_path: Path, licence: str) -> None:
    film(tmp_path / "tram_1950" / "tram.mp4", 20)
    (tmp_path / "tram_1950" / "tram_1950_meta.xml").write_text(XML.format(licence=licence))
    corpus = Corpus.create(tmp_path / "c")
    report = take(corpus, tmp_path / "tram_1950", licence=None)
    assert "licence" in report.refused[0][1]
    assert corpus.rows() == []


def test_the_metadata_api_says_the_same(tmp_path: Path) -> None:
    fields = {"identifier": "x", "title": ["One", "Two"], "creator": "Ann"}
    (tmp_path / "metadata.json").write_text(json.dumps({"metadata": fields}))
    said = read_item(tmp_path)
    assert said is not None
    assert (said.captions, said.holder) == (("One, Two",), "Ann")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"metadata": 3}', '{"title": "no identifier"}']
)
def test_other_files_of_that_name_are_nobodys_item(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.json").write_text(text)
    (tmp_path / f"{tmp_path.name}_meta.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><metadata/>')
    assert read_item(tmp_path) is None
