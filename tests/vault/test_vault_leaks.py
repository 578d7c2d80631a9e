"""Nothing shows a key, a token or a secret id: no log of any library, no repr, no error."""

from __future__ import annotations

import copy
import logging
import traceback
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import AppRoleAuth, TokenAuth
from sqlalchemy_sealed.vault.client import Vault

KEY, BINDING = b"canary of a data key, 32 bytes..", b"binding"
SHOWN = [b64encode(KEY).decode(), KEY.decode(), KEY.hex(), "canary"]


def test_no_log_shows_what_was_sent_or_who_sent_it(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str, caplog: Any
) -> None:
    """With every logger of hvac, requests and urllib3 at DEBUG, in success and in failure."""
    auth = approle()
    provider = VaultTransit(Vault(relay.url, auth=auth, timeout=1), mount=mount)
    with caplog.at_level(logging.DEBUG):
        wrapped = provider.wrap(KEY, BINDING)
        assert provider.unwrap(wrapped, BINDING) == KEY
        for bad in ("vault:v9:QUFB", wrapped[:-4] + "AAAA"):
            with pytest.raises(ProviderError):
                provider.unwrap(bad, BINDING)
        with pytest.raises(ProviderError):
            provider.rewrap(wrapped, BINDING)
        relay.cut()
        with pytest.raises(ProviderError):
            provider.wrap(KEY, BINDING)
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    secrets = [*SHOWN, auth.secret_id, provider.transit.vault._login.client.token]
    assert [each for each in secrets if each in caplog.text] == []


def test_no_repr_shows_a_secret(bao: OpenBao, vault: Vault, transit: Any) -> None:
    """Neither that of a connection, nor of a login, nor of what is made of them."""
    transit.version()
    things = [
        vault,
        vault._login,
        transit,
        VaultTransit(vault),
        TokenAuth("canary"),
        AppRoleAuth("role", "canary"),
    ]
    for thing in things:
        for text in (repr(thing), str(thing), f"{thing}", f"{[thing]}"):
            assert bao.token not in text
            assert "canary" not in text


def test_no_copy_of_a_connection_is_made(vault: Vault, transit: Any) -> None:
    """A copy would be a second holder of the token that nobody knows of."""
    for thing in (vault, transit, VaultTransit(vault), TokenAuth("canary")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.deepcopy(thing)


def test_a_batch_that_fails_in_part_shows_none_of_the_rest(
    root: Any, vault: Vault, transit: Any
) -> None:
    """What Vault answers to such a batch holds the plaintexts of those that did not fail."""
    context = b64encode(BINDING).decode()
    good = {"ciphertext": transit.encrypt(KEY, BINDING), "context": context}
    bad = good | {"ciphertext": "vault:v9:QUFB"}

    def request(client: Any) -> Any:
        return client.secrets.transit.decrypt_data(
            "sealed", ciphertext="", batch_input=[good, bad], mount_point=transit.mount
        )

    # This is what happens with hvac alone.
    with pytest.raises(Exception, match="batch_results") as naked:
        request(root)
    assert SHOWN[0] in str(naked.value)

    with pytest.raises(ProviderError) as caught:
        vault.call("a batch", request)
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = "".join(traceback.format_exception(error)) + f"{error!r} {vars(error)}"
    assert [each for each in SHOWN if each in shown] == []
