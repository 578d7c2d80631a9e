"""`sealed keys destroy --scan` with logins that are not on the command line."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from key_commands import in_a_folder, keys, listed
from sqlalchemy import Engine

PASSWORD = "hunter2-hunter2-hunter2"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a retired key, in a folder with its keystore."""
    in_a_folder(tmp_path, monkeypatch)
    keys("rotate")
    return listed()[0]["id"]


def scanned(old: str, url: str, *options: str) -> str:
    """Return what a scan says."""
    done = keys("destroy", old, "--scan", url, "--dry-run", *options)
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_login_to_mariadb_is_read_from_a_file(
    mariadb_engine: Engine, old: str, tmp_path: Path
) -> None:
    """User and password stand in an option file, as for the programs of MariaDB."""
    user, url = f"u{uuid4().hex[:20]}", mariadb_engine.url
    with mariadb_engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE patients (email BLOB)"))
        connection.execute(sa.text(f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'"))
        connection.execute(sa.text(f"GRANT SELECT ON {url.database}.* TO {user}@'%'"))
    file = tmp_path / "my.cnf"
    file.touch(mode=0o600)
    file.write_text(f"[client]\nuser = {user}\npassword = {PASSWORD}\n")
    place = f"mysql://{url.host}:{url.port}/{url.database}"
    try:
        assert "1 column of 1 table: no row under this key" in scanned(
            old, f"{place}?read_default_file={file}"
        )
        file.write_text(f"[client]\nuser = {user}\npassword = wrong\n")
        assert "no connection" in scanned(old, f"{place}?read_default_file={file}")
    finally:
        with mariadb_engine.begin() as connection:
            connection.execute(sa.text(f"DROP USER {user}@'%'"))


def test_a_login_to_postgresql_is_read_from_the_environment(
    postgres_url: str, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password are variables of libpq; a file of it will do as well."""
    user, url = f"u{uuid4().hex[:20]}", sa.make_url(postgres_url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {user}"))
        connection.execute(sa.text(f"CREATE TABLE {user}.patients (email BYTEA)"))
        connection.execute(sa.text(f"CREATE USER {user} PASSWORD '{PASSWORD}'"))
        connection.execute(sa.text(f"GRANT USAGE ON SCHEMA {user} TO {user}"))
    monkeypatch.setenv("PGUSER", user)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    place = f"postgresql://{url.host}:{url.port}/{url.database}"
    try:
        said = scanned(old, place, "--schema", user)
        assert "cannot be read as a whole (InsufficientPrivilege)" in said
        with engine.begin() as connection:
            connection.execute(sa.text(f"GRANT SELECT ON {user}.patients TO {user}"))
        assert "1 column of 1 table: no row under this key" in scanned(old, place, "--schema", user)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {user} CASCADE"))
            connection.execute(sa.text(f"DROP USER {user}"))
        engine.dispose()
