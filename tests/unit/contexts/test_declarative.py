"""The context of a column in every way to declare one with the ORM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    Session,
    declarative_base,
    declared_attr,
    mapped_column,
    registry,
)

from sqlalchemy_sealed import EncryptedString, Sealer

Check = Callable[[Any, str], None]


def base(**names: Any) -> Any:
    """Return a new declarative base."""
    return type("Base", (DeclarativeBase,), {"__module__": __name__, **names})


Sealed = Annotated[str, mapped_column(EncryptedString())]


def test_a_mapped_column(stored_under: Check) -> None:
    """The label is the table and the column, for classes that look alike, too."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())

    class Firm(Base):
        __tablename__ = "firms"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Firm.__table__.c.email, "firms.email")


def test_a_column_of_another_name(stored_under: Check) -> None:
    """The name in the database counts, not that of the attribute or the key."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column("e_mail", EncryptedString(), key="mail")
        phone = sa.Column("tel", EncryptedString())

    stored_under(Person.__table__.c.mail, "people.e_mail")
    stored_under(Person.__table__.c.tel, "people.tel")


def test_a_class_as_the_type(stored_under: Check) -> None:
    """The type may be given without parentheses; each column gets its own."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        one: Mapped[str | None] = mapped_column(EncryptedString)
        two: Mapped[str | None] = mapped_column(EncryptedString)

    stored_under(Person.__table__.c.one, "people.one")
    stored_under(Person.__table__.c.two, "people.two")


def test_a_mixin(stored_under: Check) -> None:
    """Two classes with one mixin have two contexts, with declared_attr, too."""
    Base = base()

    class Contact:
        email: Mapped[str] = mapped_column(EncryptedString())

        @declared_attr
        def phone(cls) -> Mapped[str]:
            return mapped_column(EncryptedString())

    class Person(Contact, Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Firm(Contact, Base):
        __tablename__ = "firms"
        id: Mapped[int] = mapped_column(primary_key=True)

    for class_ in (Person, Firm):
        for name in ("email", "phone"):
            stored_under(class_.__table__.c[name], f"{class_.__tablename__}.{name}")


def test_an_abstract_base(stored_under: Check) -> None:
    """A column of an abstract class belongs to the tables of its subclasses."""
    Base = base()

    class Contact(Base):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())

    class Person(Contact):
        __tablename__ = "people"

    class Firm(Contact):
        __tablename__ = "firms"

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Firm.__table__.c.email, "firms.email")


def test_annotated(stored_under: Check) -> None:
    """One Annotated on many attributes gives each column a context of its own."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[Sealed]
        phone: Mapped[Sealed]
        fax: Mapped[Sealed | None] = mapped_column("telefax")

    class Firm(Base):
        __tablename__ = "firms"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[Sealed]

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Person.__table__.c.phone, "people.phone")
    stored_under(Person.__table__.c.telefax, "people.telefax")
    stored_under(Firm.__table__.c.email, "firms.email")


class SecretText(str):
    """A Python type of its own, for the type map."""

    __slots__ = ()


@pytest.mark.parametrize("type_", [EncryptedString, EncryptedString()], ids=["class", "instance"])
def test_a_type_annotation_map(type_: Any, stored_under: Check) -> None:
    """A type that stands once in the map, also as one instance, is bound to each column."""
    Base = base(type_annotation_map={SecretText: type_})

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        one: Mapped[SecretText | None]
        two: Mapped[SecretText | None]

    class Firm(Base):
        __tablename__ = "firms"
        id: Mapped[int] = mapped_column(primary_key=True)
        one: Mapped[SecretText | None]

    stored_under(Person.__table__.c.one, "people.one")
    stored_under(Person.__table__.c.two, "people.two")
    stored_under(Firm.__table__.c.one, "firms.one")


def test_one_instance_on_two_columns(stored_under: Check) -> None:
    """A type instance that is used again is copied, and the first column keeps its context."""
    type_ = EncryptedString()
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        one: Mapped[str | None] = mapped_column(type_)
        two: Mapped[str | None] = mapped_column(type_)

    stored_under(Person.__table__.c.one, "people.one")
    stored_under(Person.__table__.c.two, "people.two")


def test_joined_inheritance(stored_under: Check) -> None:
    """The column of a subclass with a table of its own has that table in its context."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())

    class Nurse(Person):
        __tablename__ = "nurses"
        id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
        licence: Mapped[str | None] = mapped_column(EncryptedString())

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Nurse.__table__.c.licence, "nurses.licence")
    assert Nurse.email.type.label == "people.email"


def test_single_table_inheritance(stored_under: Check) -> None:
    """The column of a subclass in the same table has that table in its context."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Nurse(Person):
        licence: Mapped[str | None] = mapped_column(EncryptedString())
        __mapper_args__ = {"polymorphic_identity": "nurse"}

    class Doctor(Person):
        licence: Mapped[str | None] = mapped_column(EncryptedString(), use_existing_column=True)
        __mapper_args__ = {"polymorphic_identity": "doctor"}

    stored_under(Nurse.__table__.c.licence, "people.licence")
    assert Doctor.licence.type.label == "people.licence"


def test_concrete_inheritance(stored_under: Check) -> None:
    """A concrete subclass has columns, and contexts, of its own."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())

    class Nurse(Person):
        __tablename__ = "nurses"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())
        __mapper_args__ = {"concrete": True}

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Nurse.__table__.c.email, "nurses.email")


def test_rows_of_subclasses_are_read_together(sealer: Sealer, sqlite_engine: sa.Engine) -> None:
    """A polymorphic query opens the columns of all classes, each under its own context."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        email: Mapped[str] = mapped_column(EncryptedString())
        __mapper_args__ = {
            "polymorphic_on": "kind",
            "polymorphic_identity": "person",
            "with_polymorphic": "*",
        }

    class Nurse(Person):
        __tablename__ = "nurses"
        id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
        licence: Mapped[str] = mapped_column(EncryptedString())
        __mapper_args__ = {"polymorphic_identity": "nurse"}

    Base.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        session.add_all([Person(email="a@x"), Nurse(email="b@x", licence="L1")])
        session.commit()
        person, nurse = session.scalars(sa.select(Person).order_by(Person.id))
        assert (person.email, nurse.email, nurse.licence) == ("a@x", "b@x", "L1")


def test_a_dataclass_mapping(stored_under: Check, sqlite_engine: sa.Engine) -> None:
    """A mapped dataclass, with Annotated and with a default, is bound as any class."""
    Base = base()

    class Person(MappedAsDataclass, Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        email: Mapped[str] = mapped_column(EncryptedString())
        phone: Mapped[Sealed | None] = mapped_column(default=None)

    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Person.__table__.c.phone, "people.phone")
    with Session(sqlite_engine) as session:
        session.add(person := Person(email="a@x", phone="1"))
        session.commit()
        assert (person.email, person.phone) == ("a@x", "1")


def test_other_kinds_of_base(stored_under: Check) -> None:
    """The function, the class without a metaclass and the decorator of a registry are alike."""
    mappers = registry()

    class NoMeta(DeclarativeBaseNoMeta):
        pass

    class One(declarative_base()):
        __tablename__ = "one"
        id = sa.Column(sa.Integer, primary_key=True)
        text = sa.Column(EncryptedString())

    class Two(NoMeta):
        __tablename__ = "two"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(EncryptedString())

    @mappers.mapped
    class Three:
        __tablename__ = "three"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(EncryptedString())

    for class_ in (One, Two, Three):
        stored_under(class_.__table__.c.text, f"{class_.__tablename__}.text")


def test_a_column_that_is_added_later(stored_under: Check) -> None:
    """A column that is assigned to a mapped class is bound when it meets the table."""
    Base = base()

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)

    Person.email = mapped_column(EncryptedString())
    Person.__table__.append_column(sa.Column("phone", EncryptedString()))
    stored_under(Person.__table__.c.email, "people.email")
    stored_under(Person.__table__.c.phone, "people.phone")


def test_a_table_in_a_class(stored_under: Check) -> None:
    """A class around a Table, and a Table that is mapped imperatively, keep its contexts."""
    Base = base()
    people, firms = (
        sa.Table(
            name,
            Base.metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("email", EncryptedString()),
        )
        for name in ("people", "firms")
    )

    class Person(Base):
        __table__ = people

    class Firm:
        pass

    Base.registry.map_imperatively(Firm, firms)
    stored_under(Person.__table__.c.email, "people.email")
    stored_under(sa.inspect(Firm).local_table.c.email, "firms.email")
