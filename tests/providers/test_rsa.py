"""An RSA key pair as KEK: sizes, public keys, PEM files, and what OpenSSL wraps and opens."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from providers.keys import openssl, rsa_key

from sqlalchemy_sealed.envelope import from_text, to_text
from sqlalchemy_sealed.errors import ProviderDeniedError, ProviderError
from sqlalchemy_sealed.providers.rsa import RsaKey

KEY = bytes(range(32))
BINDING = b"binding \x00\xff"
OAEP = [
    "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256",
    "-pkeyopt", "rsa_mgf1_md:sha256", "-pkeyopt", f"rsa_oaep_label:{BINDING.hex()}",
]  # fmt: skip


# -- as OpenSSL does it


def test_openssl_opens_what_is_wrapped(rsa_pem: bytes, tmp_path: Path) -> None:
    """RSAES-OAEP with SHA-256, MGF1 with SHA-256, the binding as label."""
    (tmp_path / "key.pem").write_bytes(rsa_pem)
    wrapped = RsaKey(rsa_pem).wrap(KEY, BINDING)
    ciphertext = from_text(wrapped.split(":")[3])
    command = ["pkeyutl", "-decrypt", "-inkey", str(tmp_path / "key.pem"), *OAEP]
    assert openssl(*command, data=ciphertext) == KEY


def test_what_openssl_wraps_is_opened(rsa_pem: bytes, public_pem: bytes, tmp_path: Path) -> None:
    """A key that another program wrapped in this form is taken."""
    (tmp_path / "public.pem").write_bytes(public_pem)
    command = ["pkeyutl", "-encrypt", "-pubin", "-inkey", str(tmp_path / "public.pem"), *OAEP]
    provider = RsaKey(rsa_pem)
    wrapped = f"{provider.version()}:{to_text(openssl(*command, data=KEY))}"
    assert provider.unwrap(wrapped, BINDING) == KEY


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(rsa_pem: bytes, tmp_path: Path, size: int) -> None:
    """What opens and has not 32 bytes is no key of ours."""
    (tmp_path / "key.pem").write_bytes(rsa_pem)
    command = ["pkeyutl", "-encrypt", "-inkey", str(tmp_path / "key.pem"), *OAEP]
    provider = RsaKey(rsa_pem)
    wrapped = f"{provider.version()}:{to_text(openssl(*command, data=bytes(size)))}"
    with pytest.raises(ProviderError, match="does not open"):
        provider.unwrap(wrapped, BINDING)


def test_the_fingerprint_is_that_of_the_public_key(rsa_pem: bytes) -> None:
    """Eight bytes of the SHA-256 of its DER form."""
    der = openssl("pkey", "-pubout", "-outform", "DER", data=rsa_pem)
    assert RsaKey(rsa_pem).version() == f"rsa:1:{sha256(der).hexdigest()[:16]}"


# -- sizes


@pytest.mark.parametrize("bits", [2048, 3072, pytest.param(4096, marks=pytest.mark.slow)])
def test_a_wrapped_key_is_as_long_as_the_modulus(bits: int) -> None:
    """2,048 bits and more are taken."""
    provider = RsaKey(rsa_key(bits))
    wrapped = provider.wrap(KEY, BINDING)
    assert provider.unwrap(wrapped, BINDING) == KEY
    assert len(from_text(wrapped.split(":")[3])) == bits // 8


@pytest.mark.parametrize("bits", [1024, 2047])
def test_a_short_key_is_refused(bits: int) -> None:
    """1,024 bits are not enough any more, and a bit less than 2,048 is not either."""
    with pytest.raises(ProviderError, match=f"{bits} bits; 2048 to 16384 are taken"):
        RsaKey(rsa_key(bits))


# -- the public key alone


def test_a_public_key_wraps_and_never_unwraps(rsa_pem: bytes, public_pem: bytes) -> None:
    """A process that only writes cannot read, not even what it wrote itself."""
    writer, reader = RsaKey(public_pem), RsaKey(rsa_pem)
    assert (writer.can_unwrap, reader.can_unwrap) == (False, True)
    assert writer.version() == reader.version()
    wrapped = writer.wrap(KEY, BINDING)
    assert reader.unwrap(wrapped, BINDING) == KEY
    assert writer.is_current(wrapped, reader.version())
    for refused in (writer.unwrap, writer.rewrap):
        with pytest.raises(ProviderDeniedError, match="public key only"):
            refused(wrapped, BINDING)


def test_another_key_is_told_by_name(rsa_pem: bytes, other_rsa_pem: bytes) -> None:
    """The error of a wrong key names both fingerprints, before anything is decrypted."""
    provider, other = RsaKey(rsa_pem), RsaKey(other_rsa_pem)
    with pytest.raises(ProviderError, match="wrong RSA key") as caught:
        other.unwrap(provider.wrap(KEY, BINDING), BINDING)
    for each in provider, other:
        assert each.fingerprint in str(caught.value)


# -- what PEM texts are taken


def test_a_key_may_be_in_pkcs1(rsa_pem: bytes) -> None:
    """The older form of a private key is read, too."""
    pem = openssl("rsa", "-traditional", data=rsa_pem)
    assert b"BEGIN RSA PRIVATE KEY" in pem
    assert RsaKey(pem).can_unwrap


def encrypted(pem: bytes, password: str) -> bytes:
    """Return a private key encrypted with a password."""
    return openssl(
        "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", f"pass:{password}", data=pem
    )


def test_an_encrypted_key_needs_its_password(rsa_pem: bytes) -> None:
    """With the right one it is read; a wrong or missing one is said, and not shown."""
    pem = encrypted(rsa_pem, "the right one")
    provider = RsaKey(pem, password=b"the right one")
    assert provider.unwrap(RsaKey(rsa_pem).wrap(KEY, BINDING), BINDING) == KEY
    with pytest.raises(ProviderError, match="or the password is wrong") as caught:
        RsaKey(pem, password=b"the wrong one")
    assert "the wrong one" not in str(caught.value)
    with pytest.raises(ProviderError, match="encrypted, and no password was given"):
        RsaKey(pem)
    with pytest.raises(ProviderError, match="not encrypted, but a password was given"):
        RsaKey(rsa_pem, password=b"needless")


@pytest.mark.parametrize(
    ("algorithm", "option"),
    [("EC", "ec_paramgen_curve:P-256"), ("X25519", ""), ("ED25519", "")],
)
def test_a_key_of_another_kind_is_refused(algorithm: str, option: str) -> None:
    """Private or public, it is not an RSA key."""
    options = ["-pkeyopt", option] if option else []
    pem = openssl("genpkey", "-algorithm", algorithm, *options)
    for each in (pem, openssl("pkey", "-pubout", data=pem)):
        with pytest.raises(ProviderError, match="another kind than RSA"):
            RsaKey(each)


@pytest.mark.parametrize(
    "change",
    [
        lambda pem: b"",
        lambda pem: b"key",
        lambda pem: pem[:-40],
        lambda pem: pem[: len(pem) // 2] + b"?" + pem[len(pem) // 2 :],
        lambda pem: pem.replace(b"PRIVATE KEY", b"PUBLIC KEY"),
        lambda pem: pem.replace(b"PRIVATE KEY", b"CERTIFICATE"),
        lambda pem: pem.replace(b"PRIVATE KEY", b"RSA PRIVATE KEY"),
        lambda pem: b"\xff\x00" * 500,
    ],
)
def test_what_is_no_key_is_refused_unseen(change, rsa_pem: bytes) -> None:
    """The error says how to make a key, and shows nothing of what was given."""
    with pytest.raises(ProviderError, match="openssl genpkey") as caught:
        RsaKey(change(rsa_pem))
    assert caught.value.__context__ is None
    lines = rsa_pem.decode().splitlines()[1:-1]
    assert not any(line in str(caught.value) for line in lines)


# -- files


def test_a_private_key_file_is_its_owners(
    rsa_pem: bytes, public_pem: bytes, tmp_path: Path
) -> None:
    """Others may read a public key, and no private one."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.touch(mode=0o600)
    private.write_bytes(rsa_pem)
    public.touch(mode=0o644)
    public.write_bytes(public_pem)
    assert RsaKey.from_file(private).fingerprint == RsaKey.from_file(public).fingerprint
    private.chmod(0o640)
    with pytest.raises(ProviderError, match=r"private\.pem: .*mode 0640.*chmod 600"):
        RsaKey.from_file(private)


def test_a_file_that_is_no_key_is_named(rsa_pem: bytes, tmp_path: Path) -> None:
    """An error about a file says which one."""
    with pytest.raises(ProviderError, match=r"absent\.pem: .*No such file") as caught:
        RsaKey.from_file(tmp_path / "absent.pem")
    assert caught.value.__context__ is None
    path = tmp_path / "encrypted.pem"
    path.touch(mode=0o600)
    path.write_bytes(encrypted(rsa_pem, "password"))
    with pytest.raises(ProviderError, match=r"encrypted\.pem: .*no password was given"):
        RsaKey.from_file(path)
    assert RsaKey.from_file(path, password=b"password").can_unwrap


@pytest.mark.skipif(os.name != "posix", reason="a directory cannot be opened here")
def test_a_directory_is_no_key(tmp_path: Path) -> None:
    """It is an error of ours."""
    with pytest.raises(ProviderError, match="cannot be read: Is a directory"):
        RsaKey.from_file(tmp_path)


def test_its_repr_is_public(rsa_pem: bytes, public_pem: bytes) -> None:
    """It says which key it is, and which half."""
    provider = RsaKey(rsa_pem)
    assert repr(provider) == f"<RsaKey {provider.fingerprint} private>"
    assert repr(RsaKey(public_pem)) == f"<RsaKey {provider.fingerprint} public>"
    assert repr(provider._pair) == f"<KeyPair {provider.fingerprint}>"
