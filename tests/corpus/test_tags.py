"""States of a corpus that have a name, what is different between them, and a corpus as plain files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.corpus.test_catalogue import clip, items, record

from yozora.corpus.catalogue import Corpus
from yozora.corpus.diff import diff
from yozora.corpus.export import export
from yozora.errors import YozoraError
from yozora.footage.manifest import read_manifest
from yozora.rights.intake import admit_named
from yozora.rights.record import list_hash
from yozora.video import read


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add(items(1, 2, 3))
    return corpus


def test_a_tag_is_the_state_it_was_given_to(corpus: Corpus) -> None:
    corpus.give_tag("first")
    before = {row.id: row.captions for row in corpus.rows()}
    corpus.add(items(4))
    corpus.add([(clip(2), record(2, captions=("said anew",)))])
    tagged = Corpus.open(f"{corpus.path}@first")
    assert {row.id: row.captions for row in tagged.rows()} == before
    assert len(corpus.rows()) == 4
    assert tagged.identity() != corpus.identity()
    assert corpus.tags() == tagged.tags() == ["first"]
    (entry,) = corpus.ledger.consumers(next(iter(before)))
    assert (entry.facts["by"], entry.facts["name"], entry.facts["clips"]) == ("tag", "first", 3)


@pytest.mark.parametrize("name", ["first", "", "a/b", ".hidden", "a b"])
def test_a_name_that_is_taken_or_none_is_refused(corpus: Corpus, name: str) -> None:
    corpus.give_tag("first")
    with pytest.raises(YozoraError, match="cannot be a tag|has a tag"):  # noqa: RUF043
        corpus.give_tag(name)
    assert corpus.tags() == ["first"]
    with pytest.raises(YozoraError, match=r"no tag 'second'; its tags are first"):
        Corpus.open(f"{corpus.path}@second")


def test_what_is_removed_takes_the_tags_with_it(corpus: Corpus) -> None:
    corpus.give_tag("first")
    corpus.remove([corpus.rows()[0].id])
    assert corpus.tags() == []
    assert len(corpus.rows()) == 2


def test_notes_of_removed_clips_count_as_remains(corpus: Corpus) -> None:
    gone, stays = corpus.ids()[:2]
    corpus.finish("key", "a.mp4", [gone])
    corpus.finish("other", "b.mp4", [stays])
    corpus.drop("c.mp4", f"It looks the same as the clip {gone}.", rule="duplicate_bits", start=0.0)
    assert any("finished.jsonl" in left for left in corpus.remains({gone}))
    assert any("drops.jsonl" in left for left in corpus.remains({gone}))
    corpus.remove([gone])
    assert corpus.remains({gone}) == []
    assert corpus.finished() == {"other": [stays]}


def test_a_folder_with_an_at_sign_is_a_folder(tmp_path: Path) -> None:
    Corpus.create(tmp_path / "ann@home")
    assert Corpus.open(tmp_path / "ann@home").rows() == []


def test_a_difference_names_clips_and_what_is_said_anew(corpus: Corpus) -> None:
    corpus.give_tag("first")
    ids = [row.id for row in corpus.rows()]
    before = Corpus.open(f"{corpus.path}@first")
    assert diff(before, corpus).to_json() == {"added": [], "removed": [], "changed": {}}
    corpus.add(items(4))
    corpus.add([(clip(2), record(2, captions=("said [anew]",), licence="MIT"))])
    found = diff(before, corpus)
    (new,) = found.added
    assert new not in ids
    assert found.removed == []
    assert found.changed == {
        ids[1]: {"captions": [["blob 2"], ["said [anew]"]], "licence": ["CC0-1.0", "MIT"]}
    }
    assert diff(corpus, before).removed == [new]
    console = Console(width=160, file=io.StringIO())
    console.print(found)
    assert "1 clips added, 0 removed, 1 changed" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "said [anew]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_export_can_be_read_by_others_and_by_us(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="3 of 3 clips are undecided"):
        export(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for number in (1, 2, 3):
        admit_named(corpus.ledger, corpus.policy, f"world:{number}", "CC0-1.0")
    assert export(corpus, tmp_path / "out") == 3
    listed, refused = read_manifest(tmp_path / "out" / "list.jsonl")
    assert refused == []
    for (file, said), row in zip(listed, corpus.rows(), strict=True):
        assert (read(file).frames == corpus.read(row).frames).all()
        assert (said.captions, said.licence, said.split) == (row.captions, row.licence, row.split)
    rights = json.loads((tmp_path / "out" / "rights.json").read_text())
    assert rights["clips"] == 3
    (entry,) = corpus.ledger.consumers(corpus.rows()[0].id)
    assert (entry.facts["by"], entry.facts["name"], entry.facts["clips"]) == ("export", "out", 3)


def test_of_a_runs_folder_the_ledger_keeps_the_name_alone(corpus: Corpus) -> None:
    clips = corpus.ids()
    for name in ("/home/ann/runs/first", Path("ann/first/"), "first"):
        corpus.consumed("run", name, clips)
    assert {one.facts["name"] for one in corpus.ledger.consumers(clips[0])} == {"first"}


def test_what_goes_on_from_weights_has_seen_what_they_saw(corpus: Corpus) -> None:
    first, second, third = corpus.ids()
    corpus.consumed("run", "grandparent", [first])
    corpus.consumed("run", "parent", [second])
    rights = {"list": list_hash([second]), "inherited": [list_hash([first]), "ab" * 32]}
    lists, clips = corpus.inherited(rights)
    assert lists == [list_hash([second]), list_hash([first]), "ab" * 32]
    assert sorted(clips) == sorted([first, second])
    assert corpus.inherited({}) == ([], [])
    of_words = {"list": list_hash([first]), "inherited": [list_hash([second])]}
    assert corpus.inherited(rights, {}, of_words) == (lists, clips)


def test_a_state_of_the_past_cannot_be_changed(corpus: Corpus) -> None:
    corpus.give_tag("first")
    past = Corpus.open(f"{corpus.path}@first")
    for change in (
        lambda: past.add(items(9)),
        lambda: past.give_tag("second"),
        lambda: past.remove([past.rows()[0].id]),
        lambda: corpus.pinned().add(items(9)),
    ):
        with pytest.raises(YozoraError, match="state of the past"):
            change()
    assert len(corpus.rows()) == 3


def test_what_is_added_meanwhile_is_not_in_a_pinned_corpus(corpus: Corpus) -> None:
    now = corpus.pinned()
    corpus.add(items(9))
    assert (len(now.rows()), len(corpus.rows())) == (3, 4)


def test_nothing_is_removed_while_something_is_added(corpus: Corpus) -> None:
    from yozora.corpus.lock import locked

    with locked(corpus.path, alone=False):
        assert corpus.add(items(4)).added == 1
        with pytest.raises(YozoraError, match="Another process"), locked(corpus.path, alone=True):
            pass
    with locked(corpus.path, alone=True), pytest.raises(YozoraError, match="Another process"):
        corpus.add(items(5))


def test_a_corpus_without_its_ledger_says_so(corpus: Corpus) -> None:
    (corpus.path / "rights.ledger").unlink()
    with pytest.raises(YozoraError, match="is gone"):
        corpus.cleared([row.id for row in corpus.rows()])
    assert not (corpus.path / "rights.ledger").exists()
