"""The JSON of `sealed keys`: what the reference says of it, and nothing else on standard output."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from documented_json import DOCUMENTS, KEY, assert_documented
from fix_keys import forget
from key_commands import KEYSTORE, in_a_folder, keys, listed, sealed

from sqlalchemy_sealed import FileKeystore, LocalRootKey, environment, get_sealer
from sqlalchemy_sealed.cli.app import app


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a root key and a keystore."""
    return in_a_folder(tmp_path, monkeypatch)


def test_every_command_on_keys_and_vault_is_in_the_table() -> None:
    """And no others; each has some members of its own, or shows keys."""
    groups = {name: app.commands[name].commands for name in ("keys", "vault")}
    names = {f"sealed {group} {name}" for group, commands in groups.items() for name in commands}
    assert set(DOCUMENTS) == names | {"sealed init"}
    assert {"name", "kind", "generation", "id", "state"} < KEY


def test_documents_have_the_members_that_the_reference_says() -> None:
    """Done or only tried."""
    assert_documented("sealed init", sealed("init", "--name", "pii", "--json").output)
    assert_documented("sealed keys list", keys("list", "--json").output)
    for command, *arguments in (
        ("create", "a"),
        ("rotate",),
        ("rotate", "--if-due"),
        ("announce-index",),
        ("disable", listed()[0]["id"]),
        ("enable", listed()[0]["id"]),
    ):
        for dry in (["--dry-run"], []):
            result = keys(command, *arguments, *dry, "--json")
            assert (result.exit_code, result.stderr) == (0, "")
            document = assert_documented(f"sealed keys {command}", result.stdout)
            assert document["dry_run"] is bool(dry)


def test_a_destruction_says_what_it_saw() -> None:
    """Rows under the key, with exit code 1; and then none."""
    sealer = get_sealer("of a scan")
    sealer.configure(
        keystore=environment.keystore(), provider=environment.provider(), key_name="default"
    )
    value = sealer.seal(b"value", "a.b")
    with sqlite3.connect("app.sqlite") as connection:
        connection.execute("CREATE TABLE a (b BLOB)")
        connection.execute("INSERT INTO a VALUES (?)", (value,))
    connection.close()
    keys("rotate")
    old = listed()[0]["id"]
    scan = ("--scan", "sqlite:///app.sqlite", "--yes", "--json")
    result = keys("destroy", old, *scan)
    assert result.exit_code == 1
    document = assert_documented("sealed keys destroy", result.stdout)
    assert document["scans"][0]["found"] == [{"where": "a.b", "rows": 1}]
    assert document["state"] == "enabled"
    with sqlite3.connect("app.sqlite") as connection:
        connection.execute("DELETE FROM a")
    connection.close()
    document = keys("destroy", old, *scan).stdout
    assert '"state": "destroyed"' in document
    forget(sealer)


def test_a_rewrap_says_what_failed() -> None:
    """With the document, and exit code 1; nothing failed is an empty list."""
    one = {"name", "id", "problem"}
    for options in (("--dry-run",), ()):
        output = keys("rewrap", *options, "--json").stdout
        document = assert_documented("sealed keys rewrap", output, without=one)
        assert (document["current"], document["failed"]) == (2, [])
    Path("sealed.root.key").write_text(LocalRootKey.generate())
    result = keys("rewrap", "--json")
    assert result.exit_code == 1
    document = assert_documented("sealed keys rewrap", result.stdout)
    assert (document["rewrapped"], document["left"], len(document["failed"])) == (0, 2, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--name", "absent"),
        ("create", "default"),
        ("create", "default", "--dry-run"),
        ("rotate", "absent"),
        ("rotate", "--kek", "passphrase"),
        ("announce-index", "absent"),
        ("disable", "0" * 16),
        ("enable", "0" * 16),
        ("destroy", "0" * 16, "--yes"),
        ("list", "--keystore", "postgresql://127.0.0.1:1/keys"),
    ],
    ids=" ".join,
)
def test_an_error_leaves_standard_output_empty(arguments: tuple[str, ...]) -> None:
    """It is one line on standard error, and nothing was changed."""
    before = KEYSTORE.read_bytes()
    result = keys(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("sealed: ")
    assert result.stderr.count("\n") == 1
    assert KEYSTORE.read_bytes() == before


def test_a_name_that_would_move_the_cursor_is_quoted() -> None:
    """A table is for people; what is in it cannot write over it. In JSON it is escaped."""
    keys("create", "evil\x1b[2J\nname")
    assert "'evil\\x1b[2J\\nname'" in keys("list").output
    assert "\x1b" not in keys("list").output + keys("list", "--json").output
    assert "evil\x1b[2J\nname" in FileKeystore(KEYSTORE).names()
