"""The index key is rotated: rows under the old and the new one are found, by every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.attributes import flag_modified

from sqlalchemy_sealed import BlindIndex, EncryptedString, KeyManager, Sealer, blind_index
from sqlalchemy_sealed.errors import (
    DestroyedKeyError,
    KeystoreConflictError,
    KeystoreError,
    RefusedOperationError,
)
from sqlalchemy_sealed.keys import Keyset, KeyState

FOLDED = {"context": "addresses", "normalize": "casefold"}


class Base(DeclarativeBase):
    """The models of this file."""


class Patient(Base):
    """Searched by two columns, one of them unique and one stored as text."""

    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(
        EncryptedString(
            index=[BlindIndex(**FOLDED, unique=True), BlindIndex("domain", "email_domain")]
        )
    )
    phone: Mapped[str | None] = mapped_column(EncryptedString(storage="text", index=BlindIndex()))


class Visit(Base):
    """Points to a patient by address."""

    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex(**FOLDED)))
    patient: Mapped[Patient | None] = relationship(
        primaryjoin=lambda: sa.orm.foreign(Visit.email) == Patient.email, viewonly=True
    )


@pytest.fixture
def session(engine: sa.Engine, sealer: Sealer) -> Iterator[Session]:
    """Return a session on tables with three patients and a visit, under the first keys."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        add(session, 1, 2, 3)
        session.add(Visit(id=1, email="P1@x.org"))
        session.commit()
        yield session


@pytest.fixture
def manager(sealer: Sealer) -> KeyManager:
    """Return the manager of the sealer's keys."""
    return sealer.kept().manager


def add(session: Session, *numbers: int) -> None:
    """Store patients by their numbers."""
    for number in numbers:
        session.add(Patient(id=number, email=f"p{number}@x.org", phone=f"+{number}"))
    session.commit()


def ids(session: Session, *conditions: Any) -> list[int]:
    """Return the ids of the patients that are found, in SQL alone."""
    return sorted(session.scalars(sa.select(Patient.id).where(*conditions)))


def reseal(session: Session) -> None:
    """Write every sealed value anew."""
    for model, names in ((Patient, ("email", "phone")), (Visit, ("email",))):
        for row in session.scalars(sa.select(model)):
            for name in names:
                flag_modified(row, name)
    session.commit()


def labels(session: Session) -> Counter[bytes]:
    """Count the rows of each label in SQL, without a key."""
    rows = session.execute(
        sa.text("SELECT substr(email, 4, 9), count(*) FROM patients GROUP BY substr(email, 4, 9)")
    )
    return Counter({bytes(label): count for label, count in rows})


def label(keyset: Keyset, generation: int) -> bytes:
    """Return the label of an e-mail address sealed under a data key: suite 1, three slots."""
    [record] = [r for r in keyset.records if (r.kind, r.generation) == ("data", generation)]
    return b"\x13" + record.key_id


def index_key_id(keyset: Keyset, generation: int) -> bytes:
    """Return the id of an index key."""
    [record] = [r for r in keyset.records if (r.kind, r.generation) == ("index", generation)]
    return record.key_id


def found_everywhere(session: Session, last: int) -> None:
    """See that every kind of search finds exactly the right ones of the patients 1 to last."""
    everybody = list(range(1, last + 1))
    for number in everybody:
        email, phone = f"P{number}@X.org", f"+{number}"
        others = [each for each in everybody if each != number]
        assert ids(session, Patient.email == email) == [number]
        assert ids(session, Patient.phone == phone) == [number]
        assert ids(session, Patient.email != email) == others
        assert ids(session, Patient.phone != phone) == others
        assert ids(session, Patient.email.is_distinct_from(email)) == others
        assert session.query(Patient).filter_by(email=email, phone=phone).one().id == number
    wanted = [f"+{number}" for number in everybody[1:]]
    assert ids(session, Patient.phone.in_(wanted)) == everybody[1:]
    assert ids(session, Patient.phone.not_in(wanted)) == [1]
    emails = [each.replace("+", "p") + "@x.org" for each in wanted]
    assert ids(session, Patient.email.in_(emails)) == everybody[1:]
    assert ids(session, Patient.email.not_in(emails)) == [1]
    assert ids(session, blind_index(Patient.email, "domain") == "x.org") == everybody
    assert ids(session, Patient.email == "nobody@x.org", Patient.phone == "+1") == []


def compared(session: Session) -> list[int]:
    """Return the patients that have visits, by a join and by a relationship that is loaded."""
    joined = list(session.scalars(sa.select(Patient.id).join(Visit.patient)))
    visits = session.scalars(sa.select(Visit).execution_options(populate_existing=True)).all()
    assert joined == [visit.patient.id for visit in visits if visit.patient]
    return joined


COMPARISONS: dict[str, Any] = {
    "a join": sa.select(Patient.id).join(Visit.patient),
    "a subquery": sa.select(Patient.id).where(
        Patient.email.in_(sa.select(blind_index(Visit.email)))
    ),
    "a relationship": sa.select(Patient.id).where(Visit.patient.has()),
    "exists": sa.select(sa.exists().where(Visit.email == Patient.email)),
    "GROUP BY": sa.select(sa.func.count(Patient.id)).group_by(blind_index(Patient.email)),
    "DISTINCT": sa.select(blind_index(Patient.email)).distinct(),
    "count(DISTINCT)": sa.select(sa.func.count(blind_index(Patient.email).distinct())),
}


def test_a_rotation_from_its_announcement_to_its_end(
    session: Session, sealer: Sealer, manager: KeyManager
) -> None:
    """Announce, rotate, reseal, destroy, rotate, reseal, destroy: found and right at each step."""
    found_everywhere(session, 3)
    assert compared(session) == [1]

    manager.announce_index("default")
    keyset = sealer.refresh()
    add(session, 4)
    assert labels(session) == {label(keyset, 1): 4}, "it is not used for sealing yet"
    found_everywhere(session, 4)

    keyset = sealer.rotate(index=True)
    assert keyset.index_key_ids == (index_key_id(keyset, 2), index_key_id(keyset, 1))
    found_everywhere(session, 4)
    add(session, 5, 6)
    assert labels(session) == {label(keyset, 1): 4, label(keyset, 2): 2}
    found_everywhere(session, 6)

    reseal(session)
    assert labels(session) == {label(keyset, 2): 6}
    found_everywhere(session, 6)
    with pytest.raises(RefusedOperationError):
        compared(session)

    keyset = destroy(sealer, manager, label(keyset, 1)[1:])
    assert keyset.index_key_ids == (index_key_id(keyset, 2),)
    found_everywhere(session, 6)
    assert compared(session) == [1]

    assert keyset.primary.bridge_key_id == index_key_id(keyset, 1)
    keyset = sealer.rotate()
    assert keyset.primary.bridge_key_id is None, "all rows agree in the first slot again"
    found_everywhere(session, 6)
    assert compared(session) == [1], "before they are resealed, too"
    reseal(session)
    assert labels(session) == {label(keyset, 3): 6}
    keyset = destroy(sealer, manager, label(keyset, 2)[1:])
    manager.destroy("default", index_key_id(keyset, 1), unscanned=True)
    sealer.refresh()
    found_everywhere(session, 6)
    assert compared(session) == [1]

    keyset = sealer.rotate(index=True)
    assert keyset.index_key_ids == (index_key_id(keyset, 3), index_key_id(keyset, 2))
    add(session, 7)
    found_everywhere(session, 7)


def destroy(sealer: Sealer, manager: KeyManager, key_id: bytes) -> Keyset:
    """Destroy a data key that no row needs."""
    manager.destroy("default", key_id, unscanned=True)
    return sealer.refresh()


@pytest.mark.parametrize("kind", COMPARISONS)
def test_columns_are_not_compared_while_two_index_keys_are_in_use(
    session: Session, sealer: Sealer, manager: KeyManager, kind: str
) -> None:
    """From the announcement until the old data key is destroyed; before and after it works."""
    statement = COMPARISONS[kind]
    before = session.scalars(statement).all()
    first = sealer.keyset.primary.key_id

    manager.announce_index("default")
    sealer.refresh()
    assert_refused(session, statement)
    sealer.rotate(index=True)
    assert_refused(session, statement)
    sealer.rotate()
    reseal(session)
    assert_refused(session, statement)
    destroy(sealer, manager, first)
    after = session.scalars(statement).all()
    if kind == "DISTINCT":
        before, after = [len(before)], [len(after)]
    assert sorted(after) == sorted(before)


def assert_refused(session: Session, statement: Any) -> None:
    """See that a comparison is refused with the reason and what to do, also when it is cached."""
    for _ in range(2):
        with pytest.raises(
            RefusedOperationError,
            match=r"index key is being rotated, .* reseal the rows and destroy the old data keys",
        ):
            session.execute(statement)


def test_a_second_rotation_waits_for_the_end_of_the_first(
    sealer: Sealer, manager: KeyManager
) -> None:
    """No third index key comes into use while rows may need one of two, in whatever state."""
    first = sealer.keyset
    old = first.primary.index_key_id
    assert old is not None

    def assert_busy() -> None:
        for call in (
            lambda: manager.rotate("default", index=True),
            lambda: manager.announce_index("default"),
        ):
            with pytest.raises(KeystoreError, match="is being rotated already") as caught:
                call()
            assert caught.value.key_id == old.hex()
            assert not isinstance(caught.value, KeystoreConflictError)
        with pytest.raises(KeystoreError):
            manager.destroy("default", old, unscanned=True)

    second = manager.rotate("default", index=True).primary
    assert_busy()
    manager.destroy("default", first.primary.key_id, unscanned=True)
    assert_busy()
    third = manager.rotate("default").primary
    assert (second.bridge_key_id, third.bridge_key_id) == (old, None)
    assert_busy()
    manager.destroy("default", second.key_id, unscanned=True)
    manager.destroy("default", old, unscanned=True)
    assert manager.announce_index("default").announced is not None
    with pytest.raises(KeystoreConflictError, match="announced index key already"):
        manager.announce_index("default")
    assert manager.rotate("default", index=True).primary.bridge_key_id == third.index_key_id


def test_a_plain_rotation_in_the_middle_keeps_both_index_keys(
    session: Session, sealer: Sealer
) -> None:
    """Data keys can be rotated at any time: both index keys stay until the old rows are gone."""
    first = sealer.rotate(index=True)
    add(session, 4)
    second = sealer.rotate()
    assert (second.primary.index_key_id, second.primary.bridge_key_id) == (
        first.primary.index_key_id,
        first.primary.bridge_key_id,
    )
    add(session, 5)
    assert labels(session) == {label(second, 1): 3, label(second, 2): 1, label(second, 3): 1}
    found_everywhere(session, 5)


def test_rows_whose_key_was_destroyed_too_early_are_not_found(
    session: Session, sealer: Sealer, manager: KeyManager
) -> None:
    """They can never be opened; their index key is searched no more, and the others are right."""
    first = sealer.keyset.primary
    keyset = sealer.rotate(index=True)
    add(session, 4)
    keyset = destroy(sealer, manager, first.key_id)
    assert labels(session) == {label(keyset, 1): 3, label(keyset, 2): 1}
    assert keyset.get(first.key_id).state is KeyState.DESTROYED  # type: ignore[union-attr]
    assert ids(session, Patient.email == "p1@x.org") == []
    assert ids(session, Patient.email == "p4@x.org") == [4]
    session.expunge_all()
    with pytest.raises(DestroyedKeyError):
        session.get(Patient, 1)
