"""What a command means by `module:object` and the names of tables and columns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fix_keys import forget

from sqlalchemy_sealed import EncryptedString, KeyManager, MemoryKeystore, Sealer, get_sealer
from sqlalchemy_sealed.errors import ConfigurationError, NotConfiguredError
from sqlalchemy_sealed.reseal.models import (
    by_table,
    configured_sealers,
    loaded,
    sealed_columns,
)

from . import clinic

ALL = ["patients.email", "patients.note", "visits.cents", "visits.remark"]


def labels(source: Any, *names: str) -> list[str]:
    """Return the labels of the columns that are meant."""
    return [column.label for column in sealed_columns(source, names)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (clinic.Base, ALL),
        (clinic.Base.metadata, ALL),
        (clinic.Base.registry, ALL),
        (clinic.Patient, ALL[:2]),
        (clinic.Visit.__table__, ALL[2:]),
    ],
    ids=["base", "metadata", "registry", "class", "table"],
)
def test_sealed_columns_are_found_in_what_an_application_has(
    source: Any, expected: list[str]
) -> None:
    """Of a base, a MetaData, a registry, a mapped class or a table; by their names in SQL."""
    assert labels(source) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["patients"], ALL[:2]),
        (["patients.note"], ALL[1:2]),
        (["visits.cents", "patients.email"], [ALL[0], ALL[2]]),
        (["visits", "visits.cents"], ALL[2:]),
    ],
)
def test_names_choose_tables_and_columns(names: list[str], expected: list[str]) -> None:
    """A table means all of its sealed columns; nothing is meant twice."""
    assert labels(clinic.Base, *names) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("patients.emial", r"patients.emial: there is no such .*did you mean 'patients.email'\?"),
        ("patient", r"did you mean 'patients'\?"),
        ("towns", "towns: no column of this table is sealed"),
        ("patients.name", "patients.name: this column is not declared as sealed"),
    ],
)
def test_a_name_of_nothing_is_refused(name: str, message: str) -> None:
    """It says what is near, or that there is such a thing and it is not sealed."""
    with pytest.raises(ConfigurationError, match=message):
        sealed_columns(clinic.Base, [name])


def test_columns_of_schemas_are_named_with_and_without_it() -> None:
    """The schema stands before the table; who leaves it out means all schemas."""
    metadata = sa.MetaData()
    for schema in ("a", "b", None):
        sa.Table("t", metadata, sa.Column("c", EncryptedString()), schema=schema)
    assert labels(metadata, "t") == ["a.t.c", "b.t.c", "t.c"]
    assert labels(metadata, "b.t.c") == ["b.t.c"]
    assert list(by_table(sealed_columns(metadata))) == [("a", "t"), ("b", "t"), (None, "t")]


def test_a_variant_is_the_type_of_its_database() -> None:
    """What is sealed otherwise on one database is found by the name of that."""
    variant = EncryptedString(storage="text").with_variant(EncryptedString(), "postgresql")
    table = sa.Table("t", sa.MetaData(), sa.Column("c", variant))
    [column] = sealed_columns(table)
    assert column.type_for("sqlite").settings.is_text
    assert not column.type_for("postgresql").settings.is_text


def test_sealed_values_inside_of_another_type_are_refused() -> None:
    """A run does not reach the items of an array, and passes over none in silence."""
    type_ = sa.ARRAY(EncryptedString(context="t.c"))
    table = sa.Table("t", sa.MetaData(), sa.Column("c", type_), sa.Column("d", EncryptedString()))
    with pytest.raises(ConfigurationError, match=r"t\.c: sealed values inside of ARRAY"):
        sealed_columns(table)
    assert labels(table, "t.d") == ["t.d"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (clinic.Town, "Town: no column here is sealed"),
        (sa.MetaData(), "no column here is sealed; is the module that declares"),
        (42, "int: this is no MetaData"),
        (sa, "sqlalchemy: this is no MetaData"),
    ],
)
def test_what_has_no_sealed_columns_is_refused(source: Any, message: str) -> None:
    """Nothing to do is more likely a wrong name than what somebody wants."""
    with pytest.raises(ConfigurationError, match=message):
        sealed_columns(source)


# -- module:object


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder, and forget what is imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(folder: Path, text: str) -> str:
    """Write a module of a new name, and return that."""
    name = f"module_{uuid4().hex}"
    (folder / f"{name}.py").write_text(text)
    return name


def test_a_module_of_the_current_folder_is_imported(folder: Path) -> None:
    """As with `python -m`; objects of objects are named with points."""
    name = module(folder, "class Models:\n    first = 1\n")
    assert loaded(f"{name}:Models.first") == 1


@pytest.mark.parametrize("target", ["", "clinic", ":Base", "clinic:"])
def test_what_is_no_module_and_object_is_refused(target: str) -> None:
    """It says the form."""
    with pytest.raises(ConfigurationError, match="MODULE:OBJECT"):
        loaded(target)


def test_a_module_or_object_that_is_not_there_is_said(folder: Path) -> None:
    """Whether it is the module, one that it imports, or the object."""
    name = module(folder, "import no_such_thing\n")
    with pytest.raises(ConfigurationError, match="it imports 'no_such_thing', which is not there"):
        loaded(f"{name}:Base")
    with pytest.raises(ConfigurationError, match="there is no such module"):
        loaded("no_such_thing.models:Base")
    with pytest.raises(ConfigurationError, match=r"there is no 'Bass'; did you mean 'Base'\?"):
        loaded("reseal.clinic:Bass")


def test_a_module_that_fails_is_said_without_its_words(folder: Path) -> None:
    """What an application raises may quote its secrets: only the class and the place are told."""
    name = module(folder, "password = 'hunter2'\nraise ValueError(password)\n")
    with pytest.raises(ConfigurationError) as caught:
        loaded(f"{name}:Base")
    assert f"ValueError at {folder / name}.py:2" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


# -- keys


def test_sealers_that_the_application_configured_are_left_alone(sealer: Sealer) -> None:
    """Nothing is asked of the environment for them."""
    keeper = sealer.keeper
    assert configured_sealers(sealed_columns(clinic.Base)) == [sealer]
    assert sealer.keeper is keeper


def test_other_sealers_are_configured_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Any
) -> None:
    """Each under its own name."""
    name = f"sealer-{uuid4()}"
    table = sa.Table("t", sa.MetaData(), sa.Column("c", EncryptedString(sealer=name)))
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create(name)
    monkeypatch.setattr("sqlalchemy_sealed.environment.keystore", lambda: keystore)
    monkeypatch.setattr("sqlalchemy_sealed.environment.provider", lambda: provider)
    with pytest.raises(NotConfiguredError):
        _ = get_sealer(name).keyset
    [found] = configured_sealers(sealed_columns(table))
    assert found.keyset.primary.name == name
    forget(found)
