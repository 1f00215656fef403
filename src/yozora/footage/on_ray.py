"""Runs a function over many jobs with Ray: on this machine, or on a cluster that shares the corpus's disk."""

from __future__ import annotations

import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from yozora.errors import YozoraError

Job = TypeVar("Job")
Done = TypeVar("Done")


def on_ray(
    work: Callable[[Job], Done], jobs: Iterable[Job], workers: int
) -> Iterator[tuple[Job, Done | None]]:
    """As engine.local: each job with work(job), in the order of the jobs; None for a job that killed its process twice.

    Joins the cluster that RAY_ADDRESS names, else begins one on this machine. ``workers`` bounds how many jobs are
    taken ahead, two for each. An exception in ``work`` is raised here. Raises YozoraError when Ray is not installed.
    """
    ray = started(workers)
    task = ray.remote(max_retries=1)(lambda job: work(job))
    ahead: deque[tuple[Job, Any]] = deque()

    def first() -> tuple[Job, Done | None]:
        job, reference = ahead.popleft()
        try:
            return job, ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError:  # its process or its computer is gone
            return job, None

    try:
        for job in jobs:
            ahead.append((job, task.remote(job)))
            if len(ahead) > 2 * workers:
                yield first()
        while ahead:
            yield first()
    finally:
        for _, reference in ahead:
            ray.cancel(reference, force=True)
        if ahead:
            ray.wait([reference for _, reference in ahead], num_returns=len(ahead))


def started(workers: int) -> Any:
    """Ray, begun or joined. It sends no statistics."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise YozoraError(
            "--engine ray takes Ray: pip install 'yozora[ray]', or use the local engine."
        ) from error
    if not ray.is_initialized():
        own: dict[str, Any] = {"num_cpus": workers, "_node_ip_address": "127.0.0.1"}
        where = {} if "RAY_ADDRESS" in os.environ else {"address": "local", **own}
        with warnings.catch_warnings():  # Ray's forks become other programs at once
            warnings.filterwarnings("ignore", "lance is not fork-safe")
            ray.init(
                include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **where
            )
    return ray
