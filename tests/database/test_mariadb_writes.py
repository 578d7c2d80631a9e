"""Unique indexes, upserts and index rotation on a real MariaDB server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index
from sqlalchemy_sealed.errors import RefusedOperationError

pytestmark = pytest.mark.mariadb


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    logins: Mapped[int] = mapped_column(default=1)
    email: Mapped[str | None] = mapped_column(
        EncryptedString(index=BlindIndex(unique=True, normalize="casefold"))
    )
    pin: Mapped[str | None] = mapped_column(
        EncryptedString(storage="text", index=BlindIndex(bridge=True))
    )
    plain: Mapped[str | None] = mapped_column(sa.String(50))
    __table_args__ = (sa.Index("ux_pin", "logins", blind_index(pin), unique=True),)


@pytest.fixture
def session(mariadb_engine: sa.Engine, sealer: Sealer) -> Iterator[Session]:
    """Return a session on a table with one account."""
    Base.metadata.create_all(mariadb_engine)
    with Session(mariadb_engine) as session:
        session.add(Account(email="Ada@example.org", pin="4711"))
        session.commit()
        yield session


def is_taken(session: Session, email: str) -> bool:
    """Whether the unique index refuses another account of this address."""
    savepoint = session.begin_nested()
    try:
        session.execute(sa.insert(Account), {"email": email})
    except sa.exc.IntegrityError:
        return True
    finally:
        savepoint.rollback()
    return False


def found(session: Session, email: str) -> list[int]:
    """Return the ids of the accounts of an address."""
    return list(session.scalars(sa.select(Account.id).where(Account.email == email)))


def test_a_unique_index_refuses_equal_values(session: Session) -> None:
    """Equal after normalisation is equal; other values and NULLs may be there many times."""
    assert is_taken(session, "ADA@example.org")
    assert not is_taken(session, "bob@example.org")
    session.add_all([Account(email=None), Account(email=None)])
    session.flush()
    with pytest.raises(sa.exc.IntegrityError, match="ux_pin"):
        session.execute(sa.insert(Account), {"pin": "4711"})
    session.execute(sa.insert(Account), {"pin": "4711", "logins": 2})


def test_values_that_differ_in_a_trailing_bit_are_different(session: Session) -> None:
    """Slots are compared byte by byte: no collation makes two of them equal."""
    session.execute(sa.insert(Account), [{"email": f"{n}@x", "pin": f"{n}"} for n in range(2000)])
    slots = sa.select(sa.func.count(blind_index(Account.pin).distinct()))
    assert session.scalar(slots) == 2001


def test_an_upsert_updates_the_row_of_an_equal_value(session: Session) -> None:
    """ON DUPLICATE KEY UPDATE meets the row through the unique index, and seals new values."""
    for email in ("ADA@EXAMPLE.ORG", "bob@example.org"):
        upsert = insert(Account).values(email=email, pin="0815", plain="new")
        session.execute(
            upsert.on_duplicate_key_update(
                email=upsert.inserted.email, pin="1234", plain="old", logins=Account.logins + 1
            )
        )
    rows = sa.select(Account.email, Account.pin, Account.plain, Account.logins)
    assert session.execute(rows.order_by(Account.id)).all() == [
        ("ADA@EXAMPLE.ORG", "1234", "old", 2),
        ("bob@example.org", "0815", "new", 1),
    ]
    assert found(session, "ada@example.org") == [1]
    stored = session.scalars(sa.text("SELECT pin FROM accounts")).all()
    assert [value[:4] for value in stored] == ["seal", "seal"]


def test_an_upsert_of_many_rows(session: Session) -> None:
    """An executemany upsert seals the values of each row."""
    upsert = insert(Account)
    upsert = upsert.on_duplicate_key_update(
        email=upsert.inserted.email, pin=upsert.inserted.pin, plain=upsert.inserted.plain
    )
    people = ["ada@example.org", "bob@example.org", "cy@example.org"]
    rows = [{"email": email, "pin": email[:3], "plain": email[:1]} for email in people]
    session.execute(upsert, rows)
    session.execute(upsert, rows)
    accounts = session.execute(sa.select(Account.email, Account.pin, Account.plain)).all()
    assert sorted(accounts) == [(email, email[:3], email[:1]) for email in people]


def test_many_updates_at_once(session: Session) -> None:
    """An executemany UPDATE searches and seals the values of each row."""
    people = [f"{n}@example.org" for n in range(9)]
    session.execute(sa.insert(Account), [{"email": email} for email in people])
    change = (
        sa.update(Account.__table__)
        .where(Account.__table__.c.email == sa.bindparam("old"))
        .values(email=sa.bindparam("new"), plain=sa.bindparam("old_name"))
    )
    session.connection().execute(
        change, [{"old": who, "new": f"new-{who}", "old_name": who} for who in people]
    )
    changed = sa.select(Account.email, Account.plain).where(Account.plain.is_not(None))
    assert sorted(session.execute(changed)) == [(f"new-{who}", who) for who in people]
    assert [found(session, f"new-{who}") for who in people] == [[n] for n in range(2, 11)]


def test_a_slot_is_returned(session: Session) -> None:
    """INSERT and DELETE return the slot of what they wrote or deleted."""
    slot = blind_index(Account.email)
    written = session.scalar(sa.insert(Account).values(email="bob@x").returning(slot))
    assert session.scalar(sa.select(slot).where(Account.email == "bob@x")) == written
    gone = sa.delete(Account).where(Account.email == "bob@x").returning(slot)
    assert session.scalars(gone.execution_options(synchronize_session=False)).all() == [written]


@pytest.mark.parametrize("value", ["upper", "plain", "other", "literal"])
def test_an_upsert_of_an_expression_is_refused(session: Session, value: str) -> None:
    """What the database would compute and store unsealed, or for another column, is refused."""
    upsert = insert(Account).values(email="ada@example.org", plain="secret")
    values = {
        "upper": sa.func.upper("secret"),
        "plain": upsert.inserted.plain,
        "other": upsert.inserted.pin,
        "literal": sa.literal("secret"),
    }
    with pytest.raises(RefusedOperationError, match=r"accounts\.email"):
        session.execute(upsert.on_duplicate_key_update(email=values[value]))
    with pytest.raises(RefusedOperationError):
        session.execute(upsert.on_duplicate_key_update(plain=upsert.inserted.email))


def test_a_rotation_of_the_index_key(session: Session, sealer: Sealer) -> None:
    """Rows under the old and the new index key are found, and unique, until the bridge ends."""
    session.execute(sa.insert(Account), {"email": "old@example.org"})
    sealer.rotate(index=True)
    session.execute(sa.insert(Account), {"email": "new@example.org"})
    session.commit()
    both = ["OLD@example.org", "NEW@example.org"]
    assert found(session, both[0]) == [2]
    assert found(session, both[1]) == [3]
    among = sa.select(Account.id).where(Account.email.in_(both)).order_by(Account.id)
    assert session.scalars(among).all() == [2, 3]
    others = sa.select(Account.id).where(Account.email.not_in(both))
    assert session.scalars(others).all() == [1]
    other = sa.select(Account.id).where(Account.email != both[0]).order_by(Account.id)
    assert session.scalars(other).all() == [1, 3]
    assert [is_taken(session, email) for email in both] == [True, True]
    assert not is_taken(session, "other@example.org")

    for account in session.scalars(sa.select(Account)).all():
        sa.orm.attributes.flag_modified(account, "email")  # Sealed again, under the new key.
    session.commit()
    assert [found(session, email) for email in both] == [[2], [3]]
    assert [is_taken(session, email) for email in both] == [True, True]
