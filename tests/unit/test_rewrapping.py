"""Keys are rewrapped after the KEK was turned: all that can be, none twice, none lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, starmap
from pathlib import Path

import pytest

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, MemoryKeystore, rewrapping
from sqlalchemy_sealed.errors import (
    KeystoreConflictError,
    ProviderDeniedError,
    ProviderError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.keycache import unwrap
from sqlalchemy_sealed.keys import KeyRecord, KeyState
from sqlalchemy_sealed.providers.moved import Moved
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase

NAMES = [f"tenant-{n}" for n in range(20)]


@pytest.fixture
def old() -> LocalRootKey:
    """Return the root key before."""
    return LocalRootKey.from_text(LocalRootKey.generate())


@pytest.fixture
def new(old: LocalRootKey) -> Moved:
    """Return the root key after, which takes over what the other one wrapped."""
    return Moved(LocalRootKey.from_text(LocalRootKey.generate()), old)


@pytest.fixture
def full(old: LocalRootKey) -> MemoryKeystore:
    """Return a keystore with 40 keys of 20 key names."""
    keystore = MemoryKeystore()
    for name in NAMES:
        KeyManager(keystore, old).create(name)
    return keystore


def ids(records: Iterable[KeyRecord]) -> set[bytes]:
    """Return key ids."""
    return {record.key_id for record in records}


class Batching:
    """A KEK provider that takes many keys in one call, as Vault does."""

    def __init__(self, inner: Moved) -> None:
        self.inner = inner
        self.calls = 0

    def rewrap_many(self, items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Yield the keys of one call."""
        self.calls += 1
        for wrapped, binding in items:
            yield self.inner.rewrap(wrapped, binding)

    def __getattr__(self, name: str):
        return getattr(self.inner, name)


class Troubled(Batching):
    """One that fails at some keys."""

    def __init__(self, inner: Moved, errors: dict[bytes, Exception]) -> None:
        super().__init__(inner)
        self.errors = errors

    def rewrap_many(self, items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Yield keys until one fails."""
        self.calls += 1
        for wrapped, binding in items:
            if binding in self.errors:
                raise self.errors[binding]
            yield self.inner.rewrap(wrapped, binding)


def test_all_keys_are_rewrapped_and_stay_the_same(
    full: MemoryKeystore, new: Moved, old: LocalRootKey
) -> None:
    """Data keys and index keys of all names; nothing of a record changes but the wrapped key."""
    before = KeyManager(full, old).records()
    done = KeyManager(full, new).rewrap()
    after = KeyManager(full, new).records()
    assert (done.rewrapped, done.current, done.failed) == (40, 0, ())
    assert done.version == new.version()
    assert [replace(record, wrapped="") for record in after] == [
        replace(record, wrapped="") for record in before
    ]
    assert all(len(unwrap(record, new.new)) == 32 for record in after)


def test_current_keys_are_passed_over(full: MemoryKeystore, new: Moved) -> None:
    """A second run asks for no key."""
    KeyManager(full, new).rewrap()
    before = KeyManager(full, new).records()
    batching = Batching(new)
    done = KeyManager(full, batching).rewrap()
    assert (done.rewrapped, done.current, batching.calls) == (0, 40, 0)
    assert KeyManager(full, new).records() == before


def test_some_names_only(full: MemoryKeystore, new: Moved) -> None:
    """A name that is given twice is done once."""
    done = KeyManager(full, new).rewrap(["tenant-3", "tenant-5", "tenant-3"])
    assert done.rewrapped == 4


def test_disabled_keys_are_rewrapped_and_destroyed_ones_are_not(
    full: MemoryKeystore, new: Moved, old: LocalRootKey
) -> None:
    """A disabled key may be enabled when the old KEK is gone."""
    manager = KeyManager(full, old)
    first, second = manager.keyset("tenant-0").primary, manager.rotate("tenant-0").primary
    manager.rotate("tenant-0")
    manager.disable("tenant-0", first.key_id)
    manager.destroy("tenant-0", second.key_id, unscanned=True)
    assert KeyManager(full, new).rewrap(["tenant-0"]).rewrapped == 3
    keyset = KeyManager(full, new.new).enable("tenant-0", first.key_id)
    assert len(unwrap(keyset.get(first.key_id), new.new)) == 32
    assert keyset.get(second.key_id).state is KeyState.DESTROYED


def test_one_call_where_the_provider_takes_many(full: MemoryKeystore, new: Moved) -> None:
    """The provider makes its own batches of what it is given."""
    batching = Batching(new)
    assert KeyManager(full, batching).rewrap().rewrapped == 40
    assert batching.calls == 1


@pytest.mark.parametrize("bad", [[0], [39], [0, 1, 2, 20, 38, 39], range(40)], ids=str)
def test_a_key_that_cannot_be_rewrapped_stops_no_other(
    bad: Iterable[int], full: MemoryKeystore, new: Moved
) -> None:
    """It stays as it was, and the result names it."""
    records = KeyManager(full, new).records()
    errors = {records[n].binding: ProviderError(f"key {n} is damaged") for n in bad}
    done = KeyManager(full, Troubled(new, errors)).rewrap()
    assert done.rewrapped == 40 - len(errors)
    assert [(f.name, f.key_id, f.problem) for f in done.failed] == [
        (records[n].name, records[n].key_id, f"key {n} is damaged") for n in bad
    ]
    after = KeyManager(full, new).records()
    unchanged = [n for n in range(40) if records[n] == after[n]]
    assert unchanged == list(bad)


def test_one_by_one_a_damaged_key_stops_no_other(full: MemoryKeystore, new: Moved) -> None:
    """The same with a provider that takes one key at a time."""
    record = KeyManager(full, new).records()[7]
    full.update(record, record.with_wrapped(record.wrapped[:-4] + "AAAA"))
    done = KeyManager(full, new).rewrap()
    assert (done.rewrapped, ids(done.failed)) == (39, {record.key_id})


@pytest.mark.parametrize("answer", ["", "two words", "\N{KEY}", None])
def test_an_answer_that_is_no_wrapped_key_does_not_replace_one(
    answer, full: MemoryKeystore, new: Moved
) -> None:
    """The only copy of a key is not overwritten by nonsense."""
    before = KeyManager(full, new).records()
    provider = Batching(new)
    provider.rewrap_many = lambda items: (answer for _ in items)
    done = KeyManager(full, provider).rewrap()
    assert (done.rewrapped, len(done.failed)) == (0, 40)
    assert KeyManager(full, new).records() == before


def test_too_few_answers_are_failures(full: MemoryKeystore, new: Moved) -> None:
    """A provider that stops early without an error is asked again for the rest."""
    provider = Batching(new)
    provider.rewrap_many = lambda items: starmap(new.rewrap, islice(items, 15))
    done = KeyManager(full, provider).rewrap()
    assert (done.rewrapped, len(done.failed)) == (38, 2)


def test_what_was_rewrapped_before_the_provider_went_away_is_kept(
    full: MemoryKeystore, new: Moved
) -> None:
    """The error comes up as it is, and the next run goes on with what is left."""
    binding = KeyManager(full, new).records()[25].binding
    gone = Troubled(new, {binding: ProviderUnreachableError("nobody answers")})
    with pytest.raises(ProviderUnreachableError):
        KeyManager(full, gone).rewrap()
    done = KeyManager(full, new).rewrap()
    assert (done.rewrapped, done.current) == (15, 25)


def test_who_may_nothing_is_told_at_once(full: MemoryKeystore, new: Moved) -> None:
    """A refusal of the first key is one of all; a later one is of that key only."""
    records = KeyManager(full, new).records()
    denied = Troubled(new, {r.binding: ProviderDeniedError("not allowed") for r in records})
    with pytest.raises(ProviderDeniedError):
        KeyManager(full, denied).rewrap()
    assert denied.calls == 1
    denied = Troubled(new, {records[3].binding: ProviderDeniedError("not allowed")})
    done = KeyManager(full, denied).rewrap()
    assert (done.rewrapped, len(done.failed)) == (39, 1)


def test_a_run_that_is_killed_is_run_again(
    full: MemoryKeystore, new: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a batch that was not written is lost: those keys are as they were."""
    monkeypatch.setattr(rewrapping, "BATCH", 8)
    batches = []
    update_many = MemoryKeystore.update_many

    def dying(self: MemoryKeystore, pairs) -> None:
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(len(pairs))
        update_many(self, pairs)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryKeystore, "update_many", dying)
        with pytest.raises(KeyboardInterrupt):
            KeyManager(full, new).rewrap()
    assert batches == [8, 8]
    done = KeyManager(full, new).rewrap()
    assert (done.rewrapped, done.current) == (24, 16)


def test_a_process_that_is_killed_leaves_what_it_wrote(tmp_path: Path) -> None:
    """After kill -9 in the middle, the file has old and new keys, and all of them unwrap."""
    texts = [LocalRootKey.generate(), LocalRootKey.generate()]
    old, new = map(LocalRootKey.from_text, texts)
    keystore = FileKeystore(tmp_path / "keys.json")
    for name in NAMES:
        KeyManager(keystore, old).create(name)
    program = f"""
import time
from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, rewrapping
from sqlalchemy_sealed.providers.moved import Moved
rewrapping.BATCH = 5
def tell(done, total):
    print(done, flush=True)
    time.sleep(0.05)
provider = Moved(*map(LocalRootKey.from_text, {texts[::-1]}))
KeyManager(FileKeystore({str(keystore.path)!r}), provider).rewrap(progress=tell)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 15:
            pass
        process.kill()
    done = KeyManager(keystore, Moved(new, old)).rewrap()
    assert done.current >= 15
    assert done.rewrapped > 0
    assert done.current + done.rewrapped == 40
    assert all(len(unwrap(r, new)) == 32 for r in KeyManager(keystore, new).records())


def test_it_says_how_far_it_is(
    full: MemoryKeystore, new: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From none to all, with each batch; keys that are current or failed count as done."""
    monkeypatch.setattr(rewrapping, "BATCH", 10)
    KeyManager(full, new).rewrap(NAMES[:4])
    records = KeyManager(full, new).records()
    errors = {records[20].binding: ProviderError("damaged")}
    told = []
    KeyManager(full, Troubled(new, errors)).rewrap(progress=lambda *now: told.append(now))
    assert told[0] == (0, 40)
    assert told[-1] == (40, 40)
    assert told == sorted(told)
    assert len(told) == 5


# -- others change the same keys


def test_what_others_did_meanwhile_stands(
    full: MemoryKeystore, new: Moved, old: LocalRootKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Destroyed stays destroyed, disabled disabled, and a new primary is the primary."""
    other = KeyManager(full, old)
    first, second = other.keyset("tenant-0").primary, other.rotate("tenant-0").primary
    other.rotate("tenant-0")
    rewrap = new.rewrap
    meanwhile = iter(
        [
            lambda: other.destroy("tenant-0", first.key_id, unscanned=True),
            lambda: other.disable("tenant-0", second.key_id),
            lambda: other.rotate("tenant-0"),
        ]
    )

    def rewrap_slowly(wrapped: str, binding: bytes) -> str:
        for change in meanwhile:
            change()
        return rewrap(wrapped, binding)

    monkeypatch.setattr(new, "rewrap", rewrap_slowly)
    done = KeyManager(full, new).rewrap()
    keyset = KeyManager(full, new).keyset("tenant-0")
    assert keyset.get(first.key_id).state is KeyState.DESTROYED
    assert keyset.get(first.key_id).wrapped == ""
    assert keyset.get(second.key_id).state is KeyState.DISABLED
    assert len(unwrap(keyset.get(second.key_id), new.new)) == 32
    assert keyset.primary.generation == 4
    assert done.rewrapped == 41  # not the destroyed one, nor the one that was made meanwhile
    assert KeyManager(full, new).rewrap().rewrapped == 1


def test_a_keystore_that_stays_locked_is_an_error(
    tmp_path: Path, new: Moved, old: LocalRootKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried over and over."""
    keystore = FileKeystore(tmp_path / "keys.json")
    KeyManager(keystore, old).create("default")
    before = keystore.path.read_bytes()
    monkeypatch.setattr("sqlalchemy_sealed.keystores.file.LOCK_SECONDS", 0.05)
    with keystore._locked(), pytest.raises(KeystoreConflictError, match="held the lock"):
        KeyManager(FileKeystore(keystore.path), new).rewrap()
    assert keystore.path.read_bytes() == before


def test_a_passphrase_with_more_iterations_is_a_new_version(tmp_path: Path) -> None:
    """Keys go over from the old number to the new one, in a file."""
    keystore = FileKeystore(tmp_path / "keys.json")
    text = "correct horse battery staple"
    KeyManager(keystore, Passphrase(text, iterations=FEWEST_ITERATIONS)).create("default")
    after = KeyManager(keystore, Passphrase(text, iterations=FEWEST_ITERATIONS + 1))
    assert after.rewrap().rewrapped == 2
    assert after.rewrap().current == 2
    assert all(r.wrapped.startswith("pbkdf2:1:100001:") for r in after.records())
