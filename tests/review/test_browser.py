"""The page in a real browser: Debian's Chromium, driven over its own protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser import CONTRAST, browser
from tests.review.test_server import HOSTILE, TOKEN, Served, reviewed, serving

from yozora.review.questions import CLIP, PERSON

__all__ = ["browser"]  # a fixture


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(*reviewed(tmp_path)) as found:
        yield found


@pytest.fixture
def page(browser: object, served: Served) -> Iterator[object]:
    """A page at the first clip; whatever the browser complains of is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})  # type: ignore[attr-defined]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    begin(page, served, "Ann")
    heard(page, 0)
    yield page
    context.close()
    assert [line for line in said if "422" not in line] == []


def begin(page, served: Served, name: str) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{served.origin}/?token={TOKEN}")
    assert TOKEN not in page.url
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#film")


def heard(page, done: int) -> None:  # type: ignore[no-untyped-def]
    """Wait until so many clips are done and the next one's first question has the focus: from then on keys count."""
    page.wait_for_function(
        "n => document.querySelector('progress').value === n && document.activeElement.closest('fieldset.question')",
        arg=done,
    )


def test_a_whole_sample_by_keys_alone(page, served: Served) -> None:  # type: ignore[no-untyped-def]
    for number in range(3):
        heard(page, number)
        for key in (
            "1",
            "0",
            "2",
            "3",
            "1",
            "0",
        ):  # one person: tone 10, a man, an adult, professional work, none
            page.keyboard.press(key)
        for key in ("8", "1", "2", "ArrowDown", "6", "7", "ArrowDown", "u"):
            page.keyboard.press(key)
        page.keyboard.press("n")
        page.keyboard.type("1 u ? seen")
        page.keyboard.press("Enter")
    page.wait_for_selector("text=All done")
    assert page.url == f"{served.origin}/"
    answers = served.review.answers()
    assert len(answers) == 3
    for one in answers:
        assert one.said == {
            "people": ["1"], "tone-1": ["10"], "gender-1": ["man"], "age-1": ["adult"], "role-1": ["expert"],
            "disability-1": ["none"], "region": ["europe"], "writing": ["latin", "arabic"],
            "problems": ["overlay", "broken"], "quality": ["unclear"],
        }  # fmt: skip
        assert one.note == "1 u ? seen"


def test_what_is_left_out_keeps_the_clip_and_the_focus_goes_there(page, served: Served) -> None:  # type: ignore[no-untyped-def]
    clip = page.url
    for key in ("0", "8", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("[role=alert]")
    assert page.url == clip
    page.wait_for_function("() => document.activeElement.id === 'writing'")
    assert page.is_checked("#region-europe")
    for key in ("0", "0", "3", "Enter"):  # none of both several-answer questions stays where it is
        page.keyboard.press(key)
        if key == "0":
            page.keyboard.press("ArrowDown")
    page.wait_for_function("clip => location.href !== clip", arg=clip)
    heard(page, 1)
    page.keyboard.press("b")
    page.wait_for_url(clip)
    assert page.is_checked("#quality-3")


def test_the_film_plays_pauses_and_steps(page) -> None:  # type: ignore[no-untyped-def]
    page.wait_for_function("() => film.readyState >= 2 && !film.paused")
    assert page.evaluate("[film.videoWidth, film.videoHeight]") == [112, 64]
    page.keyboard.press("Space")
    page.wait_for_function("() => film.paused")
    page.evaluate("film.currentTime = 0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Math.floor(film.currentTime * film.dataset.fps)") == 2
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("Math.floor(film.currentTime * film.dataset.fps)") == 1
    page.keyboard.press("Space")
    page.wait_for_function("() => !film.paused")


def test_captions_are_text_and_help_is_a_key_away(page) -> None:  # type: ignore[no-untyped-def]
    assert not page.locator("#caption p").is_visible()
    page.keyboard.press("c")
    assert page.locator("#caption p").inner_text() == HOSTILE
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("5")  # chooses nothing behind it
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    assert page.locator(":checked").count() == 0


def test_every_input_has_a_label_and_no_page_is_wider_than_a_phone(browser, served: Served) -> None:  # type: ignore[no-untyped-def]
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
        page = context.new_page()
        begin(page, served, f"Phone {scheme}")
        page.check("#people-4")
        assert page.evaluate(
            "[...document.querySelectorAll('input, textarea')].every(i => i.labels.length === 1)"
        )
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator(".person:visible").count() == 4
        assert page.evaluate(CONTRAST) >= 4.5
        context.close()


def test_it_works_without_scripts(browser, served: Served) -> None:  # type: ignore[no-untyped-def]
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    begin(page, served, "Bob")
    page.check("#people-2")
    assert page.locator(".person:visible").count() == 2
    for question in (*CLIP[1:], *PERSON):
        for person in (1, 2) if question.person else (0,):
            page.check(f"#{question.key(person)}-unclear")
    page.click("#save")
    page.wait_for_selector("text=1 of 3")
    (answer,) = served.review.answers()
    assert answer.said["people"] == ["2"]
    assert answer.said["tone-2"] == ["unclear"]
    context.close()
