from __future__ import annotations

import json

import numpy as np
import pytest

from yozora.errors import YozoraError
from yozora.world.dataset import make
from yozora.world.render import render
from yozora.world.scene import Scene


@pytest.mark.parametrize("split", ["train", "validation", "heldout"])
def test_a_record_holds_the_scene_and_its_truth(split: str) -> None:
    clip, record = make(12, 3, split=split)
    assert record.split == split
    assert record.licence == "CC0-1.0"
    assert len(record.captions) == 2
    labels = json.loads(json.dumps(dict(record.labels)))
    scene = Scene.from_json(labels["scene"])
    again, truth = render(scene)
    assert (again.frames == clip.frames).all()
    np.testing.assert_allclose(labels["truth"]["position"], truth.position, atol=6e-5)
    np.testing.assert_allclose(labels["truth"]["visibility"], truth.visibility, atol=6e-5)


def test_clips_are_functions_of_their_number() -> None:
    first, record = make(5, 1)
    again, same = make(5, 1)
    assert (first.frames == again.frames).all()
    assert record == same
    for other in (make(6, 1), make(5, 2), make(5, 1, split="validation")):
        assert other[1].labels != record.labels


def test_other_sizes_lengths_and_kinds() -> None:
    clip, record = make(0, size=(96, 96), frames=5, fps=4.0, kinds=["bounce"], bodies=1)
    assert clip.frames.shape == (5, 96, 96, 3)
    assert record.labels["scene"]["seconds"] == 1.25
    assert record.labels["scene"]["bodies"][0]["law"] == "bounce"
    still, _ = make(0, frames=1)
    assert still.frames.shape == (1, 64, 112, 3)


def test_portrait_frames_are_refused() -> None:
    with pytest.raises(YozoraError, match="square to 3:1"):
        make(0, size=(64, 112))
