"""Optimisers and the learning-rate schedule both loops share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from yozora.models.precision import has_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the quintic that brings singular values to about 1
ITERATIONS = 5


def warmup_stable_decay(step: int, *, steps: int, warmup: int, decay: float) -> float:
    """Factor of the learning rate at ``step`` (from 0): linear warm-up, constant, linear decay to zero over the
    last ``decay`` share of ``steps``. A constant middle lets a run be prolonged or branched at any point."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    start = steps * (1 - decay)
    fall = 1.0 if step < start else max(0.0, (steps - step) / max(1.0, steps - start))
    return min(rise, fall)


def set_lr_factor(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def orthogonal(matrix: Tensor) -> Tensor:
    """About the orthogonal matrix nearest to ``matrix`` [M, N]: its singular values become 0.7 to 1.2.

    Five Newton-Schulz iterations (kellerjordan.github.io/posts/muon), in bfloat16 where the device multiplies in it.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix  # products of the shorter side are the smaller ones
    x = x.bfloat16() if has_bfloat16(x.device.type) else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then the nearest orthogonal matrix, scaled to AdamW's root mean square (arXiv 2502.16982).

    torch.optim.Muon does the same, always in bfloat16: a processor without such instructions emulates them, and a step
    of nano then takes ten times as long.
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                average = state["momentum_buffer"]
                average.lerp_(matrix.grad, 1 - momentum)
                update = orthogonal(matrix.grad.lerp(average, momentum))
                matrix.mul_(1 - lr * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * lr * max(matrix.shape) ** 0.5)


class MuonAdamW:
    """Muon for the blocks' matrices, AdamW for the rest, behind one optimiser's interface.

    Muon takes the two-dimensional weights of ``blocks``; embeddings, projections in and out, biases and gains stay with
    AdamW. One learning rate serves both.
    """

    def __init__(
        self, module: nn.Module, blocks: nn.Module, lr: float, weight_decay: float
    ) -> None:
        matrices = [
            p for name, p in blocks.named_parameters() if p.ndim == 2 and not name.endswith("table")
        ]
        chosen = {id(p) for p in matrices}
        others = [p for p in module.parameters() if id(p) not in chosen]
        self.parts: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(matrices, lr, weight_decay),
            "adamw": torch.optim.AdamW(
                others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
        }
        self.lr = lr

    def step(self, factor: float) -> None:
        """One update with the learning rate times ``factor``; gradients are dropped afterwards."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = self.lr * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{n}.{k}": v
            for n, part in self.parts.items()
            for k, v in optimizer_tensors(part).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            own = {
                k.removeprefix(f"{name}."): v
                for k, v in tensors.items()
                if k.startswith(f"{name}.")
            }
            restore_optimizer(part, own)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": torch.as_tensor(v)
        for i, values in state.items()
        for name, v in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
