"""Describes a scene in plain English, in thousands of ways, with nothing left ambiguous.

A dense caption says all that matters for drawing the scene; a short one what a person would type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from yozora.errors import YozoraError
from yozora.world.chance import Chance
from yozora.world.heldout import HELDOUT, Grammar
from yozora.world.physics import after_collision
from yozora.world.scene import Body, Scene, sample
from yozora.world.wording import TRAIN, VALIDATION

_TOKEN = re.compile(r"<([^<>]+)>|\[([^|\]]*)\|([^\]]*)\]")
_GRAMMARS = {"train": TRAIN, "validation": VALIDATION, "heldout": HELDOUT}
_STANDSTILL = 0.06  # heights/s, below which a caption says that a body stops


def captions(scene: Scene, seed: int) -> tuple[str, str]:
    """A dense (about 20 to 60 words) and a short caption: a pure function of scene and seed.

    Scenes of the split "heldout" are described in words and frames that no other split uses; those of "validation"
    in phrases that training does not have.
    """
    teller = _Teller(scene, Chance("caption", scene.split, scene.seed, int(seed)))
    return teller.dense(), teller.short()


def prompts(
    n: int, seed: int, *, split: str = "heldout", bodies: int | None = 1, style: str = "dense"
) -> list[tuple[str, Scene]]:
    """Evaluation prompts, n of them, each with the scene that it describes.

    style: "dense", "short", or "mixed" (alternating). Raises YozoraError for another style, and
    as `sample` does.
    """
    if style not in ("dense", "short", "mixed"):
        raise YozoraError(f"Prompts are dense, short or mixed, not {style!r}.")
    result = []
    for i in range(n):
        scene = sample(seed * 1_000_003 + i, split=split, bodies=bodies)
        dense, short = captions(scene, seed)
        wants_short = style == "short" or (style == "mixed" and i % 2 == 1)
        result.append((short if wants_short else dense, scene))
    return result


class _Teller:
    """One telling of a scene: the grammar, and the draws that choose among its alternatives."""

    def __init__(self, scene: Scene, chance: Chance) -> None:
        self.scene = scene
        self.chance = chance
        self.grammar: Grammar = _GRAMMARS[scene.split]
        self.common = {"tone": scene.background}

    def dense(self) -> str:
        view = self._view()
        bodies = self.scene.bodies
        if bodies[0].law == "collision":
            words = self._collision(dense=True)
            text = self._expand("dense:collision", {**words, "view": view})
        elif len(bodies) == 1:
            frame = "dense:rest" if bodies[0].law == "rest" else "dense"
            text = self._expand(frame, {**self._body(bodies[0], sized=True), "view": view})
        else:
            clauses = self._clauses(dense=True)
            text = self._expand(f"dense:{len(bodies)}", {**clauses, "view": view})
        return text if self.chance.happens(0.7) else text[0].lower() + text[1:]

    def short(self) -> str:
        bodies = self.scene.bodies
        if bodies[0].law == "collision":
            text = self._expand("short:collision", self._collision(dense=False))
        elif len(bodies) == 1:
            text = self._expand("short", self._body(bodies[0], sized=self.chance.happens(0.3)))
        else:
            text = self._expand(f"short:{len(bodies)}", self._clauses(dense=False))
        if self.scene.camera.motion != "still":
            text += ", " + self._expand(f"camera:{self.scene.camera.motion}", {})
        if self.chance.happens(0.4):
            text = _capital(text) + ("." if self.chance.happens(0.5) else "")
        return text

    def _view(self) -> str:
        """A sentence about the camera: always when it moves, seldom of a lone body when not."""
        motion = self.scene.camera.motion
        if motion == "still" and (len(self.scene.bodies) > 1 or self.chance.happens(0.7)):
            return ""
        return " " + _capital(self._expand(f"camera:{motion}", {})) + "."

    def _clauses(self, *, dense: bool) -> dict[str, str]:
        """One clause per body, each with the body's own motion beside its name."""
        names = ("one", "two", "three")
        clauses = {}
        for name, body in zip(names, self.scene.bodies, strict=False):
            words = self._body(body, sized=dense)
            if dense:
                clauses[name] = self._expand(
                    "clause:rest" if body.law == "rest" else "clause", words
                )
            else:
                clauses[name] = f"{words['body']} {self._expand(words['act'], words)}"
        return clauses

    def _body(self, body: Body, *, sized: bool) -> dict[str, str]:
        words = {
            "body": _noun(body, sized=sized),
            "act": body.law,
            "more": f"more:{body.law}",
            "place": _place(body, self.scene.aspect),
        }
        if body.law == "uniform":
            words |= {"manner": f"manner:{body.speed}", "way": f"way:{body.direction}"}
        elif body.law in ("throw", "roll"):
            words |= {"aside": f"aside:{body.direction}", "end": str(body.direction)}
        elif body.law == "pendulum":
            begin, end = ("right", "left") if body.amplitude > 0 else ("left", "right")
            words |= {"begin": begin, "end": end, "across": f"across:{end}"}
        return words

    def _collision(self, *, dense: bool) -> dict[str, str]:
        """Names the moving body first; of two moving ones, the one on the left."""
        mover, target = sorted(self.scene.bodies, key=lambda b: (b.vx == 0, b.x0))
        names = []
        for body in (mover, target):
            name = _noun(body, sized=dense)
            if dense:
                name += " " + self._expand(_place(body, self.scene.aspect), {})
            names.append(name)
        direction, origin = ("right", "right") if mover.vx > 0 else ("left", "left")
        words = {
            "mover": names[0],
            "target": names[1],
            "way": f"way:{direction}",
            "end": origin,
            "first": f"the {mover.colour} {mover.shape}",
            "second": f"the {target.colour} {target.shape}",
            "fate one": _fate(mover, target),
            "fate two": _fate(target, mover),
        }
        words["meeting"] = self._expand("meeting:hit" if target.vx == 0 else "meeting:both", words)
        return words

    def _expand(self, symbol: str, words: Mapping[str, str], *, participle: bool = False) -> str:
        """A random expansion of `symbol`; `words` binds symbols to other symbols or to text."""
        symbol = words.get(symbol, symbol)
        alternatives = self.grammar.get(symbol)
        if alternatives is None:
            return self.common.get(symbol, symbol)

        def replace(match: re.Match[str]) -> str:
            name, finite, ing = match.groups()
            if name is None:
                return str(ing if participle else finite)
            if name == "acting":
                return self._expand("act", words, participle=True)
            if name[0].isupper():
                return _capital(self._expand(name.lower(), words))
            return self._expand(name, words, participle=participle and name != "act")

        return _TOKEN.sub(replace, self.chance.choice(alternatives))


def _noun(body: Body, *, sized: bool) -> str:
    """Name a body with its article: a small red ball, an orange star."""
    words = f"{body.size} {body.colour} {body.shape}" if sized else f"{body.colour} {body.shape}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _place(body: Body, aspect: float) -> str:
    """The symbol of the ninth of the frame in which the body starts."""
    column = ("left", "centre", "right")[min(2, max(0, int(3 * body.x0 / aspect)))]
    row = ("top", "middle", "bottom")[min(2, max(0, int(3 * body.y0)))]
    return f"place:{row}-{column}"


def _fate(body: Body, other: Body) -> str:
    after = after_collision(body.radius**2, body.vx, other.radius**2, other.vx)
    if abs(after) < _STANDSTILL:
        return "fate:stop"
    return "fate:right" if after > 0 else "fate:left"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
