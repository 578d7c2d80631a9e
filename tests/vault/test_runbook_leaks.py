"""Drills of the runbook: something leaked, or somebody left. What they took is of no use now."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_runbook import ROWS, Shop

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, environment, get_sealer
from sqlalchemy_sealed.errors import (
    DestroyedKeyError,
    DisabledKeyError,
    ProviderError,
    ProviderLoginError,
    StaleKeysError,
)
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.protocols import KEKProvider
from sqlalchemy_sealed.providers.moved import Moved
from sqlalchemy_sealed.providers.passphrase import Passphrase
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault import AppRoleAuth, TokenAuth, Vault

pytestmark = pytest.mark.postgres
Later = Callable[[float], None]
FRESH = 3600


def nobody_unwraps(stolen: Iterable[KeyRecord], provider: KEKProvider, error: str) -> None:
    """Check that wrapped keys do not unwrap, not even with all rights."""
    for record in stolen:
        with pytest.raises(ProviderError, match=error):
            provider.unwrap(record.wrapped, record.binding)


def shut_out(shop: Shop, heading: str, stolen: Iterable[KeyRecord]) -> None:
    """Perform the last two blocks of a section, with applications that run all the time."""
    section = shop.sections[-1]
    assert section.heading == heading
    version = re.search(r"version (\d+)", section.step())
    get_sealer().refresh()  # Within five minutes, by itself.
    section.step(typed="y\n", VERSION=version[1])
    nobody_unwraps(stolen, VaultTransit(shop.vault), "shuts out")
    shop.goes_on(ROWS)
    shop.start("default").warm()
    shop.goes_on(2 * ROWS)


def test_the_keystore_leaked(shop: Shop) -> None:
    """A copy of the wrapped keys is worthless, with any token, and the application goes on."""
    heading, stolen = "The keystore leaked", shop.keystore.load("default")
    shop.runbook(heading)
    shut_out(shop, heading, stolen)


def test_a_token_or_a_secret_id_leaked(shop: Shop) -> None:
    """What was stolen is refused; the application logs in anew, without a gap or a restart."""
    section = shop.runbook("A token or a secret id leaked")
    secret_id = (shop.folder / "secret-id").read_text().strip()
    token = get_sealer().kept().manager.provider.transit.vault._login.client.token
    thieves = [TokenAuth(token), AppRoleAuth(shop.login().role_id, secret_id)]
    record = shop.keystore.load("default")[0]
    for auth in thieves:
        VaultTransit(Vault(shop.vault.address, auth=auth)).unwrap(record.wrapped, record.binding)
    (accessor,) = shop.accessors()
    assert accessor in section.step()
    get_sealer().rotate()
    section.step(ACCESSOR=accessor)
    assert accessor not in shop.accessors()
    section.step()
    for auth in thieves:
        provider = VaultTransit(Vault(shop.vault.address, auth=auth))
        with pytest.raises(ProviderLoginError):
            provider.unwrap(record.wrapped, record.binding)
    get_sealer().rotate()
    shop.goes_on(ROWS)
    shop.start().warm()


def test_an_employee_left(shop: Shop) -> None:
    """Neither login nor token is taken any more, and a copy of the keystore is worthless."""
    heading, stolen = "An employee left", shop.keystore.load("default")
    section = shop.runbook(heading)
    shop.bao("auth", "enable", "userpass")
    shop.bao("write", "auth/userpass/users/ada", "password=12345678", "policies=sealed-rotator")
    login = ("login", "-method=userpass", "-token-only", "username=ada", "password=12345678")
    token = shop.bao(*login)
    ada = VaultTransit(Vault(shop.vault.address, auth=TokenAuth(token)))
    assert ada.version()
    section.step()
    with pytest.raises(ProviderLoginError):
        ada.version()
    with pytest.raises(AssertionError, match="invalid username or password"):
        shop.bao(*login)
    shut_out(shop, heading, stolen)


# -- keys that others know


def replaced(shop: Shop, old: bytes, later: Later) -> None:
    """Perform what comes after the new primary: reseal, count, disable, wait, destroy."""
    section = next(each for each in shop.sections if each.heading == "A data key leaked")
    idle = shop.start()
    get_sealer().refresh()
    with pytest.raises(AssertionError, match=rf"rows are still under data key {old.hex()}"):
        section.command(f'sealed keys destroy {old.hex()} --scan "$DATABASE" --yes')
    shop.reseal()
    assert shop.count() == {get_sealer().keyset.primary.key_id.hex(): shop.read()}
    section.step(OLD=old.hex())
    later(FRESH + 1)
    assert idle.seal(b"x", "a.b")[4:12] != old
    get_sealer().refresh()
    section.step(OLD=old.hex(), typed="y\n")
    get_sealer().refresh()
    shop.goes_on(ROWS)


def test_a_data_key_leaked(shop: Shop, later: Later) -> None:
    """Rows go over to the new key, who still needs the old one is told, and then it is gone."""
    section = shop.runbook("A data key leaked")
    (old,) = (record.key_id for record in shop.data_keys())
    kept = get_sealer().seal(b"in an export", "a.b")
    section.step()
    replaced(shop, old, later)
    with pytest.raises(DestroyedKeyError):
        get_sealer().open(kept, "a.b")


def test_who_needs_a_disabled_key_is_told(shop: Shop) -> None:
    """And reads on, once the key is enabled again."""
    (old,) = (record.key_id for record in shop.data_keys())
    get_sealer().rotate()
    shop.manager.disable("default", old)
    get_sealer().refresh()
    with pytest.raises(DisabledKeyError):
        shop.read()
    shop.manager.enable("default", old)
    get_sealer().refresh()
    shop.goes_on(ROWS)


def test_the_kek_leaked(shop: Shop, later: Later) -> None:
    """The new data key is under a version that they do not know, or under another transit key."""
    section = shop.runbook("The KEK leaked")
    old = shop.data_keys()[0]
    section.step()
    assert [each.wrapped[:9] for each in shop.data_keys()] == ["vault:v2:"] * 2
    shop.runbook("A data key leaked").left.pop(0)
    replaced(shop, old.key_id, later)
    section.command("sealed vault apply --min-decryption-version 2 --yes")
    nobody_unwraps([old], VaultTransit(shop.vault), "shuts out")
    stolen = shop.keystore.load("default")
    section.step()
    shop.bao("write", "transit/keys/sealed/config", "deletion_allowed=true")
    shop.bao("delete", "transit/keys/sealed")
    nobody_unwraps([each for each in stolen if each.wrapped], VaultTransit(shop.vault), "deleted")
    shop.goes_on(2 * ROWS)
    moved = VaultTransit(shop.vault, key="sealed2")
    get_sealer().configure(keystore=shop.keystore, provider=moved, replace=True)
    get_sealer().warm()
    shop.goes_on(3 * ROWS)


def test_keys_move_to_a_transit_key_of_the_same_version(shop: Shop) -> None:
    """Wrapped keys look alike then, and are moved nevertheless: the old transit key can go."""
    section = shop.runbook("The KEK leaked")
    section.left.pop(0)
    assert "2 keys rewrapped" in section.step()
    moved = VaultTransit(shop.vault, key="sealed2")
    get_sealer().configure(keystore=shop.keystore, provider=moved, replace=True)
    get_sealer().warm()
    shop.goes_on(ROWS)


# -- the same where there is no Vault


@pytest.fixture
def rooted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Return the installation without Vault: a root key in a file, and the keystore in another."""
    for name in ("SEALED_KEK", "SEALED_KEYSTORE"):
        del shop.environment[name]
    monkeypatch.chdir(shop.folder)
    shop.keystore = FileKeystore(shop.folder / "sealed.keys.json")
    with shop.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM customers"))
    return shop


def process(shop: Shop, name: str, provider: LocalRootKey | Passphrase) -> None:
    """Start a process with a root key or a passphrase."""
    keys = {"keystore": shop.keystore, "provider": provider, "key_name": "default"}
    get_sealer(name).configure(**keys, replace=True)


def test_the_root_key_leaked(rooted: Shop, later: Later) -> None:
    """Processes with the old one work until the rotation, and have to be started anew before it."""
    section = rooted.runbook("The root key or the passphrase leaked")
    section.command("sealed init")
    shutil.copy("sealed.root.key", "stolen.root.key")
    thief = LocalRootKey.from_file("stolen.root.key")
    for name in ("default", "not started anew"):
        process(rooted, name, environment.root_key())
    rooted.write()
    section.step()
    assert Path("sealed.root.key").stat().st_mode & 0o077 == 0
    nobody_unwraps(rooted.keystore.load("default"), thief, "root key")
    rooted.goes_on(ROWS)
    process(rooted, "default", environment.root_key())
    section.step()
    with pytest.raises(ProviderError, match="root key"):
        get_sealer("not started anew").refresh()
    assert get_sealer("not started anew").seal(b"", "a.b")
    later(FRESH + 1)
    with pytest.raises(StaleKeysError):
        get_sealer("not started anew").seal(b"", "a.b")
    get_sealer().refresh()
    rooted.goes_on(2 * ROWS)


def test_the_passphrase_leaked(rooted: Shop) -> None:
    """The same, with another first step."""
    texts = [f"{each} horse battery staple" for each in ("correct", "another")]
    old, new = (Passphrase(text, iterations=100_000) for text in texts)
    KeyManager(rooted.keystore, old).create("default")
    process(rooted, "default", old)
    rooted.write()
    assert KeyManager(rooted.keystore, Moved(new, old)).rewrap().rewrapped == 2
    nobody_unwraps(rooted.keystore.load("default"), old, "does not authenticate")
    rooted.goes_on(ROWS)
    process(rooted, "default", new)
    rooted.environment |= {"SEALED_KEK": "passphrase", "SEALED_PASSPHRASE": texts[1]}
    section = rooted.runbook("The root key or the passphrase leaked")
    section.left.pop(0)
    section.step()
    get_sealer().refresh()
    rooted.goes_on(2 * ROWS)
