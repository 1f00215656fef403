from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.service.models import debug_model

from yozora.errors import YozoraError
from yozora.service.registry import Models


def test_models_are_called_by_name_folder_or_both(tmp_path: Path) -> None:
    debug_model(tmp_path / "one")
    models = Models(["nano", str(tmp_path / "one"), f"two={tmp_path / 'one'}"])
    assert models.names == ["nano", "one", "two"]
    nano = models.describe("nano")
    assert (nano.sizes[0], nano.fps) == ("112x64", 8.0)
    assert "recipe" in nano.card
    assert models.describe("two").sizes == ("32x32",)
    assert models.loaded == []
    with pytest.raises(YozoraError, match="no model 'three' here; there is nano, one, two"):
        models.get("three")


def test_what_is_no_model_is_a_sentence(tmp_path: Path) -> None:
    debug_model(tmp_path / "one")
    (tmp_path / "empty").mkdir()
    with pytest.raises(YozoraError, match="no model 'nine'"):
        Models(["nine"])
    with pytest.raises(YozoraError, match="Two models are called one"):
        Models([str(tmp_path / "one"), f"one={tmp_path / 'one'}"])
    with pytest.raises(YozoraError, match=r"dit\.safetensors cannot be read"):
        Models([str(tmp_path / "empty")])


def test_a_model_is_loaded_anew_when_its_files_change(tmp_path: Path) -> None:
    folder = debug_model(tmp_path / "one")
    models = Models([str(folder)])
    first = models.get("one")
    assert models.get("one") is first
    debug_model(folder, seed=1)
    second = models.get("one")
    assert second is not first
    (folder / "dit.safetensors").write_bytes(b"half of it")
    assert models.get("one") is second  # as it was, until the new one is whole
    debug_model(folder, seed=2)
    assert models.get("one") is not second


def test_a_changed_file_is_noticed_even_when_its_size_and_time_are_the_same(tmp_path: Path) -> None:
    folder = debug_model(tmp_path / "one")
    models = Models([str(folder)])
    first = models.get("one")
    before = (folder / "dit.safetensors").stat()
    debug_model(folder, seed=1)
    os.utime(folder / "dit.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert models.get("one") is not first


def test_a_model_that_is_half_copied_is_described_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, other = debug_model(tmp_path / "one"), debug_model(tmp_path / "two")
    models = Models([str(folder), str(other)])
    before = models.describe("one")
    (folder / "dit.safetensors").write_bytes(b"half of it")
    assert [models.describe("one") for _ in range(3)] == [before] * 3
    assert caplog.text.count("is described as before") == 1
    (folder / "dit.safetensors").write_bytes((other / "dit.safetensors").read_bytes())
    assert models.describe("one").created >= before.created
    assert caplog.text.count("is described as before") == 1
    (folder / "dit.safetensors").write_bytes(b"")
    with pytest.raises(YozoraError, match="cannot be read"):
        Models([str(folder)])


def test_what_was_used_longest_ago_goes_when_memory_is_short(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    folders = [str(debug_model(tmp_path / name)) for name in names]
    models = Models(folders)
    models.get("one")
    each = models.used
    models = Models(folders, memory=2.5 * each / 1e9)
    for name in ("one", "two", "one", "three"):
        models.get(name)
    assert models.loaded == ["one", "three"]
    small = Models(folders, memory=each / 2e9)
    assert small.get("two") is small.get("two")  # one always stays
    assert small.loaded == ["two"]
