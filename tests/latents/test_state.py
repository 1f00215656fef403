from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from yozora.latents.state import COLOURS, SHAPES, STATE, state_map
from yozora.world import scene as world
from yozora.world.dataset import make

GRID = (5, 4, 7)
COLOUR, SHAPE = slice(1, 1 + len(COLOURS)), slice(1 + len(COLOURS), 1 + len(COLOURS) + len(SHAPES))
VELOCITY, START, END = slice(-6, -4), slice(-4, -2), slice(-2, None)


def test_the_words_are_the_worlds() -> None:
    assert set(COLOURS) == set(world.COLOURS)
    assert set(SHAPES) == set(world.SHAPES)


def still_worlds(count: int, bodies: int | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for index in range(10 * count):
        labels = make(index, 5, bodies=bodies)[1].labels
        if labels["scene"]["camera"]["motion"] == "still":
            found.append(dict(labels))
        if len(found) == count:
            return found
    raise AssertionError("too few still scenes")


@pytest.mark.parametrize("labels", still_worlds(6, bodies=1))
def test_a_body_is_known_where_it_is(labels: dict[str, Any]) -> None:
    found = state_map(labels, GRID)
    assert found is not None
    assert found.shape == (*GRID, STATE)
    (body,) = labels["scene"]["bodies"]
    position, velocity = (np.array(labels["truth"][k][0]) for k in ("position", "velocity"))
    for g, (first, last) in enumerate([(0, 0), (1, 4), (5, 8), (9, 12), (13, 16)]):
        middle = (position[first] + position[last]) / 2
        column, row = (min(int(middle[0] * 4), 6), min(int(middle[1] * 4), 3))
        token = found[g, row, column].astype(float)
        assert token[0] == 1  # its centre is less than a cell's diagonal from the body's
        assert COLOURS[int(token[COLOUR].argmax())] == body["colour"]
        assert SHAPES[int(token[SHAPE].argmax())] == body["shape"]
        assert token[COLOUR].sum() == token[SHAPE].sum() == 1
        np.testing.assert_allclose(token[VELOCITY], velocity[last], atol=2e-3)
        centre = np.array([(column + 0.5) / 4, (row + 0.5) / 4])
        np.testing.assert_allclose(centre + token[START] / 4, position[first], atol=2e-3)
        np.testing.assert_allclose(centre + token[END] / 4, position[last], atol=2e-3)


@pytest.mark.parametrize("labels", still_worlds(5))
def test_presence_falls_with_distance_and_weighs_all_facts(labels: dict[str, Any]) -> None:
    found = state_map(labels, GRID)
    assert found is not None
    found = found.astype(float)
    presence = found[..., 0]
    assert presence.min() >= 0
    assert presence.max() <= 1
    assert (found[presence == 0] == 0).all()
    np.testing.assert_allclose(found[..., COLOUR].sum(-1), presence, atol=1e-3)
    np.testing.assert_allclose(found[..., SHAPE].sum(-1), presence, atol=1e-3)
    rows, columns = np.mgrid[0:4, 0:7]
    far = np.full((4, 7), np.inf)
    for body, path in zip(labels["scene"]["bodies"], labels["truth"]["position"], strict=True):
        gap = np.hypot((columns + 0.5) / 4 - path[0][0], (rows + 0.5) / 4 - path[0][1])
        far = np.minimum(far, gap - body["radius"])
    assert (presence[0][far < 0.124] == 1).all()
    assert (presence[0][far > 0.376] == 0).all()


def test_of_two_bodies_each_token_knows_the_nearer() -> None:
    for labels in still_worlds(8, bodies=2):
        found = state_map(labels, GRID)
        assert found is not None
        for body, path in zip(labels["scene"]["bodies"], labels["truth"]["position"], strict=True):
            others = [p for p in labels["truth"]["position"] if p is not path]
            x, y = path[0]
            if min(np.hypot(x - p[0][0], y - p[0][1]) for p in others) < 0.7:
                continue  # close together: another test's business
            token = found[0, min(int(y * 4), 3), min(int(x * 4), 6)]
            assert COLOURS[int(token[COLOUR].argmax())] == body["colour"]


def test_a_still_knows_its_only_frame() -> None:
    (labels,) = still_worlds(1, bodies=1)
    one, all_frames = state_map(labels, (1, 4, 7)), state_map(labels, GRID)
    assert one is not None
    assert all_frames is not None
    np.testing.assert_array_equal(one[0], all_frames[0])


def test_clips_without_such_truth_have_no_map() -> None:
    (labels,) = still_worlds(1)
    moving = {**labels, "scene": {**labels["scene"], "camera": {"motion": "pan-left"}}}
    assert state_map(labels, GRID) is not None
    assert state_map(moving, GRID) is None
    assert state_map({}, GRID) is None
    assert state_map({"scene": labels["scene"]}, GRID) is None
    assert state_map(labels, (6, 4, 7)) is None  # longer than the truth
