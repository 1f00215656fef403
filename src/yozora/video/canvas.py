"""What clips are brought to: a size and a rate, and how the pixels are laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from yozora.errors import YozoraError
from yozora.video.geometry import Rect, content_rect

ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)  # width by height
STEP = 16  # pixels; the codec's patch divides the sides of canvases that are made here
EXACT = 256 * 256  # pixels; up to here colour is kept at full resolution


@dataclass(frozen=True, order=True)
class Canvas:
    """width and height in pixels, frames per second."""

    width: int
    height: int
    fps: float

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.fps:g}"

    @classmethod
    def parse(cls, text: str) -> Canvas:
        """'1920x1080@30' as a canvas. Raises YozoraError when it is none."""
        try:
            size, _, rate = text.lower().partition("@")
            width, height = map(int, size.split("x"))
            canvas = cls(width, height, float(rate))
        except ValueError:
            raise YozoraError(f"'{text}' is no canvas: write it like 1920x1080@30.") from None
        if min(width, height) < 1 or not 0 < canvas.fps <= 1000:
            raise YozoraError(
                f"'{text}' is no canvas: its sides and rate are above 0, its rate at most 1000."
            )
        return canvas

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    @property
    def exact(self) -> bool:
        """Whether pictures are RGB [H, W, 3]; else they are I420 [H * 3 / 2, W] (BT.709), as films have it.

        A model that is trained at a clip's own size sees every pixel; a larger clip is scaled down before, which
        halves its colour's resolution no further.
        """
        return self.width * self.height <= EXACT or bool(self.width % 2 or self.height % 2)

    @property
    def picture_bytes(self) -> int:
        """Of one picture."""
        pixels = self.width * self.height
        return 3 * pixels if self.exact else pixels * 3 // 2

    def content(self, source: tuple[float, float]) -> Rect:
        """Where a picture of the source's aspect lies: x, y, width, height. Even numbers where chroma is halved."""
        return content_rect(source, self.size, 1 if self.exact else 2)

    def nearest(self, source: tuple[float, float]) -> Canvas:
        """Of this canvas and those of about its area in the other `ASPECTS`, the one nearest to the source's aspect.

        Known as aspect-ratio bucketing: little is padded, and models learn more shapes than one.
        """
        wanted = source[0] / source[1]
        return min(self.buckets(), key=lambda c: abs(math.log(c.width / c.height / wanted)))

    def buckets(self) -> list[Canvas]:
        """This canvas and those of about its area in the other `ASPECTS`."""
        own = self.width / self.height
        others = sorted(ASPECTS, key=lambda aspect: abs(math.log(aspect / own)))[1:]
        return [self, *(self._in(aspect) for aspect in others)]

    def _in(self, aspect: float) -> Canvas:
        area = self.width * self.height
        width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
        sides = (STEP * max(1, round(side / STEP)) for side in (width, height))
        return replace(self, **dict(zip(("width", "height"), sides, strict=True)))
