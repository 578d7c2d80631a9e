"""A key at hand: values of it take no lock, and call nobody."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from counted import Parts
from lock_places import locks_of

from sqlalchemy_sealed import (
    BlindIndex,
    Context,
    Encrypted,
    EncryptedString,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    opening,
)
from sqlalchemy_sealed import sealer as sealers
from sqlalchemy_sealed.aead import PREFIX_SIZE, SEALS_PER_PREFIX, Xaes
from sqlalchemy_sealed.envelope import HEADER_SIZE
from sqlalchemy_sealed.errors import AuthenticationError, OpenError, UnknownKeyError
from sqlalchemy_sealed.sealing import sealing as seals


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
        assert sealer.open(sealer.seal(b"value", context), context) == b"value"

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


# -- the short way


def slow_way(*_: object, **__: object) -> bytes:
    """Stand for what only the first value of a column needs."""
    raise AssertionError("the long way was taken")


TYPES = {
    "text": (EncryptedString(context="a.b"), "ada"),
    "bounded text": (EncryptedString(9, context="a.b"), "ada"),
    "masked text": (EncryptedString(masked=True, context="a.b"), "ada"),
    "text storage": (EncryptedString(storage="text", context="a.b"), "ada"),
    "number": (Encrypted(sa.Integer, context="a.b"), 7),
    "JSON": (Encrypted(sa.JSON, context="a.b"), {"a": [1]}),
    "padded": (EncryptedString(pad=16, context="a.b"), "ada"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_only_the_first_value_takes_the_long_way(
    kind: str, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it, neither is an envelope taken apart nor a key looked for, in both directions."""
    type_, value = TYPES[kind]
    dialect = sa.create_engine("sqlite://").dialect
    bind, read = type_.bind_processor(dialect), type_.result_processor(dialect, None)
    assert read(bind(value)) == value
    monkeypatch.setattr(opening, "parse", slow_way)
    monkeypatch.setattr(Xaes, "seal", slow_way)
    for _ in range(3):
        assert read(bind(value)) == value
    assert (bind(None), read(None)) == (None, None)


def test_the_short_way_ends_with_the_primary(sealer: Sealer) -> None:
    """A rotation, a new prefix and a new sealer are seen by the next value."""
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    first, second = seal(b"one"), seal(b"two")
    assert first[:24] == second[:24]
    sealer.rotate()
    third = seal(b"three")
    assert third[:12] != second[:12]
    writer = sealer.kept().cache.primary.xaes.writer
    assert not writer.take(SEALS_PER_PREFIX)
    fourth = seal(b"four")
    assert fourth[:12] == third[:12]
    assert fourth[12:24] != third[12:24]
    assert [open_(data) for data in (first, second, third, fourth)] == [
        b"one", b"two", b"three", b"four",
    ]  # fmt: skip


def test_what_was_made_of_keys_ends_with_a_refresh(sealer: Sealer) -> None:
    """No function that is not used any more keeps a derived key of a key that was disabled."""
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    data = seal(b"value")
    assert open_(data) == b"value"
    memos = list(sealer.kept().cache._unwrapped._memos)
    assert sum(memo.now[0] is not None for memo in memos) == 2
    sealer.rotate()
    assert [memo.now for memo in memos] == [memo._nothing for memo in memos]
    assert open_(data) == b"value"


def test_what_was_made_of_keys_ends_with_another_configuration(sealer: Sealer) -> None:
    """The keys that it had before do not stay in memory, also if no value comes any more."""
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    assert open_(seal(b"value")) == b"value"
    before = weakref.ref(sealer.kept().cache.primary.xaes)
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create(sealer.name)
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    gc.collect()
    assert before() is None


def test_nothing_is_made_of_keys_that_are_not_used_any_more(sealer: Sealer) -> None:
    """Where they are rotated while a value is sealed, its function does not keep the old ones."""

    def encode(value: bytes) -> bytes:
        sealer.rotate()
        return value

    seal = seals(sealer, lambda: Context("a.b"), encode)
    assert sealer.open(seal(b"value"), "a.b") == b"value"
    assert not list(sealer.kept().cache._unwrapped._memos)


def test_one_value_is_not_remembered(sealer: Sealer) -> None:
    """Who seals and opens one value, or whose type changes values first, leaves nothing behind."""
    type_ = EncryptedString(context="a.b", sealer=sealer.name)
    dialect = sa.create_engine("sqlite://").dialect
    for _ in range(2):
        assert sealer.open(sealer.seal(b"value", "a.b"), "a.b") == b"value"
        sealed = type_.process_bind_param("value", dialect)
        assert type_.process_result_value(sealed, dialect) == "value"
    gc.collect()
    made = [sealer.sealing(Context("a.b"))]
    assert made[0](b"value")
    assert len(list(sealer.kept().cache._unwrapped._memos)) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_short_way_ends_with_a_fork(sealer: Sealer) -> None:
    """Functions that a child has inherited seal under a prefix of its own."""
    seal = sealer.sealing(Context("a.b"))
    mine = [seal(b"value") for _ in range(3)]
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write, b"".join(seal(b"value") for _ in range(3)))
        os._exit(0)
    os.waitpid(pid, 0)
    data = os.read(read, 1000)
    os.close(read)
    os.close(write)
    size = len(mine[0])
    of_child = [data[at : at + size] for at in range(0, len(data), size)]
    mine.append(seal(b"value"))
    assert [len({each[:24] for each in some}) for some in (mine, of_child)] == [1, 1]
    assert mine[0][12:24] != of_child[0][12:24]
    assert [sealer.open(each, "a.b") for each in of_child] == [b"value"] * 3


def test_prefixes_that_are_remembered_are_bounded(
    sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored values cannot make a function remember more than so many of them."""
    monkeypatch.setattr(opening, "REMEMBERED", 4)
    context = Context("a.b")
    open_ = sealer.opening(context)
    xaes = sealer.kept().cache.primary.xaes
    for number in range(20):
        sealer.seal(b"", context)
        xaes.writer = None  # The next one draws another prefix.
        assert open_(sealer.seal(b"%d" % number, context)) == b"%d" % number
        remembered = [memo.now[1] for memo in sealer.kept().cache._unwrapped._memos]
        assert max(map(len, remembered)) <= 4


def test_a_changed_value_does_not_open_the_short_way(sealer: Sealer) -> None:
    """Each byte of a value matters, also once a value with the same beginning was opened."""
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    data = seal(b"value")
    assert open_(data) == b"value"
    for at in range(4, len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        error = UnknownKeyError if at < HEADER_SIZE else AuthenticationError
        with pytest.raises(error, match=r"a\.b"):
            open_(changed)
    for size in range(HEADER_SIZE + PREFIX_SIZE, len(data)):
        with pytest.raises(OpenError):
            open_(data[:size])
    assert open_(data) == b"value"
