"""Weights, configuration and provenance in one safetensors file; nothing is ever unpickled.

The configuration and the provenance travel in the file's own header, so a weight file explains itself and cannot
be separated from what trained it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from yozora.artifact import scratch, sync
from yozora.errors import YozoraError


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    config: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes ``tensors`` to ``path``, complete or not at all.

    ``config`` and ``provenance`` are JSON; ``dtype`` converts floating-point tensors. Raises YozoraError when the file
    cannot be written.
    """
    header = {"config": json.dumps(config or {}), "provenance": json.dumps(provenance or {})}
    flat = {}
    for name, tensor in tensors.items():
        converted = tensor.detach().cpu()
        if dtype is not None and converted.is_floating_point():
            converted = converted.to(dtype)
        flat[name] = converted.contiguous()
    with scratch(path.parent, path.name) as folder:
        part = folder / path.name
        try:
            save_file(flat, part, metadata=header)
            # safetensors makes a file that its owner alone can read; a service may run as somebody else.
            part.chmod(folder.stat().st_mode & 0o666)
            sync(part)
            part.replace(path)
        except (SafetensorError, OSError) as error:
            raise YozoraError(f"{path} cannot be written: {error}.") from error


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Returns (tensors, config, provenance). Raises YozoraError when the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config, provenance = (json.loads(header.get(key, "{}")) for key in ("config", "provenance"))
    except FileNotFoundError as error:
        raise YozoraError(
            f"There are no weights at {path}; name a model directory that holds them."
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise YozoraError(
            f"The weights in {path} cannot be read ({error}); copy or train them again."
        ) from error
    return tensors, config, provenance


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], origin: Path | str) -> None:
    """Copies ``tensors`` into ``module`` (keeping its dtype); raises YozoraError when names or shapes differ."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise YozoraError(f"The weights in {origin} do not fit this model: {reason}") from error


def config_of(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON-able data."""
    return dataclasses.asdict(config)
