"""Who may do what with a key of AWS KMS, by policies that a moto server checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3.session
import pytest
from servers.moto import check_policies_after
from servers.server import Server

from sqlalchemy_sealed.errors import ProviderDeniedError
from sqlalchemy_sealed.providers.awskms import AwsKms

KEY = bytes(range(32))
BINDING = b"binding"
Login = Callable[..., Callable[[], Any]]


@pytest.fixture
def login(kms_key: str, moto_server: Server) -> Iterator[Login]:
    """Return what makes a user who may do some actions, and returns what makes their client."""
    iam = boto3.session.Session().client("iam")
    iam.create_user(UserName="somebody")
    keys = iam.create_access_key(UserName="somebody")["AccessKey"]

    def make(*actions: str) -> Callable[[], Any]:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="somebody", PolicyName="some", PolicyDocument=policy)
        session = boto3.session.Session(keys["AccessKeyId"], keys["SecretAccessKey"])
        check_policies_after(moto_server, 0)
        return lambda: session.client("kms")

    yield make
    check_policies_after(moto_server, 1 << 60)
    iam.delete_access_key(UserName="somebody", AccessKeyId=keys["AccessKeyId"])
    iam.delete_user_policy(UserName="somebody", PolicyName="some")
    iam.delete_user(UserName="somebody")


def test_who_may_encrypt_only_reads_nothing(login: Login, kms_key: str) -> None:
    """What a policy does not allow is denied, and told from a failure."""
    provider = AwsKms(kms_key, login("kms:Encrypt"))
    wrapped = provider.wrap(KEY, BINDING)
    for call in (
        lambda: provider.unwrap(wrapped, BINDING),
        lambda: provider.rewrap(wrapped, BINDING),
        provider.version,
    ):
        with pytest.raises(ProviderDeniedError):
            call()


def test_an_application_needs_not_encrypt(login: Login, kms_key: str) -> None:
    """It unwraps and looks at the state of the key, and makes no keys."""
    wrapped = AwsKms(kms_key).wrap(KEY, BINDING)
    provider = AwsKms(kms_key, login("kms:Decrypt", "kms:DescribeKey"))
    assert provider.unwrap(wrapped, BINDING) == KEY
    assert provider.version() == f"awskms:{kms_key}"
    with pytest.raises(ProviderDeniedError):
        provider.wrap(KEY, BINDING)
    with pytest.raises(ProviderDeniedError):
        provider.rewrap(wrapped, BINDING)


def test_who_rewraps_sees_no_key(login: Login, kms_key: str) -> None:
    """KMS does it by itself, for a login that can neither wrap nor unwrap."""
    wrapped = AwsKms(kms_key).wrap(KEY, BINDING)
    # AWS asks for kms:ReEncryptFrom and kms:ReEncryptTo instead.
    provider = AwsKms(kms_key, login("kms:ReEncrypt", "kms:DescribeKey"))
    assert provider.rewrap(wrapped, BINDING) != wrapped
    with pytest.raises(ProviderDeniedError):
        provider.unwrap(wrapped, BINDING)


def test_a_login_that_is_unknown_is_refused(login: Login, kms_key: str) -> None:
    """Where policies are checked, the settings of the tests are nobody's."""
    login("kms:Encrypt")
    with pytest.raises(ProviderDeniedError):
        AwsKms(kms_key).wrap(KEY, BINDING)
