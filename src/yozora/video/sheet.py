"""Contact sheets: clips side by side as strips of frames, with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from yozora.errors import YozoraError
from yozora.video.clip import Clip, Frames
from yozora.video.geometry import fit

GAP = 6
PAPER, INK = (24, 24, 28), (232, 232, 236)
FONT_SIZE, LINE = 12, 16


def contact_sheet(
    clips: Sequence[Clip],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 2,
    frames: int = 5,
) -> Frames:
    """One picture of many clips, uint8 [H, W, 3].

    Each clip is a strip of `frames` frames spread evenly from its first to its last, with its
    caption underneath; strips stand in `columns` columns, all at the first clip's size.
    Raises YozoraError when there is no clip, or not one caption for each.
    """
    if not clips or columns < 1 or frames < 1:
        raise YozoraError("A contact sheet needs at least one clip, one column and one frame.")
    if captions is not None and len(captions) != len(clips):
        raise YozoraError(f"{len(clips)} clips need {len(clips)} captions, not {len(captions)}.")
    size = (clips[0].width, clips[0].height)
    strips = [strip(clip, size, frames) for clip in clips]
    width = strips[0].shape[1]
    if captions is not None:
        labels = [wrap(text, width) for text in captions]
        lines = max(1, *(len(label) for label in labels))
        strips = [
            np.concatenate([s, label(text, width, lines)])
            for s, text in zip(strips, labels, strict=True)
        ]
    return grid(strips, min(columns, len(strips)))


def strip(clip: Clip, size: tuple[int, int], frames: int) -> Frames:
    """`frames` frames of a clip side by side."""
    chosen = np.linspace(0, len(clip) - 1, frames).round().astype(int)
    pictures, _ = fit(clip.frames[chosen], size)
    gap = np.full((size[1], GAP // 3, 3), PAPER, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


def wrap(text: str, width: int) -> list[str]:
    """The caption in lines that fit `width` pixels (by the font's mean letter)."""
    letters = max(8, int(width / (FONT_SIZE * 0.52)))
    return textwrap.wrap(text, letters)


def label(lines: list[str], width: int, height: int) -> Frames:
    """Lines of text on a band of `height` lines, uint8 [h, width, 3]."""
    image = Image.new("RGB", (width, height * LINE + GAP), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_SIZE)
    for row, line in enumerate(lines):
        draw.text((1, 2 + row * LINE), line, INK, font)
    return np.asarray(image)


def grid(cells: list[Frames], columns: int) -> Frames:
    """Cells of one size in rows of `columns`, with gaps."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    sheet = np.full(shape, PAPER, np.uint8)
    for i, cell in enumerate(cells):
        row, column = divmod(i, columns)
        y, x = GAP + row * (height + GAP), GAP + column * (width + GAP)
        sheet[y : y + height, x : x + width] = cell
    return sheet
