from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.training.state import (
    KEEP,
    Facts,
    Log,
    checkpoints,
    latest_state,
    load_state,
    open_run,
    planned_steps,
    read_log,
    require_finite,
    save_state,
    step_rng,
    torch_rng,
)

FACTS = Facts("abc", "corpus", 20)


def parts(value: float = 1.0) -> dict[str, dict[str, torch.Tensor]]:
    return {"weights": {"a.b": torch.full((3,), value)}, "optimizer": {"0.step": torch.tensor(2.0)}}


def test_a_state_comes_back_and_the_last_few_stay(tmp_path: Path) -> None:
    for step in (3, 7, 12):
        save_state(tmp_path, step, parts(step), FACTS)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["00000007", "00000012"]
    assert len(checkpoints(tmp_path)) == KEEP
    step, found = open_run(tmp_path, FACTS, resume=True)
    assert step == 12
    assert found is not None
    assert torch.equal(found["weights"]["a.b"], torch.full((3,), 12.0))
    assert found["optimizer"]["0.step"].item() == 2


def test_a_step_is_written_once(tmp_path: Path) -> None:
    save_state(tmp_path, 5, parts(1), FACTS)
    save_state(tmp_path, 5, parts(2), FACTS)
    assert load_state(tmp_path / "checkpoints" / "00000005", FACTS)[1]["weights"]["a.b"][0] == 1


def test_what_fails_half_way_is_not_there(tmp_path: Path) -> None:
    save_state(tmp_path, 1, parts(), FACTS)
    half: dict[str, Any] = {**parts(), "no weights": {"a": "text"}}
    with pytest.raises(AttributeError):
        save_state(tmp_path, 2, half, FACTS)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["00000001"]


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    save_state(tmp_path, 1, parts(), FACTS)
    left = tmp_path / "checkpoints" / ".00000002.building-here-1-2"
    left.mkdir()
    (left / "weights.safetensors").write_bytes(b"half")
    assert open_run(tmp_path, FACTS, resume=True)[0] == 1
    assert not left.exists()


def test_a_run_is_opened_only_as_what_it_is(tmp_path: Path) -> None:
    assert open_run(tmp_path / "new", FACTS, resume=True) == (0, None)
    assert open_run(tmp_path / "new", FACTS, resume=False) == (0, None)
    save_state(tmp_path, 1, parts(), FACTS)
    with pytest.raises(YozoraError, match="--resume"):
        open_run(tmp_path, FACTS, resume=False)
    with pytest.raises(YozoraError, match="another recipe"):
        open_run(tmp_path, FACTS._replace(recipe="xyz"), resume=True)
    with pytest.raises(YozoraError, match="trained on something else"):
        open_run(tmp_path, FACTS._replace(data="grown"), resume=True)
    assert open_run(tmp_path, FACTS._replace(steps=40), resume=True)[0] == 1


def test_a_resumed_run_is_as_long_as_it_was_to_be_unless_told_otherwise(tmp_path: Path) -> None:
    assert planned_steps(tmp_path, None, 7, resume=True) == 7
    save_state(tmp_path, 1, parts(), FACTS)
    assert planned_steps(tmp_path, None, 7, resume=True) == FACTS.steps
    assert planned_steps(tmp_path, 30, 7, resume=True) == 30
    assert planned_steps(tmp_path, None, 7, resume=False) == 7


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.integers(0, 9))
def test_a_steps_numbers_depend_on_seed_step_and_stream(seed: int, step: int, stream: int) -> None:
    numbers = step_rng(seed, step, stream).random(4)
    assert (numbers == step_rng(seed, step, stream).random(4)).all()
    for other in ((seed + 1, step, stream), (seed, step + 1, stream), (seed, step, stream + 1)):
        assert not np.isin(numbers, step_rng(*other).random(4)).any()


def test_tensors_are_drawn_from_the_steps_numbers() -> None:
    a, b, c = (torch.rand(5, generator=torch_rng(step_rng(1, step))) for step in (4, 4, 5))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_log_forgets_what_its_run_forgot(tmp_path: Path) -> None:
    with Log(tmp_path, 0) as log:
        for step in range(1, 6):
            log.write(step, {"loss": 1 / step, "note": "text"})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # killed here
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4, 5]
    with Log(tmp_path, 3) as log:
        log.write(4, {"loss": 0.5})
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[2] == {"step": 3, "loss": 1 / 3, "note": "text"}  # to the bit
    assert lines[3] == {"step": 4, "loss": 0.5}


def test_a_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    with Log(tmp_path, 0) as log:
        log.write(1, {"loss": 1.0})
        assert read_log(tmp_path) == [{"step": 1, "loss": 1.0}]
        assert json.loads(log.path.read_text()) == {"step": 1, "loss": 1.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_alarm_names_the_last_good_checkpoint(tmp_path: Path, value: float) -> None:
    require_finite(tmp_path, 3, loss=1.0, gradient=0.0)
    with pytest.raises(
        YozoraError, match="gradient is not finite at step 3; there is no checkpoint"
    ):
        require_finite(tmp_path, 3, loss=1.0, gradient=value)
    good = save_state(tmp_path, 2, parts(), FACTS)
    assert latest_state(tmp_path) == good
    with pytest.raises(YozoraError, match=f"loss is not finite at step 3; {good} holds"):
        require_finite(tmp_path, 3, loss=value)
