from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yozora.footage.engine import local
from yozora.footage.on_ray import on_ray

ENGINES = [(local, 1), (local, 2), (on_ray, 2)]


@pytest.fixture(autouse=True, scope="module")
def ray_ends() -> Iterator[None]:
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


def square(number: int) -> int:
    return number * number


def deadly(job: tuple[int, Path]) -> int:
    """Kills its process for 3, and for 5 the first time."""
    number, folder = job
    mark = folder / f"met {number}"
    met = mark.exists()
    mark.touch()
    if number == 3 or (number == 5 and not met):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def failing(number: int) -> int:
    raise ValueError(f"job {number}")


@pytest.mark.parametrize(("engine", "workers"), ENGINES)
def test_results_come_in_the_order_of_the_jobs(engine: Any, workers: int) -> None:
    assert list(engine(square, range(9), workers)) == [(n, n * n) for n in range(9)]
    assert list(engine(square, [], workers)) == []


def test_jobs_are_taken_as_they_are_needed() -> None:
    taken = []

    def jobs() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = local(square, jobs(), 2)
    for _ in range(3):
        next(results)
    assert len(taken) <= 3 + 2 * 2 + 1
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", [local, on_ray])
def test_a_job_that_kills_its_process_twice_is_given_up_and_no_other(
    engine: Any, tmp_path: Path
) -> None:
    jobs = [(number, tmp_path) for number in range(8)]
    done = dict(engine(deadly, jobs, 2))
    assert [done[job] for job in jobs] == [0, 1, 4, None, 16, 25, 36, 49]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_raised_here(workers: int) -> None:
    with pytest.raises(ValueError, match="job 0"):
        list(local(failing, range(3), workers))


SLEEPERS = """
import os, sys, time
from pathlib import Path
from yozora.footage.engine import local
from yozora.footage.on_ray import on_ray
from tests.footage.test_engine import sleep_after_writing

for _ in local(sleep_after_writing, [Path(sys.argv[1]) / str(n) for n in range(2)], 2):
    pass
"""


def sleep_after_writing(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", SLEEPERS, str(tmp_path)], cwd=Path.cwd())
    files = [tmp_path / "0", tmp_path / "1"]
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    parent.kill()
    parent.wait()
    children = [Path("/proc") / file.read_text() for file in files]
    wait_until(lambda: not any(child.exists() for child in children))


def wait_until(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)
