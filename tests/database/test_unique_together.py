"""Unique indexes of the application over a slot and other columns, through a rotation."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index
from sqlalchemy_sealed.errors import ConfigurationError


def accounts(index: BlindIndex, *more: Any, **options: Any) -> sa.Table:
    """Return a table whose logins are unique in their tenant, if that is possible."""
    login: sa.Column[str] = sa.Column("login", EncryptedString(index=index))
    return sa.Table(
        "accounts",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        login,
        sa.Column("tenant", sa.Integer),
        sa.Column("gone", sa.Boolean, default=False),
        sa.Index("ux_login", "tenant", blind_index(login), *more, unique=True, **options),
    )


def accepts(engine: sa.Engine, table: sa.Table, **values: Any) -> bool:
    """Store a row; say whether that was possible."""
    try:
        with engine.begin() as connection:
            connection.execute(sa.insert(table).values(**values))
    except IntegrityError:
        return False
    return True


def reseal(engine: sa.Engine, table: sa.Table) -> None:
    """Write every value anew."""
    with engine.begin() as connection:
        for number, login in connection.execute(sa.select(table.c.id, table.c.login)).all():
            connection.execute(sa.update(table).where(table.c.id == number).values(login=login))


def test_a_login_is_unique_in_its_tenant_throughout(engine: sa.Engine, sealer: Sealer) -> None:
    """Whatever step of the rotation the two rows are from, the second one is refused."""
    table = accounts(BlindIndex(bridge=True, normalize="casefold"))
    table.create(engine)
    manager = sealer.kept().manager
    first = sealer.keyset.primary.key_id
    there: list[str] = []

    def step(name: str) -> None:
        there.append(name)
        for tenant in (1, 2):
            assert accepts(engine, table, tenant=tenant, login=name)
            for login in there:
                assert not accepts(engine, table, tenant=tenant, login=login.upper()), name

    step("before")
    second = sealer.rotate(index=True).primary
    step("rotated")
    sealer.rotate()
    step("rotated in the midst")
    reseal(engine, table)
    with engine.connect() as connection:
        manager.destroy("default", first, databases=[connection])
    sealer.refresh()
    step("destroyed")
    sealer.rotate()
    step("rotated at the end")
    reseal(engine, table)
    for record in sealer.keyset._living_data():
        if record != sealer.keyset.primary:
            with engine.connect() as connection:
                manager.destroy("default", record.key_id, databases=[connection])
    sealer.rotate(index=True)
    step("rotated a second time")
    assert second.key_id not in {record.key_id for record in sealer.keyset._living_data()}


def test_conditions_and_other_expressions_go_with_it(engine: sa.Engine, sealer: Sealer) -> None:
    """A partial index over what is not gone stays one, and so does a function of a plain column."""
    gone: sa.Column[bool] = sa.Column("gone", sa.Boolean)
    where = {"postgresql_where": gone.is_(False), "sqlite_where": gone.is_(False)}
    table = accounts(BlindIndex(bridge=True), sa.text("abs(tenant)"), **where)
    table.create(engine)
    for key in ("old", "new"):
        assert accepts(engine, table, tenant=1, login="ada", gone=True), key
        if key == "old":
            assert accepts(engine, table, tenant=1, login="ada", gone=False)
            sealer.rotate(index=True)
        assert not accepts(engine, table, tenant=1, login="ada", gone=False), key
    assert accepts(engine, table, tenant=2, login="ada", gone=False)


def test_without_the_second_slot_it_is_refused() -> None:
    """It would take a value under each index key, and say nothing."""
    with pytest.raises(ConfigurationError, match=r"BlindIndex\(bridge=True\)") as caught:
        accounts(BlindIndex())
    assert caught.value.where == "accounts.login"
    with pytest.raises(ConfigurationError, match="truncated"):
        accounts(BlindIndex(bits=8))
    plain: sa.Column[str] = sa.Column("x", EncryptedString(index=BlindIndex()))
    sa.Table("others", sa.MetaData(), plain)
    with pytest.raises(ConfigurationError, match=r"^others\.x: .* would take a value twice"):
        sa.Index("ux", blind_index(plain), unique=True)
    sa.Index("ix", blind_index(plain))


def test_each_copy_of_a_table_has_both_indexes_once() -> None:
    """The second index is made by the first one, and never copied or doubled."""
    own = accounts(BlindIndex(bridge=True))
    automatic = accounts(BlindIndex(unique=True))
    names = {"ux_login", "ux_login_bridge"}
    made = {"ux_accounts_login_equal", "ux_accounts_login_equal_bridge"}
    for table, expected in ((own, names), (automatic, names | made)):
        for each in (
            table,
            table.to_metadata(sa.MetaData()),
            table.to_metadata(sa.MetaData(), "s"),
        ):
            assert sorted(index.name or "" for index in each.indexes) == sorted(expected)
            assert all(index.unique for index in each.indexes)


def test_a_bridge_takes_a_slot_and_nothing_else(engine: sa.Engine, sealer: Sealer) -> None:
    """Without an index of the application, values may be there many times; both slots are made."""
    login = sa.Column("login", EncryptedString(index=BlindIndex(bridge=True)))
    table = sa.Table("people", sa.MetaData(), login)
    assert not table.indexes
    table.create(engine)
    assert accepts(engine, table, login="ada")
    assert accepts(engine, table, login="ada")
    sealer.rotate(index=True)
    assert accepts(engine, table, login="ada")
    with engine.connect() as connection:
        stored = [bytes(each) for (each,) in connection.exec_driver_sql("SELECT login FROM people")]
        assert connection.scalar(sa.select(sa.func.count()).where(login == "ada")) == 3
    assert len({each[12:27] for each in stored}) == 2
    assert len({each[27:42] for each in stored}) == 1
