"""
Everything that a person can do wrong, in one table: its own error, its place, and what to do.

A message begins with the place: the column, the file, the variable, the key. `remedy` are words of
the message that say what is allowed, or what to do now.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hospital import (
    PATIENTS,
    SEALER,
    Hospital,
    flip,
    move,
    query_without_a_context,
    read_after,
    read_under_a_destroyed_key,
    read_under_a_key_of_another_keystore,
    rotate_second,
    start_with,
    start_with_another_root_key,
)
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed import (
    EncryptedString,
    FileKeystore,
    LocalRootKey,
    get_sealer,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    ConfigurationError,
    DestroyedKeyError,
    KeystoreConflictError,
    KeystoreError,
    NoContextError,
    NotAnEnvelopeError,
    NotConfiguredError,
    OptionError,
    ProviderError,
    SealedError,
    UnknownKeyError,
    ValueRefusedError,
)


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """Return an application that runs."""
    root_key = tmp_path / "root.key"
    root_key.touch(mode=0o600)
    root_key.write_text(LocalRootKey.generate())
    engine = create_engine("sqlite://", poolclass=StaticPool)
    PATIENTS.metadata.create_all(engine)
    hospital = Hospital(
        tmp_path, FileKeystore(tmp_path / "keys.json"), root_key, get_sealer(SEALER), engine
    )
    hospital.manager.create("default")
    hospital.start()
    hospital.write(id=1, email="ada@example.org", phone="1815", age=36, chart={"a": 1})
    return hospital


Deed = Callable[[Hospital], Any]
KEY, FILE, ROOT = "key 'default'", "keys.json", "root.key"

CASES: dict[str, tuple[Deed, type[SealedError], str, str]] = {
    # what is done: (the deed, the error, the place, words of the remedy)
    "a sealer is not configured": (
        lambda h: h.write(id=2, ward="west"),
        NotConfiguredError,
        "patients.ward",
        "call get_sealer('nobody configured this').configure(",
    ),
    "a sealer is configured twice": (
        lambda h: h.sealer.configure(
            keystore=h.keystore, provider=LocalRootKey.from_file(h.root_key), key_name="default"
        ),
        ConfigurationError,
        "sealer 'the sealer of bad input'",
        "pass replace=True",
    ),
    "the key name is not in the keystore": (
        lambda h: get_sealer("pharmacy").configure(
            keystore=h.keystore, provider=LocalRootKey.from_file(h.root_key)
        ),
        KeystoreError,
        "'pharmacy'",
        "make one with 'sealed init'",
    ),
    "the key is unknown": (
        read_under_a_key_of_another_keystore,
        UnknownKeyError,
        "patients.email",
        "is this the right keystore and key name?",
    ),
    "the key was destroyed": (
        read_under_a_destroyed_key,
        DestroyedKeyError,
        "patients.email",
        "can never be opened again",
    ),
    "the root key is another": (start_with_another_root_key, ProviderError, KEY, "wrong root key"),
    "the root key is damaged": (
        start_with("root.key", lambda path: path.write_text(path.read_text()[:-1])),
        ProviderError,
        ROOT,
        "'sealed init' makes one",
    ),
    "the root key is not there": (
        start_with("root.key", Path.unlink),
        KeystoreError,
        ROOT,
        "make one with 'sealed init'",
    ),
    "the root key can be read by others": (
        start_with("root.key", lambda path: path.chmod(0o644)),
        KeystoreError,
        ROOT,
        "chmod 600",
    ),
    "the root key is not in the environment": (
        lambda _: LocalRootKey.from_env("NO_SUCH_VARIABLE"),
        ProviderError,
        "NO_SUCH_VARIABLE",
        "has to hold the root key",
    ),
    "the keystore is damaged": (
        start_with("keys.json", lambda path: path.write_bytes(path.read_bytes()[:-20])),
        KeystoreError,
        FILE,
        "restore it from a backup",
    ),
    "the keystore has a damaged key": (
        start_with(
            "keys.json",
            lambda path: path.write_text(
                path.read_text().replace('"wrapped": "local:1:', '"wrapped": "local:2:')
            ),
        ),
        ProviderError,
        KEY,
        "configure the KEK provider that the keystore was made with",
    ),
    "the keystore can be read by others": (
        start_with("keys.json", lambda path: path.chmod(0o640)),
        KeystoreError,
        FILE,
        "chmod 600",
    ),
    "the keystore is not there": (
        start_with("keys.json", Path.unlink),
        KeystoreError,
        FILE,
        "make one with 'sealed init'",
    ),
    "a key was made by another process first": (
        rotate_second,
        KeystoreConflictError,
        KEY,
        "load the keys again",
    ),
    "plaintext is in the column": (
        read_after(lambda _: b"ada@example.org"),
        NotAnEnvelopeError,
        "patients.email",
        "was written past the type",
    ),
    "plaintext is in the text column": (
        lambda h: (h.overwrite("1815", "phone"), h.read("phone")),
        NotAnEnvelopeError,
        "patients.phone",
        "was written past the type",
    ),
    "text is in the binary column": (
        read_after(lambda _: "ada@example.org"),
        NotAnEnvelopeError,
        "patients.email",
        "declared with binary storage",
    ),
    "the value is cut off in its header": (
        read_after(lambda data: data[:40]),
        NotAnEnvelopeError,
        "patients.email",
        "look for a column that is too narrow",
    ),
    "the value is cut off at its end": (
        read_after(lambda data: data[:-1]),
        AuthenticationError,
        "patients.email",
        "it was changed",
    ),
    "the value was tampered with": (
        read_after(flip(-1)),
        AuthenticationError,
        "patients.email",
        "it was changed",
    ),
    "the key id was tampered with": (
        read_after(flip(5)),
        UnknownKeyError,
        "patients.email",
        "is this the right keystore and key name?",
    ),
    "the suite is of a newer version": (
        read_after(lambda data: data[:3] + b"\xf0" + data[4:]),
        NotAnEnvelopeError,
        "patients.email",
        "written by a newer version",
    ),
    "the value was moved from another column": (
        move("age", "email"),
        AuthenticationError,
        "patients.email",
        "moved here from another column",
    ),
    "the Python type is wrong": (
        lambda h: h.write(id=2, email=5),
        ValueRefusedError,
        "patients.email",
        "expects str, got int",
    ),
    "the Python type is wrong in a number": (
        lambda h: h.write(id=2, age="36"),
        ValueRefusedError,
        "patients.age",
        "expects int, got str",
    ),
    "the text is too long": (
        lambda h: h.write(id=2, email="a" * 21),
        ValueRefusedError,
        "patients.email",
        "21 characters, the column takes 20",
    ),
    "the text is not Unicode": (
        lambda h: h.write(id=2, email="\udc80"),
        ValueRefusedError,
        "patients.email",
        "lone surrogate",
    ),
    "the document is not JSON": (
        lambda h: h.write(id=2, chart={"blood": {"A", "B"}}),
        ValueRefusedError,
        "patients.chart",
        "a value of another Python type",
    ),
    "the option does not exist": (
        lambda _: EncryptedString(contxt="a.b"),
        OptionError,
        "EncryptedString",
        "did you mean 'context'?",
    ),
    "the option has a wrong value": (
        lambda _: EncryptedString(storage="json"),
        OptionError,
        "EncryptedString",
        "storage must be one of binary, text",
    ),
    "the type has no column": (
        query_without_a_context,
        NoContextError,
        "EncryptedString",
        "pass context='table.column'",
    ),
}


@pytest.mark.parametrize(("deed", "error", "place", "remedy"), CASES.values(), ids=CASES)
def test_a_mistake_has_its_own_error_with_place_and_remedy(
    deed: Deed, error: type[SealedError], place: str, remedy: str, hospital: Hospital
) -> None:
    """The class is exact, the message begins with the place and says what to do, in one line."""
    with pytest.raises(SealedError) as caught:
        deed(hospital)
    message = str(caught.value)
    assert type(caught.value) is error
    assert place in message.partition(": ")[0]
    assert remedy in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "name", [n for n, (_, error, _, _) in CASES.items() if error is not OptionError]
)
def test_a_mistake_leaves_the_application_running(name: str, hospital: Hospital) -> None:
    """What was sealed before opens again when the mistake is taken back."""
    stored, files = hospital.stored(), {f: f.read_bytes() for f in hospital.directory.iterdir()}
    with pytest.raises(SealedError):
        CASES[name][0](hospital)
    for file, content in files.items():
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(content)
    hospital.overwrite(stored)
    hospital.start()
    assert hospital.read() == "ada@example.org"


@pytest.mark.parametrize(
    ("error", "key_id"),
    [
        ("the key is unknown", "of the value"),
        ("the key was destroyed", "of the value"),
        ("the root key is another", "of the primary"),
        ("the keystore has a damaged key", "of the primary"),
    ],
)
def test_an_error_about_a_key_names_it(error: str, key_id: str, hospital: Hospital) -> None:
    """The attribute has the 16 digits of the id, for programs as for people."""
    expected = hospital.stored()[4:12].hex()
    with pytest.raises(SealedError) as caught:
        CASES[error][0](hospital)
    assert caught.value.key_id == expected


def test_a_wrong_root_key_names_both(hospital: Hospital) -> None:
    """The id of the root key that the keystore was made with, and of the one that was given."""
    right = LocalRootKey.from_file(hospital.root_key).version().rpartition(":")[2]
    with pytest.raises(ProviderError) as caught:
        start_with_another_root_key(hospital)
    given = LocalRootKey.from_file(hospital.root_key).version().rpartition(":")[2]
    assert f"made with root key {right!r}, this one is {given!r}" in str(caught.value)


@pytest.mark.parametrize("value", [b"36", "36", b"", "", 36], ids=repr)
def test_a_column_with_its_check_takes_no_plaintext(value: Any, hospital: Hospital) -> None:
    """The database refuses the mistakes that are read above from columns without the CHECK."""
    with pytest.raises(IntegrityError, match="patients_age_sealed"):
        hospital.overwrite(value, "age")
    assert hospital.read("age") == 36
