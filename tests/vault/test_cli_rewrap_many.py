"""10,000 keys are rewrapped by one command, while rows stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from many_keys import assert_all_open, fill, stored
from servers.openbao import OpenBao
from servers.relay import Relay
from sqlalchemy import create_engine, text

from sqlalchemy_sealed import Context, FileKeystore, Sealer
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.transit import BATCH, TransitKey

KEYS = 10_000
CONTEXT = Context("t.c")

pytestmark = pytest.mark.slow


def test_one_command_rewraps_all_keys_and_touches_no_row(  # noqa: PLR0917 - fixtures
    vault_settings: OpenBao,
    relay: Relay,
    transit: TransitKey,
    root: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It tells how far it is on standard error, and what it did on standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAULT_ADDR", relay.url)
    monkeypatch.setenv("SEALED_KEK", f"vault:{transit.mount}/sealed")
    monkeypatch.setenv("FORCE_COLOR", "1")  # As if it were a terminal.
    monkeypatch.delenv("SEALED_KEYSTORE", raising=False)
    keystore = FileKeystore("sealed.keys.json")
    fill(keystore, root, transit.mount, KEYS)
    provider, sealer = VaultTransit(transit.vault, mount=transit.mount), Sealer(uuid4().hex)
    sealer.configure(keystore=keystore, provider=provider, key_name="tenant-7")
    with create_engine("sqlite:///rows.db").begin() as connection:
        connection.execute(text("CREATE TABLE t (c BLOB)"))
        rows = [{"c": sealer.seal(b"%d" % n, CONTEXT)} for n in range(100)]
        connection.execute(text("INSERT INTO t VALUES (:c)"), rows)
    before = Path("rows.db").read_bytes()
    transit.rotate()

    relay.requests.clear()
    done = CliRunner().invoke(app, ["keys", "rewrap", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["rewrapped"], told["current"], told["failed"]) == (KEYS, 0, [])
    assert f"{KEYS}/{KEYS}" in done.stderr
    assert sum("/rewrap/" in each for each in relay.requests) == -(-KEYS // BATCH)

    records = stored(FileKeystore("sealed.keys.json"))
    assert len(records) == KEYS
    assert {record.wrapped.split(":")[1] for record in records} == {"v2"}
    assert_all_open(records, root, transit.mount)
    assert Path("rows.db").read_bytes() == before
    sealer.configure(keystore=keystore, provider=provider, key_name="tenant-7", replace=True)
    assert sealer.open(rows[99]["c"], CONTEXT) == b"99"
