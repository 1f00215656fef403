"""Amounts as people write them: micro-units as a decimal number of the currency."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def parse_money(text: str) -> int:
    """'0.05' -> 50000 micro-units. Raises ValueError when it is finer than they are."""
    try:
        micro = Decimal(text) * 10**6
        if micro.is_finite() and abs(micro) <= 10**15 and micro == int(micro):
            return int(micro)
    except InvalidOperation:
        pass
    raise ValueError(text)


def money(micro: int) -> str:
    """50000 -> '0.05': units of the currency, with two digits at least."""
    whole, part = divmod(abs(micro), 10**6)
    return f"{'-' if micro < 0 else ''}{whole}.{f'{part:06d}'.rstrip('0'):0<2}"


def parse_count(micro: int) -> int:
    """A whole number, from millionths. Raises ValueError when it is none."""
    whole, part = divmod(micro, 10**6)
    if part or whole < 0:
        raise ValueError(micro)
    return whole
