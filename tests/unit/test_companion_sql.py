"""The SQL for MySQL and MariaDB: slots are indexed and asked for through companion columns."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy.schema import CreateIndex, DropIndex

from sqlalchemy_sealed import BlindIndex, EncryptedString, blind_index
from sqlalchemy_sealed.errors import ConfigurationError


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    ward: Mapped[int]
    email: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex(context="mail")))
    phone: Mapped[str] = mapped_column(
        "Phone",
        EncryptedString(
            storage="text", index=[BlindIndex(), BlindIndex("last4", "last4", bridge=True)]
        ),
    )
    __table_args__ = (sa.Index("ix_email", blind_index(email)),)


PHONE = sa.Index(
    "ux phone", Patient.ward, blind_index(Patient.phone, "last4"), unique=True, mariadb_using="hash"
)
Other = aliased(Patient, name="other")


def sql(statement: Any, dialect: sa.Dialect | None = None, **options: Any) -> str:
    """Return the SQL of a statement, in one line."""
    compiled = statement.compile(dialect=dialect or MariaDBDialect(), compile_kwargs=options)
    return " ".join(str(compiled).split())


def condition(clause: Any) -> str:
    """Return the SQL of a condition, as it stands in a SELECT."""
    return sql(sa.select(Patient.id).where(clause)).partition(" WHERE ")[2]


# -- Indexes


def test_an_index_brings_its_companion() -> None:
    """One ALTER TABLE adds the generated column, unseen by `SELECT *`, and the index over it."""
    (index,) = (each for each in Patient.__table__.indexes if each.name == "ix_email")
    assert sql(CreateIndex(index)) == (
        "ALTER TABLE patients ADD COLUMN IF NOT EXISTS email_sealed_slot0 VARBINARY(15) "
        "GENERATED ALWAYS AS (substr(email, 13, 15)) STORED INVISIBLE, "
        "ADD INDEX ix_email (email_sealed_slot0)"
    )
    assert sql(DropIndex(index)) == (
        "ALTER TABLE patients DROP INDEX ix_email, DROP COLUMN IF EXISTS email_sealed_slot0"
    )


def test_an_index_over_more_keeps_its_options() -> None:
    """Plain columns, uniqueness, the index type and names that need quotes stay as they are."""
    assert sql(CreateIndex(PHONE)) == (
        "ALTER TABLE patients ADD COLUMN IF NOT EXISTS `Phone_sealed_text_slot1` VARCHAR(20) "
        "CHARACTER SET ascii COLLATE ascii_bin "
        "GENERATED ALWAYS AS (substr(`Phone`, 37, 20)) STORED INVISIBLE, "
        "ADD UNIQUE INDEX `ux phone` (ward, `Phone_sealed_text_slot1`) USING hash"
    )
    assert sql(DropIndex(PHONE)) == (
        "ALTER TABLE patients DROP INDEX `ux phone`, "
        "DROP COLUMN IF EXISTS `Phone_sealed_text_slot1`"
    )


def test_mysql_has_no_if_for_columns() -> None:
    """MySQL knows IF EXISTS for no column, so the SQL for it says none."""
    index = next(each for each in Patient.__table__.indexes if each.name == "ix_email")
    assert sql(CreateIndex(index), mysql.dialect()).startswith(
        "ALTER TABLE patients ADD COLUMN email_sealed_slot0 VARBINARY(15) GENERATED"
    )
    assert sql(DropIndex(index), mysql.dialect()).endswith("DROP COLUMN email_sealed_slot0")


def test_an_index_may_be_there_already() -> None:
    """`if_not_exists` and `if_exists` reach the index."""
    index = next(each for each in Patient.__table__.indexes if each.name == "ix_email")
    created = sql(CreateIndex(index, if_not_exists=True))
    assert "ADD INDEX IF NOT EXISTS ix_email" in created
    assert "DROP INDEX IF EXISTS ix_email" in sql(DropIndex(index, if_exists=True))


def test_a_unique_blind_index_has_two_companions() -> None:
    """Both slots of BlindIndex(unique=True) have an index, and are searched as one."""
    column = sa.Column("email", EncryptedString(index=BlindIndex(unique=True)))
    table = sa.Table("people", sa.MetaData(), column)
    created = sorted(sql(CreateIndex(index)) for index in table.indexes)
    assert [statement.partition(", ADD ")[2] for statement in created] == [
        "UNIQUE INDEX ux_people_email_equal (email_sealed_slot0)",
        "UNIQUE INDEX ux_people_email_equal_bridge (email_sealed_slot1)",
    ]
    assert "people.email_sealed_slot0 IN" in sql(table.select().where(column == "x"))


def test_a_companion_of_two_indexes_goes_with_neither() -> None:
    """While another index of the table is over the same slot, its companion stays."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    table = sa.Table("people", sa.MetaData(), sa.Column("ward", sa.Integer), column)
    first = sa.Index("first", blind_index(column))
    sa.Index("second", table.c.ward, blind_index(column))
    assert sql(DropIndex(first)) == "ALTER TABLE people DROP INDEX first"


def test_schemas() -> None:
    """The ALTER TABLE and the companion are in the schema of the table, translated or not."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    table = sa.Table("people", sa.MetaData(), column, schema="Clinic")
    index = sa.Index("ix", blind_index(column))
    assert sql(CreateIndex(index)).startswith("ALTER TABLE `Clinic`.people ADD COLUMN")
    assert sql(DropIndex(index)).startswith("ALTER TABLE `Clinic`.people DROP INDEX ix, ")
    found = sql(table.select().where(column == "x"))
    assert found.endswith(
        "WHERE `Clinic`.people.email_sealed_slot0 IN (left(%s, 15), right(%s, 15))"
    )


def test_a_long_name_fits() -> None:
    """The name of a companion is cut before the 64 characters of the database, and stays unique."""
    names = set()
    for name in ("x" * 63 + "a", "x" * 63 + "b"):
        column = sa.Column(name, EncryptedString(index=BlindIndex()))
        table = sa.Table("t", sa.MetaData(), column)
        sa.Index("ix", blind_index(column))
        names.add(sql(table.select().where(column.is_not(None), column == "x")).split()[-6])
    assert len(names) == 2
    assert all(len(name) <= 64 for name in names)


def test_a_column_of_the_companions_name_is_refused() -> None:
    """A plain column is never taken for the companion: it would be searched, and hold no slots."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    plain = sa.Column("email_sealed_slot0", sa.LargeBinary)
    table = sa.Table("people", sa.MetaData(), column, plain)
    index = sa.Index("ix", blind_index(column))
    for statement in (CreateIndex(index), DropIndex(index), table.select().where(column == "x")):
        with pytest.raises(ConfigurationError, match=r"people\.email_sealed_slot0: .* rename it"):
            sql(statement)


def test_a_companion_that_the_table_declares_is_used() -> None:
    """Who declares the generated column makes the index over it, and the comparison uses it."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    own = sa.Column("email_sealed_slot0", mysql.VARBINARY(15), sa.Computed("substr(email, 13, 15)"))
    table = sa.Table("people", sa.MetaData(), column, own)
    assert "people.email_sealed_slot0 IN" in sql(table.select().where(column == "x"))
    index = sa.Index("ix", blind_index(column))
    assert sql(CreateIndex(index)) == "ALTER TABLE people ADD INDEX ix (email_sealed_slot0)"
    assert sql(DropIndex(index)) == "ALTER TABLE people DROP INDEX ix"


def test_other_indexes_are_none_of_our_business() -> None:
    """An index over plain columns is made and dropped as ever."""
    column = sa.Column("ward", sa.Integer, index=True)
    table = sa.Table("people", sa.MetaData(), column)
    (index,) = table.indexes
    assert sql(CreateIndex(index)) == "CREATE INDEX ix_people_ward ON people (ward)"
    assert sql(DropIndex(index)) == "DROP INDEX ix_people_ward ON people"


def test_other_databases_index_the_expression() -> None:
    """SQLite and PostgreSQL have indexes over expressions, and need no companion."""
    index = next(each for each in Patient.__table__.indexes if each.name == "ix_email")
    assert sql(CreateIndex(index), sqlite.dialect()) == (
        "CREATE INDEX ix_email ON patients (substr(email, 13, 15))"
    )


# -- What asks for the companion


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (Patient.email == "x", "patients.email_sealed_slot0 IN (left(%s, 15), right(%s, 15))"),
        (Patient.email != "x", "patients.email_sealed_slot0 NOT IN (left(%s, 15), right(%s, 15))"),
        (Patient.email.is_(None), "patients.email IS NULL"),
        (Other.email == "x", "other.email_sealed_slot0 IN (left(%s, 15), right(%s, 15))"),
        (
            aliased(Patient).email == "x",
            "patients_1.email_sealed_slot0 IN (left(%s, 15), right(%s, 15))",
        ),
        (
            Other.email == Patient.email,
            "other.email_sealed_slot0 = patients.email_sealed_slot0",
        ),
        (
            blind_index(Patient.phone, "last4") == "x",
            "patients.`Phone_sealed_text_slot1` IN (left(%s, 20), right(%s, 20))",
        ),
        (
            sa.exists().where(Other.email == Patient.email),
            (
                "EXISTS (SELECT * FROM patients AS other "
                "WHERE other.email_sealed_slot0 = patients.email_sealed_slot0)"
            ),
        ),
    ],
)
def test_a_comparison_asks_for_the_companion(clause: Any, expected: str) -> None:
    """Whatever the table is called in the statement, the comparison names its companion."""
    assert condition(clause) == expected


def test_updates_and_deletes_ask_for_the_companion() -> None:
    """Also where the statement has one table and no alias."""
    where = "patients.email_sealed_slot0 IN (left(%s, 15), right(%s, 15))"
    update = sa.update(Patient).where(Patient.email == "x").values(ward=1)
    assert sql(update) == f"UPDATE patients SET ward=%s WHERE {where}"
    assert sql(sa.delete(Patient).where(Patient.email == "x")) == (
        f"DELETE FROM patients WHERE {where}"
    )


def test_what_has_no_companion_takes_the_slot_out_of_the_value() -> None:
    """A slot without an index, a subquery, a CTE and a lightweight table are searched, too."""
    light = sa.table("patients", sa.column("email", Patient.email.type))
    assert (
        condition(light.c.email == "x")
        == "substr(patients.email, 13, 15) IN (left(%s, 15), right(%s, 15))"
    )
    assert (
        condition(Patient.phone == "x")
        == "substr(patients.`Phone`, 17, 20) IN (left(%s, 20), right(%s, 20))"
    )
    for subquery in (sa.select(Patient.email).subquery("s"), sa.select(Patient.email).cte("s")):
        assert (
            condition(subquery.c.email == "x")
            == "substr(s.email, 13, 15) IN (left(%s, 15), right(%s, 15))"
        )


@pytest.mark.parametrize(
    ("dialect", "expected"), [("mariadb", "email_sealed_slot0"), ("sqlite", "substr")]
)
def test_an_index_of_another_database_has_no_companion(dialect: str, expected: str) -> None:
    """An index that `ddl_if` keeps out of this database is not relied on."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    table = sa.Table("people", sa.MetaData(), column)
    sa.Index("ix", blind_index(column)).ddl_if(dialect=dialect)
    assert expected in sql(table.select().where(column == "x")).partition(" WHERE ")[2]


def test_a_copy_of_a_table_has_companions_of_its_own() -> None:
    """After `to_metadata` the index, the companion and the comparison are those of the copy."""
    copy = Patient.__table__.to_metadata(sa.MetaData(), name="archive")
    index = next(each for each in copy.indexes if each.name == "ix_email")
    assert sql(CreateIndex(index)).startswith("ALTER TABLE archive ADD COLUMN IF NOT EXISTS email_")
    assert "archive.email_sealed_slot0 IN" in sql(copy.select().where(copy.c.email == "x"))


def test_a_list_of_values_is_a_plain_list() -> None:
    """IN takes each value under either index key, with no subquery and no recursion in it."""
    column = "patients.email_sealed_slot0"
    assert condition(Patient.email.in_(["a", "b"])) == (
        f"(%s AND (({column} IN (__[POSTCOMPILE_param_1__lowest])) "
        f"OR ({column} IN (__[POSTCOMPILE_param_1__highest]))))"
    )
    assert condition(Patient.email.not_in(["a", "b"])) == (
        f"(%s AND (({column} NOT IN (__[POSTCOMPILE_param_1__lowest])) "
        f"AND ({column} NOT IN (__[POSTCOMPILE_param_1__highest]))))"
    )
