"""The tree of errors."""

from __future__ import annotations

import pickle

import pytest
from sqlalchemy.exc import DontWrapMixin

from sqlalchemy_sealed import errors
from sqlalchemy_sealed.errors import MissingExtraError, SealedError, UnknownKeyError

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SealedError)]


def test_every_error_has_a_code_of_its_own() -> None:
    """A program can tell errors apart by code."""
    assert len({class_.code for class_ in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("class_", CLASSES)
def test_sqlalchemy_does_not_wrap_it(class_: type[SealedError]) -> None:
    """Wrapped, an error of a bind processor would carry the parameters."""
    assert issubclass(class_, DontWrapMixin)


@pytest.mark.parametrize("class_", CLASSES)
def test_it_survives_a_pickle(class_: type[SealedError]) -> None:
    """Text, place and key id come back as they were, the place once."""
    error = class_("is wrong", where="patients.email", key_id="00ff")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is class_
    assert str(again) == str(error) == "patients.email: is wrong"
    assert (again.problem, again.where, again.key_id) == ("is wrong", "patients.email", "00ff")


def test_an_error_can_be_said_of_a_place() -> None:
    """`at` keeps class, text and key id."""
    error = UnknownKeyError("is unknown", key_id="00ff").at("patients.email")
    assert (str(error), error.key_id) == ("patients.email: is unknown", "00ff")


def test_a_missing_extra_is_installed_by_the_command_it_names() -> None:
    """The message has the extra and the whole command."""
    message = str(MissingExtraError.named("cli", "the command line"))
    assert "python -m pip install 'sqlalchemy-sealed[cli]'" in message
