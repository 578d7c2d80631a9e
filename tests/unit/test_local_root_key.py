"""The root key of this machine: where it comes from, and what it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sqlalchemy_sealed import KEKProvider, LocalRootKey
from sqlalchemy_sealed.errors import KeystoreError, ProviderError

KEY = bytes(range(32))


@pytest.fixture
def text() -> str:
    """Return the text of a new root key."""
    return LocalRootKey.generate()


def test_it_is_a_provider(provider: LocalRootKey) -> None:
    """It has the methods of the protocol."""
    assert isinstance(provider, KEKProvider)


def test_wrapping_is_undone_by_unwrapping(provider: LocalRootKey) -> None:
    """A key comes back with the binding it was wrapped with."""
    assert provider.unwrap(provider.wrap(KEY, b"binding"), b"binding") == KEY


def test_two_wrappings_differ(provider: LocalRootKey) -> None:
    """Wrapping is randomised, and so is a rewrap."""
    wrapped = provider.wrap(KEY, b"binding")
    assert wrapped != provider.wrap(KEY, b"binding")
    assert provider.rewrap(wrapped, b"binding") != wrapped
    assert provider.unwrap(provider.rewrap(wrapped, b"binding"), b"binding") == KEY


def test_another_binding_does_not_unwrap(provider: LocalRootKey) -> None:
    """A wrapped key that was given to another name or id is refused."""
    with pytest.raises(ProviderError, match="damaged, or swapped"):
        provider.unwrap(provider.wrap(KEY, b"binding"), b"another")


def test_another_root_key_is_told_by_name(provider: LocalRootKey, text: str) -> None:
    """A wrong root key is an error that names both ids, before anything is decrypted."""
    other = LocalRootKey.from_text(text)
    with pytest.raises(ProviderError, match="wrong root key") as caught:
        other.unwrap(provider.wrap(KEY, b"binding"), b"binding")
    for each in provider, other:
        assert each.version().rpartition(":")[2] in str(caught.value)


def test_every_flipped_character_is_refused(provider: LocalRootKey) -> None:
    """No character of a wrapped key can be changed."""
    wrapped = provider.wrap(KEY, b"binding")
    for at, character in enumerate(wrapped):
        changed = wrapped[:at] + ("A" if character != "A" else "B") + wrapped[at + 1 :]
        with pytest.raises(ProviderError):
            provider.unwrap(changed, b"binding")


def test_every_cut_is_refused(provider: LocalRootKey) -> None:
    """No beginning of a wrapped key is taken for the whole."""
    wrapped = provider.wrap(KEY, b"binding")
    for length in range(len(wrapped)):
        with pytest.raises(ProviderError):
            provider.unwrap(wrapped[:length], b"binding")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "",
        lambda t: t[:-1],
        lambda t: t + "A",
        lambda t: t.removeprefix("sealedroot1_"),
        lambda t: t.replace("sealedroot1_", "sealedroot2_"),
        lambda t: t[:-2] + "=",
        lambda t: t[:20] + " " + t[21:],
    ],
)
def test_a_malformed_root_key_is_refused_unseen(change, text: str) -> None:
    """What is not the text of a root key is refused, and not shown."""
    wrong = change(text)
    with pytest.raises(ProviderError, match=r"^here: this is not a root key") as caught:
        LocalRootKey.from_text(wrong, where="here")
    assert text[12:20] not in str(caught.value)


def test_it_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The variable holds the text; one that is not set is named."""
    monkeypatch.setenv("MY_ROOT_KEY", text)
    assert LocalRootKey.from_env("MY_ROOT_KEY").version() == LocalRootKey.from_text(text).version()
    monkeypatch.delenv("MY_ROOT_KEY")
    with pytest.raises(ProviderError, match=r"^MY_ROOT_KEY: "):
        LocalRootKey.from_env("MY_ROOT_KEY")


def test_it_is_read_from_a_file_of_its_owner(tmp_path: Path, text: str) -> None:
    """A file may end with a line feed; one that others can read is refused, and so is none."""
    path = tmp_path / "root.key"
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    assert LocalRootKey.from_file(path).version() == LocalRootKey.from_text(text).version()
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600 "):
        LocalRootKey.from_file(path)
    with pytest.raises(KeystoreError, match="sealed init"):
        LocalRootKey.from_file(tmp_path / "absent")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Bytes that are not text are no root key."""
    path = tmp_path / "root.key"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff" * 60)
    with pytest.raises(ProviderError, match="not a root key"):
        LocalRootKey.from_file(path)


def test_it_does_not_leave_the_process(provider: LocalRootKey, text: str) -> None:
    """The repr is an id, and a pickle is refused."""
    assert text[12:] not in repr(LocalRootKey.from_text(text))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(provider)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_root_key_of_another_size_is_refused(size: int) -> None:
    """A root key has 32 bytes."""
    with pytest.raises(ProviderError, match=f"32 bytes, not {size}"):
        LocalRootKey(bytes(size))


def test_a_wrapped_key_that_is_not_ascii_is_refused(provider: LocalRootKey) -> None:
    """Whatever stands in a keystore, it is our error."""
    for text in ("local:1:\ud800:AAAA", "local:1:ä:AAAA", "vault:v1:AAAA", ":", "\ud800"):
        with pytest.raises(ProviderError):
            provider.unwrap(text, b"binding")
