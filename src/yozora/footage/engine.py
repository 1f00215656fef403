"""Runs a function over many jobs on the cores of this machine, in order, in processes that may die."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")

SPAWN = multiprocessing.get_context("spawn")  # a fork would share the catalogue's handles


def processes(number: int) -> ProcessPoolExecutor:
    """That many processes, which end when this one does, however it ends."""
    return ProcessPoolExecutor(number, mp_context=SPAWN, initializer=end_with_parent)


def end_with_parent() -> None:
    """Has this process end as soon as the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def local(
    work: Callable[[Job], Done], jobs: Iterable[Job], workers: int
) -> Iterator[tuple[Job, Done | None]]:
    """Each job with work(job), in the order of the jobs; None for a job that killed its process twice.

    Jobs are taken as they are needed, at most two a worker ahead, so that their number may be without end. With one
    worker the work is done in this process, which a job can then take down. An exception in ``work`` is raised here.
    """
    if workers == 1:
        for job in jobs:
            yield job, work(job)
        return
    with Pool(work, workers) as pool:
        yield from pool.run(jobs)


class Pool(Generic[Job, Done]):
    """Processes that are started anew when one dies."""

    def __init__(self, work: Callable[[Job], Done], workers: int) -> None:
        self.work, self.workers = work, workers
        self.executor = processes(workers)

    def __enter__(self) -> Pool[Job, Done]:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown(cancel_futures=True)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Done | None]]:
        ahead: deque[tuple[Job, Future[Done]]] = deque()
        for job in jobs:
            ahead.append((job, self.submitted(job)))
            if len(ahead) > 2 * self.workers:
                yield self.first(ahead)
        while ahead:
            yield self.first(ahead)

    def submitted(self, job: Job) -> Future[Done]:
        try:
            return self.executor.submit(self.work, job)
        except BrokenProcessPool:  # which job broke it is found out when its turn comes
            broken: Future[Done] = Future()
            broken.set_exception(BrokenProcessPool())
            return broken

    def first(self, ahead: deque[tuple[Job, Future[Done]]]) -> tuple[Job, Done | None]:
        """The next job's result. When a process has died, all that was under way is lost: this job is tried again with
        nothing beside it, and the others are begun anew."""
        job, future = ahead.popleft()
        try:
            return job, future.result()
        except BrokenProcessPool:
            self.executor.shutdown()
        try:
            with processes(1) as alone:
                return job, alone.submit(self.work, job).result()
        except BrokenProcessPool:
            return job, None
        finally:
            self.executor = processes(self.workers)
            for place, (other, lost) in enumerate(ahead):
                if not lost.done() or lost.exception() is not None:
                    ahead[place] = (other, self.submitted(other))
