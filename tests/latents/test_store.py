from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.latents.store import Shards, TextCache, caption_key, chunks, prune
from yozora.models.text import pad


def filled(folder: Path, *groups: Sequence[str]) -> Shards:
    shards = Shards(folder)
    for keys in groups:
        shards.append(keys, {"x": torch.stack([value(key) for key in keys])})
    return shards


def value(key: str) -> torch.Tensor:
    return torch.full((2, 3), float(sum(key.encode())))


def test_entries_are_found_again(tmp_path: Path) -> None:
    first = filled(tmp_path / "s", ["a", "b"], ["c"])
    for shards in (first, Shards(tmp_path / "s")):
        assert shards.missing(["c", "z", "a", "z", "y"]) == ["z", "y"]
        for key in "abc":
            assert torch.equal(shards.tensor(key, "x"), value(key))
    assert len(list((tmp_path / "s").iterdir())) == 2


def test_a_shard_may_hold_single_facts(tmp_path: Path) -> None:
    shards = Shards(tmp_path)
    shards.append(["a", "b"], {"known": torch.tensor([True, False])})
    assert bool(shards.tensor("a", "known")) is True
    assert bool(shards.tensor("b", "known")) is False


def test_half_written_files_are_not_looked_at(tmp_path: Path) -> None:
    filled(tmp_path, ["a"])
    (tmp_path / ".0123.safetensors.77").write_bytes(b"half")
    left = tmp_path / ".0123.safetensors.building-host-1-2"
    left.mkdir()
    (left / "0123.safetensors").write_bytes(b"half")
    shards = Shards(tmp_path)
    assert shards.missing(["a", "b"]) == ["b"]
    shards.append(["b"], {"x": value("b")[None]})
    assert Shards(tmp_path).missing(["a", "b"]) == []


def test_damaged_files_are_told(tmp_path: Path) -> None:
    filled(tmp_path, ["a"])
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(YozoraError, match=f"{path} is damaged .* delete it"):
        Shards(tmp_path)
    path.unlink()
    assert Shards(tmp_path).missing(["a"]) == ["a"]


def test_two_that_started_together_lose_nothing(tmp_path: Path) -> None:
    """Both saw an empty folder; neither knows of the other's file when it writes its own."""
    one, two = Shards(tmp_path), Shards(tmp_path)
    one.append(["a", "b"], {"x": torch.stack([value("a"), value("b")])})
    two.append(["c"], {"x": value("c")[None]})
    two.append(["b", "d"], {"x": torch.stack([value("b"), value("d")])})
    one.append(["c"], {"x": value("c")[None]})
    both = Shards(tmp_path)
    for shards, keys in ((one, "abc"), (two, "bcd"), (both, "abcd")):
        for key in keys:
            assert torch.equal(shards.tensor(key, "x"), value(key))


def test_many_may_append_at_once(tmp_path: Path) -> None:
    def append(who: str) -> None:
        shards = Shards(tmp_path)
        for n in range(20):
            shards.append([f"{who}{n}", f"all{n}"], {"x": torch.full((2, 4), float(n))})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, "abcd"))
    shards = Shards(tmp_path)
    for who in ("a", "b", "c", "d", "all"):
        for n in range(20):
            assert shards.tensor(f"{who}{n}", "x").tolist() == [float(n)] * 4


def states_of(texts: Sequence[str]) -> list[torch.Tensor]:
    """A stand-in for an encoder: one token a character, and one at the end."""
    return [torch.tensor([[ord(c) % 997, len(t)] for c in [*t, "."]]).half() for t in texts]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=20))
def test_text_states_come_back(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("text")
    cache = TextCache(folder)
    cache.fill(captions, states_of, lambda done, total: None)
    for found in (cache, TextCache(folder)):
        assert not found.missing(captions)
        for caption in captions:
            (expected,) = states_of([caption])
            assert torch.equal(found.states(caption), expected)
            assert found.states(caption).dtype == torch.float16


def test_captions_are_encoded_once_with_others_of_their_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yozora.latents.store.CAPTIONS", 4)
    monkeypatch.setattr("yozora.latents.store.BATCH", 2)
    seen: list[list[str]] = []
    done: list[tuple[int, int]] = []

    def encode(texts: Sequence[str]) -> list[torch.Tensor]:
        seen.append(list(texts))
        return states_of(texts)

    cache = TextCache(tmp_path)
    captions = ["a" * n for n in (5, 1, 3, 6, 2, 4)]
    cache.fill([*captions, *captions], encode, lambda *report: done.append(report))
    assert seen == [["a", "aa"], ["aaa", "aaaa"], ["aaaaa", "aaaaaa"]]
    assert done == [(4, 6), (6, 6)]
    cache.fill([*captions, "new"], encode, lambda *report: done.append(report))
    assert seen[3:] == [["new"]]
    assert cache.missing(["other"])


def test_keys_of_captions_differ_and_stay() -> None:
    assert caption_key("a red ball") != caption_key("a red ball ")
    assert caption_key("") == "e3b0c44298fc1c149afbf4c8"  # sha256 of nothing: known from elsewhere


def test_padding_marks_what_is_real() -> None:
    padded, mask = pad([torch.ones(2, 3).half(), torch.ones(0, 3).half(), torch.ones(4, 3).half()])
    assert padded.shape == (3, 4, 3)
    assert padded.dtype == torch.float32
    assert mask.sum(1).tolist() == [2, 0, 4]
    assert torch.equal(padded.sum(-1) > 0, mask)


def test_chunks_hold_everything_once() -> None:
    items = [str(n) for n in range(10)]
    assert [list(part) for part in chunks(items, 4)] == [items[:4], items[4:8], items[8:]]
    assert list(chunks([], 4)) == []


KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True)


@given(groups=st.lists(KEYS, max_size=4), doomed=st.sets(st.sampled_from("abcdefgh")))
@settings(max_examples=30, deadline=None)
def test_what_is_removed_is_gone_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[str]], doomed: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    seen: set[str] = set()
    for group in groups:
        fresh = [key for key in group if key not in seen]
        seen.update(fresh)
        if fresh:
            filled(folder, fresh)
    assert prune(folder, seen - doomed) == len(seen & doomed)
    assert prune(folder, seen - doomed) == 0
    left = Shards(folder)
    assert set(left.missing(sorted(seen))) == seen & doomed
    for key in seen - doomed:
        assert torch.equal(left.tensor(key, "x"), value(key))


def test_captions_are_removed_with_their_states(tmp_path: Path) -> None:
    def states(texts: Sequence[str]) -> list[torch.Tensor]:
        return [torch.full((len(text), 2), float(sum(text.encode()))).half() for text in texts]

    said = ["a red ball", "a cat", "", "the sea at night"]
    TextCache(tmp_path).fill(said, states, lambda done, total: None)
    assert prune(tmp_path, {caption_key(c) for c in said if c != "a cat"}) == 1
    left = TextCache(tmp_path)
    assert left.missing(["a cat"])
    for text in (said[0], said[2], said[3]):
        assert torch.equal(left.states(text), states([text])[0])
    assert states(["a cat"])[0].numpy().tobytes() not in b"".join(
        path.read_bytes() for path in tmp_path.iterdir()
    )
