"""A key at hand: values of it take no lock, and call nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from counted import Parts
from lock_places import locks_of

from sqlalchemy_sealed import BlindIndex, Context, EncryptedString, Sealer
from sqlalchemy_sealed import sealer as sealers


class Forbidden:
    """A lock that must not be taken."""

    def acquire(self, *_: object, **__: object) -> bool:
        raise AssertionError("a lock was taken")

    def release(self) -> None:
        raise AssertionError("a lock was taken")

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        """Nothing was taken."""


@pytest.fixture
def lockless(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sealer], int]:
    """Return what forbids all locks of a sealer, and returns how many there are."""

    def forbid(sealer: Sealer) -> int:
        places = locks_of(sealer)
        for owner, name in places:
            monkeypatch.setattr(owner, name, Forbidden())
        monkeypatch.setattr(sealers, "_sealers_lock", Forbidden())
        return len(places)

    return forbid


def test_no_lock_is_taken_for_a_value(parts: Parts, lockless: Callable[[Sealer], int]) -> None:
    """Sealing, sealing with an index, searching and opening need none of them."""
    sealer = parts.sealer()
    context = Context("a.b")
    seal, open_ = sealer.sealing(context), sealer.opening(context)
    indexed = sealer.sealing_indexed(context, 1, lambda *_: lambda _value: bytes(15))
    match = sealer.matching(lambda _key: lambda _value: bytes(15))

    def use() -> None:
        assert open_(seal(b"value")) == b"value"
        assert open_(indexed(b"value", "value")) == b"value"
        assert match("value") == [bytes(15)]

    use()
    assert lockless(sealer) >= 8
    for _ in range(3):
        assert parts.calls_of(use) == (0, 0, 0)


def test_no_lock_is_taken_for_a_statement(parts: Parts, lockless: Callable[[Sealer], int]) -> None:
    """Nor for a row that SQLAlchemy writes, finds and reads, once the statement is known."""
    sealer = parts.sealer()
    column = sa.Column("name", EncryptedString(index=BlindIndex(), sealer=sealer.name))
    people = sa.Table("people", sa.MetaData(), column)
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    people.create(engine)

    def use() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(people), [{"name": "ada"}, {"name": "grace"}])
            found = connection.scalars(sa.select(people.c.name).where(people.c.name == "ada"))
            assert set(found) == {"ada"}

    use()
    lockless(sealer)
    assert parts.calls_of(use) == (0, 0, 0)
