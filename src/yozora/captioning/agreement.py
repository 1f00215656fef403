"""Do captions and clips belong together? What a caption claims is held against what was measured.

Only a few things that captions say are measured: colours, whether and where the camera moves, how fast things are, how
dark or bright it is. A claim is refuted only by a clear contradiction, and the rest of a caption says nothing here: a
clip may agree and still be described wrongly. What is negated is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from yozora.captioning.look import Look
from yozora.footage.taps.light import Light
from yozora.footage.taps.motion import Motion

SEEN = 0.004  # share of the pixels of some frame that a colour has at least, if it is named
COLOURLESS = 0.08  # share of coloured pixels that black and white footage may have
STANDS = 0.005  # camera speed below which it does not move
SLOW, FAST = 0.1, 0.03  # speeds above which something moves, and below which nothing is fast
# Brightness above which it is not dark, above which it is no night, and below which it is not bright.
DARK, NIGHT, BRIGHT = 0.42, 0.5, 0.3

# What else colours are called. A claim holds when one of them is there.
COLOURS = {
    **{name: (name,) for name in ("black", "white", "red", "orange", "yellow", "green", "cyan", "blue", "pink")},
    "gr[ae]y": ("grey",),
    "silver": ("grey", "white"),
    "brown": ("brown", "beige"),
    "beige": ("beige", "brown"),
    "purple|violet": ("purple",),
    "magenta": ("purple", "pink"),
    "crimson|scarlet": ("red",),
    "gold|golden": ("yellow", "orange", "brown", "beige"),
    "turquoise|teal": ("cyan", "green", "blue"),
}  # fmt: skip
WAYS = {
    "left": r"\bleft(?:wards?)?\b",
    "right": r"\bright(?:wards?)?\b",
    "up": r"\bup(?:wards?)?\b",
    "down": r"\bdown(?:wards?)?\b",
}
WHO = r"(?:camera|view|shot)"
GOES = r"(?:pan|tilt|turn|move|drift|glide|swing|track|travel|sweep)(?:s|es|ning|ting|ing)?"
SETTING = (
    "background|backdrop|ground|field|wall|room|canvas|setting|scene|picture|image|shot|footage|clip|frame|place|"
    "surroundings|space|sky"
)
NEGATED = re.compile(r"(?:\b(?:no|not|without|never|neither|nor)|n['\u2019]t)\b[^.,;:]*")


@dataclass(frozen=True)
class Claim:
    """Something that words claim, and whether it is so; None where it cannot be told of this clip."""

    words: re.Pattern[str]
    holds: Callable[[Look, str], bool | None]


@dataclass(frozen=True)
class Agreement:
    """share: of the claims that hold, from 0 to 1; None where there are none. wrong: the words of those that do not."""

    share: float | None
    wrong: tuple[str, ...]


def agreement(captions: Iterable[str], seen: Look) -> Agreement:
    """How far captions agree with what was measured: each is checked for itself, and the worst one counts."""
    found = [score(caption, seen) for caption in captions]
    shares = [one.share for one in found if one.share is not None]
    wrong = dict.fromkeys(words for one in found for words in one.wrong)
    return Agreement(min(shares) if shares else None, tuple(wrong))


def score(caption: str, seen: Look) -> Agreement:
    """How far a single caption agrees with what was measured."""
    held: dict[str, bool] = {}
    text = caption.lower()
    for claims in (OUTRIGHT, CLAIMS):
        for claim in claims:
            for match in claim.words.finditer(text):
                words = " ".join(match.group().split())
                if (holds := claim.holds(seen, words)) is not None:
                    held[words] = holds
            text = claim.words.sub(lambda match: " " * len(match.group()), text)
        text = NEGATED.sub(" ", text)
    share = sum(held.values()) / len(held) if held else None
    return Agreement(share, tuple(words for words, holds in held.items() if not holds))


def of_motion(test: Callable[[Motion], bool]) -> Callable[[Look, str], bool | None]:
    """A check of a clip's motion, which stills have none of."""
    return lambda seen, _words: test(seen.motion) if seen.motion else None


def of_light(test: Callable[[Light], bool]) -> Callable[[Look, str], bool | None]:
    """A check of a clip's light."""
    return lambda seen, _words: test(seen.light) if seen.light else None


def colourless(seen: Look, _words: str) -> bool:
    """Whether there is next to no colour."""
    return (
        seen.colourless
        or 1 - sum(seen.named[name] for name in ("black", "white", "grey")) < COLOURLESS
    )


def has(colours: Iterable[str]) -> Callable[[Look, str], bool | None]:
    """A check that one of these colours is there."""
    return lambda seen, _words: max(seen.could_be[name] for name in colours) >= SEEN


def goes(seen: Look, words: str) -> bool | None:
    """Whether the camera moves, and not another way than the words say."""
    if seen.motion is None:
        return None
    said = [way for way, pattern in WAYS.items() if re.search(pattern, words)]
    moves = seen.motion.camera >= STANDS
    return moves and (not said or seen.way in ("", *said))


def zooms(way: str) -> Callable[[Look, str], bool | None]:
    """A check that the view comes closer ("in") or gets wider ("out"), or at least does nothing else for sure."""
    return lambda seen, _words: (
        seen.motion.camera >= STANDS and seen.way in ("", way) if seen.motion else None
    )


def claim(words: str, holds: Callable[[Look, str], bool | None]) -> Claim:
    """A claim that whole words make."""
    return Claim(re.compile(rf"\b(?:{words})\b"), holds)


# Claims that may have a "not" of their own come first; then negated phrases are left out.
OUTRIGHT = (
    claim(
        rf"{WHO} (?:is|stays|stands|remains|holds|keeps)(?: perfectly| completely)? "
        r"(?:still|static|fixed|steady|motionless)"
        rf"|{WHO} does(?: not|n['\u2019]t) move"
        r"|(?:static|fixed|stationary|motionless|locked[- ]off|still) (?:camera|shot|view|frame)",
        lambda seen, _words: seen.camera != "moves" if seen.motion else None,
    ),
    claim(
        "(?:hardly anything|next to nothing|nothing) moves|motionless",
        of_motion(lambda motion: motion.speed < SLOW),
    ),
    claim("in black and white|black[- ]and[- ]white|monochrome", colourless),
)
CLAIMS = (
    claim(rf"zoom(?:s|ing)? in|{WHO} (?:comes closer|closes in)", zooms("in")),
    claim(rf"zoom(?:s|ing)? out|{WHO} (?:goes away|widens)", zooms("out")),
    claim(
        rf"{WHO} (?:slowly |quickly )?{GOES}(?: slowly| quickly| fast)?"
        r"(?: to(?:wards?)? the)?(?: (?:left|right|up|down)(?:wards?)?)?"
        r"|(?:pan|tilt)(?:s|ning|ing)(?: to the)?(?: (?:left|right|up|down)(?:wards?)?)?"
        r"|(?:moving|tracking|hand-?held|shaky|unsteady) (?:camera|shot)",
        goes,
    ),
    claim(
        "fast|quick|quickly|rapid|rapidly|speeds|speeding|rushes|rushing",
        of_motion(lambda motion: motion.speed >= FAST),
    ),
    claim(
        rf"dark (?:{SETTING})|(?:{SETTING})(?: behind)? (?:is|looks)(?: plain and| very| rather)? dark"
        r"|in the dark(?=[.,;]|$)|everything behind is dark|something dark",
        of_light(lambda light: light.brightness < DARK),
    ),
    claim("night|night-?time|nocturnal", of_light(lambda light: light.brightness < NIGHT)),
    claim(
        rf"(?:bright|light) (?:{SETTING})"
        rf"|(?:{SETTING})(?: behind)? (?:is|looks)(?: plain and| very| rather)? (?:bright|light)"
        r"|everything behind is light|something light|daylight|sunny|bright day|overexposed",
        of_light(lambda light: light.brightness >= BRIGHT),
    ),
    *(claim(words, has(names)) for words, names in COLOURS.items()),
)
