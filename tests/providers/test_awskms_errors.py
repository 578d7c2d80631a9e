"""Each way in which AWS KMS does not answer, or refuses, is its own error, and none shows a key."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3.session
import pytest
from botocore.config import Config
from providers.keys import openssl
from servers.answers import answering

from sqlalchemy_sealed.errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderTimeoutError,
    ProviderTrustError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.providers.awskms import AwsKms

KEY = bytes(range(32))
BINDING = b"binding"
WRAPPED = "awskms:1:" + "A" * 200
ALIAS = "alias/absent"


@pytest.fixture
def pointed_to(aws: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AwsKms]:
    """Return what makes a provider that asks at a URL."""

    def make(url: str) -> AwsKms:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return AwsKms(ALIAS, timeout=0.2)

    return make


@pytest.fixture
def asking_once(pointed_to: Callable[[str], AwsKms]) -> Callable[[str], AwsKms]:
    """Return what makes a provider that asks at a URL and does not repeat a request."""

    def connect() -> Any:
        return boto3.session.Session().client(
            "kms", config=Config(retries={"total_max_attempts": 1})
        )

    def make(url: str) -> AwsKms:
        pointed_to(url)
        return AwsKms(ALIAS, connect)

    return make


def refused(provider: AwsKms) -> ProviderError:
    """Return the error of all four calls, which is the same and shows nothing."""
    calls: list[Callable[[], Any]] = [
        lambda: provider.wrap(KEY, BINDING),
        lambda: provider.unwrap(WRAPPED, BINDING),
        lambda: provider.rewrap(WRAPPED, BINDING),
        provider.version,
    ]
    errors = []
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        errors.append(caught.value)
    assert len({(type(error), str(error)) for error in errors}) == 1
    assert all(error.__context__ is None and error.__cause__ is None for error in errors)
    assert errors[0].where == f"KMS key {ALIAS!r}"
    return errors[0]


# -- the state of the key, as a moto server tells it


def test_a_disabled_key_is_not_usable(kms: Any, kms_key: str) -> None:
    """Where the key was disabled, its version is not told; it is, once it is enabled again."""
    provider, key_id = AwsKms(kms_key), kms_key.rpartition("/")[2]
    kms.disable_key(KeyId=key_id)
    with pytest.raises(ProviderDeniedError, match="disabled in AWS KMS; enable it there"):
        provider.version()
    kms.enable_key(KeyId=key_id)
    assert provider.version() == f"awskms:{kms_key}"


def test_a_key_that_will_be_deleted_is_not_usable(kms: Any, kms_key: str) -> None:
    """The error says that it can still be saved."""
    provider, key_id = AwsKms(kms_key), kms_key.rpartition("/")[2]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    with pytest.raises(ProviderKeyMissingError, match="pending deletion in AWS KMS; cancel that"):
        provider.version()
    kms.cancel_key_deletion(KeyId=key_id)
    with pytest.raises(ProviderDeniedError, match="disabled"):  # as AWS leaves it
        provider.version()


@pytest.mark.parametrize(
    ("usage", "spec"),
    [
        ("ENCRYPT_DECRYPT", "RSA_2048"),
        ("SIGN_VERIFY", "ECC_NIST_P256"),
        ("GENERATE_VERIFY_MAC", "HMAC_256"),
    ],
)
def test_a_key_of_another_kind_is_not_usable(kms: Any, aws: None, usage: str, spec: str) -> None:
    """Only symmetric keys have an encryption context."""
    arn = kms.create_key(KeyUsage=usage, KeySpec=spec)["KeyMetadata"]["Arn"]
    with pytest.raises(ProviderError, match="not one for symmetric encryption"):
        AwsKms(arn).version()


@pytest.mark.parametrize("key", [ALIAS, "11111111-2222-3333-4444-555555555555", "arn:aws:kms"])
def test_an_unknown_key_is_missing(aws: None, key: str) -> None:
    """A key that KMS does not have is named, with what to look at."""
    with pytest.raises(ProviderKeyMissingError, match="no such key; look at its name") as caught:
        AwsKms(key).wrap(KEY, BINDING)
    assert caught.value.where == f"KMS key {key!r}"


# -- credentials


def test_without_credentials_there_is_no_login(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked, and the error says what is missing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(AwsKms(ALIAS))
    assert type(error) is ProviderLoginError
    assert "no AWS credentials" in str(error)


@pytest.mark.parametrize(
    "settings",
    [{"AWS_PROFILE": "absent"}, {"AWS_ACCESS_KEY_ID": "alone", "AWS_SECRET_ACCESS_KEY": ""}],
    ids=["profile", "half"],
)
def test_credentials_that_are_not_whole_are_no_login(
    aws: None, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    """A profile that is not there, or an id without its secret."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert isinstance(refused(AwsKms(ALIAS)), ProviderLoginError)


# -- answers that a moto server does not give

REFUSALS = {
    "AccessDeniedException": ProviderDeniedError,
    "DisabledException": ProviderDeniedError,
    "KMSInvalidStateException": ProviderKeyMissingError,
    "NotFoundException": ProviderKeyMissingError,
    "InvalidArnException": ProviderKeyMissingError,
    "InvalidCiphertextException": ProviderError,
    "IncorrectKeyException": ProviderError,
    "InvalidKeyUsageException": ProviderError,
    "ValidationException": ProviderError,
    "AnythingElse": ProviderError,
    "KeyUnavailableException": ProviderUnavailableError,
    "DependencyTimeoutException": ProviderTimeoutError,
    "KMSInternalException": ProviderUnavailableError,
    "ThrottlingException": ProviderUnavailableError,
    "LimitExceededException": ProviderUnavailableError,
    "ExpiredTokenException": ProviderLoginError,
    "UnrecognizedClientException": ProviderLoginError,
    "InvalidSignatureException": ProviderLoginError,
    "InvalidClientTokenId": ProviderLoginError,
}


@pytest.mark.parametrize(("code", "kind"), REFUSALS.items(), ids=REFUSALS)
def test_each_refusal_is_its_own_error(
    asking_once: Callable[[str], AwsKms], code: str, kind: type[ProviderError]
) -> None:
    """A program can tell what helps: another login, an administrator, or waiting."""
    answer = {"__type": f"com.amazonaws.kms#{code}", "message": f"about {KEY.hex()}"}
    with answering(400, answer) as url:
        error = refused(asking_once(url))
    assert type(error) is kind
    assert KEY.hex() not in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, ProviderDeniedError),
        (500, ProviderUnavailableError),
        (502, ProviderUnavailableError),
        (503, ProviderUnavailableError),
        (404, ProviderError),
        (200, ProviderError),
    ],
)
def test_an_answer_that_is_not_of_kms(
    asking_once: Callable[[str], AwsKms], status: int, kind: type[ProviderError]
) -> None:
    """As of a proxy: its status is told from that of KMS, its text is not shown."""
    with answering(status, b"<html>Please log in</html>") as url:
        error = refused(asking_once(url))
    assert type(error) is kind
    assert "Please" not in str(error)


def test_an_answer_without_a_key_is_refused(pointed_to: Callable[[str], AwsKms]) -> None:
    """An empty answer is not taken for anything."""
    with answering(200, {}) as url:
        assert "AWS KMS cannot be asked (KeyError)" in str(refused(pointed_to(url)))


def state(**changes: str) -> dict[str, object]:
    """Return an answer of DescribeKey."""
    usual = {
        "KeyId": "x",
        "Arn": "arn",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyUsage": "ENCRYPT_DECRYPT",
    }
    return {"KeyMetadata": {**usual, **changes}}


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("PendingReplicaDeletion", ProviderKeyMissingError),
        ("PendingImport", ProviderUnavailableError),
        ("Unavailable", ProviderUnavailableError),
        ("Creating", ProviderUnavailableError),
    ],
)
def test_each_state_of_a_key_is_its_own_error(
    pointed_to: Callable[[str], AwsKms], named: str, kind: type[ProviderError]
) -> None:
    """A key without its material, or in a store of keys that is not connected, is not usable."""
    with answering(200, state(KeyState=named)) as url, pytest.raises(kind) as caught:
        pointed_to(url).version()
    assert type(caught.value) is kind


def test_a_key_that_is_being_changed_is_usable(pointed_to: Callable[[str], AwsKms]) -> None:
    """AWS allows all its uses meanwhile."""
    with answering(200, state(KeyState="Updating")) as url:
        assert pointed_to(url).version() == "awskms:arn"


# -- no answer


def test_nobody_listens(pointed_to: Callable[[str], AwsKms]) -> None:
    """A port that nobody listens at is unreachable."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert type(refused(pointed_to(url))) is ProviderUnreachableError


def test_an_address_that_does_not_exist(pointed_to: Callable[[str], AwsKms]) -> None:
    """So is a host that has no address."""
    assert type(refused(pointed_to("http://kms.invalid"))) is ProviderUnreachableError


def test_somebody_listens_and_never_answers(pointed_to: Callable[[str], AwsKms]) -> None:
    """A server that hangs is not waited for longer than the timeout, three times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert type(refused(pointed_to(url))) is ProviderTimeoutError


def test_a_url_that_is_none(pointed_to: Callable[[str], AwsKms]) -> None:
    """Settings that boto3 refuses are an error of ours."""
    assert "cannot be asked (ValueError)" in str(refused(pointed_to("here")))


def test_a_certificate_that_nobody_signed(
    asking_once: Callable[[str], AwsKms], tmp_path: Path
) -> None:
    """A server that shows another certificate than those of AWS gets nothing."""
    file = tmp_path / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(file), *subject]
    file.write_bytes(openssl(*made) + file.read_bytes())
    with answering(200, {}, file) as url:
        assert type(refused(asking_once(url))) is ProviderTrustError
