from __future__ import annotations

import numpy as np
import pytest
from tests.footage.taps.films import FOOTAGE, FPS, Floats, dissolve, fade, levels, shot

from yozora.footage.taps.shots import LAG, Shots
from yozora.video import watch
from yozora.world.dataset import make


def found(film: Floats, fps: float = FPS) -> list[tuple[str, int, int]]:
    """The transitions: kind, first frame, first frame after."""
    shots = Shots()
    for number, luma in enumerate(levels(film)):
        shots.see(luma, number / fps)
    return [(t.kind, round(t.start * fps), round(t.end * fps)) for t in shots.result().transitions]


def test_hard_cuts_are_found_to_the_frame() -> None:
    hits = wrong = missed = 0
    for film in range(8):
        lengths = np.random.default_rng(film).integers(8, 40, 10)
        parts = [shot(100 * film + i, int(n), 0.1 * i) for i, n in enumerate(lengths)]
        truth = {int(n) for n in np.cumsum(lengths)[:-1]}
        seen = {start for _, start, _ in found(np.concatenate(parts))}
        hits, missed, wrong = (
            hits + len(seen & truth),
            missed + len(truth - seen),
            wrong + len(seen - truth),
        )
    assert hits / (hits + missed) >= 0.95
    assert hits / (hits + wrong) >= 0.95


@pytest.mark.parametrize("frames", [8, 16, 30])
def test_dissolves_are_found_with_their_ends(frames: int) -> None:
    right = 0
    for seed in range(0, 20, 2):
        transitions = found(dissolve(shot(seed, 60), shot(seed + 1, 60), frames))
        assert len(transitions) <= 1
        if transitions and transitions[0][0] == "dissolve":
            _, start, end = transitions[0]
            right += abs(start - (60 - frames)) <= 4 and abs(end - 60) <= 4
    assert right >= 7


@pytest.mark.parametrize("black", [1, 5, 100])
@pytest.mark.parametrize("frames", [5, 20])
def test_fades_are_found_with_their_ends(frames: int, black: int) -> None:
    ((kind, start, end),) = found(fade(shot(1, 70), shot(2, 70), frames, black))
    assert kind == "fade"
    assert abs(start - (70 - frames)) <= 3
    assert abs(end - (70 + black + frames)) <= 4


def test_a_film_may_open_and_close_in_black() -> None:
    dark = np.zeros((10, 36, 64))
    shots = Shots()
    for number, luma in enumerate(levels(np.concatenate([dark, shot(1, 50), dark]))):
        shots.see(luma, number / FPS)
    result = shots.result()
    assert [t.kind for t in result.transitions] == ["fade", "fade"]
    assert result.shots == (pytest.approx((0.4, 2.4)),)
    assert result.to_json()["shots"] == [pytest.approx([0.4, 2.4])]


def test_light_and_motion_are_no_cuts() -> None:
    steady = shot(3, 80)
    flash = steady.copy()
    flash[40:42] = 0.3 * flash[40:42] + 178
    dimmed = steady * np.linspace(1, 0.3, 80)[:, None, None]
    body = steady.copy()
    for t in range(80):
        body[t, 8:28, max(0, t - 16) : t] = 240
    for film in (steady, flash, dimmed, body, shot(4, 40, 2.5)):
        assert found(film) == []


def test_one_frame_of_another_shot_is_no_shot() -> None:
    film = shot(5, 60)
    film[30] = shot(6, 1)[0]
    assert found(film) == []


@pytest.mark.parametrize("fps", [10, 24, 60])
def test_cuts_are_found_at_any_rate_and_among_repeated_frames(fps: float) -> None:
    film = np.concatenate([shot(7, 30), shot(8, 30), shot(9, 30)])
    assert [start for _, start, _ in found(film, fps)] == [30, 60]
    assert [start for _, start, _ in found(film.repeat(2, 0), fps)] == [60, 120]


def test_what_is_settled_is_never_changed() -> None:
    film = dissolve(np.concatenate([shot(1, 40), shot(2, 60)]), shot(3, 80), 20)
    film = fade(film, np.concatenate([shot(4, 60), shot(5, 60)]), 12, 90)
    shots, said = Shots(), {}
    for number, luma in enumerate(levels(film)):
        time = number / FPS
        shots.see(luma, time)
        assert time - shots.settled <= LAG + 1e-6
        for earlier in range(number):
            if earlier / FPS < shots.settled:
                said.setdefault(earlier, shots.number(earlier / FPS))
    shots.result()
    assert len(said) > 200
    assert said == {n: shots.number(n / FPS) for n in said}
    assert {*said.values()} == {None, 0, 1, 2, 3}
    assert said[39] == 0
    assert said[40] == 1


def test_the_world_has_no_cuts() -> None:
    for index in range(6):
        clip, _ = make(index)
        assert found(clip.frames @ np.array([0.299, 0.587, 0.114]), clip.fps) == []


@pytest.mark.skipif(
    not (FOOTAGE / "bikes.mp4").exists(), reason="examples/fetch_footage.py brings it"
)
@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("bikes.mp4", [30, 76, 137, 187, 242]),
        ("city.mpg", [116]),
        ("bigbuckbunny.mp4", []),
        ("carphone.mp4", []),
    ],
)
def test_the_cuts_of_real_films(name: str, cuts: list[int]) -> None:
    shots = Shots()
    for view in watch(FOOTAGE / name):
        shots.see(view.luma, view.time)
    assert [(t.kind, round(t.start * 25)) for t in shots.result().transitions] == [
        ("cut", c) for c in cuts
    ]
