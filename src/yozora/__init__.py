"""yozora: train a text-to-video model on footage you have the right to use, and generate with it.

The names below are the stable Python interface. Each is imported on first use, so that
``import yozora`` and ``yozora --help`` answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yozora.errors import YozoraError
    from yozora.sampling.pipeline import Pipeline, load
    from yozora.video import Clip, Record, read, write

__version__ = "0.1.0"

_HOMES = {
    "Clip": "yozora.video",
    "Pipeline": "yozora.sampling.pipeline",
    "Record": "yozora.video",
    "YozoraError": "yozora.errors",
    "load": "yozora.sampling.pipeline",
    "read": "yozora.video",
    "write": "yozora.video",
}

__all__ = [
    "Clip",
    "Pipeline",
    "Record",
    "YozoraError",
    "__version__",
    "load",
    "read",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'yozora' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
