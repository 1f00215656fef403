from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yozora.terminal import Pace, training_bar


def test_each_phase_has_its_own_clock() -> None:
    pace = Pace(None)
    assert pace.told({"phase": "latents", "done": 0, "of": 200}, 10.0) == (
        "latents",
        0.0,
        "0/200  ",
    )
    assert pace.told({"phase": "latents", "done": 50, "of": 200}, 20.0) == (
        "latents",
        0.25,
        "50/200  0:00:30 left",
    )
    pace.told({"phase": "captions", "done": 1, "of": 4}, 100.0)
    what, done, facts = pace.told({"phase": "captions", "done": 2, "of": 4}, 110.0)
    assert (what, done, facts) == ("captions", 0.5, "2/4  0:00:10 left")
    assert pace.told({"phase": "pca", "patches": 7}, 120.0) == ("pca", 0.0, "patches 7")


def test_a_resumed_run_counts_from_where_it_goes_on() -> None:
    pace = Pace(None)
    pace.told({"step": 101, "steps": 200, "clips": 8, "loss": 1.0}, 50.0)
    what, done, facts = pace.told({"step": 125, "steps": 200, "clips": 8, "loss": 0.5}, 60.0)
    assert (what, done) == ("training", 0.25)
    assert facts == "step 125/200  loss 0.5000  1.6 clips/s  0:00:30 left"


@given(steps=st.integers(1, 500), minutes=st.none() | st.floats(0.01, 60), pause=st.floats(0, 9))
def test_the_share_that_is_done_grows(steps: int, minutes: float | None, pause: float) -> None:
    pace = Pace(minutes)
    shares = [
        pace.told({"step": n, "steps": steps, "clips": 1, "loss": 0.0}, n * pause)[1]
        for n in range(1, steps + 1)
    ]
    assert shares == sorted(shares)
    assert shares[-1] >= 1


def test_what_is_no_terminal_gets_a_line_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("yozora.terminal.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with training_bar(None) as watch:
        for done in range(10):
            watch({"phase": "captions", "done": done, "of": 10})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [["captions", "3/10"], ["captions", "7/10"]]
