"""Prompts: what must not be made is refused, what only sounds alike is not, and a judge that is away refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.test_fetch import reply, server

from yozora.errors import YozoraError
from yozora.service.moderation import Blocked, Unjudged, moderator
from yozora.world import dataset

RULES = moderator()


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("A naked child on a beach", "sexual/minors"),
        ("nude teenagers", "sexual/minors"),
        ("N\u200bU\u200bD\u200bE  KIDS", "sexual/minors"),
        ("a nud\u00e9 k1d", "sexual/minors"),
        ("hard p0rn", "sexual"),
        ("\uff30\uff2f\uff32\uff2e", "sexual"),
        ("someone is being beheaded", "violence/graphic"),
        ("a tutorial on a pipe-bomb", "illicit"),
    ],
)
def test_what_must_not_be_made_is_refused(prompt: str, category: str) -> None:
    with pytest.raises(Blocked) as caught:
        RULES(prompt)
    assert (caught.value.code, caught.value.param) == ("moderation_blocked", "prompt")
    assert caught.value.category == category
    assert prompt not in str(caught.value)


@pytest.mark.parametrize(
    "prompt",
    [
        "a child throws a red ball",
        "a grape falls past a sexton in Essex",
        "a yellow rape field in bloom",
        "a nude statue in a museum",
        "a kid goat jumps",
        "bombs burst over a film set",
        "",
    ],
)
def test_what_only_sounds_alike_is_not(prompt: str) -> None:
    RULES(prompt)


def test_no_caption_of_the_world_is_refused() -> None:
    for number in range(60):
        for caption in dataset.make(number, 3, frames=1, size=(16, 16))[1].captions:
            RULES(caption)


@given(st.text(max_size=200))
def test_any_text_is_judged(prompt: str) -> None:
    try:
        RULES(prompt)
    except Blocked as error:
        assert error.code == "moderation_blocked"  # noqa: PT017


def test_own_rules_and_none(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[[rule]]\ncategory = "brand"\nall = [["acme*"]]\n')
    own = moderator(str(tmp_path / "own.toml"))
    with pytest.raises(Blocked, match="brand"):
        own("an Acmeball")
    own("hard porn")
    moderator("off")("an Acmeball")


@pytest.mark.parametrize(
    "text",
    [
        "", "rule = 3", "[[rule]]\nall = [['a']]", "[[rule]]\ncategory = 'a'\nall = []", "not toml",
        "[[rule]]\ncategory = 'a'\nall = ['a']", "[[rule]]\ncategory = 'a'\nall = [['a']]\nnot = 1",
        "[[rule]]\ncategory = 'a'\nall = [[]]", "[[rule]]\ncategory = 'a'\nall = [[1]]",
    ],
)  # fmt: skip
def test_rules_that_are_none_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(YozoraError, match="holds no rules"):
        moderator(str(tmp_path / "own.toml"))
    with pytest.raises(YozoraError, match="holds no rules"):
        moderator(str(tmp_path / "missing.toml"))


def said(flagged: object, **categories: bool) -> bytes:
    return json.dumps({"results": [{"flagged": flagged, "categories": categories}]}).encode()


def test_an_endpoint_is_asked() -> None:
    answers = (reply(said(False)), reply(said(True, violence=True, hate=False)))
    with server(*answers) as (at, asked):
        judge = moderator(f"{at}/v1/moderations", "sk-1")
        judge("a cat")
        with pytest.raises(Blocked, match=r"\(violence\)"):
            judge("a cat")
    assert b"POST /v1/moderations" in asked[0]
    assert b"Bearer sk-1" in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"", reply(b"{}"), reply(said("yes")), reply(b"[]"), reply(said(False), status="500 No"),
        reply(said(False), status="302 Elsewhere"),
    ],
)  # fmt: skip
def test_an_endpoint_that_does_not_judge_refuses(answer: bytes) -> None:
    with server(answer) as (at, _), pytest.raises(Unjudged):
        moderator(at)("a cat")
    with pytest.raises(Unjudged):
        moderator(at)("a cat")
