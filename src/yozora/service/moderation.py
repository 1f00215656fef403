"""Whether a prompt may be made into a video: a seam that asks rules, or an endpoint that judges meaning.

``moderator("rules")`` reads the rules that come with yozora, and ``moderator("FILE")`` others in the same form;
``moderator("https://...")`` asks an endpoint that speaks OpenAI's moderations API, and refuses while it does not
answer; ``moderator("off")`` lets everything through. A refusal is an error with the code ``moderation_blocked``.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yozora.errors import YozoraError
from yozora.service.fetch import FetchError, Rules, post
from yozora.service.wishes import WishError

LETTERS = str.maketrans("013457@$", "oieastas")  # digits and signs that are written for letters
ANSWER = 2**20  # bytes of an endpoint's answer
SECONDS = 10.0

Moderator = Callable[[str], None]  # raises Blocked, or Unjudged


class Blocked(WishError):  # noqa: N818
    """A prompt that is refused. category: why, in the words of OpenAI's moderations API."""

    def __init__(self, category: str) -> None:
        super().__init__(
            f"This prompt is refused ({category}): write another one.",
            "prompt",
            "moderation_blocked",
        )
        self.category = category


class Unjudged(YozoraError):  # noqa: N818
    """Nobody could say whether the prompt may be made: it is refused for now."""

    code = "moderation_unavailable"

    def __init__(self) -> None:
        super().__init__("Prompts cannot be checked at the moment: try again soon.")


def moderator(setting: str = "rules", key: str = "") -> Moderator:
    """What judges prompts: rules, a file of rules, an endpoint with its key, or off. Raises YozoraError."""
    if setting == "off":
        return lambda prompt: None
    if setting.startswith(("http://", "https://")):
        return partial(ask, setting, key)
    try:
        own = Path(setting) if setting != "rules" else files("yozora.service") / "moderation.toml"
        return partial(judge, parsed(tomllib.loads(own.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise YozoraError(
            f"'{setting}' holds no rules for prompts ({error}): give a file like moderation.toml, an endpoint's "
            "https:// address, or off."
        ) from error


# --- rules -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A prompt is refused for the category when it has every pattern of ``all``, after ``unless`` is taken out."""

    category: str
    all: tuple[re.Pattern[str], ...]
    unless: re.Pattern[str] | None


def parsed(table: Mapping[str, Any]) -> list[Rule]:
    """The rules of a file. Raises ValueError, KeyError or TypeError."""
    rules = []
    for entry in table["rule"]:
        lists = tuple(any_of(words) for words in entry["all"])
        if not lists or entry.keys() - {"category", "all", "unless"}:
            raise ValueError("a rule has a category, all and unless")
        exempt = any_of(entry["unless"]) if entry.get("unless") else None
        rules.append(Rule(str(entry["category"]), lists, exempt))
    return rules


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds one of these as whole words; * stands for any letters. Raises ValueError for none, TypeError for others."""
    if isinstance(words, str) or not (wanted := [plain(word) for word in words]):
        raise ValueError("words stand in a list")
    each = (re.escape(word).replace(r"\*", r"\w*") for word in wanted)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)")


def plain(text: str) -> str:
    """Text as the rules read it: one form of each letter, small, without accents, signs and what cannot be seen."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    seen = "".join(one for one in apart if unicodedata.category(one) not in ("Mn", "Cf"))
    return " ".join(re.sub(r"[^\w*]+", " ", seen.replace("_", " ")).split())


def readings(prompt: str) -> set[str]:
    """The ways in which a prompt can be read: as it is, and with digits and signs as the letters they look like."""
    return {plain(prompt), plain(prompt.translate(LETTERS))}


def judge(rules: list[Rule], prompt: str) -> None:
    """Raises Blocked when a rule refuses the prompt."""
    for text in readings(prompt):
        for rule in rules:
            left = rule.unless.sub(" ", text) if rule.unless else text
            if all(pattern.search(left) for pattern in rule.all):
                raise Blocked(rule.category)


# --- an endpoint ---------------------------------------------------------------------------------------


def ask(url: str, key: str, prompt: str) -> None:
    """Raises Blocked when an endpoint flags the prompt, and Unjudged when it does not answer as it should."""
    host = urlsplit(url).hostname or ""
    trusted = Rules(
        on=True, seconds=SECONDS, bytes=ANSWER, also=(host,)
    )  # whoever runs the service chose it
    headers = {
        "Content-Type": "application/json",
        **({"Authorization": f"Bearer {key}"} if key else {}),
    }
    try:
        answer = post(url, json.dumps({"input": prompt}).encode(), headers, trusted)
        result = json.loads(answer.body)["results"][0]
        flagged = result["flagged"]
        categories = [name for name, found in dict(result.get("categories") or {}).items() if found]
    except (FetchError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Unjudged from error
    if answer.status != 200 or not isinstance(flagged, bool):
        raise Unjudged
    if flagged:
        raise Blocked(", ".join(sorted(categories)) or "flagged")
