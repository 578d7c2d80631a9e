"""A key of AWS KMS as KEK, on a moto server: its names, the encryption context, rewraps."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3.session
import pytest
from fix_keys import forget
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_sealed import KeyManager, MemoryKeystore, get_sealer
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.envelope import from_text, to_text
from sqlalchemy_sealed.errors import (
    MissingExtraError,
    OptionError,
    ProviderError,
    ProviderKeyMissingError,
)
from sqlalchemy_sealed.keys import KeyKind
from sqlalchemy_sealed.providers.awskms import AwsKms, _context
from sqlalchemy_sealed.testing import record
from sqlalchemy_sealed.testing.processes import in_child

KEY = bytes(range(32))
BINDING = record().binding


def blob_of(wrapped: str) -> bytes:
    """Return the ciphertext blob of a wrapped key."""
    return from_text(wrapped.removeprefix("awskms:1:"))


# -- which key


def test_a_key_has_four_names(kms: Any, kms_key: str) -> None:
    """ARN, id, alias and the ARN of the alias name the same key, and say so."""
    kms.create_alias(AliasName="alias/four-names", TargetKeyId=kms_key)
    prefix, _, key_id = kms_key.rpartition(":key/")
    names = [kms_key, key_id, "alias/four-names", f"{prefix}:alias/four-names"]
    wrapped = AwsKms(kms_key).wrap(KEY, BINDING)
    for name in names:
        provider = AwsKms(name)
        assert provider.unwrap(wrapped, BINDING) == KEY
        assert provider.version() == f"awskms:{kms_key}"
        assert repr(provider) == f"<AwsKms {name!r}>"


def test_an_arn_says_its_region(
    aws: None, moto_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region of an ARN is asked, whatever the settings say, or where they say nothing."""
    there = boto3.session.Session().client("kms", region_name="us-west-2")
    arn = there.create_key()["KeyMetadata"]["Arn"]
    wrapped = AwsKms(arn).wrap(KEY, BINDING)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert AwsKms(arn).unwrap(wrapped, BINDING) == KEY
    with pytest.raises(ProviderError, match="no AWS region is known: set AWS_DEFAULT_REGION"):
        AwsKms(arn.rpartition("/")[2]).version()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    with pytest.raises(ProviderKeyMissingError, match="look at its name, the region"):
        AwsKms(arn.rpartition("/")[2]).version()


def test_only_the_configured_key_is_used(kms: Any, kms_key: str) -> None:
    """A wrapped key under another KMS key is refused, though this login may use that one, too."""
    other = kms.create_key()["KeyMetadata"]["Arn"]
    foreign = AwsKms(other).wrap(KEY, BINDING)
    with pytest.raises(ProviderError):
        AwsKms(kms_key).unwrap(foreign, BINDING)
    with pytest.raises(ProviderError, match="another KMS key wrapped it"):
        AwsKms(kms_key).rewrap(foreign, BINDING)


@pytest.mark.parametrize("key", ["", None, b"alias/sealed", 5])
def test_a_key_must_be_named(key: object) -> None:
    """A key is a text."""
    with pytest.raises(OptionError, match="by its ARN, its id or an alias"):
        AwsKms(key)


def test_a_timeout_is_above_zero() -> None:
    """A client that never waits gets no answer."""
    with pytest.raises(OptionError, match="above 0"):
        AwsKms("alias/sealed", timeout=0)


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named where the provider is made, and not at the first key."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "boto3.session", raising=False)
    with pytest.raises(MissingExtraError, match=r"sqlalchemy-sealed\[aws\]"):
        AwsKms("alias/sealed")


# -- the encryption context


def test_the_encryption_context_can_be_read(kms: Any, kms_key: str) -> None:
    """In the log of AWS and in policies, each part of a binding stands by itself."""
    binding = record("patients", kind=KeyKind.INDEX).binding
    wrapped = AwsKms(kms_key).wrap(KEY, binding)
    context = {
        "purpose": "sqlalchemy-sealed v1 wrapped key",
        "key-name": "patients",
        "key-kind": "index",
        "key-id": record("patients", kind=KeyKind.INDEX).key_id.hex(),
    }
    answer = kms.decrypt(CiphertextBlob=blob_of(wrapped), EncryptionContext=context)
    assert answer["Plaintext"] == KEY


def test_a_binding_of_another_form_is_one_entry() -> None:
    """Bytes that are not four parts are given as they are."""
    context = {"purpose": "sqlalchemy-sealed binding", "binding": to_text(b"\x00\xff")}
    assert _context(b"\x00\xff") == context


PARTS = st.lists(st.text(max_size=3), max_size=5).map(pack)


@given(st.lists(st.binary(max_size=12) | PARTS, min_size=2, max_size=6))
def test_two_bindings_never_have_one_context(bindings: list[bytes]) -> None:
    """No two bindings look the same to KMS, and a binding always looks the same."""
    contexts = {binding: tuple(_context(binding).items()) for binding in bindings}
    assert len(set(contexts.values())) == len(set(bindings))


# -- sizes


@pytest.mark.parametrize("size", [1, 31, 33, 4096])
def test_a_key_of_another_size_is_refused(kms: Any, kms_key: str, size: int) -> None:
    """What KMS decrypts and has not 32 bytes is no key of ours."""
    answer = kms.encrypt(KeyId=kms_key, Plaintext=bytes(size), EncryptionContext=_context(BINDING))
    with pytest.raises(ProviderError, match="not a key of 32 bytes"):
        AwsKms(kms_key).unwrap(f"awskms:1:{to_text(answer['CiphertextBlob'])}", BINDING)


@pytest.mark.parametrize("size", [0, 6145, 1_000_000])
def test_a_blob_of_an_impossible_size_is_not_sent(size: int) -> None:
    """KMS makes blobs of 1 to 6,144 bytes; another one is refused without a call."""
    provider = AwsKms("alias/sealed", lambda: pytest.fail("KMS is asked"))
    with pytest.raises(ProviderError, match=f"damaged: {size} bytes"):
        provider.unwrap(f"awskms:1:{to_text(bytes(size))}", BINDING)


# -- rotation


def test_a_rewrap_does_not_show_the_key(kms: Any, kms_key: str) -> None:
    """KMS opens and wraps again by itself; the login needs no right to decrypt for it."""
    wrapped = AwsKms(kms_key).wrap(KEY, BINDING)
    asked = []

    def connect() -> Any:
        client = boto3.session.Session().client("kms")
        client.meta.events.register("before-call.kms", lambda model, **_: asked.append(model.name))
        return client

    rewrapped = AwsKms(kms_key, connect).rewrap(wrapped, BINDING)
    assert asked == ["ReEncrypt"]
    assert AwsKms(kms_key).unwrap(rewrapped, BINDING) == KEY


def test_nothing_is_said_to_be_current(kms_key: str) -> None:
    """KMS does not tell which version of a key wrapped what, so a rewrap leaves nothing out."""
    provider = AwsKms(kms_key)
    assert not provider.is_current(provider.wrap(KEY, BINDING), provider.version())


# -- clients


def test_threads_share_one_client(kms_key: str) -> None:
    """However many threads ask first, one client is made."""
    made = []

    def connect() -> Any:
        made.append(boto3.session.Session().client("kms"))
        return made[-1]

    provider, barrier = AwsKms(kms_key, connect), threading.Barrier(8)

    def wrap(_: int) -> str:
        barrier.wait()
        return provider.wrap(KEY, BINDING)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(wrap, range(8)))) == 8
    assert len(made) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_a_client_of_its_own(kms_key: str) -> None:
    """Parent and child do not read each other's answers from one connection."""
    made = []

    def connect() -> Any:
        made.append(boto3.session.Session().client("kms"))
        return made[-1]

    provider = AwsKms(kms_key, connect)
    wrapped = provider.wrap(KEY, BINDING)

    def work() -> bytes:
        assert provider.unwrap(wrapped, BINDING) == KEY
        return str(len(made)).encode()

    assert in_child(work) == b"2"
    assert provider.unwrap(wrapped, BINDING) == KEY
    assert len(made) == 1


# -- as the KEK of a sealer


def test_a_sealer_asks_once_for_each_key(kms_key: str) -> None:
    """A thousand values cost the calls that their data key costs, and none of their own."""
    asked = []

    def connect() -> Any:
        client = boto3.session.Session().client("kms")
        client.meta.events.register("before-call.kms", lambda model, **_: asked.append(model.name))
        return client

    keystore = MemoryKeystore()
    KeyManager(keystore, AwsKms(kms_key)).create("default")
    sealer = get_sealer("aws-kms")
    sealer.configure(keystore=keystore, provider=AwsKms(kms_key, connect), key_name="default")
    values = [b"%d" % number for number in range(1000)]
    sealed = [sealer.seal(value, "patients.email") for value in values]
    assert [sealer.open(value, "patients.email") for value in sealed] == values
    assert asked == ["Decrypt"]
    forget(sealer)
