from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from yozora.checkpoint import config_of, load_into, load_weights, save_weights
from yozora.errors import YozoraError

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), max_size=4),
       st.dictionaries(NAMES, st.integers() | st.text(max_size=5), max_size=3))  # fmt: skip
def test_tensors_and_facts_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory,
    layout: dict[str, tuple[torch.dtype, list[int]]],
    facts: dict[str, object],
) -> None:
    layout.pop("__metadata__", None)  # safetensors' own
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    tensors = {name: torch.randn(shape).to(dtype) for name, (dtype, shape) in layout.items()}
    save_weights(path, tensors, config=facts, provenance={"of": facts})
    back, config, provenance = load_weights(path)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[n], t) and back[n].dtype == t.dtype for n, t in tensors.items())
    assert config == facts
    assert provenance == {"of": facts}


def test_weights_can_be_read_by_whom_other_files_can(tmp_path: Path) -> None:
    plain, weights = tmp_path / "plain", tmp_path / "w.safetensors"
    plain.touch()
    save_weights(weights, {"x": torch.zeros(1)})
    assert weights.stat().st_mode == plain.stat().st_mode


def test_only_floating_point_tensors_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    half, count = torch.randn(3, 4).T, torch.arange(3)
    save_weights(path, {"half": half, "count": count}, dtype=torch.bfloat16)
    back, config, provenance = load_weights(path)
    assert back["half"].dtype == torch.bfloat16
    assert torch.equal(back["half"], half.bfloat16())
    assert torch.equal(back["count"], count)
    assert back["count"].dtype == torch.int64
    assert (config, provenance) == ({}, {})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(2)})
    before = path.read_bytes()

    def full(tensors: object, part: Path, metadata: object) -> None:
        part.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yozora.checkpoint.save_file", full)
    with pytest.raises(YozoraError, match=r"w.safetensors cannot be written: .*No space left"):
        save_weights(path, {"a": torch.zeros(2)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import sys, torch
from pathlib import Path
from yozora.checkpoint import save_weights
print("ready", flush=True)
for n in range(10**9):
    save_weights(Path(sys.argv[1]), {"a": torch.full((500, 500), float(n))})
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.full((500, 500), -1.0)})
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(30):  # readers meanwhile see whole files too
            whole = load_weights(path)[0]["a"]
            assert (whole == whole[0, 0]).all()
        process.kill()
    whole = load_weights(path)[0]["a"]
    assert (whole == whole[0, 0]).all()
    save_weights(path, {"a": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == [path]  # what the killed one left is gone


def test_threads_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(10):
                save_weights(path, {"a": torch.full((200,), float(number))})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(load_weights(path)[0]["a"].unique()) == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "folder", "header"])
def test_missing_and_damaged_weights_are_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(100)})
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:-20])
        case "text":
            path.write_text("version https://git-lfs.example/spec")
        case "folder":
            path.unlink()
            path.mkdir()
        case "header":
            save_file({"a": torch.ones(1)}, path, metadata={"config": "{half"})
    words = "There are no weights at" if damage == "missing" else "cannot be read"
    with pytest.raises(YozoraError, match=words) as error:
        load_weights(path)
    assert str(path) in str(error.value)


def test_weights_made_elsewhere_have_no_facts(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(1)}, path)
    assert load_weights(path)[1:] == ({}, {})


def test_weights_that_do_not_fit_are_told_in_a_line() -> None:
    module = nn.Linear(2, 3)
    fitting = {"weight": torch.ones(3, 2).bfloat16(), "bias": torch.zeros(3)}
    load_into(module, fitting, Path("w"))
    assert module.weight.dtype == torch.float32
    assert (module.weight == 1).all()
    wrong: list[dict[str, torch.Tensor]] = [
        {"weight": torch.ones(3, 2)},
        {**fitting, "more": torch.ones(1)},
        {**fitting, "bias": torch.ones(4)},
    ]
    for tensors in wrong:
        with pytest.raises(YozoraError, match=r"weights in w do not fit this model") as error:
            load_into(module, tensors, Path("w"))
        assert "\n" not in str(error.value)


def test_a_configuration_is_json() -> None:
    @dataclass(frozen=True)
    class Config:
        size: tuple[int, int] = (1, 2)
        name: str = "x"

    assert json.loads(json.dumps(config_of(Config()))) == {"size": [1, 2], "name": "x"}
