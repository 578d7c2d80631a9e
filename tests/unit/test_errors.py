"""The tree of errors."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from sqlalchemy.exc import DontWrapMixin

from sqlalchemy_sealed import errors
from sqlalchemy_sealed.errors import MissingExtraError, SealedError

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


@pytest.mark.parametrize("class_", CLASSES)
def test_an_error_can_be_said_of_a_place(class_: type[SealedError]) -> None:
    """`at` keeps class, text and key id, and replaces the place; the error itself stays."""
    error = class_("is wrong", key_id="00ff")
    placed = error.at("patients.email").at("people.email")
    assert type(placed) is class_
    assert (str(placed), placed.problem) == ("people.email: is wrong", "is wrong")
    assert (placed.where, placed.key_id) == ("people.email", "00ff")
    assert (str(error), error.where) == ("is wrong", None)


@pytest.mark.parametrize("class_", CLASSES)
def test_an_error_may_have_no_place(class_: type[SealedError]) -> None:
    """Without a place the text stands alone, also in a pickle and a copy."""
    error = class_("is wrong")
    for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (str(again), again.where, again.key_id) == ("is wrong", None, None)


@pytest.mark.parametrize("class_", CLASSES)
def test_its_code_is_fit_for_an_anchor(class_: type[SealedError]) -> None:
    """Lower case and hyphens: the errors page has a section of that name."""
    assert re.fullmatch("[a-z]+(-[a-z]+)*", class_.code)
    assert class_.__doc__


@pytest.mark.parametrize("class_", [each for each in CLASSES if each is not SealedError])
def test_its_code_is_its_own(class_: type[SealedError]) -> None:
    """A subclass does not share the code of its parent by accident."""
    assert "code" in vars(class_)
    assert class_.code != class_.__base__.code


def test_classes_stand_where_programs_catch_them() -> None:
    """One class catches each kind of trouble, and the four ways not to open are told apart."""
    tree = {class_.__name__: class_.__base__.__name__ for class_ in CLASSES}
    del tree["SealedError"]
    assert tree == {
        "ConfigurationError": "SealedError",
        "OptionError": "ConfigurationError",
        "NotConfiguredError": "ConfigurationError",
        "NoContextError": "ConfigurationError",
        "MissingExtraError": "ConfigurationError",
        "RefusedOperationError": "ConfigurationError",
        "ValueRefusedError": "SealedError",
        "OpenError": "SealedError",
        "NotAnEnvelopeError": "OpenError",
        "UnknownKeyError": "OpenError",
        "DestroyedKeyError": "OpenError",
        "DisabledKeyError": "OpenError",
        "AuthenticationError": "OpenError",
        "DecodingError": "OpenError",
        "KeystoreError": "SealedError",
        "StaleKeysError": "KeystoreError",
        "ColdKeyError": "KeystoreError",
        "KeystoreConflictError": "KeystoreError",
        "ProviderError": "SealedError",
        "ProviderUnavailableError": "ProviderError",
        "ProviderSealedError": "ProviderUnavailableError",
        "ProviderUnreachableError": "ProviderUnavailableError",
        "ProviderTimeoutError": "ProviderUnavailableError",
        "ProviderTrustError": "ProviderError",
        "ProviderLoginError": "ProviderError",
        "ProviderDeniedError": "ProviderError",
        "ProviderKeyMissingError": "ProviderError",
        "ResealError": "SealedError",
    }


def test_a_missing_extra_is_installed_by_the_command_it_names() -> None:
    """The message has the extra and the whole command."""
    message = str(MissingExtraError.named("cli", "the command line"))
    assert "python -m pip install 'sqlalchemy-sealed[cli]'" in message
