"""Keys that move from one KEK to another, of the same kind or not."""

from __future__ import annotations

import pytest
from fix_keys import forget

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, get_sealer
from sqlalchemy_sealed.errors import ProviderDeniedError, ProviderError
from sqlalchemy_sealed.providers.moved import Moved
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase
from sqlalchemy_sealed.providers.rsa import RsaKey

KEY = bytes(range(32))
BINDING = b"binding"


def root_key() -> LocalRootKey:
    """Return the provider of a new root key."""
    return LocalRootKey.from_text(LocalRootKey.generate())


def passphrase(text: str) -> Passphrase:
    """Return a provider that does not take long."""
    return Passphrase(text, iterations=FEWEST_ITERATIONS)


def test_old_keys_unwrap_and_new_ones_are_of_the_new_kek() -> None:
    """The old KEK unwraps what is left, and wraps nothing any more."""
    new, old = root_key(), root_key()
    moved, wrapped = Moved(new, old), old.wrap(KEY, BINDING)
    assert moved.unwrap(wrapped, BINDING) == KEY
    assert not moved.is_current(wrapped, moved.version())
    for text in (moved.wrap(KEY, BINDING), moved.rewrap(wrapped, BINDING)):
        assert new.unwrap(text, BINDING) == KEY
        assert moved.is_current(text, moved.version())


def test_there_may_be_several_old_ones(rsa_pem: bytes) -> None:
    """Of different kinds, too."""
    olds = [root_key(), RsaKey(rsa_pem), passphrase("correct horse battery staple")]
    moved = Moved(root_key(), *olds)
    for old in olds:
        assert moved.unwrap(old.wrap(KEY, BINDING), BINDING) == KEY


def test_what_none_of_them_unwraps_is_refused() -> None:
    """The error tells what each of them says."""
    moved = Moved(root_key(), passphrase("correct horse battery staple"))
    with pytest.raises(ProviderError, match=r"none of 2 KEK providers.*wrong root key.*passphrase"):
        moved.unwrap(root_key().wrap(KEY, BINDING), BINDING)


def test_what_one_of_them_may_not_do_is_said(rsa_pem: bytes, public_pem: bytes) -> None:
    """An error that somebody can do something about is not hidden behind the others."""
    moved = Moved(root_key(), RsaKey(public_pem))
    with pytest.raises(ProviderDeniedError, match="public key only"):
        moved.unwrap(RsaKey(rsa_pem).wrap(KEY, BINDING), BINDING)


def test_one_that_blocks_makes_all_block(rsa_pem: bytes) -> None:
    """A sealer has to know whether a key may take long."""

    class Far(LocalRootKey):
        remote = True

    far = Far.from_text(LocalRootKey.generate())
    assert not Moved(root_key(), RsaKey(rsa_pem)).remote
    assert Moved(root_key(), far).remote
    assert Moved(far, root_key()).remote


def test_a_keystore_moves_to_another_kek() -> None:
    """After a rewrap, the new KEK opens every value, and the old one is not needed."""
    keystore, old, new = MemoryKeystore(), root_key(), passphrase("correct horse battery staple")
    KeyManager(keystore, old).create("default")
    sealer = get_sealer("moved")
    sealer.configure(keystore=keystore, provider=old, key_name="default")
    values = [sealer.seal(b"1", "patients.email")]
    KeyManager(keystore, old).rotate("default")
    sealer.refresh()
    values.append(sealer.seal(b"2", "patients.email"))
    done = KeyManager(keystore, Moved(new, old)).rewrap()
    assert (done.rewrapped, done.current, done.failed) == (3, 0, ())
    sealer.configure(keystore=keystore, provider=new, key_name="default", replace=True)
    assert [sealer.open(value, "patients.email") for value in values] == [b"1", b"2"]
    again = KeyManager(keystore, Moved(new, old)).rewrap()
    assert (again.rewrapped, again.current) == (0, 3)
    forget(sealer)


def test_a_keystore_moves_to_a_key_that_this_process_cannot_open(
    rsa_pem: bytes, public_pem: bytes
) -> None:
    """With the public half as the new KEK it goes on sealing, under a key of its own."""
    keystore, old = MemoryKeystore(), root_key()
    KeyManager(keystore, old).create("default")
    moved = Moved(RsaKey(public_pem), old)
    assert (moved.can_unwrap, Moved(old, RsaKey(public_pem)).can_unwrap) == (False, True)
    sealer = get_sealer("moved to a public key")
    sealer.configure(keystore=keystore, provider=old, key_name="default")
    before = sealer.seal(b"before", "a.b")
    sealer.configure(keystore=keystore, provider=moved, key_name="default", replace=True)
    assert sealer.open(before, "a.b") == b"before"
    value = sealer.seal(b"after", "a.b")
    with pytest.raises(ProviderError):
        sealer.open(value, "a.b")
    KeyManager(keystore, Moved(RsaKey(rsa_pem), old)).rewrap()
    sealer.configure(keystore=keystore, provider=RsaKey(rsa_pem), key_name="default", replace=True)
    assert sealer.open(value, "a.b") == b"after"
    assert sealer.open(before, "a.b") == b"before"
    forget(sealer)
