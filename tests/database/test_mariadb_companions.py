"""Companion columns on a real MariaDB server: used by its optimizer, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index

pytestmark = pytest.mark.mariadb

ROWS = 1000


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "The people"

    id: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[int]
    email: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex()))
    phone: Mapped[str] = mapped_column(
        "Phone No", EncryptedString(storage="text", index=BlindIndex())
    )
    login: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex(unique=True)))
    __table_args__ = (
        sa.Index("ix email", blind_index(email)),
        sa.Index("ix_phone", blind_index(phone)),
    )


Other = aliased(Person)
SEVERAL = [f"{n}" for n in range(100)]


@pytest.fixture
def session(mariadb_engine: sa.Engine, sealer: Sealer) -> Iterator[Session]:
    """Return a session on a table of a thousand rows."""
    Base.metadata.create_all(mariadb_engine)
    with Session(mariadb_engine) as session:
        fill(session)
        yield session


def fill(session: Session) -> None:
    """Insert the rows, and let the server count them."""
    values = [
        {"group": 1} | dict.fromkeys(("email", "phone", "login"), f"{n}") for n in range(ROWS)
    ]
    session.execute(sa.insert(Person), values)
    session.commit()
    session.execute(sa.text("ANALYZE TABLE `The people`")).all()


def plan(session: Session, statement: Any) -> set[tuple[str, str | None, str | None]]:
    """Execute a statement; return how the server finds its rows: table, kind of access, index."""
    sent: list[Any] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_more: Any) -> None:
        sent.append((sql, parameters))

    connection = session.connection()
    sa.event.listen(connection, "before_cursor_execute", note)
    session.execute(statement.execution_options(synchronize_session=False))
    sa.event.remove(connection, "before_cursor_execute", note)
    ((sql, parameters),) = sent
    rows = connection.exec_driver_sql(f"EXPLAIN {sql}", parameters).mappings()
    return {(row["table"], row["type"], row["key"]) for row in rows}


TABLE = "The people"
PLANS = {
    "equal": (sa.select(Person).where(Person.email == "7"), (TABLE, "ref", "ix email")),
    "in": (sa.select(Person).where(Person.email.in_(SEVERAL)), (TABLE, "range", "ix email")),
    "text, equal": (sa.select(Person).where(Person.phone == "7"), (TABLE, "ref", "ix_phone")),
    "text, in": (sa.select(Person).where(Person.phone.in_(SEVERAL)), (TABLE, "range", "ix_phone")),
    "unique": (
        sa.select(Person).where(Person.login == "7"),
        (TABLE, "const", "ux_The people_login_equal"),
    ),
    "alias": (sa.select(Other).where(Other.email == "7"), ("The_people_1", "ref", "ix email")),
    "update": (
        sa.update(Person).where(Person.email.in_(SEVERAL)).values(group=2),
        (TABLE, "range", "ix email"),
    ),
    "delete": (sa.delete(Person).where(Person.phone == "7"), (TABLE, "range", "ix_phone")),
    "count": (
        sa.select(sa.func.count()).where(Person.email == "7"),
        (TABLE, "ref", "ix email"),
    ),
}


def test_the_optimizer_uses_the_indexes(session: Session) -> None:
    """EXPLAIN names the index, for one value and for a hundred, in each kind of statement."""
    seen = {name: plan(session, statement) for name, (statement, _) in PLANS.items()}
    assert seen == {name: {expected} for name, (_, expected) in PLANS.items()}


def test_a_join_uses_the_index(session: Session) -> None:
    """The second table of a join over sealed columns is looked up, not read as a whole."""
    join = sa.select(Person.id, Other.id).join(Other, Other.email == Person.email)
    accesses = {(kind, key) for _, kind, key in plan(session, join.where(Person.id == 7))}
    assert accesses == {("const", "PRIMARY"), ("ref", "ix email")}


def test_nobody_sees_them_who_does_not_ask(session: Session) -> None:
    """`SELECT *` and an INSERT without a list of columns know the declared columns only."""
    row = session.execute(sa.text("SELECT * FROM `The people` LIMIT 1")).mappings().one()
    assert list(row) == ["id", "group", "email", "Phone No", "login"]
    copied = sa.text("INSERT INTO `The people` VALUES (9999, 1, :email, :phone, NULL)")
    session.execute(sa.text("ALTER TABLE `The people` MODIFY login longblob"))
    session.execute(copied, {"email": row["email"], "phone": row["Phone No"]})
    email = session.scalar(sa.select(Person.email).where(Person.id == 9999))
    found = session.scalars(sa.select(Person.id).where(Person.email == email)).all()
    assert sorted(found) == [row["id"], 9999]


def test_a_changed_value_is_found_by_its_new_one(session: Session) -> None:
    """The companion follows UPDATE, also of values that lie off the page, and NULL."""
    long = "x" * 100_000
    everybody = sa.update(Person).where(Person.id <= 50)
    session.execute(everybody.values(email=long))
    assert len(session.scalars(sa.select(Person.id).where(Person.email == long)).all()) == 50
    session.execute(everybody.values(email=None))
    assert session.scalars(sa.select(Person.id).where(Person.email == long)).all() == []
    session.rollback()
    assert len(session.scalars(sa.select(Person.id).where(Person.email.in_(SEVERAL))).all()) == 100
    checked = session.execute(sa.text("CHECK TABLE `The people` EXTENDED")).all()
    assert [row[-1] for row in checked] == ["OK"]


def test_an_index_is_made_and_dropped_later(session: Session) -> None:
    """On a table with rows, the index brings its companion, and takes it away."""
    (index,) = (i for i in Person.__table__.indexes if i.name == "ix email")
    companion = sa.text(
        "SELECT count(*) FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND column_name = 'email_sealed_slot0'"
    )
    statement, access = PLANS["equal"]
    assert session.scalar(companion) == 1
    session.commit()
    index.drop(session.get_bind())
    assert session.scalar(companion) == 0
    session.commit()
    with pytest.raises(sa.exc.OperationalError, match="Unknown column"):
        session.execute(statement)
    session.rollback()
    index.create(session.get_bind())
    assert session.scalar(companion) == 1
    assert plan(session, statement) == {access}


def test_two_indexes_share_a_companion(session: Session) -> None:
    """An index over the same slot as another one, and more, can be made in any order."""
    table = Person.__table__.to_metadata(sa.MetaData(), name="copied")
    sa.Index("ix_both", table.c.group, blind_index(table.c.email))
    table.create(session.get_bind())
    columns = session.execute(sa.text("SHOW COLUMNS FROM copied")).scalars().all()
    assert columns.count("email_sealed_slot0") == 1
    indexes = {index["name"] for index in sa.inspect(session.connection()).get_indexes("copied")}
    assert {"ix email", "ix_both"} <= indexes


def test_a_reflected_table(session: Session) -> None:
    """A table that is read from the database writes as ever; its sealed column is searched."""
    table = sa.Table(
        "The people",
        sa.MetaData(),
        sa.Column("email", Person.__table__.c.email.type),
        autoload_with=session.get_bind(),
    )
    old = dict(session.execute(table.select().where(table.c.email == "7")).mappings().one())
    plain = {name: old[name] for name in ("group", "Phone No")}
    session.execute(sa.delete(Person).where(Person.email == "7"))
    session.execute(table.insert(), plain | {"email": "new", "login": old["login"]})
    statement = table.select().where(table.c.email == "new")
    assert session.execute(statement).mappings().one()["email"] == "new"
    assert plan(session, statement) == {(TABLE, "ref", "ix email")}


def test_another_schema(session: Session) -> None:
    """In a table of a named schema, translated or not, the indexes are made and used."""
    database = session.scalar(sa.text("SELECT DATABASE()"))
    for metadata, options in [
        (sa.MetaData(schema=database), {}),
        (sa.MetaData(schema="elsewhere"), {"schema_translate_map": {"elsewhere": database}}),
    ]:
        column = sa.Column("email", EncryptedString(index=BlindIndex(), context="email"))
        table = sa.Table("named", metadata, column)
        sa.Index("ix", blind_index(column))
        engine = session.get_bind().execution_options(**options)
        with engine.begin() as connection:
            metadata.create_all(connection)
            connection.execute(table.insert(), {"email": "ada"})
            assert connection.scalar(sa.select(column).where(column == "ada")) == "ada"
            connection.execute(sa.update(table).where(column == "ada").values(email="bob"))
            assert connection.scalar(sa.select(column).where(column == "bob")) == "bob"
            metadata.drop_all(connection)


def test_all_is_dropped(session: Session) -> None:
    """`drop_all` leaves nothing behind, and `create_all` begins anew."""
    session.commit()
    Base.metadata.drop_all(session.get_bind())
    assert sa.inspect(session.get_bind()).get_table_names() == []
    Base.metadata.create_all(session.get_bind())
    fill(session)
    assert session.scalar(sa.select(Person.email).where(Person.email == "7")) == "7"
