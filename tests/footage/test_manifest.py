from __future__ import annotations

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.footage.test_ingest import film, take

from yozora.corpus.catalogue import Corpus
from yozora.errors import YozoraError
from yozora.footage.manifest import read_manifest
from yozora.footage.sidecar import Sidecar, tidy

ROWS = [
    {
        "path": "films/tram.mp4",
        "title": "A tram",
        "description": "A tram crosses a bridge, in the rain.",
        "tags": "tram, bridge",
        "licence": "CC-BY-4.0",
        "holder": "Ann Example",
        "url": "https://example.org/tram",
        "country": "PT",
        "language": "pt",
        "domain": "street",
    },
    {"path": "films/мост.mp4", "title": "Мост", "licence": "CC0-1.0"},
]


def written(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"list{suffix}"
    names = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".parquet":
        parquet.write_table(
            pa.Table.from_pylist([{n: r.get(n) for n in names} for r in rows]), path
        )
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, names, delimiter="\t" if suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_kinds_of_lists_say_the_same(tmp_path: Path, suffix: str) -> None:
    ((tram, said), (bridge, little)), refused = read_manifest(written(tmp_path, suffix, ROWS))
    assert refused == []
    assert (tram, bridge) == (tmp_path / "films/tram.mp4", tmp_path / "films/мост.mp4")
    assert said == Sidecar(
        captions=("A tram crosses a bridge, in the rain.", "A tram", "tram, bridge"),
        licence="CC-BY-4.0",
        holder="Ann Example",
        url="https://example.org/tram",
        country="PT",
        language="pt",
        domain="street",
        origin="manifest",
    )
    assert (little.captions, little.licence, little.holder) == (("Мост",), "CC0-1.0", "")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"film": "a.mp4"}], "a column 'film' that is not known"),
        ([{"title": "A"}], "no column 'path'"),
        ([{"path": "a.mp4", "titel": "A"}], "'titel'"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_wrong_list_is_refused_with_a_reason(
    tmp_path: Path, rows: list[dict[str, Any]], why: str, suffix: str
) -> None:
    with pytest.raises(YozoraError, match=why):
        read_manifest(written(tmp_path, suffix, rows))


@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("m") / f"list{suffix}"
    path.write_bytes(data)
    with suppress(YozoraError):
        items, refused = read_manifest(path)
        assert all(isinstance(file, Path) for file, _ in [*items, *refused])


CELLS = st.text(st.characters(exclude_categories=["C"]), max_size=12)


@given(CELLS, CELLS)
@settings(max_examples=40, deadline=None)
def test_cells_in_any_script_come_through(
    tmp_path_factory: pytest.TempPathFactory, title: str, holder: str
) -> None:
    folder = tmp_path_factory.mktemp("m")
    rows = [{"path": "a.mp4", "title": title, "holder": holder}]
    for suffix in (".csv", ".jsonl"):
        ((_, said),), _ = read_manifest(written(folder, suffix, rows))
        assert said.captions == ((tidy(title),) if tidy(title) else ())
        assert said.holder == tidy(holder)


def test_a_list_is_taken_in_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    film(tmp_path / "films" / "tram.mp4", 20)
    film(tmp_path / "films" / "game.mp4", 20, seed=1)
    film(tmp_path / "films" / "odd.mp4", 20, seed=2)
    rows = [
        ROWS[0],
        ROWS[1],
        {"path": "films/game.mp4", "licence": "MIT", "domain": "gameplay"},
        {"path": "films/odd.mp4", "licence": "Whatever"},
    ]
    corpus = Corpus.create(tmp_path / "c")
    report = take(corpus, written(tmp_path, ".csv", rows), licence=None)
    (row,) = {row.source: row for row in corpus.rows()}.values()
    assert row.captions[0] == "A tram crosses a bridge, in the rain."
    assert (row.holder, row.licence) == ("Ann Example", "CC-BY-4.0")
    labels = {name: row.labels[name] for name in ("country", "language", "domain", "caption")}
    assert labels == {"country": "PT", "language": "pt", "domain": "street", "caption": "manifest"}
    reasons = {Path(path).name: reason for path, reason in report.refused}
    assert "there is no such file" in reasons["мост.mp4"]
    assert "publisher" in reasons["game.mp4"]
    assert "Whatever" in reasons["odd.mp4"]


def test_a_game_is_taken_with_its_publishers_terms_on_file(tmp_path: Path) -> None:
    film(tmp_path / "game.mp4", 20)
    (tmp_path / "policy.html").write_text("You may share recordings of our game.")
    rows = [
        {
            "path": "game.mp4",
            "licence": "LicenseRef-own-work",
            "domain": "gameplay",
            "terms": "policy.html",
        }
    ]
    corpus = Corpus.create(tmp_path / "c")
    assert take(corpus, written(tmp_path, ".jsonl", rows), licence=None).added
    source = str(corpus.rows()[0].labels["file"])
    (entry,) = (e for e in corpus.ledger.about(source) if e.kind == "source")
    assert len(entry.facts["terms"]) == 64


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_wrong_row_is_refused_and_the_others_stand(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"path": ""},
        {"path": "https://example.org/b.mp4"},
        {"path": "http://[x"},
        {"path": "a.mp4", "licence": "CC-BY-ND-4.0", "license": "CC0-1.0"},
        {"path": "my  film.mp4", "license": "MIT"},
    ]
    items, refused = read_manifest(written(tmp_path, suffix, rows))
    assert [(file.name, said.licence) for file, said in items] == [("my  film.mp4", "MIT")]
    assert [reason.partition(":")[0] for _, reason in refused] == [
        "Row 1",
        "Row 2",
        "Row 3",
        "Row 4",
    ]
    assert "say different things" in refused[3][1]


def test_names_of_columns_may_differ_from_row_to_row(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "licence": "CC-BY-ND-4.0"}, {"path": "b.mp4", "license": "CC0-1.0"}]
    items, _ = read_manifest(written(tmp_path, ".jsonl", rows))
    assert [said.licence for _, said in items] == ["CC-BY-ND-4.0", "CC0-1.0"]


def test_cells_that_no_column_has_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "l.CSV").write_text("path,title\na.mp4,one,two\n")
    with pytest.raises(YozoraError, match="more cells"):
        read_manifest(tmp_path / "l.CSV")


def test_a_line_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"path": ' + "[" * 100_000)
    with pytest.raises(YozoraError, match="cannot be read as a manifest"):
        read_manifest(tmp_path / "list.jsonl")
