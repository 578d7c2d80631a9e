"""
Normalizers: which texts are one and the same to a blind index.

Each is a function from text to text. Those that look at letters follow the Unicode data of the
Python that runs them (`unicodedata.unidata_version`): a character that this version does not
know has no other case, is no digit and composes with nothing. `docs/spec/envelope-v1.md`
section 4.2 defines each one and says what a newer Unicode means for rows that are there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from .errors import OptionError, ValueRefusedError

Normalizer = Callable[[str], str]


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _casefold(text: str) -> str:
    # Canonical caseless matching (Unicode Standard 3.13, D145), composed for fewer bytes.
    return _nfc(unicodedata.normalize("NFD", text).casefold())


def _digits(text: str) -> str:
    values = (unicodedata.decimal(character, None) for character in text)
    return "".join(str(value) for value in values if value is not None)


def _strip(text: str) -> str:
    return str.strip(text)


def _last4(text: str) -> str:
    return text[-4:]


def _first_letter(text: str) -> str:
    # Folded before it is cut: "ß" and "SS" fold to the same text, so they begin alike.
    return _casefold(text)[:1]


def _email_domain(text: str) -> str:
    return _casefold(text.rpartition("@")[2])


_NORMALIZERS: dict[str, Normalizer] = {
    "nfc": _nfc,
    "casefold": _casefold,
    "digits": _digits,
    "strip": _strip,
    "last4": _last4,
    "first_letter": _first_letter,
    "email_domain": _email_domain,
}


def register_normalizer(name: str, normalizer: Normalizer) -> None:
    """
    Make a function from text to text available by name to `BlindIndex(normalize=...)`.

    Register it in every process, before the models that name it. It must always return the same
    text for the same text: values that were sealed keep the index value of the old function.

    Raises:
        OptionError: there is another normalizer of this name, the name is not a text or empty,
            or the normalizer cannot be called.
    """
    if not isinstance(name, str) or not name:
        raise OptionError("the name of a normalizer must be a text that is not empty")
    if not callable(normalizer):
        raise OptionError(f"normalizer {name!r} must be a function from text to text")
    if _NORMALIZERS.setdefault(name, normalizer) is not normalizer:
        raise OptionError(f"there is a normalizer named {name!r} already")


def check_names(names: Iterable[object]) -> None:
    """
    Check that there are normalizers of these names.

    Raises:
        OptionError: there is none of a name.
    """
    for name in names:
        if not isinstance(name, str) or name not in _NORMALIZERS:
            raise OptionError(
                f"there is no normalizer {name!r} (there are {', '.join(sorted(_NORMALIZERS))}; "
                "add one with register_normalizer())"
            )


def normalized(names: Iterable[str], text: str) -> str:
    """
    Return a text after the normalizers of these names, in their order.

    Raises:
        ValueRefusedError: a normalizer of the application raised an error, or did not return a
            text. Its own error may hold the value, so it is not shown.
        OptionError: there is none of a name, as in a process that did not register it.
    """
    for name in names:
        normalizer = _NORMALIZERS.get(name)
        if normalizer is None:
            check_names((name,))
        else:
            text = _applied(normalizer, name, text)
    return text


def _applied(normalizer: Normalizer, name: str, text: str) -> str:
    try:
        result = normalizer(text)
    except Exception as error:  # noqa: BLE001 - SQLAlchemy would show the value beside it
        problem = f"raised {type(error).__name__}"
    else:
        if isinstance(result, str):
            return result
        problem = f"returned {type(result).__name__}, not str"
    raise ValueRefusedError(f"its normalizer {name!r} {problem}")
