from __future__ import annotations

import os
import random
from pathlib import Path

from yozora.footage.find import find


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_walked_in_order_and_files_taken_as_they_are(tmp_path: Path) -> None:
    wanted = [tmp_path / name for name in ("a/1.MP4", "a/2.png", "b.webm", "c/d/e/夜 空.mkv")]
    other = [tmp_path / name for name in ("a/1.txt", "a/readme.md", "c/manifest.json")]
    hidden = [tmp_path / name for name in (".x.mp4", ".git/y.mp4")]
    mixed = [*wanted, *other, *hidden]
    random.Random(0).shuffle(mixed)
    touch(*mixed)
    found = find([tmp_path])
    assert (found.files, found.refused, found.ignored) == (wanted, [], len(other))
    assert find([str(other[1]), tmp_path]).files == [other[1], *wanted]


def test_a_file_named_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    assert find([tmp_path / "b.mp4", tmp_path, tmp_path / "a.mp4"]).files == [tmp_path / "b.mp4"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.mp4", tmp_path / "elsewhere" / "2.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    found = find([tmp_path / "a"])
    assert [path.name for path in found.files] == ["1.mp4", "2.mp4"]


def test_all_files_of_a_folder_named_one_by_one_mean_the_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "a.json", tmp_path / "a.srt", tmp_path / "b.txt")
    found = find(sorted(tmp_path.iterdir()))
    assert (found.files, found.refused, found.ignored) == ([tmp_path / "a.mp4"], [], 3)


def test_what_cannot_be_found_or_read_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    found = find([tmp_path / "absent", tmp_path / "a.mp4", tmp_path / "gone.mp4"])
    assert found.files == [tmp_path / "a.mp4"]
    assert [path.name for path, _ in found.refused] == ["absent", "gone.mp4"]


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "locked" / "b.mp4")
    (tmp_path / "locked").chmod(0)
    try:
        found = find([tmp_path])
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert tmp_path / "a.mp4" in found.files
    if os.geteuid():  # root reads everything
        assert [path.name for path, _ in found.refused] == ["locked"]
