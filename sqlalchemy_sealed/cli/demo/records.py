"""Invented people: plausible, and the same ones on every run."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

_GIVEN = (
    "Amara", "Björn", "Chiara", "Dmitri", "Elif", "Fatima", "Gabriel", "Hanna", "Ines", "Jun",
    "Karim", "Léa", "Mateus", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Søren", "Tomás",
    "Uma", "Viktor", "Wanjiru", "Xin", "Yusuf", "Zoë",
)  # fmt: skip
_FAMILY = (
    "Abebe", "Becker", "Costa", "Dubois", "Eriksson", "Fernández", "García", "Horvat", "Ivanova",
    "Jansen", "Kowalski", "Lindqvist", "Müller", "Nakamura", "O'Neill", "Papadakis", "Quispe",
    "Rossi", "Silva", "Tanaka", "Usman", "Vasquez", "Weber", "Yildirim", "Zhang",
)  # fmt: skip
_ALLERGIES = ("penicillin", "latex", "peanuts", "pollen", "shellfish", "aspirin")
_DRUGS = ("metformin", "lisinopril", "atorvastatin", "levothyroxine", "salbutamol", "sertraline")

# Letters that Unicode does not decompose.
_LETTERS = str.maketrans({"ø": "o", "\N{LATIN SMALL LETTER DOTLESS I}": "i"})


@dataclass(frozen=True, slots=True)
class Person:
    """One invented patient."""

    name: str
    email: str
    phone: str
    born: date
    chart: dict[str, Any]


def people(count: int, seed: int = 7) -> list[Person]:
    """Return *count* different people."""
    chance = random.Random(seed)  # noqa: S311 - the same people on every run
    return [_person(number, chance) for number in range(1, count + 1)]


def _person(number: int, chance: random.Random) -> Person:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    born = date(1935, 1, 1) + timedelta(days=chance.randrange(29_000))
    return Person(
        name=f"{given} {family}",
        email=f"{_ascii(given)}.{_ascii(family)}{number}@example.org",
        phone=f"+1-202-555-{chance.randrange(10_000):04d}",
        born=born,
        chart={
            "allergies": chance.sample(_ALLERGIES, chance.randrange(3)),
            "medication": [
                {"drug": drug, "mg": chance.choice((5, 10, 20, 50))}
                for drug in chance.sample(_DRUGS, chance.randrange(1, 3))
            ],
        },
    )


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())
