from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.artifact import (
    building,
    content_hash,
    identity,
    json_hash,
    read_provenance,
    scratch,
    write_atomic,
)
from yozora.errors import YozoraError

quick = settings(deadline=None, max_examples=40)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@quick
@given(st.dictionaries(st.text(), JSON))
def test_a_hash_survives_json_and_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert json_hash(value) == json_hash(turned) == json_hash(json.loads(json.dumps(value)))


@quick
@given(JSON, JSON)
def test_other_values_have_other_hashes(a: object, b: object) -> None:
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (json_hash(a) == json_hash(b)) == same


@pytest.mark.parametrize("value", [float("nan"), {"a": {1, 2}}, object()])
def test_what_is_not_json_has_no_hash(value: object) -> None:
    with pytest.raises(YozoraError, match="JSON"):
        json_hash(value)


@quick
@given(st.binary(), st.binary())
def test_content_hash_is_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hash")
    (folder / "a").write_bytes(a)
    (folder / "b").write_bytes(b)
    assert (content_hash(folder / "a") == content_hash(folder / "b")) == (a == b)


def test_content_hash_of_a_folder_changes_with_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("one")
    first = content_hash(tmp_path)
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    renamed = content_hash(tmp_path)
    (tmp_path / "sub" / "b").write_text("two")
    assert len({first, renamed, content_hash(tmp_path)}) == 3
    with pytest.raises(YozoraError, match="cannot be read"):
        content_hash(tmp_path / "absent")


def test_a_built_directory_has_its_files_and_says_what_it_is_made_from(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "latents"
    with building(
        final, stage="latents/1", inputs={"corpus": "abc"}, parameters={"seed": 3}
    ) as folder:
        (folder / "data").write_text("payload")
        assert not final.exists()
    assert (final / "data").read_text() == "payload"
    provenance = read_provenance(final)
    assert provenance["id"] == identity("latents/1", {"corpus": "abc"}, {"seed": 3})
    assert provenance["id"] != identity("latents/2", {"corpus": "abc"}, {"seed": 3})
    assert [path.name for path in final.parent.iterdir()] == ["latents"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with building(tmp_path / "x", stage="s", inputs={}, parameters={}) as folder:
            (folder / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_is_finished_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()  # empty: may be filled
    with building(tmp_path / "x", stage="s", inputs={}, parameters={}):
        pass
    with (
        pytest.raises(YozoraError, match="exists already"),
        building(tmp_path / "x", stage="s", inputs={}, parameters={}),
    ):
        pass


def test_provenance_that_is_damaged_or_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(YozoraError, match="no finished artifact"):
        read_provenance(tmp_path)
    (tmp_path / "provenance.json").write_text('{"id": ')
    with pytest.raises(YozoraError, match="no finished artifact"):
        read_provenance(tmp_path)


BUILDER = """
import sys
from pathlib import Path
from yozora.artifact import building
for i in range(10**6):
    with building(Path(sys.argv[1]) / f"{i}", stage="s", inputs={}, parameters={"i": i}) as folder:
        (folder / "first").write_bytes(b"x" * 10_000)
        print(i, flush=True)
        (folder / "second").write_bytes(b"y" * 10_000)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.02, 0.07])
def test_killed_at_any_moment_what_is_visible_is_complete(tmp_path: Path, seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()
    for path in tmp_path.glob("[!.]*"):
        assert read_provenance(path)["parameters"] == {"i": int(path.name)}
        assert {
            p.name: p.stat().st_size for p in path.iterdir() if p.name != "provenance.json"
        } == {
            "first": 10_000,
            "second": 10_000,
        }


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    script = BUILDER.replace("print(i, flush=True)", "print(i, flush=True); input()")
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [path.name[:3] for path in tmp_path.iterdir()] == [".0."]
        with building(tmp_path / "0", stage="s", inputs={}, parameters={}):
            assert len(list(tmp_path.iterdir())) == 2  # the other one still builds
        process.kill()
    (tmp_path / "0" / "provenance.json").unlink()
    with building(tmp_path / "0", stage="s", inputs={}, parameters={}):
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_write_atomic_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_atomic(path, "één")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_what_a_host_builds_is_left_alone_by_one_whose_name_begins_like_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "ray")
    monkeypatch.setattr("yozora.artifact.alive", lambda _: False)
    others = [f".x.building-ray-{name}-4242-999" for name in ("worker-1", "1", "1-2")]
    for name in (*others, ".x.building-ray-4242-999"):
        (tmp_path / name).mkdir()
    with scratch(tmp_path, "x") as mine:
        there = {path.name for path in tmp_path.iterdir()}
    assert there == {*others, mine.name}
