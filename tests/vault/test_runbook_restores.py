"""Drills of the runbook: something was restored, is lost, or is that of another installation."""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_runbook import ROWS, Customer, Shop

from sqlalchemy_sealed import FileKeystore, KeyManager, get_sealer
from sqlalchemy_sealed.errors import DestroyedKeyError, ProviderError, UnknownKeyError
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.providers.vault import VaultTransit

pytestmark = pytest.mark.postgres


def rows(shop: Shop) -> list[dict[str, Any]]:
    """Return a backup of the rows, as they are stored."""
    with shop.engine.connect() as connection:
        query = "SELECT id, email, note FROM customers"
        return [dict(each) for each in connection.execute(sa.text(query)).mappings()]


def put_rows(shop: Shop, backup: Iterable[dict[str, Any]]) -> None:
    """Restore a backup of the rows."""
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(Customer))
        insert = "INSERT INTO customers (id, email, note) VALUES (:id, :email, :note)"
        connection.execute(sa.text(insert), list(backup))


def put_keys(shop: Shop, records: Iterable[KeyRecord]) -> None:
    """Restore a backup of the keystore, and start the application over it."""
    with shop.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM sealed_keys"))
    shop.keystore.add(*records)
    shop.start("default")


def test_the_database_is_older(shop: Shop) -> None:
    """Older keys are still there; a row under a destroyed one opens beside a backup of the keys."""
    backup, keys = rows(shop), FileKeystore(shop.folder / "backup.keys.json")
    keys.add(*shop.keystore.load("default"))
    get_sealer().rotate()
    shop.reseal()
    put_rows(shop, backup)
    shop.goes_on(ROWS)
    shop.reseal()
    (old, _) = shop.data_keys()
    shop.manager.destroy("default", old.key_id, unscanned=True)
    put_rows(shop, backup)
    get_sealer().refresh()
    with pytest.raises(DestroyedKeyError):
        shop.read()
    shop.keystore = keys
    shop.start("default")
    assert shop.read() == ROWS


def test_the_keystore_is_older(shop: Shop) -> None:
    """Rows under newer keys do not open until the missing keys are brought back; none is lost."""
    section = shop.runbook("The keystore is older than the database")
    old = shop.keystore.load("default")
    get_sealer().rotate()
    shop.write()
    backup = FileKeystore(shop.folder / "backup.keys.json")
    backup.add(*shop.keystore.load("default"))
    put_keys(shop, old)
    with pytest.raises(UnknownKeyError):
        shop.read()
    get_sealer().rotate()  # As the page says not to: it is of the same generation.
    shop.write()
    section.step()
    section.step()
    get_sealer().refresh()
    shop.goes_on(3 * ROWS)
    assert set(shop.count()) == {each.key_id.hex() for each in shop.data_keys()}
    assert "brought" not in section.command("python bring_back.py backup.keys.json")


def test_a_key_that_is_there_is_not_overwritten(shop: Shop) -> None:
    """Of a key that is destroyed here, an older copy is not brought back behind anybody's back."""
    backup = FileKeystore(shop.folder / "backup.keys.json")
    backup.add(*shop.keystore.load("default"))
    get_sealer().rotate()
    shop.manager.destroy("default", shop.data_keys()[0].key_id, unscanned=True)
    before = shop.keystore.load("default")
    section = shop.runbook("The keystore is older than the database")
    section.step()
    section.left.clear()
    assert section.command("python bring_back.py backup.keys.json") == ""
    assert shop.keystore.load("default") == before


def test_the_keystore_is_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs still has the wrapped keys, and they make a new keystore."""
    section = shop.runbook("The keystore is lost")
    get_sealer().rotate()
    shop.write()
    with shop.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE sealed_keys"))
    shop.goes_on(2 * ROWS)
    monkeypatch.chdir(shop.folder)
    runpy.run_path(section.step())
    shop.keystore = FileKeystore(Path("rescued.keys.json"))
    shop.start("default").warm()
    shop.goes_on(3 * ROWS)


def test_a_keystore_of_another_installation(shop: Shop) -> None:
    """It is refused at the start, by programs and commands, and nothing is changed."""
    section = shop.runbook("Keys of another installation")
    section.command("sealed vault apply --key another")
    another = VaultTransit(shop.vault, key="another")
    strange = FileKeystore(shop.folder / "strange.keys.json")
    KeyManager(strange, another).create("default")
    ours, theirs = shop.keystore, strange.load("default")
    section.step(code=1, SEALED_KEYSTORE=str(strange.path))
    shop.keystore = strange
    with pytest.raises(ProviderError, match="does not authenticate"):
        shop.start("default")
    assert strange.load("default") == theirs
    shop.keystore = ours
    shop.goes_on(ROWS)


def test_a_sound_keystore_with_other_keys(shop: Shop) -> None:
    """It passes, since the KEK is right; rows are under keys that it does not have."""
    shop.keystore = FileKeystore(shop.folder / "other.keys.json")
    shop.manager.create("default")
    shop.start("default")
    with pytest.raises(UnknownKeyError):
        shop.read()


def test_the_kek_shuts_out_restored_keys(shop: Shop) -> None:
    """The old version is let in once more, until the keys are under the new one."""
    section = shop.runbook("The KEK shuts out restored keys")
    old = shop.keystore.load("default")
    section.command("sealed vault rotate; sealed keys rewrap")
    section.command("sealed vault apply --min-decryption-version 2 --yes")
    with pytest.raises(ProviderError, match="min_decryption_version"):
        put_keys(shop, old)
    section.step(OLDEST="1")
    section.step(VERSION="2", typed="y\n")
    shop.start("default").warm()
    shop.goes_on(ROWS)
    assert {each.wrapped[:9] for each in shop.keystore.load("default")} == {"vault:v2:"}


def test_the_clock_was_wrong(shop: Shop) -> None:
    """A key of the future is not due for long; a rotation by hand puts the dates right."""
    section = shop.runbook("The clock was wrong")
    ahead = datetime.now(UTC) + timedelta(days=365)
    shop.manager.rotate("default", now=ahead)
    assert "due in 454 days" in section.command("sealed keys list")
    assert "not due" in section.command("sealed keys rotate --if-due")
    get_sealer().refresh()
    shop.goes_on(ROWS)
    section.step()
    assert "due in 89 days" in section.command("sealed keys list")
    get_sealer().refresh()
    shop.goes_on(2 * ROWS)


def test_two_machines_rotated_copies_of_a_file(shop: Shop) -> None:
    """One file gets the keys of the other one, and then opens what both have sealed."""
    section = shop.runbook("Two machines rotated copies of a file")
    program = shop.runbook("The keystore is older than the database")
    program.step()
    program.left.clear()
    files = [FileKeystore(shop.folder / f"{name}.keys.json") for name in ("this", "other")]
    copied = shop.keystore.load("default")
    for file in files:
        file.add(*copied)
        KeyManager(file, VaultTransit(shop.vault)).rotate("default")
        shop.keystore = file
        shop.start("default")
        shop.write()
    for file in files:
        shop.keystore = file
        shop.start("default")
        with pytest.raises(UnknownKeyError):
            shop.read()
    section.step(SEALED_KEYSTORE=str(files[0].path))
    shop.keystore = files[0]
    shop.start("default")
    shop.goes_on(3 * ROWS)
