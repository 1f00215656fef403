"""Reading a policy from its TOML file; default.toml is the one that comes with yozora, and shows every key."""

from __future__ import annotations

import hashlib
import re
import tomllib
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError
from yozora.rights.consent import USES
from yozora.rights.policy import ACTIONS, ANSWERS, COUNTRY, Policy
from yozora.rights.signals.read import KINDS

# Every table and key there is; True where it may be left out.
SHAPE: dict[str, dict[str, bool]] = {
    "": {"name": False, "version": False, "use": False, "expires": True},
    "licences": {
        "allowed": False,
        "research": True,
        "refused": True,
        "share_alike": True,
        "on_share_alike": False,
    },
    "people": {"without_release": False, "unknown": False},
    "third_party": {"uncleared": False},
    "countries": {"refused": True, "unknown": False},
}


def load_policy(path: str | Path | None = None) -> Policy:
    """A policy from its file; the one that comes with yozora when there is no path.

    Raises YozoraError when the file cannot be read, or a key is missing, unknown or of the wrong kind: a misspelt rule
    would otherwise be no rule.
    """
    place = str(path) if path is not None else "the default policy"
    try:
        text = policy_text(path)
        table = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise YozoraError(
            f"{place} is no policy: {error}. Copy the default policy and change that."
        ) from error
    return Reader(table, place).policy(hashlib.sha256(text.encode()).hexdigest())


def policy_text(path: str | Path | None = None) -> str:
    """A policy file as it stands; the one that comes with yozora when there is no path.

    Raises OSError or ValueError when it cannot be read.
    """
    source = Path(path) if path is not None else files("yozora.rights") / "default.toml"
    return source.read_bytes().decode("utf-8")


class Reader:
    """Takes a policy's tables apart, with a sentence for everything that is not as it should be."""

    def __init__(self, table: dict[str, Any], place: str) -> None:
        self.place = place
        tables = {name: value for name, value in table.items() if isinstance(value, dict)}
        self.tables = {
            **tables,
            "": {name: value for name, value in table.items() if name not in tables},
        }

    def policy(self, digest: str) -> Policy:
        """The policy. Raises YozoraError."""
        self.check_shape()
        return Policy(
            version=f"{self.text('', 'name')}/{self.text('', 'version')}",
            use=self.one_of("", "use", USES),
            hash=digest,
            allowed=self.texts("licences", "allowed"),
            research=self.texts("licences", "research"),
            refused=self.texts("licences", "refused"),
            share_alike=self.texts("licences", "share_alike"),
            on_share_alike=self.one_of("licences", "on_share_alike", ("allow", "refuse")),
            signals=self.signals(),
            without_release=self.one_of("people", "without_release", ACTIONS),
            people_unknown=self.one_of("people", "unknown", ACTIONS),
            uncleared=self.one_of("third_party", "uncleared", ACTIONS),
            countries_refused=self.countries("countries", "refused"),
            country_unknown=self.one_of("countries", "unknown", ACTIONS),
            expires=self.day("", "expires"),
        )

    def check_shape(self) -> None:
        """Raise YozoraError for a table or key that is missing, or that there is not."""
        for name in self.tables:
            if name not in SHAPE and name != "signals":
                raise self.error(
                    f"there is no table [{name}]: the tables are {', '.join(filter(None, SHAPE))}, signals"
                )
        for name, keys in SHAPE.items():
            given = self.tables.get(name, {})
            for key in given.keys() - keys.keys():
                raise self.error(
                    f"there is no key '{shown(name, key)}': there are {', '.join(keys)}"
                )
            for key, optional in keys.items():
                if key not in given and not optional:
                    raise self.error(f"'{shown(name, key)}' is missing")

    def signals(self) -> dict[str, dict[str, str]]:
        """What follows from each signal's answers. Raises YozoraError."""
        found: dict[str, dict[str, str]] = {}
        for kind, answers in self.tables.get("signals", {}).items():
            if kind not in (*KINDS, "default"):
                raise self.error(f"there is no signal '{kind}': the signals are {', '.join(KINDS)}")
            if not isinstance(answers, dict):
                raise self.error(f"'signals.{kind}' must be a table")
            for answer, action in answers.items():
                if answer not in ANSWERS:
                    raise self.error(
                        f"'{answer}' of '{kind}' is not for a policy to decide: {', '.join(ANSWERS)} are"
                    )
                if action not in ACTIONS:
                    raise self.error(f"'{answer}' of '{kind}' must be one of {', '.join(ACTIONS)}")
            found[kind] = dict(answers)
        if missing := set(ANSWERS) - found.get("default", {}).keys():
            raise self.error(f"[signals.default] lacks {', '.join(sorted(missing))}")
        return found

    def text(self, table: str, key: str) -> str:
        value = self.tables[table].get(key)
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.+-]{1,60}", value):
            raise self.error(
                f"'{shown(table, key)}' must be a short text of letters, digits and . + -"
            )
        return value

    def one_of(self, table: str, key: str, among: tuple[str, ...]) -> str:
        value = self.tables.get(table, {}).get(key)
        if value not in among:
            raise self.error(f"'{shown(table, key)}' must be one of {', '.join(among)}")
        return str(value)

    def texts(self, table: str, key: str) -> tuple[str, ...]:
        value = self.tables.get(table, {}).get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.error(f"'{shown(table, key)}' must be a list of texts")
        return tuple(value)

    def countries(self, table: str, key: str) -> tuple[str, ...]:
        codes = tuple(code.upper() for code in self.texts(table, key))
        for code in codes:
            if not COUNTRY.fullmatch(code):
                raise self.error(
                    f"'{code}' of '{shown(table, key)}' is no country's ISO 3166 code of two letters"
                )
        return codes

    def day(self, table: str, key: str) -> date | None:
        value = self.tables[table].get(key)
        if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
            raise self.error(
                f"'{shown(table, key)}' must be a date such as 2027-12-31, without quotes"
            )
        return value

    def error(self, what: str) -> YozoraError:
        return YozoraError(f"{self.place}: {what}. The default policy shows what each key may be.")


def shown(table: str, key: str) -> str:
    """A key as a person would look for it."""
    return f"{table}.{key}" if table else key
