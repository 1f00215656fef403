"""What answers say besides what is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yozora.service.api.shown import LATEST, SOONEST, pause

TIMES = st.integers(-5_000, 10**9)


@given(TIMES, st.integers(0, 10**6))
def test_of_what_has_waited_longer_clients_ask_less_often(age: int, later: int) -> None:
    waits = [pause(now, 0, None, 0) for now in (age, age + later)]
    assert SOONEST <= waits[0] <= waits[1] <= LATEST
    assert waits[0] <= max(SOONEST, age)


@given(TIMES, TIMES, st.integers(1, 100))
def test_who_looks_on_is_told_when_it_may_be_there(now: int, began: int, progress: int) -> None:
    wait = pause(now, began - 1_000, began, progress)
    assert SOONEST <= wait <= LATEST
    left = (now - began) * (100 - progress) / progress  # ms, at the pace so far
    assert wait == LATEST or wait <= max(SOONEST, 1.1 * left)
    if left < LATEST / 1.1:
        assert wait >= left - 1
