"""A run over a corpus: killed, refused, failing and changed meanwhile, it loses nothing and asks nothing twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.captioning.clips import corpus_of, plain, record
from tests.captioning.server import Answer, Request, says, serving

from yozora.captioning import run as room
from yozora.captioning.captioner import CaptionerError, Subject
from yozora.captioning.endpoint import Endpoint
from yozora.captioning.facts import Facts
from yozora.captioning.run import Plan, Report, chosen, planned, run
from yozora.corpus.captions import made_of, own_words
from yozora.corpus.catalogue import Added, Corpus
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.encode import text_folder
from yozora.latents.store import TextCache, caption_key
from yozora.revoke import revoke
from yozora.rights.intake import admit_named
from yozora.world import dataset


class Toy:
    """A captioner that says what it is told to, and notes what it is asked."""

    name = "toy"
    parallel = 2

    def __init__(self, version: str = "1", *, fails: Sequence[str] = ()) -> None:
        self.version, self.fails = version, fails
        self.asked: list[str] = []

    def key(self, row: Row) -> str:
        return f"{self.version}-{row.id}"

    def caption(self, subject: Subject) -> str:
        self.asked.append(subject.row.source)
        if subject.row.source in self.fails:
            raise YozoraError(f"{subject.row.source} is too hard.")
        return f"What {subject.row.source} shows, by {self.version}."


def captioned(corpus: Corpus, captioner: Any, **options: bool) -> Report:
    return run(corpus, planned(corpus.rows(), captioner, **options), captioner)


def by_source(corpus: Corpus) -> dict[str, Row]:
    return {row.source: row for row in corpus.rows()}


def test_each_caption_is_joined_to_its_clip_before_the_words_it_came_with(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 7)
    before = corpus.identity()
    assert captioned(corpus, Toy()).to_json() == {
        "captioned": 7,
        "there": 0,
        "world": 0,
        "flagged": 0,
        "unchecked": 7,
        "failed": [],
    }
    assert corpus.identity() != before
    for number in range(7):
        row = by_source(corpus)[f"{number}.mp4"]
        assert row.captions == (f"What {row.source} shows, by 1.", f"The thing number {number}.")
        assert row.labels["caption"] == "toy"
        assert own_words(row) == ((f"The thing number {number}.",), "sidecar")
        assert row.labels["start"] == 0.0


def test_what_has_the_caption_is_not_asked_again_but_for_replacing_it(tmp_path: Path) -> None:
    corpus, toy = corpus_of(tmp_path / "c", 3), Toy()
    captioned(corpus, toy)
    corpus.add([(plain(0, 99, 0), record(9))])
    report = captioned(corpus, toy)
    assert (report.captioned, report.there) == (1, 3)
    assert toy.asked[3:] == ["9.mp4"]
    assert captioned(corpus, toy, replace=True).captioned == 4
    assert captioned(corpus, Toy("2")).captioned == 4
    assert by_source(corpus)["9.mp4"].captions == ("What 9.mp4 shows, by 2.", "The thing number 9.")


def test_a_files_name_is_no_caption_once_there_is_one(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c")
    corpus.add([(plain(9, 9, 9), record(1, captions=("big city",), labels={"caption": "name"}))])
    captioned(corpus, Toy())
    (row,) = corpus.rows()
    assert row.captions == ("What 1.mp4 shows, by 1.",)
    assert own_words(row) == (("big city",), "name")


def test_clips_of_the_world_keep_their_own(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 1)
    corpus.add([dataset.make(1, size=(48, 32), frames=5)])
    rows = {row.id: row for row in corpus.rows(kind="world")}
    assert captioned(corpus, Toy()).world == 1
    assert {row.id: row for row in corpus.rows(kind="world")} == rows


def test_a_clip_that_fails_is_listed_and_the_others_go_on(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 6)
    rows = by_source(corpus)
    (corpus.path / rows["4.mp4"].path).unlink()
    report = captioned(corpus, Toy(fails=["2.mp4"]))
    assert report.captioned == 4
    assert {clip: why.split(":")[0] for clip, why in report.failed} == {
        rows["2.mp4"].id: "2.mp4 is too hard.",
        rows["4.mp4"].id: f"{corpus.path / rows['4.mp4'].path} is missing",
    }
    assert captioned(corpus, Toy()).captioned == 1


def test_ten_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 25)
    toy = Toy(fails=[f"{n}.mp4" for n in range(3, 25)])
    with pytest.raises(CaptionerError, match=r"10 clips failed.*too hard. 3 clips were captioned"):
        captioned(corpus, toy)
    assert len(toy.asked) <= 17
    assert sum(bool(made_of(row)) for row in corpus.rows()) == 3


def test_what_was_done_stays_when_the_captioner_cannot_go_on(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 9)

    class Ends(Toy):
        def caption(self, subject: Subject) -> str:
            if len(self.asked) == 4:
                raise CaptionerError("No credit is left.")
            return super().caption(subject)

    ends = Ends()
    ends.parallel = 1
    with pytest.raises(CaptionerError, match=r"No credit is left. 4 clips were captioned"):
        captioned(corpus, ends)
    again = Toy()
    assert captioned(corpus, again).captioned == 5
    assert not set(again.asked) & set(ends.asked)


def test_an_error_that_nobody_expected_loses_nothing(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 5)

    class Odd(Toy):
        parallel = 1

        def caption(self, subject: Subject) -> str:
            if subject.row.source == "3.mp4":
                raise ZeroDivisionError
            return super().caption(subject)

    with pytest.raises(ZeroDivisionError):
        captioned(corpus, Odd())
    assert sum(bool(made_of(row)) for row in corpus.rows()) == 3


KILLED = """
import sys
from yozora.captioning import run as room
from yozora.captioning.endpoint import Endpoint
from yozora.corpus.catalogue import Corpus
room.BATCH = 3
corpus = Corpus.open(sys.argv[1])
endpoint = Endpoint(sys.argv[2], "toy-vl", "Describe.", parallel=1)
def told(what, done, total):
    print(done, flush=True)
room.run(corpus, room.planned(corpus.rows(), endpoint), endpoint, told)
"""


def test_killed_and_called_again_only_missing_clips_are_asked_for(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 14)
    with serving(lambda request, _: says(request.clip)) as server:
        command = [sys.executable, "-c", KILLED, str(corpus.path), server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while int(process.stdout.readline()) < 8:
                pass
            process.kill()
        kept = {row.id[:12] for row in corpus.rows() if made_of(row)}
        assert 6 <= len(kept) < 14
        before = len(server.requests)
        report = captioned(corpus, Endpoint(server.url, "toy-vl", "Describe."))
        asked = [request.clip for request in server.requests[before:]]
    assert report.captioned == 14 - len(kept) == len(asked)
    assert not kept & set(asked)
    for row in corpus.rows():
        assert row.captions[0] == f"What clip {row.id[:12]} shows."
        assert server.times(row.id[:12]) <= 2


def test_answers_that_were_swapped_are_refused_and_asked_again(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 6)
    ids = [row.id[:12] for row in corpus.rows()]
    other = dict(zip(ids, [*ids[1:], ids[0]], strict=True))

    def swapping(request: Request, before: int) -> Answer:
        return says(request.clip if before else other[request.clip])

    with serving(swapping) as server:
        assert captioned(corpus, Endpoint(server.url, "toy-vl", "Describe.")).captioned == 6
    assert all(row.captions[0] == f"What clip {row.id[:12]} shows." for row in corpus.rows())
    assert [server.times(clip) for clip in ids] == [2] * 6


def test_as_many_requests_at_once_as_were_allowed(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 9)

    def slow(request: Request, _: int) -> Answer:
        return Answer(says(request.clip).body, after=0.1)

    with serving(slow) as server:
        captioned(corpus, Endpoint(server.url, "toy-vl", "Describe.", parallel=3))
    assert server.busiest <= 3


def test_nothing_of_the_key_is_kept(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 2)
    secret = "sk-very-secret-0123456789"
    with serving(lambda request, _: says(request.clip)) as server:
        captioned(corpus, Endpoint(server.url, "toy-vl", "Describe.", secret=secret))
    files = [path for path in corpus.path.rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_captions_that_disagree_are_flagged(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 2)

    class Says(Toy):
        def caption(self, subject: Subject) -> str:
            return (
                "A red wall." if subject.row.source == "0.mp4" else "A blue wall and a green one."
            )

    report = captioned(corpus, Says())
    assert (report.flagged, report.unchecked) == (1, 0)
    rows = by_source(corpus)
    assert made_of(rows["0.mp4"])["agreement"] == 1
    assert made_of(rows["1.mp4"])["flagged"]
    assert "blue" in made_of(rows["1.mp4"])["wrong"]
    assert chosen(rows.values(), {"flagged": "yes"}) == [rows["1.mp4"]]


def test_clips_are_chosen_by_what_is_known_of_them(tmp_path: Path) -> None:
    rows = corpus_of(tmp_path / "c", 3).rows()
    assert chosen(rows, {}) == rows
    assert chosen(rows, {"split": "train", "source": "1.mp4"}) == [rows[1]]
    assert chosen(rows, {"caption": "name"}) == []
    with pytest.raises(YozoraError, match="by 'colour': use one of split"):
        chosen(rows, {"colour": "red"})


def test_a_clip_that_was_taken_back_meanwhile_stays_away(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 3)
    plan = planned(corpus.rows(), toy := Toy())
    revoke(corpus, clips=[corpus.rows()[1].id])
    report = run(corpus, plan, toy)
    assert (report.captioned, len(report.failed)) == (2, 1)
    assert len(corpus.rows()) == 2


def test_what_others_change_meanwhile_stays_changed(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 1)
    plan = planned(corpus.rows(), toy := Toy())
    corpus.add([(plain(200, 40, 30), record(0, holder="Ann", split="validation"))])
    run(corpus, plan, toy)
    (row,) = corpus.rows()
    assert (row.holder, row.split, row.labels["caption"]) == ("Ann", "validation", "toy")


def test_footage_that_comes_again_keeps_the_caption_unless_its_words_changed(
    tmp_path: Path,
) -> None:
    corpus = corpus_of(tmp_path / "c", 2)
    captioned(corpus, Toy())
    before = corpus.rows()
    again = [(plain(200 - 7 * i, 40, 30), record(i)) for i in range(2)]
    assert corpus.add(again) == Added(0, 2)
    assert corpus.rows() == before
    labels = {"start": 0.0, "caption": "sidecar", "measures": {"hash": "0"}}
    corpus.add([(plain(200, 40, 30), record(0, labels=labels, licence="CC0-1.0"))])
    row = by_source(corpus)["0.mp4"]
    assert (row.captions, row.licence) == (before[0].captions, "CC0-1.0")
    assert (row.labels["measures"], row.labels["caption"]) == ({"hash": "0"}, "toy")
    corpus.add([(plain(200, 40, 30), record(0, captions=("Mended words.",)))])
    row = by_source(corpus)["0.mp4"]
    assert (row.captions, dict(made_of(row))) == (("Mended words.",), {})
    assert captioned(corpus, Toy()).captioned == 1


def test_a_state_of_the_past_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 1)
    admit_named(corpus.ledger, corpus.policy, "0.mp4", "MIT")
    corpus.give_tag("first")
    past, toy = Corpus.open(f"{corpus.path}@first"), Toy()
    with pytest.raises(YozoraError, match="state of the past"):
        captioned(past, toy)
    assert toy.asked == []


def test_states_of_captions_that_are_gone_go_with_the_next_revocation(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 3)
    captioned(corpus, Toy("1"))
    old = [row.captions[0] for row in corpus.rows()]
    cache = TextCache(text_folder(corpus, "toy"))
    cache.fill([c for r in corpus.rows() for c in r.captions], toy_states, lambda *_: None)
    captioned(corpus, Toy("2"))
    gone = corpus.rows()[0]
    revoke(corpus, clips=[gone.id])
    shards = TextCache(text_folder(corpus, "toy")).shards
    assert shards.missing([caption_key(c) for c in (*old, *gone.captions)]) == [
        caption_key(c) for c in (*old, *gone.captions)
    ]
    kept = [row.captions[1] for row in corpus.rows()]
    assert shards.missing([caption_key(caption) for caption in kept]) == []
    left = b"".join(p.read_bytes() for p in corpus.path.rglob("*") if p.is_file())
    assert old[0].encode() not in left


def toy_states(texts: Sequence[str]) -> list[torch.Tensor]:
    return [torch.full((len(text), 2), float(len(text))).half() for text in texts]


def test_facts_are_said_anew_when_more_was_measured(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 2)
    assert captioned(corpus, Facts()).captioned == 2
    assert all("mostly red" in row.captions[0] for row in corpus.rows())
    assert captioned(corpus, Facts()).captioned == 0
    motion = {"camera": 0.0, "local": 0.5, "shake": 0.0}
    labels = {"start": 0.0, "caption": "sidecar", "measures": {"motion": motion}}
    corpus.add([(plain(200, 40, 30), record(0, labels=labels))])
    assert captioned(corpus, Facts()).captioned == 1
    assert "much motion" in by_source(corpus)["0.mp4"].captions[0]


def test_progress_is_told(tmp_path: Path) -> None:
    corpus, told = corpus_of(tmp_path / "c", 4), list[tuple[str, int, int]]()
    toy = Toy(fails=["1.mp4"])
    run(corpus, planned(corpus.rows(), toy), toy, lambda *now: told.append(now))
    assert told[-1] == ("captioning", 4, 4)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_slow_captions_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SECONDS", 0.0)
    corpus = corpus_of(tmp_path / "c", 4)

    class Looks(Toy):
        parallel = 1

        def caption(self, subject: Subject) -> str:
            seen.append(sum(bool(made_of(row)) for row in corpus.rows()))
            return super().caption(subject)

    seen: list[int] = []
    captioned(corpus, Looks())
    assert seen[-1] >= 1


def test_nothing_to_do_is_no_error(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "c", 0)
    assert run(corpus, Plan([], 0, 0), Toy()) == Report()
