"""Damaged and odd files: each gives a correct clip or a sentence, in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.media import damaged_files, moving, psnr

from yozora import video

# Reads each file named on standard input three ways and prints one line of JSON for it. It runs
# in its own process, with little memory, so that a crash would be seen and not end the tests.
READER = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import numpy as np
from yozora import video
from yozora.errors import YozoraError

def attempt(what, *args, **options):
    try:
        return what(*args, **options)
    except YozoraError as error:
        return str(error)

baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in sys.stdin:
    path = line.rstrip("\\n")
    clip = attempt(video.read, path)
    small = attempt(video.read, path, fps=8, size=(56, 32), max_frames=200)
    info = attempt(video.probe, path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - baseline) // 1024
    row = {"path": path, "megabytes": grown}
    if isinstance(clip, str):
        row["error"] = clip
    else:
        row["shape"], row["fps"] = clip.frames.shape, clip.fps
        np.save(path + ".npy", clip.frames[:20])
    row["small"] = small if isinstance(small, str) else list(small.frames.shape)
    row["info"] = info if isinstance(info, str) else [info.width, info.height, info.frames]
    print(json.dumps(row), flush=True)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("damaged")
    paths = damaged_files(folder)
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", READER],
        input="\n".join(str(path) for path in paths),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    where = paths[len(rows)].name if len(rows) < len(paths) else "the end"
    assert result.returncode == 0, f"the reader died at {where}: {result.stderr[-2000:]}"
    assert len(rows) == len(paths)
    return rows


def test_there_are_hundreds_of_files_and_both_outcomes(rows: list[dict]) -> None:
    assert len(rows) >= 300
    assert sum("error" in row for row in rows) > 50
    assert sum("shape" in row for row in rows) > 50


def test_every_clip_is_one_and_every_error_a_sentence(rows: list[dict]) -> None:
    for row in rows:
        if "error" in row:
            assert row["error"].endswith("."), row
            assert Path(row["path"]).name in row["error"], row
            assert row["small"] == row["info"] == row["error"] or "jumps" in row["error"], row
        else:
            frames, height, width, channels = row["shape"]
            assert (channels, frames >= 1, height >= 1, width >= 1) == (3, True, True, True), row
            assert frames * height * width * 3 <= video.MAX_CLIP_BYTES, row
            assert 0 < row["fps"] <= 1000, row
            assert row["small"][0] <= 200, row
            assert row["small"][1:] == [32, 56, 3], row
            assert row["info"][:2] == [width, height], row


def test_memory_stays_bounded(rows: list[dict]) -> None:
    assert rows[-1]["megabytes"] < 400


def picture(row: dict) -> np.ndarray:
    return np.load(row["path"] + ".npy")


def test_a_misleading_name_changes_nothing(rows: list[dict]) -> None:
    renamed = [row for row in rows if Path(row["path"]).name.startswith(("renamed", "twice"))]
    assert len(renamed) > 20
    truth = moving()
    for row in renamed:
        seen = picture(row)
        whole = truth[3:4] if "still" in row["path"] else truth
        assert min(map(psnr, seen, whole)) > 27, row
        assert "still" in row["path"] or len(seen) >= 17, row


def test_what_is_left_of_a_cut_file_is_right_up_to_the_cut(rows: list[dict]) -> None:
    cut = [row for row in rows if Path(row["path"]).name.startswith("cut") and "shape" in row]
    assert len(cut) > 15
    truth = moving()
    for row in cut:
        seen = picture(row)
        # The last frame of a cut GIF may be drawn in part: its decoder does not tell.
        seen = seen[:-1] if row["path"].endswith(".gif") else seen
        for k, frame in enumerate(seen):
            held = k > 0 and (frame == seen[k - 1]).all()
            assert held or psnr(frame, truth[k]) > 27, (row, k)


def test_half_a_still_is_no_still(rows: list[dict]) -> None:
    halves = [row for row in rows if "cut-" in row["path"] and "still" in row["path"]]
    assert len(halves) == 15
    assert all("error" in row for row in halves)


@pytest.mark.parametrize(
    "kind",
    [f"forged-size-{name}" for name in ("still.png", "still.jpg", "anim.gif", "vp8.webm")]
    + ["bomb.png"],
)
def test_a_huge_size_in_a_header_is_refused(rows: list[dict], kind: str) -> None:
    (row,) = [row for row in rows if row["path"].endswith(kind)]
    assert "megapixels" in row["error"]


def test_an_index_larger_than_its_file_is_not_even_allocated(rows: list[dict]) -> None:
    (row,) = [row for row in rows if row["path"].endswith("forged-run-fragments.mp4")]
    assert "index is damaged" in row["error"]
