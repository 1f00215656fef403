"""What a prompt asks for: from its scene when there is one, else read from its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yozora.world.scene import BACKGROUNDS, COLOURS, SIZES, Scene


@dataclass(frozen=True)
class Wanted:
    """One body that a prompt asks for; None where it leaves a choice. motion is "law[:direction]"."""

    colour: str | None = None
    shape: str | None = None
    motion: str | None = None
    speed: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Expected:
    """A prompt's bodies, background (dark | light) and camera; None where it leaves a choice."""

    bodies: tuple[Wanted, ...]
    background: str | None = None
    camera: str | None = None


def of_scene(scene: Scene, prompt: str | None = None) -> Expected:
    """All that the scene's dense captions say. A medium speed goes unsaid.

    prompt: the caption in question; a short one may leave sizes out, which are then open.
    """
    text = None if prompt is None else prompt.lower()
    bodies = tuple(
        Wanted(
            b.colour,
            b.shape,
            b.motion,
            b.speed if b.speed in ("slow", "fast") else None,
            b.size if text is None or f"{b.size} {b.colour} {b.shape}" in text else None,
        )
        for b in scene.bodies
    )
    return Expected(bodies, scene.background, scene.camera.motion)


_SHAPES = {
    "ball": "ball|sphere|circle|disc|disk|orb",
    "square": "square|box|cube|block",
    "triangle": "triangle",
    "star": "star",
    "ring": "ring|hoop|donut|doughnut",
}
_COLOUR = "|".join(COLOURS)
_SHAPE = "|".join(_SHAPES.values())
_BODY = re.compile(rf"\b(?:({'|'.join(SIZES)})\s+)?({_COLOUR})\s+({_SHAPE})\b", re.I)
_LAWS = {  # in this order: a ball that is thrown also falls
    "collision": r"collid|(?:bump|crash|knock|smash)(?:\b|\w* (?:into|against|together))"
    r"|hits (?:a|an|the) (?:\w+ )?(?:" + _COLOUR + ")",
    "bounce": r"bounc|rebound|back up|ricochet|springs? (?:back|up|off)|dribbl|trampolin|boing|\bhop(?:s|ping)\b"
    r"|(?:jump|leap)\w* (?:up and down|back|up again)|rubber|repel|reflect"
    r"|(?<!not )\b(?:flies|flying|ris|jump|spring|leap|go|com|climb|up)\w* (?:up )?(?:again|once more)\b",
    "pendulum": r"swing|pendulum|dangl|\bsway|\brock(?:s|ing)\b|to and fro|back and forth|side to side"
    r"|(?:on|from|by) a (?:\w+ )?(?:rod|string|rope|cord|wire|chain|thread)",
    "roll": r"\broll|\bslope|\bramp\b|\bgradient|\bmountain|\bincline|\bhill\b|downhill|trundl",
    "throw": r"throw|thrown|toss|hurl|\blob|\barc|\barch|parabol|curve|fling|flung|catapult|slung|kicked"
    r"|\bleap|\bvault|javelin|\bin a bow\b|up and (?:then )?(?:\w+ )?(?:down|fall)"
    r"|(?:rise|soar|climb|ris)\w* and (?:fall|drop|sink)",
    "fall": r"\bfall|\bdrop|\bcom(?:es|ing) down|plummet|plung|nosediv|\bdiv(?:es|ing)\b|collaps|toppl|tumbl"
    r"|flops|plops|\blands?\b|to the ground"
    r"|(?<!parallel )(?<!perpendicular )(?:onto|to|hit\w*|reach\w*|on) the (?:\w+ )?floor",
    "rest": r"\brest(?! of)|still|motionless|stand(?:s|ing)\b|stationary|stays|not mov|keeps its place|idle|frozen"
    r"|\bstatic|inert|unmov|no mov|never mov|without (?:any )?mo|in (?:place|its position)|on the spot",
    "uniform": r"mov|glid|drift|slid|fl(?:y|ies)|float|travel|goes|going|head|cross|advance|sail|pass|proceed"
    r"|journey|march|wander|shift|walk|stroll|\brid(?:es|ing)|steer|swim|hover|trot|skat|flow|stream|wend"
    r"|push|pull|drawn|carr|continu|traverse|navigat|on (?:the|its) (?:move|way)",
}
_UNBOUNCED = re.compile(  # what does not bounce has fallen
    r"\b(?:no|not|never|without(?: an?y?)?|does ?n.t)(?: to)? (?:bounc\w*|rebound\w*|jump\w* back|ris\w+ again)",
    re.I,
)
_WAYS = {
    "left": r"\bleft",
    "right": r"\bright",
    "up": r"\bup(?!on)|\btop",
    "down": r"\bdown|\bbottom|\blower",
}
# Where a body starts is no direction, and "from left to right" is right.
_PLACES = re.compile(
    r"\bfrom (?:the )?[\w-]+(?= to\b)"
    r"|\b(?:start\w*|begin\w*|first|at first|seen|placed|from|in|at|near|on|around|having begun"
    r"|by|within|beside|about|close to|next to)\b"
    r"(?: (?:low|high|up|down|halfway|right|out|in|at|near|on|around|the))*"
    r"(?: (?:upper|lower|top|bottom|left|right|middle|cent\w+)(?:[- ](?:left|right|hand))?)+",
    re.I,
)


def of_words(prompt: str) -> Expected:
    """What plain words ask for: "a small red ball bounces on a dark background".

    Understands the world's colours, shapes (with a few synonyms), sizes, laws, directions, slow and fast,
    dark and light. A body's motion is looked for between its name and the next body's, and a second
    mention of the same body is not a second body. What it does not find is left open, not wrong.
    """
    matches: list[re.Match[str]] = []
    for match in _BODY.finditer(prompt):
        if all(
            match[2].lower() != m[2].lower() or match[3].lower() != m[3].lower() for m in matches
        ):
            matches.append(match)
    pieces = [
        prompt[m.end() : following.start() if following else len(prompt)]
        for m, following in zip(matches, [*matches[1:], None], strict=False)
    ]
    bodies = tuple(_wanted(m, after) for m, after in zip(matches, pieces, strict=True))
    if any(b.motion == "collision" for b in bodies) and len(bodies) == 2:
        bodies = tuple(Wanted(b.colour, b.shape, "collision", None, b.size) for b in bodies)
    ground = re.search(rf"\b({'|'.join(BACKGROUNDS)}|black|bright)\b", prompt, re.I)
    tone = (
        {"black": "dark", "bright": "light"}.get(ground[1].lower(), ground[1].lower())
        if ground
        else None
    )
    return Expected(bodies, tone)


def _wanted(match: re.Match[str], after: str) -> Wanted:
    size, colour, word = match[1], match[2].lower(), match[3].lower()
    shape = next(s for s, words in _SHAPES.items() if word in words.split("|"))
    clause = re.split(r"[.;]|\b(?:camera|view|shot)\b", after)
    after = _PLACES.sub(" ", next((c for c in clause if len(c) > 12), after))
    after = _UNBOUNCED.sub("falls", after)
    law = next((name for name, stems in _LAWS.items() if re.search(stems, after, re.I)), None)
    ways = [w for w, stem in _WAYS.items() if re.search(stem, after, re.I)]
    speed = "slow" if re.search(r"\bslow", after, re.I) else None
    speed = "fast" if re.search(r"\bfast|quick|swift|rapid", after, re.I) else speed
    vertical = next((w for w in ways if w in ("up", "down")), None)
    sideways = next((w for w in ways if w in ("left", "right")), None)
    motion = law
    if law == "uniform":
        way = "-".join(w for w in (vertical, sideways) if w)
        motion = f"uniform:{way}" if way else None
    elif law in ("throw", "roll"):
        motion = f"{law}:{sideways}" if sideways else None
    return Wanted(colour, shape, motion, speed if law == "uniform" else None, size and size.lower())
