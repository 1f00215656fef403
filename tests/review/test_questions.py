from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yozora.review.questions import CLIP, NONE, PERSON, UNCLEAR, asked, people, read_form

KEYS = [q.key(n) for q in (*CLIP, *PERSON) for n in (range(1, 5) if q.person else (0,))]
VALUES = [*sorted({c.value for q in (*CLIP, *PERSON) for c in q.all_choices}), "<script>", ""]


def whole(people: str) -> dict[str, list[str]]:
    """A form in which everything that is asked is answered by its first choice."""
    return {key: [q.choices[0].value] for key, q in asked({"people": [people]}).items()} | {
        "people": [people]
    }


def test_every_question_has_unclear_and_a_key_of_its_own_for_each_choice() -> None:
    for question in (*CLIP, *PERSON):
        keys = [choice.key for choice in question.all_choices]
        assert len(set(keys)) == len(keys)
        assert set(keys) <= set("0123456789u")
        assert question.all_choices[-1].value == UNCLEAR
        assert not question.several or NONE in [choice.value for choice in question.choices]
    assert [choice.value for choice in PERSON[0].choices] == [str(n) for n in range(1, 11)]
    assert all(choice.swatch for choice in PERSON[0].choices)


def test_as_many_people_are_asked_about_as_are_seen() -> None:
    for number, described in [("0", 0), ("2", 2), ("5", 4), (UNCLEAR, 0)]:
        form = whole(number)
        said, wrong = read_form({**form, "tone-4": ["3"]})
        assert (wrong, people(said)) == ({}, described)
        assert ("tone-4" in said) == (described == 4)
        assert len(said) == len(CLIP) + described * len(PERSON)


def test_what_is_wrong_is_said_and_what_is_right_is_kept() -> None:
    form = whole("1") | {
        "quality": [],
        "problems": [NONE, "nudity"],
        "role-1": ["expert", "manual"],
    }
    said, wrong = read_form(form)
    assert set(wrong) == {"quality", "problems", "role-1"}
    assert said["region"] == form["region"]
    assert set(read_form(whole("1") | {"people": ["7"]})[1]) == {"people"}
    assert "people" in read_form({})[1]
    said, wrong = read_form(whole("1") | {"people": ["1", "2"]})
    assert ("people" in wrong, people(said)) == (True, 0)
    twice = read_form(whole("1") | {"people": ["1", "1"]})
    assert twice == read_form(whole("1"))


@given(st.dictionaries(st.sampled_from(KEYS), st.lists(st.sampled_from(VALUES), max_size=3)))
def test_whatever_is_posted_only_known_answers_are_stored(form: dict[str, list[str]]) -> None:
    said, wrong = read_form(form)
    questions = asked(said)
    for key, values in said.items():
        known = [choice.value for choice in questions[key].all_choices]
        assert set(values) <= set(known)
        if key not in wrong:
            assert len(values) == 1 or (questions[key].several and len(values) > 1)
