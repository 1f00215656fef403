from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from yozora.errors import YozoraError
from yozora.models.adapter import Adapter, fingerprint, fold
from yozora.models.minilm import MiniLM, minilm_directory
from yozora.models.text import TextEncoder

SENTENCES = ["a red ball rises", "the blue square falls on the dark ground", ""]


@pytest.fixture
def model() -> MiniLM:
    return MiniLM(minilm_directory()).requires_grad_(False)


def adapted(model: MiniLM, rank: int = 2, loud: float = 0.1) -> Adapter:
    """One that changes something: at first it does not."""
    torch.manual_seed(0)
    adapter = Adapter(model, rank)
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, std=loud)
    return adapter


def hidden(model: MiniLM) -> Tensor:
    ids = torch.tensor([[101, 2417, 3608, 102]])
    last: Tensor = model(ids, torch.ones_like(ids))[-1]
    return last


def test_at_first_nothing_is_changed(model: MiniLM) -> None:
    before = hidden(model)
    Adapter(model, 2)
    assert torch.equal(hidden(model), before)


def test_the_adapter_alone_learns(model: MiniLM) -> None:
    adapter = adapted(model)
    hidden(model).square().sum().backward()
    learned = {id(p) for p in adapter.parameters()}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in learned), name
    assert all(p.grad is not None and bool(p.grad.abs().sum()) for p in adapter.parameters())


@pytest.mark.parametrize("rank", [1, 3])
def test_folded_it_does_what_it_did(model: MiniLM, rank: int) -> None:
    adapter = adapted(model, rank)
    ours = hidden(model)
    folded = MiniLM(minilm_directory())
    names = list(folded.state_dict())
    fold(folded, adapter.state_dict())
    assert torch.allclose(hidden(folded), ours, atol=1e-5)
    assert not torch.allclose(hidden(MiniLM(minilm_directory())), ours, atol=1e-2)
    assert sorted(folded.state_dict()) == sorted(names)


def test_the_encoder_takes_it_along(model: MiniLM) -> None:
    adapter = adapted(model).state_dict()
    published, changed = TextEncoder()(SENTENCES), TextEncoder(adapter=adapter)(SENTENCES)
    for ours, theirs in zip(changed, published, strict=True):
        assert ours.shape == theirs.shape
        assert not torch.allclose(ours, theirs, atol=0.05)
    for ours, theirs in zip(TextEncoder(adapter={})(SENTENCES), published, strict=True):
        assert torch.equal(ours, theirs)


def test_an_adapter_is_known_by_what_it_holds(model: MiniLM) -> None:
    tensors = adapted(model).state_dict()
    name = fingerprint(tensors)
    assert fingerprint({key: tensors[key].half() for key in reversed(tensors)}) == name
    first = next(iter(tensors))
    assert fingerprint({**tensors, first: tensors[first] + 0.01}) != name


def test_another_models_adapter_is_a_sentence(model: MiniLM) -> None:
    tensors = adapted(model).state_dict()
    with pytest.raises(YozoraError, match="does not fit"):
        fold(MiniLM(minilm_directory()), {f"9{name}": tensor for name, tensor in tensors.items()})
    with pytest.raises(YozoraError, match="minilm"):
        Adapter(nn.Linear(2, 2), 1)
