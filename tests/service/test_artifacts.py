from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from yozora.errors import YozoraError
from yozora.service.artifacts import VIDEO, Artifacts, named

NAME = named("video_0123abc", 1)


def test_an_artifact_is_whole_or_not_there(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    with suppress(ZeroDivisionError), store.adding(NAME) as folder:
        (folder / VIDEO).write_bytes(b"half")
        raise ZeroDivisionError
    assert list(store.names()) == []
    with store.adding(NAME) as folder:
        (folder / VIDEO).write_bytes(b"whole")
        assert not store.path(NAME).exists()
    assert store.path(NAME).read_bytes() == b"whole"
    assert list(store.names()) == [NAME]
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_attempts_do_not_touch_each_other(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    for attempt in (1, 2):
        with store.adding(named("video_a", attempt)) as folder:
            (folder / VIDEO).write_bytes(b"%d" % attempt)
    store.delete(named("video_a", 1))
    store.delete(named("video_a", 1))
    assert store.path(named("video_a", 2)).read_bytes() == b"2"
    assert list(store.names()) == ["video_a-2"]


def test_deleting_takes_what_a_killed_process_left(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    left = store.path(NAME).parent.with_name(f".{NAME}.building-elsewhere-1-2")
    left.mkdir(parents=True)
    (left / VIDEO).write_bytes(b"half")
    store.delete(NAME)
    assert not left.exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [("..", VIDEO), ("a/b", VIDEO), ("", VIDEO), (NAME, "../x"), (NAME, ""), (NAME, "a/b"), ("video_a-1\n", VIDEO)],
)  # fmt: skip
def test_no_name_leads_out_of_the_store(tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(YozoraError, match="no name of a stored file"):
        Artifacts(tmp_path).path(name, file)
