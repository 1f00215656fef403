from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.world.physics import project, simulate
from yozora.world.placement import SPEEDS
from yozora.world.scene import (
    CAMERAS,
    COLOURS,
    KINDS,
    MOTIONS,
    SIZES,
    Scene,
    held_out,
    sample,
)
from yozora.world.shapes import EXTENTS, REACH, SHAPES

SEEDS = st.integers(0, 2**60)
SPLITS = st.sampled_from(["train", "validation", "heldout"])
TIMES = np.arange(17) / 8
quick = settings(deadline=None, max_examples=60)


@given(seed=SEEDS, split=SPLITS, bodies=st.sampled_from([None, 1, 2, 3]))
@quick
def test_a_scene_is_a_function_of_its_arguments(seed: int, split: str, bodies: int | None) -> None:
    scene = sample(seed, split=split, bodies=bodies)
    assert sample(seed, split=split, bodies=bodies) == scene
    assert bodies in (None, len(scene.bodies))
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


def test_one_scene_is_pinned() -> None:
    """Whoever changes the world changes what every seed means: say so in the changelog."""
    scene = sample(7)
    words = [(b.size, b.colour, b.shape, b.motion, b.speed) for b in scene.bodies]
    assert words == [
        ("small", "yellow", "ball", "throw:left", None),
        ("small", "cyan", "triangle", "throw:right", None),
        ("small", "orange", "ball", "uniform:up-right", "fast"),
    ]
    assert (scene.background, scene.camera.motion) == ("light", "still")


def test_seeds_and_splits_differ() -> None:
    scenes = {
        json.dumps(sample(s, split=p).to_json()["bodies"])
        for s in range(50)
        for p in ("train", "validation")
    }
    assert len(scenes) == 100


@given(seed=SEEDS, split=SPLITS)
@quick
def test_reserved_combinations_stay_in_their_split(seed: int, split: str) -> None:
    scene = sample(seed, split=split)
    reserved = [held_out(b.colour, b.shape, b.motion) for b in scene.bodies]
    assert any(reserved) == (split == "heldout")


def test_a_tenth_is_reserved_and_every_pair_of_words_is_trained_on() -> None:
    triples = list(itertools.product(COLOURS, SHAPES, MOTIONS))
    trained = [t for t in triples if not held_out(*t)]
    assert 0.08 < 1 - len(trained) / len(triples) < 0.12
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert {(t[i], t[j]) for t in trained} == {(t[i], t[j]) for t in triples}
    assert {t[2] for t in triples if held_out(*t)} == set(MOTIONS)


@given(seed=SEEDS, split=SPLITS, aspect=st.sampled_from([1.0, 112 / 64, 2.4]))
@quick
def test_bodies_stay_whole_inside_the_frame(seed: int, split: str, aspect: float) -> None:
    scene = sample(seed, split=split, aspect=aspect)
    truth = simulate(scene, TIMES)
    screen = project(scene, truth.position, TIMES)
    for body, path in zip(scene.bodies, screen, strict=True):
        side, up, down = (extent * body.radius for extent in EXTENTS[body.shape])
        if body.law == "roll":
            side = up = down = REACH[body.shape] * body.radius
        assert path[:, 0].min() >= side - 1e-9
        assert path[:, 0].max() <= aspect - side + 1e-9
        assert path[:, 1].min() >= up - 1e-9
        assert path[:, 1].max() <= 1 - down + 1e-9


@given(seed=SEEDS)
@quick
def test_words_match_numbers(seed: int) -> None:
    scene = sample(seed)
    colours = [body.colour for body in scene.bodies]
    assert len(set(colours)) == len(colours)
    assert not (scene.background == "light" and "white" in colours)
    for body in scene.bodies:
        assert body.radius == pytest.approx(SIZES[body.size], rel=0.041)
        assert np.abs(np.subtract(body.rgb, COLOURS[body.colour])).max() <= 6
        if body.speed:
            low, high = SPEEDS[body.speed]
            assert low <= np.hypot(body.vx, body.vy) <= high


@given(seed=SEEDS)
@quick
def test_motions_can_be_told_apart_by_their_paths(seed: int) -> None:
    def path(kind: str) -> np.ndarray:
        return simulate(sample(seed, kinds=[kind], bodies=1), TIMES).position[0]

    fall, bounce, throw, pendulum, roll = map(path, ("fall", "bounce", "throw", "pendulum", "roll"))
    assert np.ptp(fall[:, 0]) == 0
    assert (fall[-4:] == fall[-1]).all()  # rests on the floor
    lowest = int(
        (np.diff(bounce[:, 1]) < 0).argmax()
    )  # before it first goes up; it may come down again at the end
    assert bounce[lowest, 1] - bounce[lowest:, 1].min() >= 0.15
    assert throw[:, 1].min() < min(throw[0, 1], throw[-1, 1]) - 0.25  # an arch
    assert np.ptp(pendulum[:, 0]) >= 0.3
    assert pendulum[:, 1].max() > max(pendulum[0, 1], pendulum[-1, 1]) + 0.03  # a bowl
    steps = np.hypot(*np.diff(roll, axis=0).T)
    assert (np.diff(steps) > 0).all()  # faster and faster
    assert steps.sum() > 0.3


@given(seed=SEEDS)
@quick
def test_several_bodies_keep_apart_but_for_rare_crossings(seed: int) -> None:
    crossings = 0
    for offset in range(10):
        scene = sample(
            seed + offset, bodies=2, kinds=[k for k in KINDS if k not in ("collision", "roll")]
        )
        a, b = simulate(scene, TIMES).position
        reach = [REACH[body.shape] * body.radius for body in scene.bodies]
        crossings += bool((np.hypot(*(a - b).T) < sum(reach)).any())
    assert crossings <= 5


def test_the_mix_of_scenes() -> None:
    scenes = [sample(seed) for seed in range(1500)]
    counts = Counter(len(scene.bodies) for scene in scenes)
    assert counts[1] / 1500 == pytest.approx(0.60, abs=0.05)
    assert counts[2] / 1500 == pytest.approx(0.32, abs=0.05)
    moving = sum(scene.camera.motion != "still" for scene in scenes) / 1500
    assert moving == pytest.approx(0.12, abs=0.04)
    assert {body.motion for scene in scenes for body in scene.bodies} == set(MOTIONS)
    assert {scene.camera.motion for scene in scenes} == set(CAMERAS)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_honoured(kind: str) -> None:
    for seed in range(20):
        scene = sample(seed, kinds=[kind])
        if kind == "camera":
            assert scene.camera.motion != "still"
            assert {body.law for body in scene.bodies} <= {"rest", "uniform"}
        else:
            assert scene.camera.motion == "still"
            assert {body.law for body in scene.bodies} == {kind}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"split": "test"}, "split"),
        ({"kinds": ["explode"]}, "explode"),
        ({"kinds": []}, "kinds"),
        ({"bodies": 4}, "1, 2 or 3"),
        ({"kinds": ["collision"], "bodies": 1}, "collision takes two"),
        ({"kinds": ["roll"], "bodies": 2}, "roll one"),
        ({"aspect": 0.5}, "square to 3:1"),
        ({"seconds": 0.0}, "positive"),
        ({"seconds": float("nan")}, "positive"),
    ],
)
def test_impossible_wishes_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(YozoraError, match=says):
        sample(0, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage",
    [
        {"bodies": [{}]},
        {"bodies": 3},
        {"background": "plaid"},
        {"camera": {"motion": "spin"}},
        {"aspect": None},
        {"seconds": -1},
    ],
)
def test_damaged_scenes_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(YozoraError):
        Scene.from_json({**sample(0).to_json(), **damage})


def test_bodies_with_damaged_numbers_are_refused() -> None:
    data = sample(0, bodies=1).to_json()
    for field, value in {"radius": 0, "x0": "left", "vy": float("inf"), "shape": "cube"}.items():
        damaged = {**data, "bodies": [{**data["bodies"][0], field: value}]}
        with pytest.raises(YozoraError):
            Scene.from_json(damaged)


def test_unknown_words_are_no_combination() -> None:
    with pytest.raises(YozoraError, match="cube"):
        held_out("red", "cube", "rest")
