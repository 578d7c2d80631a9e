"""XAES-256-GCM: official vectors, interop with another implementation, opening, the cache."""

from __future__ import annotations

import copy
import os
import pickle
from collections import Counter
from hashlib import shake_128
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from tink import BinaryKeysetReader, cleartext_keyset_handle
from tink import aead as tink_aead
from tink.proto import tink_pb2, x_aes_gcm_pb2
from vectors.sealers import sealer_with

from sqlalchemy_sealed import Context, aead
from sqlalchemy_sealed.aead import Mac, Xaes, derive, random_key
from sqlalchemy_sealed.envelope import Envelope, parse
from sqlalchemy_sealed.errors import AuthenticationError, ValueRefusedError
from sqlalchemy_sealed.keys import key_id_of

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
PLAINTEXT = b"XAES-256-GCM"


@pytest.fixture
def xaes() -> Xaes:
    """Return XAES-256-GCM under a random key."""
    return Xaes(random_key())


# -- what others publish


@pytest.mark.parametrize(
    "vector",
    [
        {
            "key": "01" * 32,
            "aad": b"",
            "L": "7298caa565031eadc6ce23d23ea66378",
            "K1": "e531954aca063d5b8d9c47a47d4cc6f0",
            "Kx": "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
            "sealed": "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        },
        {
            "key": "03" * 32,
            "aad": b"c2sp.org/XAES-256-GCM",
            "L": "91c08762876dccf9ba204a33768fa5fe",
            "K1": "23810ec50edb99f374409466ed1f4b7b",
            "Kx": "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
            "sealed": "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        },
    ],
    ids=["highest bit of L is 0", "highest bit of L is 1"],
)
def test_official_vectors(vector: dict[str, Any]) -> None:
    """Every intermediate value and the message are those of the published vectors."""
    key, aad = bytes.fromhex(vector["key"]), vector["aad"]
    zero_block = Cipher(AES256(key), ECB()).encryptor().update(bytes(16))
    assert zero_block.hex() == vector["L"]
    assert aead._cmac_subkey(zero_block).to_bytes(16, "big").hex() == vector["K1"]
    xaes = Xaes(key)
    assert xaes.derive(NONCE[:12]).hex() == vector["Kx"]
    assert xaes.seal_with_nonce(NONCE, PLAINTEXT, aad).hex() == vector["sealed"]
    assert xaes.open(NONCE, bytes.fromhex(vector["sealed"]), aad) == PLAINTEXT


def test_official_accumulated_vector() -> None:
    """10,000 random keys, nonces, plaintexts and associated data add up to the published hash."""
    stream = memoryview(shake_128().digest(6_000_000))
    sealed = shake_128()

    def take(size: int) -> bytes:
        nonlocal stream
        taken, stream = bytes(stream[:size]), stream[size:]
        return taken

    for _ in range(10_000):
        key, nonce = take(32), take(24)
        plaintext = take(take(1)[0])
        aad = take(take(1)[0])
        sealed.update(Xaes(key).seal_with_nonce(nonce, plaintext, aad))
    assert (
        sealed.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    )


def test_hkdf_official_vector() -> None:
    """`derive` is HKDF-SHA256 of RFC 5869: its test case 3 has neither salt nor info."""
    assert derive(b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@pytest.mark.parametrize(
    ("key", "message", "code"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 20,
            b"\xdd" * 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            bytes(range(1, 26)),
            b"\xcd" * 50,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            (
                b"This is a test using a larger than block-size key and a larger than block-size "
                b"data. The key needs to be hashed before being used by the HMAC algorithm."
            ),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
    ids=[f"test case {number}" for number in range(1, 8)],
)
def test_hmac_official_vectors(key: bytes, message: bytes, code: str) -> None:
    """`Mac` is HMAC-SHA256: the test cases of RFC 4231, each time it is asked."""
    mac = Mac(key)
    for _ in range(2):
        assert mac.digest(message).hex().startswith(code)
        assert len(mac.digest(b"something else")) == 32


def tink_xaes(key: bytes) -> tink_aead.Aead:
    """Return another implementation of XAES-256-GCM, without a prefix of its own."""
    tink_aead.register()
    params = x_aes_gcm_pb2.XAesGcmParams(salt_size=12)
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.XAesGcmKey",
        value=x_aes_gcm_pb2.XAesGcmKey(params=params, key_value=key).SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    only = tink_pb2.Keyset.Key(
        key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW
    )
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[only])
    reader = BinaryKeysetReader(keyset.SerializeToString())
    return cleartext_keyset_handle.read(reader).primitive(tink_aead.Aead)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096, 65_536])
def test_interop_both_ways(size: int) -> None:
    """Another implementation opens what `seal` writes, and we open what it writes."""
    key, plaintext = random_key(), os.urandom(size)
    ours, theirs = Xaes(key), tink_xaes(key)
    for aad in (b"", b"aad"):
        for _ in range(2):  # the second message has the prefix of the first one
            assert theirs.decrypt(ours.seal(plaintext, aad), aad) == plaintext
        message = theirs.encrypt(plaintext, aad)
        assert ours.open(message[:24], message[24:], aad) == plaintext


@pytest.mark.parametrize("slots", [0, 2])
def test_interop_of_envelopes(slots: int) -> None:
    """Nonce, ciphertext and tag of a stored envelope are a plain message of XAES-256-GCM."""
    data_key = random_key()
    theirs = tink_xaes(derive(data_key, b"sqlalchemy-sealed v1 aead"))
    sealer, context = sealer_with([data_key]), Context("patients.email", ("tenant:17",))

    stored = parse(sealer.seal(PLAINTEXT, context))
    assert theirs.decrypt(stored.nonce + stored.sealed, stored.head + bytes(context)) == PLAINTEXT

    empty = Envelope(1, key_id_of(data_key), (bytes(15),) * slots, b"", b"")
    message = theirs.encrypt(PLAINTEXT, empty.head + bytes(context))
    assert sealer.open(empty.head + message, context) == PLAINTEXT


# -- opening


@pytest.mark.parametrize("part", ["nonce", "sealed", "aad"])
def test_any_change_is_refused(part: str, xaes: Xaes) -> None:
    """Nonce, ciphertext, tag and associated data are all bound; nothing is given out."""
    message = xaes.seal(PLAINTEXT, b"aad")
    parts = {"nonce": message[:24], "sealed": message[24:], "aad": b"aad"}
    assert xaes.open(**parts) == PLAINTEXT
    for at in range(len(parts[part])):
        changed = bytearray(parts[part])
        changed[at] ^= 0x80
        with pytest.raises(AuthenticationError) as caught:
            xaes.open(**{**parts, part: bytes(changed)})
        assert caught.value.__context__ is None


def test_another_key_is_refused(xaes: Xaes) -> None:
    """A message opens under its own key only."""
    message = xaes.seal(PLAINTEXT, b"")
    with pytest.raises(AuthenticationError):
        Xaes(random_key()).open(message[:24], message[24:], b"")


@pytest.mark.parametrize("size", [0, 1, 12, 19, 23, 25, 36])
def test_nonce_of_another_size_is_refused(size: int, xaes: Xaes) -> None:
    """A nonce that is not 24 bytes, as after a truncation, does not authenticate."""
    message = xaes.seal(PLAINTEXT, b"")
    with pytest.raises(AuthenticationError):
        xaes.open((message[:24] + bytes(12))[:size], message[24:], b"")


@pytest.mark.parametrize("size", [0, 1, 15])
def test_message_shorter_than_a_tag_is_refused(size: int, xaes: Xaes) -> None:
    """Less than 16 bytes hold no tag; a cut tag is never taken for a short one."""
    message = xaes.seal(b"", b"")
    with pytest.raises(AuthenticationError):
        xaes.open(message[:24], message[24 : 24 + size], b"")


# -- the cache of derived keys


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Count how often the key of each prefix is derived."""
    counter: Counter[bytes] = Counter()
    derive = Xaes.derive

    def counting(self: Xaes, prefix: bytes) -> bytes:
        counter[prefix] += 1
        return derive(self, prefix)

    monkeypatch.setattr(Xaes, "derive", counting)
    return counter


def prefix(number: int) -> bytes:
    """Return a prefix for tests."""
    return number.to_bytes(12, "big")


def open_under(xaes: Xaes, number: int) -> None:
    """Let the reader meet a prefix."""
    with pytest.raises(AuthenticationError):
        xaes.open(prefix(number) + bytes(12), bytes(16), b"")


def test_a_known_prefix_is_not_derived_again(xaes: Xaes, derived: Counter[bytes]) -> None:
    """A reader derives the key of a prefix once, however many values have it."""
    for _ in range(10):
        open_under(xaes, 1)
    assert derived == {prefix(1): 1}


def test_opener_cache_is_bounded(xaes: Xaes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored values cannot make a reader keep more than twice the limit of keys."""
    monkeypatch.setattr(aead, "CACHED_PREFIXES", 4)
    for number in range(100):
        open_under(xaes, number)
        assert len(xaes.openers) <= 4
        assert len(xaes.openers._old) <= 4


def test_opener_cache_takes_over_from_the_old_generation(
    xaes: Xaes, derived: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix in use outlives any number of others; one that was not used for long does not."""
    monkeypatch.setattr(aead, "CACHED_PREFIXES", 4)
    for number in range(100):
        open_under(xaes, 0)
        open_under(xaes, number)
    open_under(xaes, 1)
    assert derived[prefix(0)] == 1
    assert derived[prefix(1)] == 2


def test_a_cut_off_prefix_is_not_cached(xaes: Xaes, derived: Counter[bytes]) -> None:
    """Less than 12 bytes are not a prefix: a KeyError, nothing derived and nothing kept."""
    for size in (0, 1, 11, 13):
        with pytest.raises(KeyError):
            xaes.openers[bytes(size)]
    assert not derived
    assert not xaes.openers


# -- what must not happen


def test_too_large_plaintext_is_refused(xaes: Xaes) -> None:
    """More than AES-GCM takes is our own error; the next value is sealed as ever."""

    def refuse(*_: bytes) -> bytes:
        raise OverflowError("Data or associated data too long. Max 2**31 - 1 bytes")

    xaes.seal(b"", b"")
    writer = xaes.writer
    assert writer is not None
    encrypt, writer.encrypt = writer.encrypt, refuse
    with pytest.raises(ValueRefusedError, match=r"at most 2\^31 - 1 bytes") as caught:
        xaes.seal(b"", b"")
    assert caught.value.__context__ is None
    writer.encrypt = encrypt
    message = xaes.seal(PLAINTEXT, b"")
    assert xaes.open(message[:24], message[24:], b"") == PLAINTEXT


def test_a_key_does_not_leave_the_process(xaes: Xaes) -> None:
    """It cannot be pickled or copied, not even by way of its cache."""
    message = xaes.seal(b"", b"")
    xaes.open(message[:24], message[24:], b"")
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            leave(xaes)
        with pytest.raises(TypeError, match="cannot be pickled"):
            leave(Mac(random_key()))
    with pytest.raises(TypeError):
        pickle.dumps(xaes.openers)


def test_repr_shows_nothing() -> None:
    """Neither the key nor a derived one is in the text of an object."""
    key = random_key()
    xaes = Xaes(key)
    message = xaes.seal(b"", b"")
    xaes.open(message[:24], message[24:], b"")
    assert repr(xaes) == str(xaes) == f"{xaes}" == "<Xaes>"
    assert repr(Mac(key)) == str(Mac(key)) == "<Mac>"
    shown = repr(xaes.openers) + repr(xaes.writer)
    for secret in (key, xaes.derive(message[:12])):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
