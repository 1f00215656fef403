"""The form that reviewers fill in, as data.

Everything is asked as perceived: what a viewer would take a picture for, not who somebody is. Every question can be
answered by 'unclear', so that nobody has to guess, and an answer is therefore never missing by accident.

The skin tones are the ten of the Monk Skin Tone scale (E. Monk 2019, skintone.google; CC BY 4.0), the regions those of
the UN's M49 standard, Africa and Asia in parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

UNCLEAR, NONE = "unclear", "none"
PEOPLE = "people"  # the question whose answer says how many people are described
DESCRIBED = 4  # people at most: the largest in the picture

Level = Literal["nominal", "ordinal", "interval"]
Said = dict[str, list[str]]  # a question's key -> the values chosen


@dataclass(frozen=True)
class Choice:
    """One answer: the key that chooses it, how it is stored, and how it reads. swatch: its colour, if it is one."""

    key: str
    value: str
    label: str
    swatch: str = ""


@dataclass(frozen=True)
class Question:
    """One question. level: of measurement, which decides what a disagreement weighs; an order is that of the choices.

    several: more than one may be chosen. person: it is asked of each person described.
    """

    name: str
    text: str
    hint: str
    choices: tuple[Choice, ...]
    level: Level = "nominal"
    several: bool = False
    person: bool = False

    @property
    def all_choices(self) -> tuple[Choice, ...]:
        """The choices and 'unclear'."""
        return (*self.choices, Choice("u", UNCLEAR, "Unclear"))

    def key(self, person: int = 0) -> str:
        """What its answer is stored by, for the first person and so on."""
        return f"{self.name}-{person}" if self.person else self.name


MONK = (
    "#f6ede4", "#f3e7db", "#f7ead0", "#eadaba", "#d7bd96", "#a07e56", "#825c43", "#604134", "#3a312a", "#292420"
)  # fmt: skip


def choices(*pairs: tuple[str, str]) -> tuple[Choice, ...]:
    """Choices with the keys 1, 2, …; 'none' has 0."""
    return tuple(
        Choice("0" if value == NONE else str(number), value, label)
        for number, (value, label) in enumerate(pairs, 1)
    )


CLIP = (
    Question(
        PEOPLE,
        "How many people can be seen?",
        "At any moment of the clip, also partly or from behind.",
        (
            *(Choice(str(n), str(n), str(n) if n else "None") for n in range(5)),
            Choice("5", "5", "5 or more"),
        ),
        level="interval",
    ),
    Question(
        "region",
        "Which part of the world does it look like?",
        "By what is seen, not by what is known of the film.",
        (
            *choices(
                ("northern-africa", "Northern Africa"),
                ("sub-saharan-africa", "Africa south of the Sahara"),
                ("northern-america", "Northern America"),
                ("latin-america", "Latin America, Caribbean"),
                ("western-asia", "Western Asia"),
                ("central-southern-asia", "Central or Southern Asia"),
                ("eastern-asia", "Eastern or South-Eastern Asia"),
                ("europe", "Europe"),
                ("oceania", "Oceania"),
            ),
            Choice("0", "nowhere", "No real place"),
        ),
    ),
    Question(
        "writing",
        "Which writing can be seen?",
        "On signs, things or laid over the picture. Choose all.",
        choices(
            ("latin", "Latin"),
            ("arabic", "Arabic"),
            ("cyrillic", "Cyrillic"),
            ("chinese-japanese", "Chinese or Japanese"),
            ("korean", "Korean"),
            ("indic", "Indic, such as Devanagari"),
            ("other", "Another"),
            (NONE, "None"),
        ),
        several=True,
    ),
    Question(
        "problems",
        "Is there a problem?",
        "Choose all.",
        choices(
            ("violence", "Violence, somebody in distress"),
            ("nudity", "Nudity or sex"),
            ("child", "A child at the centre"),
            ("stereotype", "A group mocked or as a stereotype"),
            ("unaware", "Somebody filmed unawares"),
            ("overlay", "Watermark, logo or text laid over"),
            ("broken", "Broken picture"),
            ("caption", "The caption says something else"),
            (NONE, "None"),
        ),
        several=True,
    ),
    Question(
        "quality",
        "How good is the picture?",
        "Sharpness, light, steadiness, compression.",
        choices(
            ("1", "Bad"), ("2", "Poor"), ("3", "Fair"), ("4", "Good"), ("5", "Excellent")
        ),  # the names of ITU-T P.910
        level="ordinal",
    ),
)  # fmt: skip

PERSON = (
    Question(
        "tone",
        "Skin tone, as perceived",
        "The nearest on the Monk scale, in this light.",
        tuple(
            Choice(str(n % 10), str(n), str(n), swatch) for n, swatch in enumerate(MONK, 1)
        ),
        level="ordinal",
        person=True,
    ),
    Question(
        "gender",
        "Gender, as perceived",
        "What most viewers would take this person for.",
        choices(("woman", "Woman or girl"), ("man", "Man or boy"), ("other", "Neither, or both")),
        person=True,
    ),
    Question(
        "age",
        "Age, as perceived",
        "",
        choices(("child", "Child"), ("young", "Teenager"), ("adult", "Adult"), ("old", "Old")),
        level="ordinal",
        person=True,
    ),
    Question(
        "role",
        "What does this person do here?",
        "What is most of the clip.",
        choices(
            ("expert", "Professional work"),
            ("manual", "Manual or service work"),
            ("leading", "Leads, teaches, speaks to others"),
            ("caring", "Cares for others, keeps house"),
            ("helped", "Is helped, treated or taught"),
            ("performing", "Performs, plays sport"),
            ("everyday", "Everyday life, leisure, travel"),
            ("force", "Conflict, crime, force"),
            ("background", "One of many in the background"),
        ),
        person=True,
    ),
    Question(
        "disability",
        "Disability, as perceived",
        "Only what is seen: an aid, a sign, a difference.",
        choices(
            ("moving", "Of moving"),
            ("seeing", "Of seeing"),
            ("hearing", "Of hearing or speaking"),
            ("other", "Another"),
            (NONE, "None seen"),
        ),
        person=True,
    ),
)  # fmt: skip

NOTE = 500  # characters of a note at most


def people(said: Mapping[str, Sequence[str]]) -> int:
    """How many people an answer describes: none while it says several numbers."""
    number, *others = said.get(PEOPLE) or [UNCLEAR]
    return 0 if others or number == UNCLEAR else min(int(number), DESCRIBED)


def asked(said: Mapping[str, Sequence[str]]) -> dict[str, Question]:
    """The questions that are put, by key, where so many people are described."""
    first, *rest = CLIP
    described = range(1, people(said) + 1)
    persons = {question.key(n): question for n in described for question in PERSON}
    return {first.key(): first} | persons | {question.key(): question for question in rest}


def read_form(fields: Mapping[str, Sequence[str]]) -> tuple[Said, dict[str, str]]:
    """What the fields of a form say, and a sentence for each question that they answer wrongly or not at all."""
    known = [choice.value for choice in CLIP[0].all_choices]
    chosen = {PEOPLE: [v for v in dict.fromkeys(fields.get(PEOPLE, ())) if v in known]}
    said: Said = {}
    wrong: dict[str, str] = {}
    for key, question in asked(chosen).items():
        values = list(dict.fromkeys(fields.get(key, ())))
        allowed = [choice.value for choice in question.all_choices]
        said[key] = [value for value in values if value in allowed]
        if len(said[key]) < max(1, len(values)):
            wrong[key] = "Choose an answer; 'unclear' is one."
        elif len(values) > 1 and not question.several:
            wrong[key] = "Choose one answer."
        elif len(values) > 1 and {NONE, UNCLEAR} & set(values):
            wrong[key] = "'None' and 'unclear' stand alone."
    return said, wrong
