"""What models answer, fit and unfit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.captioning.answer import asked_for, caption_in, text_of
from yozora.captioning.captioner import LONGEST
from yozora.errors import YozoraError

ID = "0123456789ab"
FIT = json.dumps({"id": ID, "caption": "A tram crosses a bridge."})


@pytest.mark.parametrize(
    "answer",
    [
        FIT,
        f"```json\n{FIT}\n```",
        f"Here you are: {FIT} I hope that helps.",
        f'<think>{{"id": "x"}} or {{not}} {{"id": "x", "caption": "no"}}</think>{FIT}',
        json.dumps({"caption": "A tram\n crosses\ta bridge.", "id": ID, "sure": True}, indent=4),
    ],
)
def test_a_caption_is_found_whatever_stands_around_it(answer: str) -> None:
    assert caption_in(answer, ID) == "A tram crosses a bridge."


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "no words"),
        ("   ", "no words"),
        ("A tram crosses a bridge.", "not the JSON"),
        ('{"id": "0123456789ab", "caption": ', "not the JSON"),
        (json.dumps([{"id": ID}]), "not the JSON"),
        (json.dumps({"caption": "A tram."}), "for 'no clip'"),
        (json.dumps({"id": "ba9876543210", "caption": "A tram."}), "for 'ba9876543210'"),
        (json.dumps({"id": None, "caption": "A tram."}), "for 'None'"),
        (json.dumps({"id": "\ud800", "caption": "A tram."}), "not for"),
        (json.dumps({"id": ID, "caption": "  "}), "no words"),
        (json.dumps({"id": ID, "caption": "…"}), "no words"),
        (json.dumps({"id": ID, "caption": 7}), "not text"),
        (json.dumps({"id": ID, "caption": "long " * LONGEST}), "characters"),
        (json.dumps({"id": ID, "caption": "I'm sorry, I can't help with that."}), "refuses"),
        ("I cannot describe people.", "refuses"),
        ("As an AI, I am unable to look at films.", "refuses"),
        ('{"a":' * 30_000, "characters"),
        ('{"a":' * 3_000, "characters"),
    ],
)
def test_what_is_unfit_is_refused_with_its_reason(answer: str, why: str) -> None:
    with pytest.raises(YozoraError, match=why):
        caption_in(answer, ID)


@given(st.text() | st.text(alphabet='{}"[]:,id cpton\\'))
def test_any_text_is_a_caption_or_refused(answer: str) -> None:
    try:
        caption = caption_in(answer, ID)
    except YozoraError:
        return
    assert caption
    assert caption.isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_a_fit_caption_comes_back_as_text_that_can_be_stored(words: str) -> None:
    try:
        caption = caption_in(json.dumps({"id": ID, "caption": words}), ID)
    except YozoraError:
        return
    assert caption == " ".join(caption.split())
    caption.encode()


def test_lone_halves_of_characters_are_left_out() -> None:
    assert caption_in(json.dumps({"id": ID, "caption": "A \ud800tram."}), ID) == "A tram."


def test_the_form_that_is_asked_for_would_be_taken() -> None:
    assert caption_in(asked_for(ID), ID) == "your description"


def completion(**message: Any) -> dict[str, Any]:
    reason = message.pop("reason", "stop")
    return {"choices": [{"message": message, "finish_reason": reason}]}


def test_the_text_of_a_completion() -> None:
    assert text_of(completion(content="a")) == "a"
    parts = [{"type": "text", "text": "a"}, {"type": "other"}, "b", {"text": "c"}]
    assert text_of(completion(content=parts)) == "ac"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, "no chat completion"),
        ({}, "no chat completion"),
        ({"choices": []}, "no chat completion"),
        ({"choices": [{"message": "a"}]}, "no chat completion"),
        (completion(content=None), "empty"),
        (completion(content=" "), "empty"),
        (completion(content=3), "empty"),
        (completion(content="a", reason="length"), "broken off"),
        (completion(content="a", reason="content_filter"), "refuses"),
        (completion(content="a", refusal="I \ud800 won't."), "refuses: I won't"),
    ],
)
def test_a_reply_without_text_is_refused_with_its_reason(reply: Any, why: str) -> None:
    with pytest.raises(YozoraError, match=why):
        text_of(reply)
