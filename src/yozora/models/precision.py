"""Where to compute, and in which precision that device computes fastest."""

from __future__ import annotations

from functools import cache

import torch


def best_device() -> torch.device:
    """The accelerator that torch finds, else the processor."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@cache
def has_bfloat16(kind: str) -> bool:
    """Whether a kind of device ("cpu", "cuda", "mps") multiplies matrices in bfloat16 itself.

    A processor without such instructions emulates them, which is slower than float32.
    """
    if kind == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device) -> torch.autocast:
    """A context in which matrix products run in bfloat16 where ``device`` has it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device.type))
