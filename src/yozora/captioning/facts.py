"""Captions from what was measured of a clip and the words that came with it: no model, nothing that is guessed.

What is not measured is not said. A pan cannot be told from a camera that travels sideways, so it is the view that
moves; how near things are (the shot size) is not measured at all. The same clip gets the same sentences, another clip
others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from yozora.artifact import json_hash
from yozora.captioning.captioner import Subject, sentence, shortened
from yozora.captioning.look import Look
from yozora.corpus.captions import own_words
from yozora.corpus.schema import Row

VERSION = "facts/1"  # to be raised when the same facts are put into other words
TOLD = 240  # characters of the words that came with a clip
SLOW, FAST = 0.08, 0.35  # speeds in longer sides a second: below, above
FROZEN = 0.006  # speed of everything below which next to nothing moves
CALM, BUSY = 0.01, 0.08  # the same of what moves before the camera, averaged over all pixels
DARK, DIM, BRIGHT = 0.2, 0.33, 0.6  # brightness
FLAT, STARK = 0.12, 0.29  # contrast
MAIN, MOST = (
    0.1,
    0.6,
)  # shares of the pixels of a colour that is worth saying, and that is nearly all there is

Choose = Callable[..., str]  # one of several ways to say a thing

ORIGINS = {
    "sidecar": "A note beside its file says",
    "manifest": "The list it came with says",
    "archive.org": "Its page on archive.org says",
    "tags": "The tags of its file say",
}


class Facts:
    """The embedded captioner."""

    name = "facts"
    parallel = 2

    def key(self, row: Row) -> str:
        """The hash of the clip's id, its measures, and the words it came with."""
        captions, origin = own_words(row)
        return json_hash([VERSION, row.id, row.labels.get("measures"), captions, origin])

    def caption(self, subject: Subject) -> str:
        """What is known of a clip, in sentences."""
        choose, seen = chooser(subject.row.id), subject.look
        parts = [
            length(seen, choose),
            came_with(subject.row),
            motion(seen, choose),
            light(seen, choose),
            colours(seen, choose),
        ]
        return " ".join(filter(None, parts))


def chooser(clip: str) -> Choose:
    """Chooses between ways to say a thing by a clip's id, for each thing anew."""

    def choose(*ways: str) -> str:
        digest = hashlib.sha256("|".join((clip, *ways)).encode()).digest()
        return ways[int.from_bytes(digest[:4], "big") % len(ways)]

    return choose


def length(seen: Look, choose: Choose) -> str:
    """How long a clip is; that a still is one."""
    if seen.motion is None:
        return choose("A still picture.", "A single picture.")
    seconds = round(seen.seconds)
    if seconds < 1:
        return choose("A clip of less than a second.", "A very short clip.")
    count = "one second" if seconds == 1 else f"{seconds} seconds"
    return choose(f"A clip of about {count}.", f"About {count} of film.")


def came_with(row: Row) -> str:
    """The words that came with a clip, and where from."""
    captions, origin = own_words(row)
    if origin == "name":
        words = captions[0] if captions else ""
        return "" if words in ("", "a video") else f"Its file is named “{words}”."
    text = shortened(" ".join(map(sentence, captions)), TOLD)
    return sentence(f"{ORIGINS.get(origin, 'It came with the words')}: {text}") if text else ""


def motion(seen: Look, choose: Choose) -> str:
    """What the camera does, if that can be told, and how much moves before it."""
    if seen.motion is None:
        return ""
    if seen.motion.speed < FROZEN:
        return choose(
            "The camera is still, and hardly anything moves.",
            "The camera stands still, and next to nothing moves.",
        )
    local = seen.motion.local
    if not seen.camera:
        much = "little" if local < CALM else "some" if local < BUSY else "much"
        return choose(f"There is {much} motion in it.", f"It shows {much} motion.")
    still = "The camera is still", "The camera stands still", "The camera does not move"
    camera = choose(*still) if seen.camera == "still" else going(seen, choose)
    if local < CALM:
        rest = choose("and little else moves", "with little motion besides")
    elif local < BUSY:
        rest = choose("and there is some motion before it", "with some motion before it")
    else:
        rest = choose("and there is much motion before it", "with much motion before it")
    return f"{camera}, {rest}."


def going(seen: Look, choose: Choose) -> str:
    """What a camera does that is not still."""
    assert seen.motion is not None
    speed = seen.motion.camera
    how = " slowly" if speed < SLOW else " fast" if speed > FAST else ""
    if seen.way in ("left", "right"):
        return choose(
            f"The view moves{how} to the {seen.way}", f"The view drifts{how} to the {seen.way}"
        )
    if seen.way in ("up", "down"):
        return choose(f"The view moves{how} {seen.way}", f"The view moves{how} {seen.way}wards")
    if seen.way == "in":
        return choose(f"The view closes in{how}", f"The view comes closer{how}")
    if seen.way == "out":
        return f"The view widens{how}"
    if seen.motion.shake > speed:
        return choose("The camera moves unsteadily", "The camera moves in jerks")
    return choose(f"The camera moves{how}", f"The camera moves about{how}")


def light(seen: Look, choose: Choose) -> str:
    """How bright a clip is and how strong its contrast, where that is out of the ordinary."""
    if seen.light is None:
        return ""
    brightness, contrast = seen.light.brightness, seen.light.contrast
    said = [
        "dark" if brightness < DARK else "rather dark" if brightness < DIM else "",
        "bright" if brightness > BRIGHT else "",
        "of low contrast" if contrast < FLAT else "of strong contrast" if contrast > STARK else "",
    ]
    if not any(said):
        return ""
    return f"{choose('The picture', 'The image')} is {listed([*filter(None, said)])}."


def colours(seen: Look, choose: Choose) -> str:
    """Which colours most of the picture has."""
    if seen.colourless:
        return choose("It is in black and white.", "The picture is in black and white.")
    ordered = sorted(seen.named, key=lambda name: (-seen.named[name], name))
    main = [name for name in ordered if seen.named[name] >= MAIN][:3]
    if not main:
        return ""
    if seen.named[main[0]] >= MOST:
        rest = f", with some {listed(main[1:])}" if main[1:] else ""
        return f"{choose('It is', 'The picture is')} mostly {main[0]}{rest}."
    if len(main) == 1:
        return f"Its main colour is {main[0]}."
    return choose(f"Its main colours are {listed(main)}.", f"Most of it is {listed(main)}.")


def listed(words: list[str]) -> str:
    """['a', 'b', 'c'] -> 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
