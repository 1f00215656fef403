from __future__ import annotations

import numpy as np
import pytest

from yozora.world.shapes import EXTENTS, REACH, SHAPES, cells, contact_distance, inside


def area(shape: str) -> float:
    return len(cells(shape)) / 100**2 * (2 * REACH[shape]) ** 2


def test_shapes_look_equally_large() -> None:
    areas = [area(shape) for shape in SHAPES]
    assert max(areas) / min(areas) < 1.6


@pytest.mark.parametrize("shape", SHAPES)
def test_the_origin_is_the_centroid(shape: str) -> None:
    np.testing.assert_allclose(cells(shape).mean(axis=0), 0, atol=0.005)


@pytest.mark.parametrize("shape", SHAPES)
def test_extents_bound_the_shape(shape: str) -> None:
    side, up, down = EXTENTS[shape]
    x, y = cells(shape).T
    np.testing.assert_allclose([x.max(), -y.min(), y.max()], [side, up, down], atol=0.05)
    assert np.hypot(x, y).max() <= REACH[shape]


def test_a_ring_has_a_hole() -> None:
    points = np.array([[0.0, 0.0], [0.5, 0.0], [0.6, 0.0], [1.01, 0.0]])
    assert inside("ring", points).tolist() == [False, False, True, False]
    assert inside("ball", points).tolist() == [True, True, True, False]


def test_contact_distances() -> None:
    assert contact_distance("ball", 0.1, "ring", 0.2) == pytest.approx(0.3)
    assert contact_distance("square", 0.1, "square", 0.2) == pytest.approx(0.85 * 0.3)
    mixed = contact_distance("triangle", 0.1, "star", 0.2)
    assert mixed == pytest.approx(contact_distance("star", 0.2, "triangle", 0.1))
    # A small ball reaches a large triangle's side below the apex, not at its widest point.
    side, _, _ = EXTENTS["triangle"]
    assert contact_distance("triangle", 0.19, "ball", 0.05) < side * 0.19 + 0.05
