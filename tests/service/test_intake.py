"""Uploads: sound ones come out clean, hostile ones in a sentence, and nothing of them harms this process."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.media import blank_png, damaged_files, moving, png_chunk, psnr, whole_files

from yozora import Clip, read, write
from yozora.service.intake import LIMITS, IntakeError, Limits, admit
from yozora.video import probe, read_image, write_image


def test_sound_files_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    frames = moving()
    for path in whole_files(tmp_path / "whole"):
        out = tmp_path / path.name
        out.mkdir()
        made = admit(path, out)
        assert (made.width, made.height) == (112, 64)
        if made.kind == "still":
            assert psnr(read_image(made.path), frames[3]) > 25
        else:
            assert made.frames == len(read(made.path)) >= 16
        assert [one.name for one in out.iterdir()] == [made.path.name]


def test_large_fast_and_odd_files_are_made_to_fit(tmp_path: Path) -> None:
    limits = replace(LIMITS, longer=64, fps=10)
    film = write(Clip(moving(20, 101, 75), 20), tmp_path / "film.mp4")
    made = admit(film, tmp_path, limits)
    info = probe(made.path)
    assert (info.width, info.height, info.fps, made.frames) == (64, 48, 10, 10)
    picture = write_image(tmp_path / "picture.png", np.zeros((100, 1, 3), np.uint8))
    made = admit(picture, tmp_path, limits)
    assert (made.width, made.height) == (1, 64)


def test_nothing_of_a_file_but_what_is_seen_comes_through(tmp_path: Path) -> None:
    plain = write_image(tmp_path / "a.png", moving()[0]).read_bytes()
    secret = b"GPS 59.91 10.75"
    (tmp_path / "b.png").write_bytes(
        plain[:33] + png_chunk(b"tEXt", b"Comment\0" + secret) + plain[33:]
    )
    made = admit(tmp_path / "b.png", tmp_path)
    assert secret not in made.path.read_bytes()
    assert (read_image(made.path) == read_image(tmp_path / "a.png")).all()


def test_damaged_and_forged_files_end_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for path in damaged_files(tmp_path / "in")[::24]:
        said = refused(path, tmp_path / "out")
        assert said is None or said.endswith(".")
        assert str(tmp_path) not in (said or "")
    assert {one.name for one in (tmp_path / "out").iterdir()} <= {"still.png", "clip.mp4"}


def refused(path: Path, folder: Path) -> str | None:
    """Why a file is not taken; None when it is."""
    try:
        made = admit(path, folder)
    except IntakeError as error:
        return str(error)
    assert probe(made.path).width == made.width
    return None


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (replace(LIMITS, pixels=2**12), "7168|112x64"),
        (replace(LIMITS, frames=5), "lasts longer"),
        (replace(LIMITS, duration=0.5), "lasts longer"),
        (replace(LIMITS, bytes=100), "could not be written|more time or memory"),
        (replace(LIMITS, memory=2**27), "more time or memory|not a picture"),
        (replace(LIMITS, patience=0.05), "more time or memory"),
    ],
)
def test_each_limit_holds(limits: Limits, said: str, tmp_path: Path) -> None:
    film = write(Clip(moving(), 8), tmp_path / "film.mp4")
    with pytest.raises(IntakeError, match=said):
        admit(film, tmp_path, limits)
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


def test_a_bomb_takes_no_memory_here(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(blank_png(16384, 16384))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntakeError, match=r"more time or memory|megapixels|not a picture"):
        admit(tmp_path / "bomb.png", tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_pipes_folders_and_missing_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("folder.mp4", "missing.mp4", "pipe.mp4"):
        with pytest.raises(IntakeError, match="not a picture or video"):
            admit(tmp_path / name, tmp_path)
