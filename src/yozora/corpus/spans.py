"""Stretches of films, in seconds: which clips show some of what others show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

Span = tuple[float, float]  # from the one second to the other, which is not of it

TIE = 1e-6  # seconds; clips that share no more than that only touch


class Spans:
    """Some stretches of one film, joined where they meet."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._joined: list[Span] = []
        for start, end in sorted(spans):
            if self._joined and start <= self._joined[-1][1] + TIE:
                start, end = self._joined[-1][0], max(end, self._joined.pop()[1])
            self._joined.append((start, end))

    def meet(self, span: Span) -> bool:
        """Whether one of them shares some time with this one."""
        start, end = span
        before = bisect_left(self._joined, (end - TIE, 0.0))
        return before > 0 and self._joined[before - 1][1] > start + TIE
