"""
What is wrong when a database refuses: one error of ours for each cause.

Drivers tell causes by number. Their texts may quote what was sent, and are never shown.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from ..drivercodes import code_of
from ..errors import KeystoreConflictError, KeystoreError

_TAKEN, _LOCKED = "taken", "locked"

_POSTGRESQL = {  # PostgreSQL: Appendix A, error codes
    "23505": _TAKEN,
    "40001": _LOCKED,
    "40P01": _LOCKED,
    "55P03": _LOCKED,
    "57014": "slow",
    "42P01": "missing",
    "3F000": "missing",
    "42703": "shape",
    "42804": "shape",
    "42883": "shape",
    "23502": "shape",
    "42501": "denied",
    "25006": "read-only",
    "28000": "login",
    "28P01": "login",
    "3D000": "login",
    "53100": "full",
}
_MYSQL = {  # MariaDB: error codes
    1062: _TAKEN,
    1020: _LOCKED,
    1205: _LOCKED,
    1213: _LOCKED,
    1969: "slow",
    3024: "slow",
    1146: "missing",
    1054: "shape",
    1364: "shape",
    1406: "shape",
    1142: "denied",
    1143: "denied",
    1290: "read-only",
    1792: "read-only",
    1836: "read-only",
    1044: "login",
    1046: "login",
    1045: "login",
    1049: "login",
    1698: "login",
    1021: "full",
    1114: "full",
}
_SQLITE = {  # SQLite: result and error codes
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: _TAKEN,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: _TAKEN,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_CANTOPEN: "no file",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_FULL: "full",
}
_SQLITE_TEXTS = {  # SQLite has one code for these
    "no such table": "missing",
    "unknown database": "missing",
    "no such column": "shape",
    "has no column": "shape",
}
_PROBLEMS = {
    "slow": "the database ended the statement because it took too long",
    "missing": "the database has no such table; make it by DatabaseKeystore.create(), by 'sealed "
    "keys create --create-table', or by a migration with op.create_sealed_keys_table()",
    "shape": "the table does not have the columns of this version; migrate it",
    "denied": "the database user may not do this: SELECT is needed to use keys, INSERT and "
    "UPDATE to change them, and USAGE of the schema",
    "read-only": "the database is read-only, as a replica is; change keys where it can be written",
    "login": "the database refuses the login: user or password are wrong, or there is no such "
    "database",
    "full": "the disk of the database is full",
    "no file": "the file of the database cannot be opened",
    "damaged": "the file of the database is damaged, or not one of SQLite",
}


class TakenError(KeystoreConflictError):
    """A place or an id of new records is taken; which one has to be looked up."""


def problem_of(error: SQLAlchemyError, where: str) -> KeystoreError:
    """Return the error of ours for what a database, or the way to it, raised."""
    kind = _kind(error)
    if kind == _TAKEN:
        return TakenError("a place or an id of new keys is taken", where=where)
    if kind == _LOCKED:
        return KeystoreConflictError(
            "others have held a lock of the database for too long; nothing was written, try again",
            where=where,
        )
    name = type(error.orig if isinstance(error, DBAPIError) else error).__name__
    problem = _PROBLEMS.get(kind) or f"the database cannot be reached or refuses ({name})"
    return KeystoreError(problem, where=where)


def _kind(error: SQLAlchemyError) -> str:
    if not isinstance(error, DBAPIError):
        return ""
    code = code_of(error)
    if isinstance(code, str):
        return _POSTGRESQL.get(code, "")
    if isinstance(code, int):
        is_sqlite = hasattr(error.orig, "sqlite_errorcode")
        return _kind_of_sqlite(code, str(error.orig)) if is_sqlite else _MYSQL.get(code, "")
    # A driver that tells no codes: that a constraint was violated is all there is to know.
    return _TAKEN if isinstance(error, IntegrityError) else ""


def _kind_of_sqlite(code: int, text: str) -> str:
    kind = _SQLITE.get(code) or _SQLITE.get(code & 0xFF)
    if kind is None:
        kind = next((kind for part, kind in _SQLITE_TEXTS.items() if part in text), "")
    return kind
