"""A table of keys that was damaged, and causes of failure that are hard to bring about."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pymysql
import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from keystores.databases import refused
from sqlalchemy_sealed.errors import KeystoreConflictError, KeystoreError
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.dberrors import problem_of
from sqlalchemy_sealed.testing import record


@pytest.fixture
def store(engine: Engine) -> DatabaseKeystore:
    """Return a keystore with one record."""
    keystore = DatabaseKeystore(engine)
    keystore.create()
    keystore.add(record())
    return keystore


DAMAGED: dict[str, dict[str, Any]] = {
    "a kind that there is not": {"kind": "root"},
    "generation 0": {"generation": 0},
    "an id that is not hexadecimal": {"id": "zz" * 8},
    "an id in upper case": {"id": "AA" * 8},
    "an id that is too short": {"id": "aa"},
    "a key that is missing": {"wrapped": ""},
    "a time without a zone": {"created": "2026-01-02T03:04:05"},
    "a time that is none": {"created": "yesterday"},
    "an index key id that is empty": {"index_key_id": ""},
    "a bridge that is too short": {"bridge_key_id": "ab"},
    "a state that there is not": {"state": "lost"},
    "a destroyed key that is there": {"state": "destroyed"},
    "a date without a zone": {"due": "2026-04-01T00:00:00"},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
@ON_MARIADB_TOO
def test_a_damaged_row_is_refused(
    damage: dict[str, Any], store: DatabaseKeystore, engine: Engine
) -> None:
    """Nothing is read as something that it is not; the message says where another copy is."""
    with engine.begin() as connection:
        connection.execute(store.table.update().values(damage))
    with refused(r"the keystore is damaged: record 1 is not a key record; .*backup"):
        store.load("default")


def test_a_name_that_is_not_unicode_is_damage(mariadb_engine: Engine) -> None:
    """MariaDB keeps names as bytes, which somebody may have changed."""
    store = DatabaseKeystore(mariadb_engine)
    store.create()
    store.add(record())
    with mariadb_engine.begin() as connection:
        connection.execute(store.table.update().values(name=b"\xff\xfe"))
    with refused("damaged: a key name is not UTF-8"):
        store.names()


# -- causes that are hard to bring about

SECRET = "what was sent"
CAUSES = [
    (psycopg.errors.lookup("40P01")(SECRET), KeystoreConflictError, "nothing was written"),
    (psycopg.errors.lookup("40001")(SECRET), KeystoreConflictError, "nothing was written"),
    (psycopg.errors.lookup("53100")(SECRET), KeystoreError, "disk of the database is full"),
    (psycopg.errors.lookup("57014")(SECRET), KeystoreError, "took too long"),
    (psycopg.errors.lookup("28P01")(SECRET), KeystoreError, "refuses the login"),
    (psycopg.InterfaceError(SECRET), KeystoreError, r"cannot be reached or refuses \(Interface"),
    (pymysql.OperationalError(1213, SECRET), KeystoreConflictError, "nothing was written"),
    (pymysql.OperationalError(1020, SECRET), KeystoreConflictError, "nothing was written"),
    (pymysql.OperationalError(1114, SECRET), KeystoreError, "disk of the database is full"),
    (pymysql.OperationalError(1836, SECRET), KeystoreError, "read-only"),
    (pymysql.OperationalError(2013, SECRET), KeystoreError, r"or refuses \(OperationalError\)"),
    (sqlite3.OperationalError(SECRET), KeystoreError, r"or refuses \(OperationalError\)"),
]


@pytest.mark.parametrize(("cause", "kind", "match"), CAUSES)
def test_each_cause_has_an_error(cause: Any, kind: type[KeystoreError], match: str) -> None:
    """Exceptions as drivers raise them, for what no test can bring about safely."""
    problem = problem_of(DBAPIError("INSERT", {"wrapped": SECRET}, cause), "sealed_keys")
    assert type(problem) is kind
    with pytest.raises(kind, match=match):
        raise problem
    assert SECRET not in str(problem)


def test_a_driver_without_codes_says_as_much_as_it_can() -> None:
    """That a constraint was violated is known of any driver."""
    taken = problem_of(IntegrityError("INSERT", {}, sqlite3.IntegrityError("?")), "sealed_keys")
    assert isinstance(taken, KeystoreConflictError)
