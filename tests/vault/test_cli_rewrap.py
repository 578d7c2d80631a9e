"""`sealed keys` under a transit key of Vault: made, rotated, and rewrapped after Vault rotated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from servers.openbao import OpenBao

from sqlalchemy_sealed import environment, get_sealer
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.vault.transit import TransitKey


@pytest.fixture(autouse=True)
def settings(
    vault_settings: OpenBao, mount: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in an empty folder, with a transit key of this test as the KEK."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALED_KEK", f"vault:{mount}/sealed")
    for variable in ("SEALED_KEYSTORE", "SEALED_ROOT_KEY", "SEALED_ROOT_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)


def keys(*arguments: str) -> Result:
    """Run `sealed keys`."""
    return CliRunner().invoke(app, ["keys", *arguments])


def versions() -> set[str]:
    """Return the versions of the transit key that keys are wrapped under."""
    stored = json.loads(Path("sealed.keys.json").read_text())["keys"]
    return {key["wrapped"].split(":")[1] for key in stored}


def test_keys_are_rewrapped_after_the_transit_key_was_rotated(transit: TransitKey) -> None:
    """What was sealed before opens; a second run finds nothing to do."""
    assert "wrapped by vault:" in keys("create", "shop").output
    assert keys("rotate", "shop").exit_code == 0
    sealer = environment.configure_from_env("shop")
    try:
        envelope = sealer.seal(b"x", "t.c")
        assert versions() == {"v1"}
        transit.rotate()
        assert json.loads(keys("rewrap", "--dry-run", "--json").output)["left"] == 3
        done = json.loads(keys("rewrap", "--json").output)
        assert (done["rewrapped"], done["current"], done["failed"]) == (3, 0, [])
        assert versions() == {"v2"}
        assert json.loads(keys("rewrap", "--json").output)["current"] == 3
        sealer.configure(
            keystore=environment.keystore(), provider=environment.provider(), replace=True
        )
        assert sealer.open(envelope, "t.c") == b"x"
    finally:
        get_sealer("shop").keeper = None


def test_keys_move_from_a_root_key_to_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root key is needed once more, and then for nothing."""
    kek = environment.kek_line()
    monkeypatch.delenv("SEALED_KEK")
    CliRunner().invoke(app, ["init"])
    monkeypatch.setenv("SEALED_KEK", kek)
    assert keys("rotate").exit_code == 1
    assert "2 keys rewrapped under vault:" in keys("rewrap", "--old-kek", "local").output
    Path("sealed.root.key").unlink()
    assert keys("rotate").exit_code == 0
    assert versions() == {"v1"}
