"""
Fixtures: what KEK providers need. A moto server for AWS KMS, and tokens of SoftHSM2.

In CI they must be there; elsewhere the tests that need what is missing are skipped.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from servers import moto, softhsm
from servers.server import Server, ServiceMissingError
from servers.softhsm import Hsm

TOKENS = ("sealed", "another", "twins", "twins", "changing")


def skip_if_missing(check: Callable[[], Any]) -> None:
    """Skip a test where *check* says that something is missing; in CI, that is a failure."""
    try:
        check()
    except ServiceMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def hsm() -> Iterator[Hsm]:
    """Return a PKCS#11 module with some tokens. Of one label, there are two."""
    skip_if_missing(softhsm.library)
    with softhsm.tokens(*TOKENS) as hsm:
        hsm.key("sealed", "kek")
        hsm.key("sealed", "another")
        yield hsm


@pytest.fixture
def hsm_settings(hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that say which module it is, and a PIN of its own."""
    monkeypatch.setenv("PKCS11_MODULE", hsm.library)
    monkeypatch.setenv("SEALED_PKCS11_PIN", secrets.token_hex(8))


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Server]:
    """Start a moto server."""
    skip_if_missing(moto.require)
    with moto.running() as server:
        yield server


@contextmanager
def settings_of_aws(server: Server) -> Iterator[None]:
    """Set the environment variables of AWS so that boto3 asks the moto server."""
    settings = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "the secret of a test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def kms(moto_server: Server) -> Any:
    """Return a boto3 client of KMS, an administrator's."""
    import boto3.session  # noqa: PLC0415 - it may be missing

    with settings_of_aws(moto_server):
        return boto3.session.Session().client("kms")


@pytest.fixture
def aws(moto_server: Server) -> Iterator[None]:
    """Let boto3 ask the moto server by default."""
    with settings_of_aws(moto_server):
        yield


@pytest.fixture
def kms_key(aws: None, kms: Any) -> str:
    """Return the ARN of a new symmetric key of KMS."""
    return kms.create_key()["KeyMetadata"]["Arn"]
