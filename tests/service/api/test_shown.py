"""What answers say besides what is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yozora.service.api.shown import LATEST, SOONEST, pause


@given(st.integers(-5_000, 10**9), st.integers(0, 10**6))
def test_clients_ask_less_often_of_what_takes_longer(age: int, later: int) -> None:
    assert SOONEST <= pause(age) <= pause(age + later) <= LATEST
    assert pause(age) <= max(SOONEST, age / 2)
