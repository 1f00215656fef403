"""Batches of frames for the codec: drawn by (seed, step), read ahead by threads, augmented when they are footage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from yozora.latents.augment import Augment

Item = TypeVar("Item")


def prefetch(
    make: Callable[[int], Item], steps: range, depth: int = 4
) -> Generator[Item, None, None]:
    """Yields make(step) for every step, in order, computed by one background thread up to ``depth`` ahead.

    An exception in ``make`` is raised here; closing the generator stops the thread.
    """
    ahead: deque[Future[Item]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        # A second team of OpenMP threads beside training's own makes more threads than cores; OpenMP then lets them
        # sleep between operations, and training waits for them to wake: a step took a quarter longer.
        threads = torch.get_num_threads()
        pool.submit(_single_threaded).result()
        torch.set_num_threads(threads)
        try:
            for step in steps:
                ahead.append(pool.submit(make, step))
                if len(ahead) > depth:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _single_threaded() -> None:
    """Keeps torch's operations in the calling thread to that thread alone."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # settles the number for this thread, whatever others set later


def whole(frames: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """[T, H, W, 3] uint8 -> [3, T, h, w] in [-1, 1], the whole picture resized to ``size`` = (w, h)."""
    return _to_model(_resize(torch.from_numpy(np.ascontiguousarray(frames)), size))


def augmented(
    frames: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator, augment: Augment
) -> Tensor:
    """As :func:`whole`, of a random crop in the same aspect, at random mirrored, reversed in time, changed in contrast
    and colour balance, and noisy."""
    _, height, width, _ = frames.shape
    share = rng.uniform(augment.crop, 1.0)
    h, w = max(1, round(height * share)), max(1, round(width * share))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    crop = frames[:, top : top + h, left : left + w]
    if rng.random() < augment.mirror:
        crop = crop[:, :, ::-1]
    if rng.random() < augment.reverse:
        crop = crop[::-1]
    x = _to_model(_resize(torch.from_numpy(np.ascontiguousarray(crop)), size))
    gains = rng.uniform(1 - augment.colour, 1 + augment.colour, (3, 1, 1, 1))
    x = (x + 1) * torch.from_numpy(gains.astype(np.float32)) - 1
    if augment.noise:
        deviation = 2 * rng.uniform(0, augment.noise)  # pixels reach from -1 to 1
        x = x + torch.from_numpy(deviation * rng.standard_normal(x.shape, np.float32))
    return x.clamp(-1, 1)


def busy_crop(x: Tensor, side: int, patch: int, rng: np.random.Generator) -> Tensor:
    """[3, T, H, W] -> [3, T, side * patch, side * patch] around a patch drawn by its variance:
    plain ground, most of many frames, is learned from few examples. Clips that are smaller stay whole."""
    variance = x.unflatten(2, (-1, patch)).unflatten(4, (-1, patch)).var(dim=(0, 1, 3, 5))
    h, w = variance.shape
    weight = (variance + 0.02 * variance.mean() + 1e-6).flatten().double().numpy()
    top, left = divmod(int(rng.choice(len(weight), p=weight / weight.sum())), w)
    top = min(max(top - int(rng.integers(side)), 0), max(0, h - side)) * patch
    left = min(max(left - int(rng.integers(side)), 0), max(0, w - side)) * patch
    return x[:, :, top : top + side * patch, left : left + side * patch]


def _resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """[T, H, W, 3] uint8 -> [T, 3, h, w] float in [0, 255], antialiased."""
    x = frames.permute(0, 3, 1, 2).float()
    if x.shape[-2:] == (size[1], size[0]):
        return x
    return F.interpolate(x, size=(size[1], size[0]), mode="bilinear", antialias=True).clamp(0, 255)


def _to_model(x: Tensor) -> Tensor:
    return (x / 127.5 - 1).transpose(0, 1).contiguous()


def spread(count: int, amount: int, rng: np.random.Generator) -> Sequence[int]:
    """``amount`` indices below ``count``, without repetition while that is possible."""
    return [int(i) for i in rng.choice(count, amount, replace=amount > count)]
