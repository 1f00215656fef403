"""The one exception a user of yozora has to know."""

from __future__ import annotations


class YozoraError(Exception):
    """Something the caller can put right; the message says what, where and what to do."""
