"""`sealed init` and `sealed keys`, as a person at a terminal uses them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey
from sqlalchemy_sealed.cli.app import app


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without settings in the environment."""
    for variable in [name for name in os.environ if name.startswith("SEALED_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sealed(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, arguments)


def test_init_makes_both_files_for_their_owner_only() -> None:
    """A root key file and a keystore appear, both with mode 0600, and nothing secret is shown."""
    result = sealed("init")
    assert result.exit_code == 0
    for name in ("sealed.root.key", "sealed.keys.json"):
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600
    assert Path("sealed.root.key").read_text().strip() not in result.output
    assert "configure_from_env()" in result.output


def test_init_twice_changes_nothing() -> None:
    """A second init is an error that says what to do, and both files stay as they were."""
    sealed("init")
    before = [Path(name).read_bytes() for name in ("sealed.root.key", "sealed.keys.json")]
    result = sealed("init")
    assert result.exit_code == 1
    assert "sealed keys rotate" in result.stderr
    assert before == [Path(name).read_bytes() for name in ("sealed.root.key", "sealed.keys.json")]


def test_init_adds_another_name_to_the_keystore() -> None:
    """With another name, init adds a keyset under the root key that is there."""
    sealed("init")
    result = sealed("init", "--name", "pii", "--json")
    assert json.loads(result.output)["made_root_key"] is False
    assert FileKeystore("sealed.keys.json").names() == ("default", "pii")


def test_init_does_not_make_a_new_root_key_beside_an_old_keystore() -> None:
    """A keystore whose root key is missing is not given another root key."""
    sealed("init")
    Path("sealed.root.key").unlink()
    result = sealed("init", "--name", "pii")
    assert result.exit_code == 1
    assert "not its root key" in result.stderr
    assert not Path("sealed.root.key").exists()


def test_init_takes_the_root_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SEALED_ROOT_KEY set, no root key file is made."""
    text = LocalRootKey.generate()
    monkeypatch.setenv("SEALED_ROOT_KEY", text)
    assert sealed("init").exit_code == 0
    assert not Path("sealed.root.key").exists()
    manager = KeyManager(FileKeystore("sealed.keys.json"), LocalRootKey.from_text(text))
    primary = manager.keyset("default").primary
    assert len(manager.provider.unwrap(primary.wrapped, primary.binding)) == 32


def test_list_needs_no_root_key() -> None:
    """The list shows ids and the primary, and works where only the keystore is."""
    sealed("init")
    Path("sealed.root.key").unlink()
    keys = json.loads(sealed("keys", "list", "--json").output)
    table = sealed("keys", "list").output
    assert [(key["kind"], key["primary"]) for key in keys] == [("data", True), ("index", False)]
    assert all(key["id"] in table for key in keys)


def test_rotate_makes_a_new_primary_and_keeps_the_old_key() -> None:
    """After a rotation both data keys are listed, the new one as the primary."""
    sealed("init")
    old = json.loads(sealed("keys", "list", "--json").output)[0]
    new = json.loads(sealed("keys", "rotate", "--json").output)
    keys = json.loads(sealed("keys", "list", "--json").output)
    assert [key["id"] for key in keys if key["kind"] == "data"] == [old["id"], new["id"]]
    assert [key["id"] for key in keys if key["primary"]] == [new["id"]]


def listed(kind: str) -> list[dict[str, Any]]:
    """Return the keys of a kind as `sealed keys list --json` shows them."""
    keys = json.loads(sealed("keys", "list", "--json").output)
    return [key for key in keys if key["kind"] == kind]


def test_list_shows_which_index_keys_a_data_key_names() -> None:
    """So one sees which data keys have to go before an index key can."""
    sealed("init")
    sealed("keys", "rotate", "--index")
    sealed("keys", "rotate")
    old, new = (key["id"] for key in listed("index"))
    assert [(key["index_key_id"], key["bridge_key_id"]) for key in listed("data")] == [
        (old, None),
        (new, old),
        (new, old),
    ]
    table = sealed("keys", "list").output
    assert [key["generation"] for key in listed("index")] == [1, 2]
    assert old in table
    assert new in table


def test_rotate_with_index_makes_a_new_index_key() -> None:
    """It says which one new values are indexed under, and which one is searched besides."""
    sealed("init")
    output = sealed("keys", "rotate", "--index").output
    old, new = (key["id"] for key in listed("index"))
    assert listed("data")[1]["id"] in output
    assert f"index key is now {new}\n" in output
    assert f"{old} is searched, too, until the rows are resealed" in output


def test_rotate_with_index_as_json() -> None:
    """The document is the new primary, with the two index keys that it names."""
    sealed("init")
    made = json.loads(sealed("keys", "rotate", "--index", "--json").output)
    old, new = (key["id"] for key in listed("index"))
    said = {"rotated": True, "dry_run": False, "would_rotate": False}
    assert made == listed("data")[1] | said
    assert (made["index_key_id"], made["bridge_key_id"]) == (new, old)


def test_a_second_rotation_of_the_index_key_is_refused() -> None:
    """The first one is not finished; the message says what is to be done, and nothing changes."""
    sealed("init")
    sealed("keys", "rotate", "--index")
    before = Path("sealed.keys.json").read_bytes()
    for command in ("rotate", "--index"), ("announce-index",):
        result = sealed("keys", *command)
        assert result.exit_code == 1
        assert "is being rotated already: reseal the rows" in result.stderr
        assert listed("index")[0]["id"] in result.stderr
    assert Path("sealed.keys.json").read_bytes() == before


def test_announce_index_makes_the_key_of_the_next_rotation() -> None:
    """It is named and listed as announced; the rotation takes it, and makes no other."""
    sealed("init")
    output = sealed("keys", "announce-index").output
    _, announced = listed("index")
    assert f"index key {announced['id']} is announced" in output
    assert "sealed keys rotate default --index" in output
    assert re.search(rf"{announced['id']} +announced ", sealed("keys", "list").output)
    assert f"index key is now {announced['id']}\n" in sealed("keys", "rotate", "--index").output
    assert len(listed("index")) == 2
    assert "announced" not in sealed("keys", "list").output


def test_announce_index_as_json() -> None:
    """The document is the new index key, of the name that was given; a dry run makes none."""
    sealed("init", "--name", "pii")
    dry = json.loads(sealed("keys", "announce-index", "pii", "--dry-run", "--json").output)
    assert dry == listed("index")[0] | {"announced": False, "dry_run": True}
    made = json.loads(sealed("keys", "announce-index", "pii", "--json").output)
    assert made == listed("index")[1] | {"announced": True, "dry_run": False}
    assert (made["name"], made["kind"], made["generation"]) == ("pii", "index", 2)
    assert made["primary"] is False


def test_an_index_key_is_announced_once() -> None:
    """A second announcement is refused, and names the first one."""
    sealed("init")
    sealed("keys", "announce-index")
    for options in ((), ("--dry-run",)):
        result = sealed("keys", "announce-index", *options)
        assert result.exit_code == 1
        assert "has an announced index key already" in result.stderr
    assert len(listed("index")) == 2


@pytest.mark.parametrize("command", ["rotate", "rotate --index", "announce-index"])
def test_another_root_key_is_refused(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key that no application could unwrap is not made."""
    sealed("init")
    monkeypatch.setenv("SEALED_ROOT_KEY", LocalRootKey.generate())
    before = Path("sealed.keys.json").read_bytes()
    result = sealed("keys", *command.split())
    assert result.exit_code == 1
    assert "wrong root key" in result.stderr
    assert Path("sealed.keys.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "list"), "sealed init"),
        (("keys", "rotate"), "sealed init"),
        (("keys", "announce-index"), "sealed init"),
        (("keys", "list", "--keystore", "elsewhere.json"), "elsewhere.json"),
    ],
)
def test_a_missing_keystore_is_explained(arguments: tuple[str, ...], message: str) -> None:
    """Without a keystore every command says where it looked and how to make one."""
    result = sealed(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_an_unknown_key_name_is_explained() -> None:
    """A key name that does not exist is named in the message."""
    sealed("init")
    result = sealed("keys", "rotate", "unheard-of")
    assert result.exit_code == 1
    assert "'unheard-of'" in result.stderr


def test_two_sources_of_the_root_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both variables set it is not guessed which one is meant."""
    sealed("init")
    monkeypatch.setenv("SEALED_ROOT_KEY", LocalRootKey.generate())
    monkeypatch.setenv("SEALED_ROOT_KEY_FILE", "sealed.root.key")
    result = sealed("keys", "rotate")
    assert result.exit_code == 1
    assert "both set" in result.stderr


def test_wrong_usage_exits_with_two() -> None:
    """An option that does not exist is wrong usage, not an error of ours."""
    assert sealed("init", "--nmae", "x").exit_code == 2


def test_the_missing_extra_is_named() -> None:
    """Without click, `sealed` is one line with the extra, the purpose and the remedy; exit 1."""
    program = (
        "import sys; sys.modules['click'] = None\nfrom sqlalchemy_sealed.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "sealed: the command line needs the extra 'cli'; install it with: "
        "python -m pip install 'sqlalchemy-sealed[cli]'\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("init",),
        ("keys",),
        ("keys", "list"),
        ("keys", "rotate"),
        ("keys", "announce-index"),
        ("keys", "create"),
        ("keys", "rewrap"),
        ("keys", "disable"),
        ("keys", "enable"),
        ("keys", "destroy"),
        ("demo",),
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(arguments: tuple[str, ...]) -> None:
    """--help works everywhere and says more than the usage line."""
    result = sealed(*arguments, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5
