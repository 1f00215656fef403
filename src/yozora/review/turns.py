"""Which clip a reviewer sees next.

Clips that a reviewer has not done come first, of those the ones that the fewest others have done, and among equals
chance decides, anew for every reviewer: a clip that one sees when tired another one sees when fresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from yozora.review.answers import Answer
from yozora.review.sample import Sample, chance


@dataclass(frozen=True)
class Turn:
    """A reviewer's way through a sample. done: in the order they were done. todo: the next one first."""

    done: tuple[str, ...]
    todo: tuple[str, ...]

    @property
    def following(self) -> str | None:
        """The next clip that is to be done."""
        return self.todo[0] if self.todo else None

    def beside(self, clip: str, step: int) -> str | None:
        """The clip before (-1) or after (1) another one, whether it is done or not."""
        way = (*self.done, *self.todo)
        place = way.index(clip) + step
        return way[place] if 0 <= place < len(way) else None


def turn(sample: Sample, answers: Sequence[Answer], reviewer: str) -> Turn:
    """The reviewer's way. answers: each reviewer's last one to each clip."""
    mine = dict.fromkeys(one.clip for one in answers if one.reviewer == reviewer)
    others = Counter(one.clip for one in answers)
    left = [one.clip for one in sample.clips if one.clip not in mine]
    todo = sorted(left, key=lambda clip: (others[clip], chance(reviewer, clip)))
    return Turn(tuple(mine), tuple(todo))
