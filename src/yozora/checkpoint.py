"""Weights, configuration and provenance in one safetensors file; nothing is ever unpickled.

The configuration and the provenance travel in the file's own header, so a weight file explains itself and cannot
be separated from what trained it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from yozora.errors import YozoraError


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    config: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes ``tensors`` to ``path``, complete or not at all. ``dtype`` converts floating-point tensors."""
    header = {"config": json.dumps(config or {}), "provenance": json.dumps(provenance or {})}
    flat = {}
    for name, tensor in tensors.items():
        converted = tensor.detach().cpu()
        if dtype is not None and converted.is_floating_point():
            converted = converted.to(dtype)
        flat[name] = converted.contiguous()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(flat, temporary, metadata=header)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Returns (tensors, config, provenance). Raises YozoraError when the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise YozoraError(f"There are no weights at {path}; name a model directory that holds them.") from error
    except (SafetensorError, OSError) as error:
        raise YozoraError(f"The weights in {path} cannot be read ({error}); copy or train them again.") from error
    return tensors, json.loads(header.get("config", "{}")), json.loads(header.get("provenance", "{}"))


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Copies ``tensors`` into ``module`` (keeping its dtype); raises YozoraError when names or shapes differ."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise YozoraError(f"The weights in {origin} do not fit this model: {error}") from error


def config_of(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON-able data."""
    return dataclasses.asdict(config)
