"""Names of things that the service keeps, and the time it writes down."""

from __future__ import annotations

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter is taken for a digit


def new(kind: str) -> str:
    """A name that nobody can guess: ``kind``, an underscore, and 130 random bits."""
    return f"{kind}_{letters(26)}"


def letters(count: int) -> str:
    """So many letters of the alphabet that nobody can guess, five random bits each."""
    return "".join(ALPHABET[byte & 31] for byte in secrets.token_bytes(count))


def now() -> int:
    """Milliseconds since 1970 in UTC, as all times in the database are."""
    return time.time_ns() // 1_000_000
