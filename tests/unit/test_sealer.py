"""The sealer: configuring it, using it, and what it does when keys change."""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from sqlalchemy_sealed import (
    Context,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    get_sealer,
    keykeeper,
)
from sqlalchemy_sealed.envelope import parse
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    ConfigurationError,
    DestroyedKeyError,
    KeystoreError,
    NotAnEnvelopeError,
    NotConfiguredError,
    OptionError,
    ProviderError,
    UnknownKeyError,
)


class CountingProvider(LocalRootKey):
    """A root key that counts what it is asked for."""

    __slots__ = ("calls",)

    def __init__(self, material: bytes) -> None:
        super().__init__(material)
        self.calls = 0

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        self.calls += 1
        return super().unwrap(wrapped, binding)


class CountingKeystore(MemoryKeystore):
    """A keystore that counts how often it is read, and can be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.broken = False

    def load(self, name: str):
        self.loads += 1
        if self.broken:
            raise KeystoreError("out of order")
        return super().load(name)


@pytest.fixture
def counted() -> tuple[Sealer, CountingKeystore, CountingProvider]:
    """Return a configured sealer with a keystore and a provider that count."""
    keystore, provider = CountingKeystore(), CountingProvider(os.urandom(32))
    name = f"counted-{uuid4()}"
    KeyManager(keystore, provider).create(name)
    sealer = get_sealer(name)
    sealer.configure(keystore=keystore, provider=provider)
    return sealer, keystore, provider


def fresh() -> Sealer:
    """Return a sealer of a name that nobody used."""
    return get_sealer(f"fresh-{uuid4()}")


def test_one_name_is_one_sealer() -> None:
    """As with loggers, the name gets the same object each time; an empty one is refused."""
    assert get_sealer("pii") is get_sealer("pii")
    with pytest.raises(ConfigurationError, match="not empty"):
        get_sealer("")


def test_a_sealer_is_pickled_as_its_name() -> None:
    """Keys do not leave the process with it."""
    sealer = fresh()
    assert pickle.loads(pickle.dumps(sealer)) is sealer


def test_without_keys_it_says_how_to_configure_it() -> None:
    """Sealing and opening name the sealer and the call that is missing."""
    sealer = fresh()
    assert not sealer.is_configured
    for use in (lambda: sealer.seal(b"", "a.b"), lambda: sealer.open(b"", "a.b"), sealer.rotate):
        with pytest.raises(NotConfiguredError, match=f"{sealer.name}.*configure"):
            use()


def test_it_is_configured_once(sealer: Sealer, keystore, provider) -> None:
    """A second time is refused unless it is meant."""
    with pytest.raises(ConfigurationError, match="replace=True"):
        sealer.configure(keystore=keystore, provider=provider)
    sealer.configure(keystore=keystore, provider=provider, replace=True)


def test_a_wrong_root_key_shows_at_the_start(keystore) -> None:
    """Configuring unwraps the primary, and leaves the sealer as it was if that fails."""
    sealer = fresh()
    wrong = LocalRootKey.from_text(LocalRootKey.generate())
    with pytest.raises(ProviderError, match="wrong root key"):
        sealer.configure(keystore=keystore, provider=wrong, key_name="default")
    assert not sealer.is_configured


def test_an_unknown_key_name_shows_at_the_start(keystore, provider) -> None:
    """A keystore without keys of this name is refused, and the name is in the message."""
    with pytest.raises(KeystoreError, match="'unheard of'"):
        fresh().configure(keystore=keystore, provider=provider, key_name="unheard of")


def test_what_was_sealed_opens_in_its_context_only(sealer: Sealer) -> None:
    """Another label, and other scope parts, are refused, and the error names the context."""
    sealed = sealer.seal(b"value", Context("a.b", ("tenant",)))
    assert sealer.open(sealed, Context("a.b", ("tenant",))) == b"value"
    for other in (Context("a.b"), Context("a.c", ("tenant",)), Context("a.b", ("ten", "ant"))):
        with pytest.raises(AuthenticationError, match=f"^{other.label}: "):
            sealer.open(sealed, other)


def test_padding_hides_the_length(sealer: Sealer) -> None:
    """Values of up to 15 bytes are stored alike with a block of 16; a wrong block is refused."""
    sizes = {len(sealer.seal(b"x" * n, "a.b", pad=16)) for n in range(16)}
    assert sizes == {52 + 16}
    assert sealer.open(sealer.seal(b"x\x00", "a.b", pad=16), "a.b") == b"x\x00"
    with pytest.raises(OptionError):
        sealer.seal(b"", "a.b", pad=1)


def test_after_a_rotation_old_and_new_values_open(sealer: Sealer) -> None:
    """The next seal is under the new primary; functions made before follow it, too."""
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    old = seal(b"old")
    primary = sealer.rotate().primary.key_id
    new = seal(b"new")
    assert (old[4:12] != primary, new[4:12] == primary) == (True, True)
    assert (open_(old), open_(new)) == (b"old", b"new")


def test_a_rotation_elsewhere_is_picked_up_by_the_first_value(counted) -> None:
    """An unknown key id makes the keystore be read once, and then the value opens."""
    sealer, keystore, provider = counted
    elsewhere = fresh()
    KeyManager(keystore, provider).rotate(sealer.name)
    elsewhere.configure(keystore=keystore, provider=provider, key_name=sealer.name)
    loads = keystore.loads
    assert sealer.open(elsewhere.seal(b"value", "a.b"), "a.b") == b"value"
    assert keystore.loads == loads + 1


def test_an_unknown_key_is_looked_for_once_and_not_in_a_storm(counted, other_sealer) -> None:
    """A hundred foreign values from eight threads make one read of the keystore."""
    sealer, keystore, _ = counted
    foreign = other_sealer.seal(b"value", "a.b")
    loads = keystore.loads

    def attempt(_: int) -> None:
        with pytest.raises(UnknownKeyError, match=f"^a.b: .*{foreign[4:12].hex()}"):
            sealer.open(foreign, "a.b")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(100)))
    assert keystore.loads == loads + 1


def test_a_key_is_unwrapped_once(counted) -> None:
    """Threads that need an older key at the same time make one call of the provider."""
    sealer, keystore, provider = counted
    old = sealer.seal(b"old", "a.b")
    KeyManager(keystore, provider).rotate(sealer.name)
    reader = fresh()
    reader.configure(keystore=keystore, provider=provider, key_name=sealer.name)
    calls, start = provider.calls, threading.Barrier(32)

    def read(_: int) -> bytes:
        start.wait()
        return reader.open(old, "a.b")

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(read, range(32))) == {b"old"}
    assert provider.calls == calls + 1


def test_a_refresh_unwraps_nothing_again(counted) -> None:
    """Keys that are known stay unwrapped."""
    sealer, _, provider = counted
    calls = provider.calls
    sealer.refresh()
    assert provider.calls == calls


def test_a_refresh_that_fails_keeps_the_keys(counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the keystore out of order, what is known goes on sealing and opening."""
    sealer, keystore, _ = counted
    keystore.broken = True
    with pytest.raises(KeystoreError, match="out of order"):
        sealer.refresh()
    assert sealer.open(sealer.seal(b"value", "a.b"), "a.b") == b"value"


def test_a_destroyed_key_says_so(sealer: Sealer, keystore, provider) -> None:
    """After a refresh its values are gone, also for functions that opened them before."""
    open_ = sealer.opening(Context("a.b"))
    old = sealer.seal(b"old", "a.b")
    assert open_(old) == open_(old) == b"old"
    sealer.rotate()
    KeyManager(keystore, provider).destroy("default", old[4:12], unscanned=True)
    sealer.refresh()
    for read in (open_, lambda data: sealer.open(data, "a.b")):
        with pytest.raises(DestroyedKeyError, match="can never be opened") as caught:
            read(old)
        assert caught.value.key_id == old[4:12].hex()


@pytest.mark.parametrize("data", [b"", b"plaintext", b"\xb1\xe6\xa5", "text", None, 5])
def test_what_is_no_envelope_is_refused(data, sealer: Sealer) -> None:
    """Bytes of any other kind are one error; another Python type never opens."""
    with pytest.raises((NotAnEnvelopeError, TypeError)):
        sealer.open(data, "a.b")


def test_a_forked_child_seals_and_opens(sealer: Sealer) -> None:
    """Keys are there after a fork, on both sides."""
    before = sealer.seal(b"parent", "a.b")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, sealer.seal(sealer.open(before, "a.b") + b" and child", "a.b"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert sealer.open(file.read(), "a.b") == b"parent and child"
    assert os.waitpid(child, 0)[1] == 0


def test_its_repr_shows_the_public_half(sealer: Sealer) -> None:
    """Name and key ids are shown; without keys, that there are none."""
    assert sealer.keyset.primary.key_id.hex() in repr(sealer)
    assert "not configured" in repr(fresh())


def test_an_unknown_key_is_looked_for_again_after_a_while(
    counted, other_sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that comes later is found; the memory of missed keys ends, and does not grow."""
    sealer, keystore, _ = counted
    foreign = other_sealer.seal(b"value", "a.b")
    monkeypatch.setattr(keykeeper, "MISS_SECONDS", 0.0)
    monkeypatch.setattr(keykeeper, "MAX_MISSES", 2)
    loads = keystore.loads
    for number in range(4):
        with pytest.raises(UnknownKeyError):
            sealer.open(foreign[:11] + bytes([number]) + foreign[12:], "a.b")
    assert keystore.loads == loads + 4
    assert len(sealer.kept()._missed) <= 2


def test_two_rotations_elsewhere_in_a_row_are_both_picked_up(counted) -> None:
    """A second unknown key is looked for at once, also right after the first."""
    sealer, keystore, provider = counted
    for number in range(3):
        KeyManager(keystore, provider).rotate(sealer.name)
        elsewhere = fresh()
        elsewhere.configure(keystore=keystore, provider=provider, key_name=sealer.name)
        assert sealer.open(elsewhere.seal(bytes([number]), "a.b"), "a.b") == bytes([number])


# -- blind indexes


def slots_of(sealer: Sealer):
    """Return a function that seals a value with two slots, made of the two index keys."""

    def maker(current: bytes, bridge: bytes):
        return lambda value: current[:15] + bridge[:15]

    seal = sealer.sealing_indexed(Context("a.b"), 2, maker)

    def slots(value: bytes) -> tuple[bytes, ...]:
        data = seal(value, value)
        assert sealer.open(data, "a.b") == value
        return parse(data).slots

    return slots


def keys_of(sealer: Sealer):
    """Return a function that gives the beginnings of the index keys that are searched under."""
    match = sealer.matching(lambda key: lambda value: key[:15])
    return lambda: match(None)


def test_a_search_and_a_seal_follow_the_index_key(sealer: Sealer) -> None:
    """Functions that were made before a rotation use its keys after it."""
    slots, keys = slots_of(sealer), keys_of(sealer)
    (old,) = keys()
    assert slots(b"value") == (old, old)
    sealer.rotate(index=True)
    new = keys()[0]
    assert keys() == [new, old]
    assert slots(b"value") == (new, old)
    assert new != old


def test_a_second_rotation_of_the_index_key_changes_nothing(sealer: Sealer) -> None:
    """It is refused while the first is not finished; the sealer goes on with its keys."""
    sealer.rotate(index=True)
    slots, keyset = slots_of(sealer)(b"value"), sealer.keyset
    with pytest.raises(KeystoreError, match="is being rotated already"):
        sealer.rotate(index=True)
    assert slots_of(sealer)(b"value") == slots
    assert sealer.keyset.records == keyset.records


def test_an_index_key_of_another_process_is_taken_up_with_its_first_value(counted) -> None:
    """The value names a data key that is unknown: the keystore is read, its index key with it."""
    sealer, keystore, provider = counted
    keys = keys_of(sealer)
    (old,) = keys()
    KeyManager(keystore, provider).rotate(sealer.name, index=True)
    other = get_sealer(f"other-{uuid4()}")
    other.configure(keystore=keystore, provider=provider, key_name=sealer.name)
    assert keys() == [old]
    assert sealer.open(other.seal(b"value", "a.b"), "a.b") == b"value"
    assert keys() == keys_of(other)()


def test_an_index_key_is_unwrapped_when_it_is_first_needed(counted) -> None:
    """Once, for all that seals and searches; not for columns without an index."""
    sealer, _, provider = counted
    before = provider.calls
    sealer.open(sealer.seal(b"value", "a.b"), "a.b")
    assert provider.calls == before
    for _ in range(3):
        slots_of(sealer)(b"value")
        keys_of(sealer)()
    assert provider.calls == before + 1


def test_without_keys_nothing_is_indexed_or_searched() -> None:
    """The error says how to configure the sealer."""
    for use in (lambda: slots_of(fresh())(b"value"), keys_of(fresh())):
        with pytest.raises(NotConfiguredError, match=r"configure\("):
            use()
