from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.latents.buckets import ASPECT_TOLERANCE, Shape, bucket_of

quick = settings(deadline=None, max_examples=100)
FILM, STILL = Shape(17, 64, 112, 8.0), Shape(1, 64, 112, 8.0)
SHAPES = (FILM, STILL)


def row(**facts: Any) -> Row:
    size = {"frames": 17, "height": 64, "width": 112, "fps": 8.0, **facts}
    return Row(
        id="0", path="", captions=(), split="train", kind="world", source="", licence="CC0-1.0",
        holder="", url="", labels_json="{}", **size,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, FILM),
        ({"frames": 1}, STILL),
        ({"frames": 200, "fps": 8.0}, FILM),
        ({"frames": 62, "fps": 30.0}, FILM),  # 16.53 frames at 8 fps: to the nearest, 17
        ({"frames": 51, "fps": 24.0}, FILM),
        ({"height": 1080, "width": 1920}, FILM),
        ({"height": 64, "width": 80}, FILM),
        ({"frames": 5}, "5 frames at 8 fps, shorter than every bucket (from 17 frames)"),
        ({"frames": 30, "fps": 30.0}, "8 frames at 8 fps, shorter than every bucket (from 17 frames)"),
        ({"height": 112, "width": 64}, "aspect 0.57 is far from every bucket's"),
        ({"frames": 1, "height": 20, "width": 300}, "aspect 15.00 is far from every bucket's"),
    ],
)  # fmt: skip
def test_a_clip_goes_where_it_fits_or_says_why_not(
    facts: dict[str, Any], expected: Shape | str
) -> None:
    assert bucket_of(row(**facts), SHAPES) == expected


def test_stills_and_films_do_not_mix() -> None:
    assert bucket_of(row(frames=1), [FILM]) == "a still, and no bucket takes stills"
    assert bucket_of(row(), [STILL]) == "a film, and every bucket takes stills"


def test_the_longest_bucket_of_a_fitting_aspect_wins() -> None:
    short, long, tall = Shape(9, 64, 112, 8.0), Shape(17, 64, 112, 8.0), Shape(33, 112, 64, 8.0)
    shapes = [short, tall, long]
    assert bucket_of(row(frames=40), shapes) == long  # the longest of all is too tall
    assert bucket_of(row(frames=12), shapes) == short
    assert bucket_of(row(frames=40, width=40), shapes) == tall
    assert bucket_of(row(frames=17, width=90), [long, Shape(17, 64, 96, 8.0)]).width == 96  # type: ignore[union-attr]


SIZES = st.integers(1, 20).map(lambda n: 16 * n)
DRAWN = st.builds(
    Shape, st.integers(0, 8).map(lambda n: 1 + 4 * n), SIZES, SIZES, st.sampled_from([8.0, 24.0])
)


@quick
@given(
    st.lists(DRAWN, min_size=1, max_size=5),
    st.integers(1, 100), st.integers(1, 400), st.integers(1, 400), st.floats(1, 60),
)  # fmt: skip
def test_no_bucket_asks_for_more_than_the_clip_has(
    shapes: list[Shape], frames: int, height: int, width: int, fps: float
) -> None:
    clip = row(frames=frames, height=height, width=width, fps=fps)
    place = bucket_of(clip, shapes)

    def takes(shape: Shape) -> bool:
        ratio = (clip.width / clip.height) / (shape.width / shape.height)
        enough = clip.seconds * shape.fps >= shape.frames - 0.501 or frames == 1
        return (
            (shape.frames == 1) == (frames == 1)
            and enough
            and max(ratio, 1 / ratio) <= ASPECT_TOLERANCE * 1.0001
        )

    if isinstance(place, Shape):
        assert takes(place)
    else:
        strict = [s for s in shapes if takes(s) and clip.seconds * s.fps >= s.frames]
        near = [
            s for s in strict if 1 / 1.59 < (clip.width * s.height) / (clip.height * s.width) < 1.59
        ]
        assert not near


@pytest.mark.parametrize(
    "size",
    [(16, 64, 112, 8.0), (17, 60, 112, 8.0), (17, 64, 100, 8.0), (17, 64, 0, 8.0), (-3, 64, 112, 8.0),
     (17, 64, 112, 0.0), (17, -16, 112, 8.0)],
)  # fmt: skip
def test_shapes_no_codec_can_take_are_told(size: tuple[int, int, int, float]) -> None:
    with pytest.raises(YozoraError, match=r"choose 1 \+ 4n frames"):
        Shape(*size)


def test_the_grid_counts_patches() -> None:
    assert FILM.grid == (5, 4, 7)
    assert STILL.grid == (1, 4, 7)
