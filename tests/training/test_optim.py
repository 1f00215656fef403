from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from yozora.training.ema import Ema
from yozora.training.optim import (
    Muon,
    MuonAdamW,
    optimizer_tensors,
    orthogonal,
    restore_optimizer,
    set_lr_factor,
    warmup_stable_decay,
)


@given(
    steps=st.integers(1, 10_000),
    warmup=st.integers(0, 500),
    decay=st.floats(0, 1),
    data=st.data(),
)
def test_the_schedule_rises_stays_and_falls(
    steps: int, warmup: int, decay: float, data: st.DataObject
) -> None:
    def factor(step: int) -> float:
        return warmup_stable_decay(step, steps=steps, warmup=warmup, decay=decay)

    step = data.draw(st.integers(0, steps - 1))
    assert 0 < factor(step) <= 1
    if step + 1 < warmup:
        assert factor(step) <= (step + 1) / warmup
    if warmup <= step + 1 and step < steps * (1 - decay):
        assert factor(step) == 1
    if step >= max(warmup, steps * (1 - decay)):
        assert factor(step + 1) < factor(step)
    assert factor(steps) == (0 if decay else 1) or steps < warmup or steps * decay < 1


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 8)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x)
        for block in self.blocks:
            y = y + block(y).tanh()
        z: Tensor = self.last(y)
        return z


def updated(net: Net, optimizer: MuonAdamW, steps: range) -> None:
    for step in steps:
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        (net(x) - x[:, :2]).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step(1.0)


def test_muon_takes_the_blocks_matrices_and_adamw_the_rest() -> None:
    net = Net()
    optimizer = MuonAdamW(net, net.blocks, 1e-2, 0.0)
    muon, adamw = (
        {id(p) for p in optimizer.parts[name].param_groups[0]["params"]}
        for name in ("muon", "adamw")
    )
    assert muon == {id(block.weight) for block in net.blocks}
    assert muon | adamw == {id(p) for p in net.parameters()}
    assert not muon & adamw
    before = [p.detach().clone() for p in net.parameters()]
    updated(net, optimizer, range(2))
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.grad is None for p in net.parameters())


@given(rows=st.integers(1, 24), columns=st.integers(1, 24), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_singular_values_become_about_one(rows: int, columns: int, scale: float) -> None:
    matrix = scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    found = torch.linalg.svdvals(orthogonal(matrix).float())
    given = torch.linalg.svdvals(matrix)
    loud = given > 0.02 * given[0]  # five iterations do not lift what is all but absent
    assert bool(((found > 0.6) & (found < 1.3))[loud].all())


def test_muon_is_torchs_own_but_for_its_precision() -> None:
    ours, theirs = Net(), Net()
    one = Muon([block.weight for block in ours.blocks], 1e-2, 0.1)
    two = torch.optim.Muon(
        [block.weight for block in theirs.blocks],
        lr=1e-2,
        weight_decay=0.1,
        adjust_lr_fn="match_rms_adamw",
    )
    before = torch.stack([block.weight.detach().clone() for block in ours.blocks])
    for step in range(3):
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        for net, optimizer in ((ours, one), (theirs, two)):
            (net(x) - x[:, :2]).square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            net.zero_grad()
    a, b = (torch.stack([block.weight for block in net.blocks]) for net in (ours, theirs))
    assert (a - b).norm() < 0.15 * (a - before).norm()  # bfloat16 is that rough


def test_a_restored_optimiser_goes_on_to_the_bit() -> None:
    straight, stopped = Net(), Net()
    one = MuonAdamW(straight, straight.blocks, 1e-2, 0.01)
    updated(straight, one, range(6))
    two = MuonAdamW(stopped, stopped.blocks, 1e-2, 0.01)
    updated(stopped, two, range(3))
    state = {name: tensor.clone() for name, tensor in two.tensors().items()}
    fresh = MuonAdamW(stopped, stopped.blocks, 1e-2, 0.01)
    fresh.restore(state)
    updated(stopped, fresh, range(3, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(straight.parameters(), stopped.parameters(), strict=True)
    )


def test_adamw_with_groups_comes_back_with_its_rates() -> None:
    def optimiser(net: Net) -> torch.optim.AdamW:
        groups = [
            {"params": [*net.first.parameters()], "lr": 1.0, "base_lr": 1.0},
            {"params": [*net.last.parameters()], "lr": 0.1, "base_lr": 0.1},
        ]
        return torch.optim.AdamW(groups, fused=True)

    net = Net()
    one = optimiser(net)
    net(torch.ones(2, 6)).sum().backward()
    one.step()
    two = optimiser(net)
    restore_optimizer(two, optimizer_tensors(one))
    ours, theirs = optimizer_tensors(two), optimizer_tensors(one)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 4 * 3
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    set_lr_factor(two, 0.5)
    assert [group["lr"] for group in two.param_groups] == [0.5, 0.05]


def test_the_average_follows_its_formula() -> None:
    net = Net()
    ema = Ema(net, decay=0.9)
    wanted = net.last.bias.detach().clone().double()
    for step in range(200):
        with torch.no_grad():
            net.last.bias.fill_(float(step % 7))
        ema.update(net, step)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * float(step % 7)
    assert torch.allclose(ema.weights["last.bias"].double(), wanted, atol=1e-4)


def test_an_average_of_what_does_not_move_is_the_same_to_the_bit() -> None:
    net = Net()
    ema = Ema(net, decay=0.99)
    for step in range(50):
        ema.update(net, step)
    assert all(torch.equal(ema.weights[name], p) for name, p in net.named_parameters())


def test_averaged_weights_are_lent_and_given_back() -> None:
    net = Net()
    ema = Ema(net, 0.5)
    trained = [p.detach().clone() for p in net.parameters()]
    for weights in ema.weights.values():
        weights.fill_(3.0)

    def fail() -> None:
        with ema.applied(net):
            assert all((p == 3).all() for p in net.parameters())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(torch.equal(a, b) for a, b in zip(trained, net.parameters(), strict=True))
    copied = Ema(net, 0.5)
    copied.load(ema.weights)
    assert all((w == 3).all() for w in copied.weights.values())
