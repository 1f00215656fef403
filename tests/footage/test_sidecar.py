from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.footage.caption import captions_of, words
from yozora.footage.sidecar import Cue, Sidecar, lines, parse_json, parse_srt, read_sidecar, tidy

quick = settings(deadline=None, max_examples=40)
WORDS = st.text("abc äöü<-, 0123", min_size=1, max_size=20).map(tidy).filter(bool)
CUES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), WORDS), max_size=6)


def stamp(milliseconds: int, point: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"


@quick
@given(CUES, st.sampled_from([",", "."]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_subtitles_are_read_back(
    cues: list[tuple[int, int, str]], point: str, newline: str
) -> None:
    cues = [cue for cue in cues if "<" not in cue[2] and "--" not in cue[2]]
    text = "\n\n".join(
        f"{number}\n{stamp(start, point)} --> {stamp(start + length, point)}\n{said}"
        for number, (start, length, said) in enumerate(cues, 1)
    )
    expected = [((s / 1000), (s + length) / 1000, said) for s, length, said in cues]
    found = parse_srt(text.replace("\n", newline))
    assert [cue.text for cue in found] == [said for _, _, said in expected]
    for cue, (start, end, _) in zip(found, expected, strict=True):
        assert (cue.start, cue.end) == pytest.approx((start, end), abs=1e-6)


@quick
@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    parse_srt(text)
    lines(text)
    words(text)
    with suppress(YozoraError):
        parse_json(text, Path("x.json"))


def test_subtitles_lose_markup_and_bad_cues() -> None:
    text = """1
00:00:01,000 --> 00:00:02,5 X1:10
{\\an8}<i>A red ball</i>
bounces.

nonsense

2
00:00:05,000 --> 00:00:04,000
ends before it begins

3
00:00:06,000 --> 00:00:07,000
"""
    assert parse_srt(text) == (Cue(1.0, 2.5, "A red ball bounces."),)


SPANS = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(
    lambda span: range(span[0], sum(span))
)


@quick
@given(st.lists(SPANS, max_size=6), SPANS)
@example([range(5), range(10, 12)], range(5, 10))
def test_what_is_spoken_overlaps_the_window(cues: list[range], window: range) -> None:
    sidecar = Sidecar(cues=tuple(Cue(c.start, c.stop, f"{i}.") for i, c in enumerate(cues)))
    heard = sidecar.spoken(window.start, window.stop).split()
    assert heard == [f"{i}." for i, cue in enumerate(cues) if set(cue) & set(window)]


@quick
@given(st.lists(WORDS, min_size=1, max_size=4, unique=True))
def test_a_caption_a_line_and_json_say_the_same(captions: list[str]) -> None:
    as_text = lines("\n\n".join(f"  {caption} " for caption in captions))
    as_list = parse_json(json.dumps(captions), Path("x.json")).captions
    as_object = parse_json(json.dumps({"captions": captions}), Path("x.json")).captions
    assert as_text == as_list == as_object == tuple(captions)


def test_a_json_sidecar_carries_rights_and_split(tmp_path: Path) -> None:
    facts = {
        "caption": "a dog",
        "license": "MIT",
        "holder": "Ann",
        "url": "u",
        "split": "heldout",
        "labels": {},
    }
    (tmp_path / "clip.json").write_text(json.dumps(facts))
    (tmp_path / "clip.txt").write_text("not this")
    found = read_sidecar(tmp_path / "clip.mp4")
    assert found == Sidecar(("a dog",), (), "MIT", "Ann", "u", "heldout")


def test_a_sidecar_with_the_full_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "clip.txt").write_text("of any clip")
    (tmp_path / "clip.mp4.txt").write_text("of the video")
    assert read_sidecar(tmp_path / "clip.mp4").captions == ("of the video",)
    assert read_sidecar(tmp_path / "clip.png").captions == ("of any clip",)
    assert read_sidecar(tmp_path / "other.mp4") == Sidecar()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\ufeffa café".encode(), ("a café",)),
        ("a café".encode("cp1252"), ("a café",)),
        (b"\x00\x81\xff", ("\ufffdÿ",)),
    ],
)
def test_old_encodings_are_read(tmp_path: Path, data: bytes, expected: tuple[str, ...]) -> None:
    (tmp_path / "clip.txt").write_bytes(data)
    assert read_sidecar(tmp_path / "clip.mp4").captions == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        '{"caption": 3}',
        '{"captions": {"en": "x"}}',
        '{"licence": ["MIT"]}',
        "[" * 100_000,
    ],
)
def test_a_sidecar_that_is_not_understood_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "clip.json").write_text(text)
    with pytest.raises(YozoraError, match=r"clip\.json"):
        read_sidecar(tmp_path / "clip.mp4")


def test_a_huge_sidecar_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip.txt").write_bytes(b"x" * (2**22 + 1))
    with pytest.raises(YozoraError, match="larger than"):
        read_sidecar(tmp_path / "clip.mp4")


def test_captions_come_from_the_best_source_there_is() -> None:
    path = Path("/footage/BigCity_at-night_0042.mp4")
    tags = {"title": "Night", "comment": "A city seen from a bridge", "encoder": "Lavf"}
    said = Sidecar(captions=("towers",), cues=(Cue(1, 2, "Cars drive over a bridge"),))
    both = ("Cars drive over a bridge", "towers")
    assert captions_of(path, said, tags, 1.5, 3) == (both, "sidecar")
    assert captions_of(path, said, tags, 2, 3) == (("towers",), "sidecar")
    assert captions_of(path, Sidecar(), tags, 0, 1) == (
        ("A city seen from a bridge", "Night"),
        "tags",
    )
    assert captions_of(path, Sidecar(), {"title": " "}, 0, 1) == (("big city at night",), "name")
    assert captions_of(Path("/sea waves/IMG_0042.mp4"), Sidecar(), {}, 0, 1)[0] == ("sea waves",)
    assert captions_of(Path("/0/1.mp4"), Sidecar(), {}, 0, 1)[0] == ("a video",)


def test_names_of_any_script_become_words() -> None:
    assert words("夜空_星") == "夜空 星"
    assert words("Ночной-город.2024") == "ночной город"


def test_webvtt_may_leave_out_the_hours() -> None:
    text = "WEBVTT\n\n00:01.500 --> 00:02.000\nA red ball\n\n1:00:00.000 --> 1:00:01.000\nrests."
    first, second = parse_srt(text)
    assert (first.start, first.end, first.text) == (1.5, 2.0, "A red ball")
    assert (second.start, second.text) == (3600.0, "rests.")


SAID = st.builds(
    Sidecar,
    captions=st.lists(WORDS, max_size=2).map(tuple),
    licence=st.sampled_from(["", "MIT"]),
    holder=st.sampled_from(["", "Ann", "Bob"]),
    country=st.sampled_from(["", "PT"]),
    origin=st.sampled_from(["sidecar", "manifest"]),
)


@quick
@given(SAID, SAID)
def test_one_speaks_where_the_other_is_silent(one: Sidecar, other: Sidecar) -> None:
    both = one.or_else(other)
    for name in ("licence", "holder", "country"):
        assert getattr(both, name) == (getattr(one, name) or getattr(other, name))
    speaks = one if one.captions else other
    assert (both.captions, both.origin) == (speaks.captions, speaks.origin)


@pytest.mark.parametrize("flood", ["<", "{\\", "1", "1:", "00:00:00,000 ", "\n "])
def test_hostile_subtitles_take_no_time(flood: str) -> None:
    """With what takes the square of their length this would take hours."""
    text = "00:00:01,000 --> 00:00:02,000\nA tram."
    for data in (flood * 2**19, f"{text}{flood * 2**19}", f"{flood * 2**19}\n\n{text}"):
        assert len(parse_srt(data)) <= 1
