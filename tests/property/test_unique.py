"""Unique blind indexes stay unique, whatever is done to keys and rows, and in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa
from fix_keys import forget
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    get_sealer,
)
from sqlalchemy_sealed.errors import KeystoreError
from sqlalchemy_sealed.keys import MAX_INDEX_KEYS, KeyKind, KeyRecord, Keyset, KeyState

PROVIDER = LocalRootKey.from_text(LocalRootKey.generate())
Records = tuple[KeyRecord, ...]


# -- keys: every order of operations


class SlowKeystore(MemoryKeystore):
    """What an administrator sees who loads at one moment and writes at a later one."""

    def __init__(self, seen: Records, there: Records) -> None:
        super().__init__()
        self._seen = seen
        self.add(*there)

    def load(self, name: str) -> Records:
        """Return the records of the earlier moment, until something was written."""
        return self._seen

    def there(self) -> Records:
        """Return the records that are in the keystore."""
        return super().load("default")


DEEDS: dict[str, dict[str, Any]] = {"destroy": {"unscanned": True}, "disable": {}, "enable": {}}
"""What is done to one key, and what else has to be said."""


def next_states(seen: Records, there: Records, deeds: tuple[str, ...]) -> Iterator[Records]:
    """Yield what each operation makes of the records, if it is decided on what was *seen*."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("rotate", {}),
        ("rotate", {"index": True}),
        ("announce_index", {}),
        *((deed, {"key_id": record.key_id} | DEEDS[deed]) for record in seen for deed in deeds),
    ]
    for name, arguments in calls:
        keystore = SlowKeystore(seen, there)
        try:
            getattr(KeyManager(keystore, PROVIDER), name)("default", **arguments)
        except KeystoreError:
            continue
        yield keystore.there()


def form(records: Records) -> tuple[object, ...]:
    """Return what tells one state from another: all but the random ids."""
    generations = {r.key_id: r.generation for r in records} | {None: 0}
    return tuple(
        sorted(
            (
                r.kind,
                r.generation,
                r.state,
                generations[r.index_key_id],
                generations[r.bridge_key_id],
            )
            for r in records
        )
    )


def assert_safe(keyset: Keyset) -> None:
    """See that a unique column is unique over all rows that can be opened, and can be searched."""
    assert keyset.primary.state is KeyState.ENABLED
    assert len(keyset.index_key_ids) <= MAX_INDEX_KEYS
    assert keyset.stray is None
    enabled = [r for r in keyset._living_data() if r.kind is KeyKind.DATA]
    for one, other in combinations(enabled, 2):
        first, second = zip(one.index_pair, other.index_pair, strict=True)
        assert first[0] == first[1] or second[0] == second[1], (one, other)
    for record in enabled:
        for key_id in record.index_pair:
            index_key = keyset.get(key_id or b"")
            assert index_key is not None
            assert index_key.state is KeyState.ENABLED
        assert record.index_key_id in keyset.index_key_ids


@pytest.mark.parametrize(
    ("operations", "lag", "deeds"),
    [
        (8, 1, ("destroy",)),
        (6, 1, ("destroy", "disable", "enable")),
        pytest.param(9, 3, ("destroy",), marks=pytest.mark.slow),
        pytest.param(7, 2, ("destroy", "disable", "enable"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_no_order_of_operations_on_keys_lets_equal_values_apart(
    operations: int, lag: int, deeds: tuple[str, ...]
) -> None:
    """
    Any two data keys that can be opened have the index key of one slot in common, always.

    All orders are tried, of rotations, announcements, destructions and what can be undone, by
    administrators who may have loaded the keyset some operations ago. So it does not matter under
    which of the keys a writer seals, or when it last read the keystore.
    """
    manager = KeyManager(MemoryKeystore(), PROVIDER)
    start = manager.create("default").records
    known = {(form(start),)}
    level: list[tuple[Records, ...]] = [(start,)]
    for _ in range(operations):
        following = []
        for history in level:
            for seen in history:
                for records in next_states(seen, history[-1], deeds):
                    assert_safe(Keyset("default", records))
                    path = (*history[-lag:], records)
                    key = tuple(form(each) for each in path)
                    if key not in known:
                        known.add(key)
                        following.append(path)
        level = following
    assert len(known) > 1000


# -- rows: several writers, each with the keyset that it knows

WRITERS = [f"unique rows, writer {number}" for number in range(3)]
OBSERVER = "unique rows, observer"
VALUES = ["a", "A", "b", "B", "\xdf", "ss"]


def people(sealer: str) -> sa.Table:
    """Return the one table as a process sees it that uses this sealer."""
    email = EncryptedString(index=BlindIndex(unique=True, normalize="casefold"), sealer=sealer)
    return sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", email),
    )


TABLES = {sealer: people(sealer) for sealer in (*WRITERS, OBSERVER)}
writers = st.sampled_from(WRITERS)
values = st.sampled_from(VALUES)


class UniqueRows(RuleBasedStateMachine):
    """
    One table, three writers of which each reads the keystore when it likes, one administrator.

    The model is the value of each row, and the data key that it was sealed under. A row is alive
    while that key is not destroyed.
    """

    rows = Bundle("rows")

    @initialize()
    def start(self) -> None:
        self.manager = KeyManager(MemoryKeystore(), PROVIDER)
        self.manager.create("default")
        for name in TABLES:
            get_sealer(name).configure(
                keystore=self.manager.keystore,
                provider=PROVIDER,
                key_name="default",
                replace=True,
            )
        self.engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        TABLES[OBSERVER].create(self.engine)
        self.model: dict[int, tuple[str, bytes]] = {}
        self.next_id = 1

    # -- what writers do

    @rule(target=rows, writer=writers, value=values)
    def insert(self, writer: str, value: str) -> int:
        number, self.next_id = self.next_id, self.next_id + 1
        self.write(writer, number, value, TABLES[writer].insert().values(id=number, email=value))
        return number

    @rule(row=rows, writer=writers, value=values)
    def update(self, row: int, writer: str, value: str) -> None:
        table = TABLES[writer]
        if row in self.model:
            statement = table.update().where(table.c.id == row).values(email=value)
            self.write(writer, row, value, statement)

    @rule(row=rows, writer=writers)
    def reseal(self, row: int, writer: str) -> None:
        if row in self.model and self.is_alive(row):
            self.update(row=row, writer=writer, value=self.model[row][0])

    @rule(row=consumes(rows))
    def delete(self, row: int) -> None:
        table = TABLES[OBSERVER]
        with self.engine.begin() as connection:
            connection.execute(table.delete().where(table.c.id == row))
        self.model.pop(row, None)

    @rule(writer=writers)
    def refresh(self, writer: str) -> None:
        get_sealer(writer).refresh()

    def write(self, writer: str, row: int, value: str, statement: Any) -> None:
        """Execute a statement; an error needs another row of this value, success forbids it."""
        same = [
            each
            for each, (other, _) in self.model.items()
            if each != row and other.casefold() == value.casefold()
        ]
        key_id = get_sealer(writer).keyset.primary.key_id
        try:
            with self.engine.begin() as connection:
                connection.execute(statement)
        except sa.exc.IntegrityError:
            assert same, "refused without a reason"
            return
        self.model[row] = (value, key_id)
        assert not self.is_alive(row) or not any(map(self.is_alive, same)), "twice"

    def is_alive(self, row: int) -> bool:
        """Whether the value of a row can be opened."""
        record = self.manager.keyset("default").get(self.model[row][1])
        return record is not None and record.state is KeyState.ENABLED

    # -- what the administrator does

    @rule(index=st.booleans())
    def rotate(self, index: bool) -> None:
        self.attempt("rotate", index=index)

    @rule()
    def announce(self) -> None:
        self.attempt("announce_index")

    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        """Destroy any key but the primary, whether rows or running writers need it or not."""
        records = self.manager.keyset("default").records
        enabled = [r.key_id for r in records if r.state is KeyState.ENABLED]
        self.attempt("destroy", key_id=data.draw(st.sampled_from(enabled)))

    @rule()
    def finish(self) -> None:
        """Reseal what is alive with a fresh writer, and destroy all data keys but the primary."""
        keyset = get_sealer(WRITERS[0]).refresh()
        for row in list(self.model):
            self.reseal(row=row, writer=WRITERS[0])
        assert all(
            self.model[row][1] == keyset.primary.key_id for row in self.model if self.is_alive(row)
        )
        for record in keyset._living_data():
            if record != keyset.primary:
                self.manager.destroy("default", record.key_id, unscanned=True)

    def attempt(self, operation: str, **arguments: Any) -> None:
        """Let the manager do something, or refuse it."""
        with suppress(KeystoreError):
            getattr(self.manager, operation)("default", **arguments)

    # -- what has to be so at every moment

    @invariant()
    def living_values_are_there_once_and_found(self) -> None:
        """A process that has just read the keystore opens and finds every row that is alive."""
        table = TABLES[OBSERVER]
        assert_safe(get_sealer(OBSERVER).refresh())
        alive = {row: value for row, (value, _) in self.model.items() if self.is_alive(row)}
        folded = [value.casefold() for value in alive.values()]
        assert len(folded) == len(set(folded))
        with self.engine.connect() as connection:
            for row, value in alive.items():
                at = table.c.id == row
                assert connection.scalar(sa.select(table.c.email).where(at)) == value
                assert connection.scalar(sa.select(at).where(table.c.email == value.upper(), at))
            for value in VALUES:
                found = set(connection.scalars(sa.select(table.c.id).where(table.c.email == value)))
                wanted = {r for r, v in alive.items() if v.casefold() == value.casefold()}
                dead = {r for r, (v, _) in self.model.items() if v.casefold() == value.casefold()}
                assert wanted <= found <= dead

    def teardown(self) -> None:
        self.engine.dispose()
        for name in TABLES:
            forget(get_sealer(name))


TestUniqueRows = UniqueRows.TestCase
TestUniqueRows.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
