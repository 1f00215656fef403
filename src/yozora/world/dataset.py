"""Clips of the world by number: the same index always gives the same clip and record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from yozora.video import Clip, Record
from yozora.world.caption import captions
from yozora.world.physics import Truth
from yozora.world.render import render
from yozora.world.scene import Scene, sample

SOURCE = "yozora world"
LICENCE = "CC0-1.0"
_DIGITS = 4  # of the truth in a record: a hundredth of a pixel at Full HD is 1e-5 heights


def make(
    index: int,
    seed: int = 0,
    *,
    split: str = "train",
    kinds: Sequence[str] | None = None,
    bodies: int | None = None,
    size: tuple[int, int] = (112, 64),
    frames: int = 17,
    fps: float = 8.0,
) -> tuple[Clip, Record]:
    """Clip number `index` of the world with `seed`: a pure function of its arguments.

    The record's labels hold the scene ("scene", see `Scene.from_json`) and what is true in each
    frame ("truth", see `truth_to_json`). Raises YozoraError as `sample` and `render` do.
    """
    scene = sample(
        seed * 1_000_000_007 + index,
        split=split,
        kinds=kinds,
        bodies=bodies,
        aspect=size[0] / size[1],
        seconds=frames / fps,
    )
    clip, truth = render(scene, size=size, frames=frames, fps=fps)
    return clip, record(scene, truth, seed)


def record(scene: Scene, truth: Truth, seed: int = 0) -> Record:
    """Captions, split, licence and labels of a scene's clip."""
    return Record(
        captions=captions(scene, seed),
        source=SOURCE,
        licence=LICENCE,
        holder="",
        split=scene.split,
        labels={"scene": scene.to_json(), "truth": truth_to_json(truth)},
    )


def truth_to_json(truth: Truth) -> dict[str, Any]:
    """Lists, rounded to 1e-4: position, velocity [N, T, 2], angle, visibility [N, T], radius [N]."""

    def rounded(array: NDArray[Any]) -> Any:
        return array.round(_DIGITS).tolist()

    return {
        "times": truth.times.round(6).tolist(),
        "position": rounded(truth.position),
        "velocity": rounded(truth.velocity),
        "angle": rounded(truth.angle),
        "radius": rounded(truth.radius),
        "visibility": rounded(truth.visibility),
    }
