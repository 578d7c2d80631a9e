"""
Fixtures: the installation that the runbook is about, and the hours that pass in it.

A Vault with the transit key, the policies and the AppRole of the how-to; a PostgreSQL database with
sealed rows and, in a table, the keystore; applications, which reach Vault by a way that can be cut.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from runbook import Section, queries
from servers import openbao
from servers.openbao import OpenBao
from servers.relay import Relay, relaying
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    KeyManager,
    Keystore,
    Sealer,
    flights,
    get_sealer,
    keycache,
    keykeeper,
    opening,
    sealer,
    sealing,
)
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.reseal.tasks import reseal
from sqlalchemy_sealed.vault import AppRoleAuth, DesiredKey, TokenAuth, Vault, apply, policy

ROWS = 20


class Base(DeclarativeBase):
    """Of the model."""


class Customer(Base):
    """A row with sealed columns."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex()))
    note: Mapped[str] = mapped_column(EncryptedString(storage="text"))


class Shop:
    """
    The installation.

    Attributes:
        folder: where commands are run, and the secret id lies.
        vault: a connection with a root token.
        relay: the way of the applications to Vault.
        keystore: the keystore, in the database.
        environment: what the shell knows.
    """

    def __init__(self, server: OpenBao, relay: Relay, url: sa.URL, folder: Path) -> None:
        self.vault = Vault(server.url, auth=TokenAuth(server.token))
        self.relay, self.folder = relay, folder
        self.sections: list[Section] = []
        self.database = url.render_as_string(hide_password=False)
        self.engine = sa.create_engine(url)
        self.keystore: Keystore = DatabaseKeystore(url)
        self.environment = {
            "PATH": os.pathsep.join([str(_programs(folder)), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "COLUMNS": "120",
            "VAULT_ADDR": server.url,
            "VAULT_TOKEN": server.token,
            "SEALED_KEK": "vault:transit/sealed",
            "SEALED_KEYSTORE": self.database,
            "DATABASE": self.database,
        }

    def install(self) -> None:
        """Make all of it, as the how-to of Vault does, and the first key."""
        apply(self.vault, DesiredKey())
        for role in ("application", "rotator"):
            self.bao("policy", "write", f"sealed-{role}", "-", text=policy(role))
        self.bao("auth", "enable", "approle")
        role = "auth/approle/role/shop"
        self.bao("write", role, "token_policies=sealed-application", "token_ttl=1h")
        (self.folder / "role-id").write_text(self.bao("read", "-field=role_id", f"{role}/role-id"))
        secret = self.bao("write", "-f", "-field=secret_id", f"{role}/secret-id")
        (self.folder / "secret-id").touch(mode=0o600)
        (self.folder / "secret-id").write_text(secret)
        DatabaseKeystore(self.database).create()
        self.manager.create("default")
        Base.metadata.create_all(self.engine)

    # -- the application

    def login(self) -> AppRoleAuth:
        """Return the login of the application."""
        role_id = (self.folder / "role-id").read_text().strip()
        return AppRoleAuth(role_id, secret_id_file=self.folder / "secret-id")

    def start(self, name: str | None = None) -> Sealer:
        """Return the sealer of a process that starts; without a name, of one more process."""
        provider = VaultTransit(Vault(self.relay.url, auth=self.login(), timeout=5))
        process = get_sealer(name or f"process-{uuid4()}")
        keys = {"keystore": self.keystore, "provider": provider, "key_name": "default"}
        process.configure(**keys, replace=True)
        return process

    def write(self) -> None:
        """Seal some rows in the application, whose sealer is "default"."""
        with Session(self.engine) as session, session.begin():
            session.add_all(
                Customer(email=f"customer{n}@example.org", note="none") for n in range(ROWS)
            )

    def read(self) -> int:
        """Open all rows, and return how many there are."""
        with Session(self.engine) as session:
            found = session.scalars(sa.select(Customer)).all()
            assert {each.note for each in found} <= {"none"}
            return len(found)

    def search(self) -> int:
        """Return how many rows have the address of the first customer."""
        with Session(self.engine) as session:
            query = sa.select(Customer.id).where(Customer.email == "customer0@example.org")
            return len(session.scalars(query).all())

    def goes_on(self, rows: int) -> None:
        """Check that the application opens all rows, searches, and seals more."""
        assert self.read() == rows
        assert self.search() == rows / ROWS
        self.write()

    def count(self) -> dict[str, int]:
        """Return how many rows are under which data key, as the page counts them."""
        (query,) = queries()
        with self.engine.connect() as connection:
            return dict(connection.exec_driver_sql(query).all())

    def reseal(self) -> None:
        """Reseal all rows, as `sealed rotate` does."""
        for summary in reseal(self.engine, Base):
            assert summary.finished
            assert not summary.bad

    # -- who works on it

    @property
    def manager(self) -> KeyManager:
        """What changes keys, with a root token."""
        return KeyManager(self.keystore, VaultTransit(self.vault))

    def runbook(self, heading: str) -> Section:
        """Return a section of the runbook, to be performed here, all of it."""
        self.sections.append(Section(heading, self.folder, self.environment))
        return self.sections[-1]

    def bao(self, *arguments: str, text: str = "", **settings: str) -> str:
        """Run `bao`, and return what it prints."""
        done = subprocess.run(
            ["bao", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment | settings,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def data_keys(self) -> list[KeyRecord]:
        """Return the data keys that the keystore has, the oldest first."""
        found = [each for each in self.keystore.load("default") if each.kind is KeyKind.DATA]
        return sorted(found, key=lambda each: each.generation)

    def accessors(self) -> list[str]:
        """Return the accessors of the secret ids that log in."""
        listed = self.bao("list", "-format=json", "auth/approle/role/shop/secret-id")
        return list(json.loads(listed))

    def token_of(self, role: str) -> str:
        """Return a token with the policy of a role."""
        return self.bao("token", "create", f"-policy=sealed-{role}", "-field=token")


def _programs(folder: Path) -> Path:
    """Return a folder with `sealed`, `python` and `bao`."""
    place = folder / "bin"
    place.mkdir()
    (place / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    main = "from sqlalchemy_sealed.cli import main; main()"
    (place / "sealed").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{main}" "$@"\n')
    (place / "bao").symlink_to(openbao.installation())
    for each in ("python", "sealed"):
        (place / each).chmod(0o755)
    return place


@contextmanager
def running_shop(server: OpenBao, postgres_url: str, folder: Path) -> Iterator[Shop]:
    """Install it around a Vault, start its application, the sealer "default", and write rows."""
    with empty_schema(postgres_url) as url, relaying(server.url) as relay:
        shop = Shop(server, relay, url, folder)
        try:
            shop.install()
            shop.start("default")
            shop.write()
            yield shop
        finally:
            shop.engine.dispose()
        assert [each.heading for each in shop.sections if each.left] == []


@pytest.fixture
def sealers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no sealers but those of this test."""
    monkeypatch.setattr(sealer, "_sealers", {})


@pytest.fixture
def shop(sealers: None, fresh_bao: OpenBao, postgres_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Return the installation, with rows; its application, the sealer "default", runs."""
    with running_shop(fresh_bao, postgres_url, tmp_path) as shop:
        yield shop


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets a time pass, in seconds, for the limits of keys."""
    now, ahead = keykeeper.monotonic, [0.0]
    modules: tuple[Any, ...] = (keykeeper, sealing, opening, keycache, flights)
    for module in modules:
        monkeypatch.setattr(module, "monotonic", lambda: now() + ahead[0])
    return lambda seconds: ahead.append(ahead.pop() + seconds)
