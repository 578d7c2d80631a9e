"""What stands in the way of a run is found before anything is written."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine

from sqlalchemy_sealed import (
    BlindIndex,
    Encrypted,
    EncryptedInteger,
    EncryptedString,
    KeyManager,
    MemoryKeystore,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeystoreError,
    ProviderDeniedError,
    ResealError,
)
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.reseal.checks import check, check_keys, findings
from sqlalchemy_sealed.reseal.models import sealed_columns
from sqlalchemy_sealed.reseal.moves import Kind
from sqlalchemy_sealed.reseal.places import Finding

TEXT = EncryptedString(storage="text", check=False)


def declared(type_: Encrypted[Any], name: str = "email", table: str = "patients") -> list[Any]:
    """Return a column as the application declares it."""
    return sealed_columns(sa.Table(table, sa.MetaData(), sa.Column(name, type_.copy())))


def make(engine: Engine, *ddl: str) -> None:
    """Run statements that make tables, in words that all databases know."""
    names = {"sqlite": ("BLOB", "TEXT"), "postgresql": ("BYTEA", "TEXT")}
    binary, text = names.get(engine.dialect.name, ("LONGBLOB", "LONGTEXT"))
    with engine.begin() as connection:
        for each in ddl:
            sql = each.replace("BYTES", binary).replace("WORDS", text)
            connection.execute(sa.text(sql))


def look(
    engine: Engine,
    kind: Kind,
    type_: Encrypted[Any],
    other: str | None = None,
    name: str = "email",
    **options: Any,
) -> list[Finding]:
    """Return what is found."""
    with engine.connect() as connection:
        return findings(connection, kind, declared(type_, name), other, **options)


def only(found: list[Finding]) -> str:
    """Return the one finding there is, which is no warning, as a text."""
    [one] = found
    assert not one.is_warning
    return str(one)


PLAIN = "CREATE TABLE patients (id INTEGER PRIMARY KEY, email WORDS, sealed BYTES, age INTEGER)"
VALUES = "INSERT INTO patients (id, email, age) VALUES (1, 'a@b.example', 30), (2, NULL, NULL)"


@ON_MARIADB_TOO
def test_nothing_is_found_where_nothing_is_wrong(engine: Engine, sealer: Sealer) -> None:
    """Each kind of run over what it is for."""
    make(engine, PLAIN, VALUES)
    assert look(engine, Kind.ENCRYPT, TEXT) == []
    assert look(engine, Kind.ENCRYPT, EncryptedString(), "email", "sealed") == []
    assert look(engine, Kind.ENCRYPT, EncryptedInteger(), "age", "sealed") == []
    assert look(engine, Kind.RESEAL, EncryptedString(), name="sealed") == []
    assert look(engine, Kind.DECRYPT, EncryptedString(), "email", "sealed") == []
    assert look(engine, Kind.VERIFY, EncryptedString(), "email", "sealed") == []


@ON_MARIADB_TOO
def test_tables_and_columns_that_are_not_there_are_found(engine: Engine, sealer: Sealer) -> None:
    """With what is near; all of them at once."""
    make(engine, PLAIN)
    with engine.connect() as connection:
        found = findings(connection, Kind.RESEAL, declared(TEXT, table="patient"))
    assert only(found) == "patient: there is no such table; did you mean 'patients'?"
    missing = look(engine, Kind.ENCRYPT, TEXT, "emial", "sealde")
    assert [str(each) for each in missing] == [
        "patients.sealde: there is no such column; did you mean 'sealed'?",
        "patients.emial: there is no such column; did you mean 'email'?",
    ]


def test_all_that_is_wrong_is_said_at_once(engine: Engine, sealer: Sealer) -> None:
    """As one error, so that nobody mends and runs it again for each."""
    make(engine, PLAIN)
    with engine.connect() as connection:
        columns = declared(TEXT, "one") + declared(TEXT, "two")
        with pytest.raises(ConfigurationError, match=r"patients\.one: .*; patients\.two: "):
            check(connection, Kind.RESEAL, columns)


@ON_MARIADB_TOO
def test_a_table_without_a_key_is_found(engine: Engine, sealer: Sealer) -> None:
    """With a remedy; another unique key that is NOT NULL will do."""
    make(engine, "CREATE TABLE patients (number INTEGER NOT NULL UNIQUE, email WORDS)")
    assert "add one, or name the columns of a unique" in only(look(engine, Kind.ENCRYPT, TEXT))
    assert look(engine, Kind.ENCRYPT, TEXT, key=["number"]) == []


@ON_MARIADB_TOO
def test_a_view_is_found(engine: Engine, sealer: Sealer) -> None:
    """Rows are changed in tables."""
    make(
        engine, PLAIN.replace("patients", "people"), "CREATE VIEW patients AS SELECT * FROM people"
    )
    assert "this is a view" in only(look(engine, Kind.RESEAL, TEXT))


@pytest.mark.parametrize(
    ("type_", "column", "problem"),
    [
        (EncryptedString(), "email", "seals to bytes; declare storage='text'"),
        (TEXT, "sealed", "seals to text; declare storage='binary'"),
        (TEXT, "age", "the column is INTEGER, and its type seals to text"),
    ],
)
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_column_of_another_storage_is_found(
    type_: Encrypted[Any], column: str, problem: str, engine: Engine, sealer: Sealer
) -> None:
    """Bytes in a column of texts, or texts in one of bytes or numbers."""
    make(engine, PLAIN)
    assert problem in only(look(engine, Kind.RESEAL, type_, name=column))


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_column_that_is_too_narrow_is_found(engine: Engine, sealer: Sealer) -> None:
    """By the longest value that is there, which the database knows."""
    make(
        engine,
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, email VARCHAR(100), note VARCHAR(60))",
        f"INSERT INTO patients (id, email) VALUES (1, '{'x' * 23}')",
    )
    assert look(engine, Kind.ENCRYPT, TEXT) == []
    make(engine, f"UPDATE patients SET email = '{'x' * 24}'")
    assert "room for 100 characters, and values of 102" in only(look(engine, Kind.ENCRYPT, TEXT))
    padded = EncryptedString(storage="text", pad=128, check=False)
    assert "values of 240" in only(look(engine, Kind.ENCRYPT, padded))
    assert "room for 60 characters, and values of 70" in only(
        look(engine, Kind.RESEAL, TEXT, name="note")
    )


@ON_MARIADB_TOO
def test_plaintext_that_is_sealed_already_is_found(engine: Engine, sealer: Sealer) -> None:
    """It would be sealed twice."""
    make(engine, PLAIN)
    table = sa.table(
        "patients",
        sa.column("id"),
        sa.column("email", EncryptedString(storage="text", context="patients.email")),
    )
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": 1, "email": "a"}, {"id": 2, "email": "b"}])
    problem = only(look(engine, Kind.ENCRYPT, EncryptedString(), "email", "sealed"))
    assert "patients.email: 2 of its values look sealed already" in problem
    assert look(engine, Kind.ENCRYPT, TEXT) == []


@ON_MARIADB_TOO
@pytest.mark.parametrize(
    ("type_", "source"),
    [(EncryptedInteger(), "email"), (EncryptedString(), "age"), (EncryptedString(3), "email")],
    ids=["text as integer", "integer as text", "too long"],
)
def test_values_that_the_type_does_not_seal_are_found(
    type_: Encrypted[Any], source: str, engine: Engine, sealer: Sealer
) -> None:
    """By one value, of which nothing is said."""
    make(engine, PLAIN, VALUES)
    problem = only(look(engine, Kind.ENCRYPT, type_, source, "sealed"))
    assert problem.startswith(f"patients.{source}: ")
    assert "example" not in problem
    assert "30" not in problem


def test_only_texts_and_bytes_change_places_with_their_envelopes(
    engine: Engine, sealer: Sealer
) -> None:
    """A number and its envelope do not go into one column."""
    make(engine, PLAIN)
    for kind in (Kind.ENCRYPT, Kind.DECRYPT):
        assert "use another column" in only(look(engine, kind, EncryptedInteger(), name="sealed"))


@ON_MARIADB_TOO
def test_a_check_constraint_that_would_refuse_is_found(engine: Engine, sealer: Sealer) -> None:
    """Of the sealed column when it is decrypted in place; of the plaintext when it is encrypted."""
    table = sa.Table(
        "patients",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", EncryptedString(storage="text")),
        sa.Column("note", sa.Text),
        sa.CheckConstraint("length(note) < 20", name="short"),
    )
    table.create(engine)
    problem = only(look(engine, Kind.DECRYPT, TEXT))
    assert "patients_email_sealed lets nothing in but envelopes; drop it first" in problem
    assert "short is about plaintext" in only(look(engine, Kind.ENCRYPT, TEXT, name="note"))
    assert look(engine, Kind.RESEAL, TEXT) == []


@ON_MARIADB_TOO
def test_what_holds_plaintext_unique_is_found(engine: Engine, sealer: Sealer) -> None:
    """In place it compares envelopes; beside, the sealed column wants an index of its own."""
    make(
        engine,
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, email VARCHAR(200), sealed BYTES)",
        "CREATE UNIQUE INDEX ux_email ON patients (email)",
    )
    assert "ux_email is over it and compares envelopes" in only(look(engine, Kind.ENCRYPT, TEXT))
    [warning] = look(engine, Kind.ENCRYPT, EncryptedString(), "email", "sealed")
    assert warning.is_warning
    assert "BlindIndex(unique=True)" in warning.problem
    unique = EncryptedString(index=BlindIndex(unique=True))
    assert look(engine, Kind.ENCRYPT, unique, "email", "sealed") == []


@ON_MARIADB_TOO
def test_a_key_that_would_be_changed_is_found(engine: Engine, sealer: Sealer) -> None:
    """Rows are found again by their key."""
    make(engine, "CREATE TABLE patients (email VARCHAR(200) PRIMARY KEY)")
    assert "is part of the key" in only(look(engine, Kind.ENCRYPT, TEXT))


@pytest.mark.postgres
def test_what_the_database_refuses_is_an_error(postgres_url: str, sealer: Sealer) -> None:
    """A role that may not read the table; it is told by the state of the statement only."""
    engine = sa.create_engine(postgres_url)
    name = f"reader_{uuid4().hex}"
    schema = f"s_{uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
        connection.execute(
            sa.text(f"CREATE TABLE {schema}.patients (id int PRIMARY KEY, email varchar(100))")
        )
        connection.execute(sa.text(f"CREATE ROLE {name}; GRANT USAGE ON SCHEMA {schema} TO {name}"))
    table = sa.Table("patients", sa.MetaData(), sa.Column("email", TEXT.copy()), schema=schema)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"SET ROLE {name}"))
            with pytest.raises(ResealError, match="the database user may not do this"):
                findings(connection, Kind.ENCRYPT, sealed_columns(table))
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE; DROP ROLE {name}"))
        engine.dispose()


# -- keys


def test_a_process_that_can_only_seal_encrypts_and_does_nothing_else() -> None:
    """With the public half of the KEK there is nothing to open values with."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    store, name = MemoryKeystore(), f"public-{uuid4()}"
    KeyManager(store, RsaKey(private)).create(name)
    get_sealer(name).configure(keystore=store, provider=RsaKey(public))
    columns = declared(EncryptedString(sealer=name))
    check_keys(Kind.ENCRYPT, columns)
    for kind in (Kind.RESEAL, Kind.DECRYPT, Kind.VERIFY):
        with pytest.raises(ProviderDeniedError, match="can seal and not open"):
            check_keys(kind, columns)


def test_without_keys_there_is_no_run(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said before a row is read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeystoreError, match=r"sealed\.root\.key: there is no root key file"):
        check_keys(Kind.RESEAL, declared(EncryptedString(sealer=f"none-{uuid4()}")))
