"""Drills of the runbook: Vault is away, a token ends, nobody rotates, or two do."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from counted import until
from fix_providers import skip_if_missing
from fix_runbook import ROWS, Shop, running_shop
from runbook import DOCS, FENCE, Block, Section, sections
from servers import openbao
from servers.openbao import Durable, OpenBao

from sqlalchemy_sealed import get_sealer
from sqlalchemy_sealed.errors import (
    ProviderLoginError,
    ProviderSealedError,
    ProviderUnreachableError,
    StaleKeysError,
)

pytestmark = pytest.mark.postgres
Later = Callable[[float], None]
MINUTE, HOUR, DAY = 60, 3600, 86400


def test_every_section_has_a_drill() -> None:
    """There is no command in the page that no test performs."""
    drills = "".join(each.read_text() for each in Path(__file__).parent.glob("test_runbook*.py"))
    assert [heading for heading in sections() if f'"{heading}"' not in drills] == []


def test_what_the_page_does_not_say_is_noticed(tmp_path: Path) -> None:
    """A command that fails, or prints something else, fails the drill."""
    section = Section("Vault is down", tmp_path, dict(os.environ))
    section.left = [Block("sh", "false\ntrue\n", None), Block("sh", "echo this\n", "that\n")]
    for _ in range(2):
        with pytest.raises(AssertionError, match="Vault is down"):
            section.step()
    assert section.left == []


def test_the_example_of_the_readme(shop: Shop) -> None:
    """Its lines, with the names of this installation, make a provider that wraps and unwraps."""
    readme = (DOCS.parent / "README.md").read_text()
    (block,) = [text for _, text in FENCE.findall(readme) if "VaultTransit(" in text]
    for theirs, ours in {
        "the role id": shop.login().role_id,
        "/run/secrets/secret-id": str(shop.folder / "secret-id"),
        "https://vault.example.org:8200": shop.vault.address,
    }.items():
        assert theirs in block
        block = block.replace(theirs, ours)
    names: dict[str, Any] = {}
    exec(block, names)
    get_sealer("readme").configure(
        keystore=shop.keystore, provider=names["provider"], key_name="default"
    )
    assert get_sealer("readme").seal(b"", "a.b")


def test_every_night(shop: Shop) -> None:
    """Each job does its part with its own policy, and has no right to that of the other one."""
    nightly = shop.runbook("Every night")
    tokens = {role: shop.token_of(role) for role in ("application", "rotator")}
    shop.manager.rotate("default", now=datetime.now(UTC) - timedelta(days=100))
    shop.bao("write", "-f", "transit/keys/sealed/rotate")
    rotate, rewrap, plan = nightly.left[0].text.splitlines()
    denied = "Vault denies access"
    assert denied in nightly.command(rotate, code=1, VAULT_TOKEN=tokens["rotator"])
    assert denied in nightly.command(rewrap, code=1, VAULT_TOKEN=tokens["application"])
    assert "generation 3" in nightly.command(rotate, VAULT_TOKEN=tokens["application"])
    assert "3 keys rewrapped" in nightly.command(rewrap, VAULT_TOKEN=tokens["rotator"])
    for token in tokens.values():
        nightly.command(plan, VAULT_TOKEN=token)
    seen = nightly.step()
    assert "not due" in seen
    assert "0 keys rewrapped" in seen
    shop.bao("write", "transit/keys/sealed/config", "auto_rotate_period=0")
    nightly.command(plan, code=3)


# -- Vault is away


def test_vault_is_down(shop: Shop, later: Later, caplog: pytest.LogCaptureFixture) -> None:
    """The limits of the table, one after the other; and the end, without a restart."""
    section = shop.runbook("Vault is down")
    old = shop.start().seal(b"under the first key", "a.b")
    shop.manager.rotate("default")
    application, warmed, cold = shop.start("default"), shop.start(), shop.start()
    warmed.warm()
    shop.write()
    assert shop.read() == 2 * ROWS
    shop.relay.cut()
    shop.goes_on(2 * ROWS)
    assert warmed.open(old, "a.b") == b"under the first key"
    with pytest.raises(ProviderUnreachableError):
        cold.open(old, "a.b")
    with pytest.raises(ProviderUnreachableError):
        shop.start()
    assert ours(caplog) == []
    later(5 * MINUTE)
    shop.goes_on(3 * ROWS)
    until(lambda: len(ours(caplog)) > 0)
    later(54 * MINUTE)
    shop.goes_on(4 * ROWS)
    later(2 * MINUTE)
    with pytest.raises(StaleKeysError, match="freshness limit"):
        shop.write()
    assert ours(caplog) == [("sqlalchemy_sealed.keys", logging.WARNING)]
    assert (shop.read(), shop.search()) == (5 * ROWS, 5)
    section.step(code=1, VAULT_ADDR=shop.relay.url)
    the_command_line_without_vault(shop, section)
    later(DAY)
    for use in (shop.read, shop.search, shop.write):
        with pytest.raises(StaleKeysError):
            use()
    shop.relay.mend()
    section.command("sealed vault version", VAULT_ADDR=shop.relay.url)
    later(2)
    shop.goes_on(5 * ROWS)
    assert application.open(old, "a.b") == b"under the first key"


def ours(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Return who of this library has logged, and at which level."""
    records = [each for each in caplog.records if each.name.startswith("sqlalchemy_sealed")]
    return [(each.name, each.levelno) for each in records]


def the_command_line_without_vault(shop: Shop, section: Section) -> None:
    """What needs the KEK changes nothing; what needs the keystore only, works."""
    before = shop.keystore.load("default")
    key_id = shop.data_keys()[0].key_id.hex()
    away = {"VAULT_ADDR": shop.relay.url}
    for command in ("rotate", "create another", "rewrap"):
        assert "cannot be reached" in section.command(f"sealed keys {command}", code=1, **away)
    assert shop.keystore.load("default") == before
    assert shop.keystore.names() == ("default",)
    for command in ("list", f"disable {key_id}", f"enable {key_id}"):
        section.command(f"sealed keys {command}", **away)
    section.command(f"sealed keys destroy {key_id} --unscanned --dry-run", **away)


def test_a_keystore_that_is_away(shop: Shop, later: Later) -> None:
    """It is the same as with Vault: the limits hold, and it ends by itself."""
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE sealed_keys RENAME TO away"))
    later(HOUR + 1)
    with pytest.raises(StaleKeysError, match="no such table"):
        shop.write()
    assert (shop.read(), shop.search()) == (ROWS, 1)
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO sealed_keys"))
    later(2)
    shop.goes_on(ROWS)


def test_vault_is_sealed(
    sealers: None,
    no_vault_settings: None,
    postgres_url: str,
    tmp_path: Path,
    later: Later,
) -> None:
    """A server that was restarted: the application waits for its keys, and goes on by itself."""
    skip_if_missing(openbao.installation)
    storage = tmp_path / "storage"
    storage.mkdir()
    durable = Durable(storage)
    with durable.running():
        durable.initialize()
        durable.unseal()
        server = OpenBao(durable.url, "durable", durable.token)
        with running_shop(server, postgres_url, tmp_path) as shop:
            section = shop.runbook("Vault is sealed")
            shop.bao("operator", "seal")
            shop.goes_on(ROWS)
            with pytest.raises(ProviderSealedError):
                shop.start()
            later(HOUR + 1)
            with pytest.raises(StaleKeysError, match="sealed or not initialised"):
                shop.write()
            section.step(code=2)
            assert "Sealed" in section.step(typed=f"{durable._key}\n")
            while openbao.health(durable.url) != 200:
                pass
            later(2)
            shop.goes_on(2 * ROWS)


def test_a_token_has_ended(shop: Shop, later: Later) -> None:
    """Without a secret id there is no new one; with another one, it goes on without a restart."""
    section = shop.runbook("A token has ended")
    (accessor,) = shop.accessors()
    destroy = "auth/approle/role/shop/secret-id-accessor/destroy"
    shop.bao("write", destroy, f"secret_id_accessor={accessor}")
    shop.bao("lease", "revoke", "-sync", "-prefix", "auth/approle/login")
    shop.goes_on(ROWS)
    with pytest.raises(ProviderLoginError):
        shop.start()
    later(HOUR + 1)
    with pytest.raises(StaleKeysError, match="Vault refuses the login"):
        shop.write()
    section.step()
    assert (shop.folder / "secret-id").stat().st_mode & 0o077 == 0
    later(2)
    shop.goes_on(2 * ROWS)


# -- rotation


def overdue(shop: Shop, days: int) -> None:
    """Make a primary that was due so many days ago."""
    shop.manager.rotate("default", now=datetime.now(UTC) - timedelta(days=90 + days))


def test_a_rotation_is_overdue(shop: Shop) -> None:
    """It is shown, and hinders nobody; a nightly job mends it."""
    section = shop.runbook("A rotation is overdue")
    overdue(shop, 10)
    assert "overdue for 10 days" in section.command("sealed keys list")
    listed = json.loads(section.command("sealed keys list --json"))
    assert [each["overdue"] for each in listed if each["primary"]] == [True]
    shop.start("default")
    shop.goes_on(ROWS)
    section.step()
    shop.bao("write", "-f", "transit/keys/sealed/rotate")
    section.step()


def test_two_processes_rotated_at_once(shop: Shop) -> None:
    """Of several that find the key due, one rotates, and the others have nothing to do."""
    section = shop.runbook("Two processes rotated at once")
    overdue(shop, 10)
    command = "sealed keys rotate --if-due --json"
    with ThreadPoolExecutor() as pool:
        answers = [json.loads(each) for each in pool.map(section.command, [command] * 4)]
    assert sorted(each["rotated"] for each in answers) == [False, False, False, True]
    assert len({each["id"] for each in answers}) == 1
    section.step()
    assert len(shop.data_keys()) == 3
