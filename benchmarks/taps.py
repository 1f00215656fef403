"""What measuring costs beside decoding: decode-× = CPU time of a pass with taps / of a bare decode.

python benchmarks/taps.py [--quick]
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from common import Report, options, report, seconds, spread, verdict
from decode import FILMS, film
from yozora import video
from yozora.errors import YozoraError
from yozora.footage.cut import Format, Sink, cuts
from yozora.footage.survey import Survey
from yozora.footage.taps.learned import Taps
from yozora.footage.taps.sound import sound_of

GOAL = 1.5
LEARNED = {
    "clips, and nsfw": Taps(models=("nsfw",)),
    "clips, and text": Taps(models=("text",)),
    "clips, and faces": Taps(models=("faces",)),
    "clips, faces blurred": Taps(blur_faces=True),
    "clips, shots by transnet": Taps("transnet"),
}
CLIPS, RATE = (112, 64), 8.0  # the canvas and rate that clips are cut at


def bare(path: Path) -> None:
    """Decode every frame, on one thread as the pass does, and drop it."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def watched(path: Path) -> None:
    """The pass without taps: small views alone."""
    for _ in video.watch(path):
        pass


def tapped(path: Path) -> None:
    """The pass with all taps."""
    survey = Survey()
    for _ in survey.follow(video.watch(path)):
        pass
    survey.findings()


def tapped_and_cut(path: Path) -> None:
    """The pass with all taps that also gives the clips' pictures."""
    for _ in Survey().follow(video.watch(path, [video.Canvas(*CLIPS, RATE)])):
        pass


def learned(taps: Taps) -> Callable[[Path], None]:
    """The pass that cuts clips, with the usual taps and these."""

    def work(path: Path) -> None:
        for _ in cuts(path, Format(), begin=no_master, taps=taps):
            pass

    return work


def no_master(canvas: video.Canvas) -> Sink:
    raise NotImplementedError


def scenedetect(path: Path) -> None:
    """PySceneDetect's content detector, for cuts alone, on its own decoder."""
    from scenedetect import ContentDetector, detect

    detect(str(path), ContentDetector())


def paired(
    path: Path, works: dict[str, Callable[[Path], None]], rounds: int
) -> dict[str, list[float]]:
    """CPU seconds of each work, by turns; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work(path)
            if number:
                taken[name].append(time.process_time() - began)
    return taken


def measure(page: Report) -> None:
    frames, rounds = (12, 1) if page.quick else (150, 7)
    works = {
        "bare": bare,
        "small views": watched,
        "all taps": tapped,
        "all taps and clips": tapped_and_cut,
    }
    for name, taps in LEARNED.items():
        try:
            taps.check()
            works[name] = learned(taps)
        except YozoraError as error:
            page.say(f"Without {name}: {error}")
    if importlib.util.find_spec("scenedetect"):
        works["scenedetect, cuts alone"] = scenedetect
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for name, size in FILMS.items():
            path = Path(scratch) / f"{name}.mp4"
            film(path, size, frames)
            taken = paired(path, works, rounds)
            for work in list(works)[1:]:
                ratios = [a / b for a, b in zip(taken[work], taken["bare"], strict=True)]
                worst = max(worst, statistics.median(ratios)) if work == "all taps" else worst
                each = [1e3 * seconds / frames for seconds in taken[work]]
                rows.append([name, work, spread(each), spread(ratios)])
    page.say(
        f"Films of {frames} frames, H.264, one thread; CPU time, paired with a bare decode in each of {rounds} rounds."
    )
    page.table(["film", "pass", "ms a frame", "decode-x"], rows)
    with suppress(YozoraError):
        Taps(models=("speech",)).check()
        noise = np.random.default_rng(0).normal(0, 0.1, 2 * video.SOUND_RATE).astype(np.float32)
        heard = [1e3 / 2 * taken for taken in seconds(lambda: sound_of(noise), rounds)]
        page.say(f"Speech and music: {spread(heard)} ms a second of sound.")
    page.say(f"All taps, worst film: {worst:.2f}, {verdict(worst, GOAL, at_least=False)}.")


if __name__ == "__main__":
    arguments = options(__doc__)
    with report("taps", "Measuring while decoding", arguments) as page:
        measure(page)
