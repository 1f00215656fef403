from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yozora.review.answers import Answer
from yozora.review.sample import Drawn, Sample
from yozora.review.turns import turn

IDS = [f"clip {n}" for n in range(12)]
SAMPLE = Sample((), tuple(Drawn(clip, (), 1.0) for clip in IDS))
ANSWERS = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(["Ann", "Bob", "Eve"])), unique=True
).map(lambda pairs: [Answer(clip, reviewer, {}) for clip, reviewer in pairs])


@given(ANSWERS)
def test_what_is_not_done_comes_first_and_of_it_what_the_fewest_have_done(
    answers: list[Answer],
) -> None:
    way = turn(SAMPLE, answers, "Ann")
    assert sorted((*way.done, *way.todo)) == sorted(IDS)
    assert list(way.done) == [one.clip for one in answers if one.reviewer == "Ann"]
    times = [sum(one.clip == clip for one in answers) for clip in way.todo]
    assert times == sorted(times)
    assert way.following == (way.todo[0] if way.todo else None)


def test_two_reviewers_see_different_orders_and_each_the_same_again() -> None:
    ann, bob = turn(SAMPLE, [], "Ann"), turn(SAMPLE, [], "Bob")
    assert ann.todo != bob.todo
    assert ann == turn(SAMPLE, [], "Ann")


def test_back_and_forth() -> None:
    way = turn(SAMPLE, [Answer(IDS[3], "Ann", {}), Answer(IDS[1], "Ann", {})], "Ann")
    assert way.beside(IDS[3], -1) is None
    assert way.beside(IDS[3], 1) == IDS[1]
    assert way.beside(IDS[1], 1) == way.following
    assert way.beside(way.todo[0], -1) == IDS[1]
    assert way.beside(way.todo[-1], 1) is None
