"""`sealed keys` through the life of a key, as a person at a terminal or a nightly job uses it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from key_commands import KEYSTORE, in_a_folder, keys, listed, sealed

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a root key and a keystore."""
    return in_a_folder(tmp_path, monkeypatch)


def manager() -> KeyManager:
    """Return the manager of the files in this folder."""
    return KeyManager(FileKeystore(KEYSTORE), LocalRootKey.from_file("sealed.root.key"))


def overdue(days: int) -> None:
    """Let the primary be due so many days ago."""
    now = datetime.now(UTC)
    manager().rotate("default", now=now - timedelta(days=90 + days))


# -- due


def test_list_says_when_the_next_key_is_due() -> None:
    """In days of the primary, in the table; as a time, and whether it is past, in JSON."""
    sealed("init", "--name", "short")
    keys("rotate", "short", "--rotate-every", "12h")
    keys("rotate", "default", "--rotate-every", "13d")
    table = keys("list").output
    first, second = (key["id"] for key in listed())
    assert re.search(rf"{second} +primary +\S+ +due in 12 days", table)
    assert re.search(rf"{first} +retired +\S+ *\n", table)
    assert "due in less than a day" in table
    assert [key["overdue"] for key in listed()] == [False, False]
    period = datetime.fromisoformat(listed()[1]["due"]) - datetime.fromisoformat(
        listed()[1]["created"]
    )
    assert period == timedelta(days=13)


@pytest.mark.parametrize(
    ("days", "words"), [(0, "overdue"), (1, "overdue for 1 day"), (8, "overdue for 8 days")]
)
def test_list_says_what_is_overdue(days: int, words: str) -> None:
    """Of the primary only: a key that was replaced is not due any more."""
    overdue(days)
    assert re.search(rf"primary +\S+ +{words} *\n", keys("list").output)
    assert [key["overdue"] for key in listed()] == [False, True]
    keys("rotate")
    assert "overdue" not in keys("list").output


def test_a_key_that_is_never_due_says_so() -> None:
    """In the table, and by null in JSON."""
    keys("rotate", "--rotate-every", "never")
    assert "never due" in keys("list").output
    assert listed()[1]["due"] is None


def test_rotate_if_due_does_nothing_before() -> None:
    """A nightly job runs it each night; one in ninety makes a key."""
    result = keys("rotate", "--if-due")
    assert (result.exit_code, result.output) == (0, "'default': not due; nothing was done\n")
    assert json.loads(keys("rotate", "--if-due", "--json").output)["rotated"] is False
    overdue(1)
    assert json.loads(keys("rotate", "--if-due", "--json").output)["rotated"] is True
    assert json.loads(keys("rotate", "--if-due", "--json").output)["rotated"] is False
    assert [key["generation"] for key in listed()] == [1, 2, 3]


def test_a_dry_rotation_makes_no_key() -> None:
    """It says what would be done, and fails where the rotation would."""
    before = KEYSTORE.read_bytes()
    assert "a new primary would take the place of" in keys("rotate", "--dry-run").output
    assert "not due" in keys("rotate", "--dry-run", "--if-due").output
    for options, would in ((("--dry-run",), True), (("--dry-run", "--if-due"), False)):
        document = json.loads(keys("rotate", *options, "--json").output)
        assert (document["rotated"], document["would_rotate"]) == (False, would)
    assert before == KEYSTORE.read_bytes()
    keys("rotate", "--index")
    assert "is being rotated already" in keys("rotate", "--index", "--dry-run").stderr
    Path("sealed.root.key").write_text(LocalRootKey.generate())
    assert "wrong root key" in keys("rotate", "--dry-run").stderr


@pytest.mark.parametrize("period", ["", "90", "30m", "0d", "3651d", "-1d", "1.5d"])
def test_a_period_that_cannot_be_is_wrong_usage(period: str) -> None:
    """Nothing is made."""
    before = KEYSTORE.read_bytes()
    assert keys("rotate", "--rotate-every", period).exit_code == 2
    assert keys("create", "pii", "--rotate-every", period).exit_code == 2
    assert before == KEYSTORE.read_bytes()


# -- made


def test_create_makes_a_key_name_with_a_period() -> None:
    """Under the root key that is there; a second time is an error."""
    assert "data key" in keys("create", "pii", "--rotate-every", "30d").output
    assert re.search(r"pii +data .* due in (29|30) days", keys("list").output)
    again = keys("create", "pii")
    assert again.exit_code == 1
    assert "keys named 'pii' already" in again.stderr


def test_create_under_a_passphrase_in_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are given as lines; the table is made on request."""
    monkeypatch.setenv("SEALED_PASSPHRASE", "correct horse battery staple")
    place = ("--keystore", "sqlite:///keys.sqlite", "--kek", "passphrase")
    assert "no such table" in keys("create", "pii", *place).stderr
    assert keys("create", "pii", *place, "--create-table", "--dry-run").exit_code == 0
    assert "no such table" in keys("list", *place[:2]).stderr
    made = json.loads(keys("create", "pii", *place, "--create-table", "--json").output)
    shown = json.loads(keys("list", *place[:2], "--json").output)
    assert made["keys"] == shown
    assert [key["name"] for key in shown] == ["pii", "pii"]
    assert "wrapped by pbkdf2:1:600000" in keys("create", "b", *place).output


def test_the_table_is_for_a_database_only() -> None:
    """A file needs none."""
    assert keys("create", "pii", "--create-table").exit_code == 2
    assert sealed("init", "--name", "pii", "--create-table").exit_code == 2
    assert len(listed()) == 1


def test_init_makes_the_table_on_request() -> None:
    """A root key in a file and keys in a database: nothing else is needed to begin with."""
    Path("sealed.root.key").unlink()
    place = ("--keystore", "sqlite:///keys.sqlite")
    assert "--create-table" in sealed("init", *place).stderr
    assert not Path("sealed.root.key").exists()
    assert sealed("init", *place, "--create-table").exit_code == 0
    assert sealed("init", *place, "--create-table", "--name", "pii").exit_code == 0
    assert keys("rotate", "pii", *place).exit_code == 0


def test_a_dry_creation_makes_nothing() -> None:
    """It says under which KEK; a name that is taken is an error."""
    before = KEYSTORE.read_bytes()
    assert "'pii' would be made, wrapped by local:1:" in keys("create", "pii", "--dry-run").output
    assert "already" in keys("create", "default", "--dry-run").stderr
    assert json.loads(keys("create", "pii", "--dry-run", "--json").output)["created"] is False
    assert keys("create", "x", "--dry-run", "--keystore", "new.json").exit_code == 0
    assert before == KEYSTORE.read_bytes()
    assert not Path("new.json").exists()


def test_init_is_for_the_root_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another KEK in the environment it makes nothing, and names the other command."""
    monkeypatch.setenv("SEALED_KEK", "passphrase")
    result = sealed("init", "--name", "pii", "--root-key-file", "another.key")
    assert result.exit_code == 1
    assert "sealed keys create" in result.stderr
    assert not Path("another.key").exists()


# -- disabled and enabled


def test_disable_and_enable() -> None:
    """They say what they did, and need no root key; --json has the key as it is then."""
    keys("rotate")
    Path("sealed.root.key").unlink()
    old = listed()[0]["id"]
    assert f"data key {old} of 'default' is disabled" in keys("disable", old).output
    assert re.search(rf"{old} +disabled ", keys("list").output)
    assert json.loads(keys("enable", old, "--json").output)["stage"] == "retired"
    assert listed()[0]["state"] == "enabled"


@pytest.mark.parametrize("command", ["disable", "destroy"])
def test_the_primary_is_kept(command: str) -> None:
    """As the library says it, without a question."""
    primary = listed()[0]["id"]
    result = keys(command, primary, *["--unscanned"] * (command == "destroy"))
    assert result.exit_code == 1
    assert "rotate first" in result.stderr


@pytest.mark.parametrize("command", ["disable", "enable", "destroy"])
def test_a_dry_run_changes_no_state(command: str) -> None:
    """It says what would be done."""
    keys("rotate")
    before = KEYSTORE.read_bytes()
    extra = ["--unscanned"] if command == "destroy" else []
    result = keys(command, listed()[0]["id"], "--dry-run", *extra)
    assert result.exit_code == 0
    assert f"would be {command.rstrip('e')}" in result.output.replace("destroyed", "destroyed")
    assert before == KEYSTORE.read_bytes()


@pytest.mark.parametrize("key_id", ["", "12", "0011", "g" * 16, "00 11223344556677", "0" * 17])
@pytest.mark.parametrize("command", ["disable", "enable", "destroy"])
def test_what_is_no_key_id_is_wrong_usage(command: str, key_id: str) -> None:
    """It has 16 hexadecimal digits."""
    assert keys(command, key_id).exit_code == 2


def test_a_key_that_is_not_there_is_named() -> None:
    """In the keystore, or under the name that was given."""
    assert "0011223344556677: the keystore has no" in keys("enable", "0011223344556677").stderr
    other = listed()[0]["id"]
    sealed("init", "--name", "pii")
    assert "key 'pii' has no key" in keys("enable", other, "--name", "pii").stderr


# -- rewrapped


def test_the_root_key_is_replaced() -> None:
    """Under the new one all keys open; the old one is not needed any more."""
    Path("sealed.root.key").rename("old.root.key")
    secret = LocalRootKey.generate()
    Path("sealed.root.key").write_text(secret)
    Path("sealed.root.key").chmod(0o600)
    new = ("--old-kek", "local:old.root.key")
    assert "2 keys would be rewrapped" in keys("rewrap", *new, "--dry-run").output
    assert json.loads(keys("rewrap", *new, "--dry-run", "--json").output)["left"] == 2
    assert "2 keys rewrapped under local:1:" in keys("rewrap", *new).output
    Path("old.root.key").unlink()
    assert "0 keys rewrapped" in keys("rewrap").output
    assert keys("rotate").exit_code == 0


def test_a_key_that_cannot_be_rewrapped_is_named() -> None:
    """The rest goes on; the exit code is 1."""
    Path("sealed.root.key").rename("old.root.key")
    [wrapped] = (
        key["wrapped"] for key in json.loads(KEYSTORE.read_text())["keys"] if key["kind"] == "index"
    )
    KEYSTORE.write_text(KEYSTORE.read_text().replace(wrapped, wrapped[:-8] + "A" * 8))
    Path("sealed.root.key").write_text(LocalRootKey.generate())
    Path("sealed.root.key").chmod(0o600)
    result = keys("rewrap", "--old-kek", "local:old.root.key")
    assert result.exit_code == 1
    assert "1 key rewrapped" in result.output
    assert f"not rewrapped: {listed('index')[0]['id']} of 'default'" in result.output
    document = json.loads(keys("rewrap", "--old-kek", "local:old.root.key", "--json").output)
    assert (document["rewrapped"], document["current"]) == (0, 1)
    assert [each["id"] for each in document["failed"]] == [listed("index")[0]["id"]]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
def test_the_progress_is_shown_on_a_terminal(empty_folder: Path) -> None:
    """On standard error, so that the result can be piped; nothing of it without a terminal."""
    main = "from sqlalchemy_sealed.cli import main; main()"
    command = [sys.executable, "-c", main, "keys", "rewrap", "--json"]
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=slave, env=environment, check=True
    )
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert json.loads(done.stdout)["current"] == 2
    assert "2/2" in shown
    quiet = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert quiet.stderr == b""
