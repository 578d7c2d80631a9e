"""An application whose keys lie in its own database, beside the values that they seal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import URL, Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import EncryptedString, KeyManager, LocalRootKey, get_sealer
from sqlalchemy_sealed.keystores.database import DatabaseKeystore, keys_table

pytestmark = ON_MARIADB_TOO


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString(sealer="beside"))


keys_table(Base.metadata)


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """Return an engine that has one connection."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def manager(engine: Engine, provider: LocalRootKey) -> Iterator[KeyManager]:
    """Return the manager of the keys in that database, and configure the sealer with them."""
    manager = KeyManager(DatabaseKeystore(engine), provider)
    manager.create("beside")
    sealer = get_sealer("beside")
    sealer.configure(keystore=manager.keystore, provider=provider, replace=True)
    yield manager
    sealer.keeper = None


def test_a_key_is_looked_for_while_a_transaction_is_open(
    manager: KeyManager, engine: Engine
) -> None:
    """A row under a key that another process has made is read, though no connection is free."""
    sealer = get_sealer("beside")
    before = sealer.keyset
    other = get_sealer("beside, in another process")
    manager.rotate("beside")
    other.configure(
        keystore=manager.keystore, provider=manager.provider, key_name="beside", replace=True
    )
    envelope = other.seal(b"ada@example.org", "patients.email")
    with Session(engine) as session:
        table = Base.metadata.tables["patients"]
        session.connection().exec_driver_sql(
            str(table.insert().compile(dialect=engine.dialect, column_keys=["id", "email"])),
            {"id": 1, "email": envelope} if engine.dialect.name != "sqlite" else (1, envelope),
        )
        assert session.scalars(select(Patient)).one().email == "ada@example.org"
    assert sealer.keyset.primary.generation == before.primary.generation + 1


def test_a_rollback_of_values_keeps_the_key_that_was_made_meanwhile(
    manager: KeyManager, engine: Engine
) -> None:
    """Other processes may have sealed under it already."""
    sealer = get_sealer("beside")
    with Session(engine) as session:
        session.scalars(select(Patient)).all()
        primary = sealer.rotate().primary
        session.add(Patient(email="ada@example.org"))
        session.flush()
        session.rollback()
        assert session.scalars(select(Patient)).all() == []
    assert manager.keyset("beside").primary == primary
