"""The keystore file: safe against others, against damage, against two writers and a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey
from sqlalchemy_sealed.errors import ConfigurationError, KeystoreConflictError, KeystoreError
from sqlalchemy_sealed.keystores import file as file_module
from sqlalchemy_sealed.keystores.document import FORMAT
from sqlalchemy_sealed.keystores.fields import to_fields
from sqlalchemy_sealed.testing import KeystoreSuite, record


@pytest.fixture
def store(tmp_path: Path) -> FileKeystore:
    """Return a keystore whose file exists and is empty of records."""
    keystore = FileKeystore(tmp_path / "sealed.keys.json")
    keystore.add()
    return keystore


@pytest.fixture
def root_key(tmp_path: Path) -> Path:
    """Return the path of a new root key file."""
    path = tmp_path / "sealed.root.key"
    path.touch(mode=0o600)
    path.write_text(LocalRootKey.generate())
    return path


class TestFileKeystore(KeystoreSuite):
    """It does what every keystore does."""


def test_the_file_is_for_its_owner_only(store: FileKeystore) -> None:
    """The file is made, and made again at every change, with mode 0600."""
    store.add(record())
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_file_that_others_can_use_is_refused(store: FileKeystore, mode: int) -> None:
    """Any permission of group or others is an error that says how to mend it."""
    store.path.chmod(mode)
    with pytest.raises(KeystoreError, match=f"chmod 600 {store.path}"):
        store.load("default")


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """The path and the command that makes one are in the message."""
    with pytest.raises(KeystoreError, match=r"absent\.json: .*sealed init"):
        FileKeystore(tmp_path / "absent.json").load("default")


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    """A keystore is not made in a directory that does not exist."""
    with pytest.raises(KeystoreError, match="directory of the keystore does not exist"):
        FileKeystore(tmp_path / "absent" / "keys.json").add(record())


def test_a_cut_off_file_is_refused_at_every_length(store: FileKeystore) -> None:
    """No beginning of the file is taken for the whole."""
    store.add(record(), record(generation=2))
    data = store.path.read_bytes()
    for length in range(len(data) - 1):
        store.path.write_bytes(data[:length])
        with pytest.raises(KeystoreError, match="damaged"):
            store.load("default")


values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([*to_fields(record()), "bridge_key_id", "due"]), value=values)
def test_a_changed_field_is_refused_or_is_what_it_says(
    field: str, value: Any, store: FileKeystore
) -> None:
    """A field of another type or form is damage; nothing is read as something it is not."""
    fields = to_fields(record())
    document = {"format": FORMAT, "keys": [fields | {field: value}]}
    store.path.write_text(json.dumps(document))
    try:
        loaded = [r for name in store.names() for r in store.load(name)]
    except KeystoreError:
        return
    assert [to_fields(r) for r in loaded] == document["keys"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"format": "other", "keys": []}', '{"keys": []}', "\x00", "{"],
)
def test_another_file_is_not_a_keystore(store: FileKeystore, text: str) -> None:
    """A file that does not say what it is, is not read."""
    store.path.write_text(text)
    with pytest.raises(KeystoreError, match=r"keys\.json: the keystore is damaged"):
        store.names()


def test_a_record_with_an_unknown_field_is_refused(store: FileKeystore) -> None:
    """What a newer version wrote is not half understood."""
    fields = to_fields(record()) | {"expires": "2030-01-01"}
    store.path.write_text(json.dumps({"format": FORMAT, "keys": [fields]}))
    with pytest.raises(KeystoreError, match="record 1 is not a key record"):
        store.load("default")


def test_a_bridge_is_written_only_where_there_is_one(store: FileKeystore) -> None:
    """A keystore without one is byte for byte as before there were bridges, and is read."""
    bridged = replace(record(generation=2), bridge_key_id=b"\x02" * 8)
    store.add(record(), bridged)
    plain, other = json.loads(store.path.read_bytes())["keys"]
    assert "bridge_key_id" not in plain
    assert other["bridge_key_id"] == "02" * 8
    assert list(other)[:-1] == list(plain)
    assert set(store.load("default")) == {record(), bridged}


OLD_FORM = """\
{
 "format": "sqlalchemy-sealed keystore 1",
 "keys": [
  {
   "name": "default",
   "kind": "data",
   "generation": 1,
   "id": "%s",
   "wrapped": "local:1:0011223344556677:1",
   "created": "2026-01-02T03:04:05+00:00",
   "index_key_id": "0101010101010101",
   "state": "enabled"
  }
 ]
}
"""


def test_a_file_as_the_first_version_wrote_it_is_read(store: FileKeystore) -> None:
    """With each field on a line of its own, and without those that came later."""
    store.path.write_text(OLD_FORM % record().key_id.hex())
    assert store.load("default") == (record(),)
    store.update(record(), record().destroyed())
    assert store.load("default") == (record().destroyed(),)


def test_a_record_takes_one_line(store: FileKeystore) -> None:
    """So that a difference between two copies of the file can be read."""
    store.add(record(), record(generation=2))
    lines = store.path.read_text().splitlines()
    assert json.loads(lines[3]) == to_fields(record(generation=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "\ud800"},
        {"generation": 0},
        {"wrapped": "é"},
        {"wrapped": ""},
        {"key_id": b"short"},
    ],
    ids=str,
)
def test_what_could_not_be_read_is_not_written(
    changes: dict[str, Any], store: FileKeystore
) -> None:
    """One bad record would make the whole file one that is refused."""
    store.add(record("first"))
    with pytest.raises(ConfigurationError, match="could not be read again"):
        store.add(replace(record(), **changes))
    assert store.names() == ("first",)


def test_an_id_is_taken_in_all_names(store: FileKeystore) -> None:
    """A key id names one key in the whole file, and many records are one write."""
    store.add(record())
    with pytest.raises(KeystoreConflictError):
        store.add(replace(record("other"), key_id=record().key_id))
    absent = record("other", 2)
    with pytest.raises(KeystoreConflictError):
        store.update_many([(record(), record().destroyed()), (absent, absent.destroyed())])
    assert store.names() == ("default",)
    assert store.load("default") == (record(),)


def test_a_file_that_did_not_change_is_not_parsed_again(
    store: FileKeystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read each time, and its mode looked at; what others have written is seen."""
    other = FileKeystore(store.path)
    other.add(record())
    assert store.load("default") == (record(),)
    other.add(record(generation=2))
    parsed: list[object] = []
    parse = file_module.Reading
    monkeypatch.setattr(file_module, "Reading", lambda data: parsed.append(0) or parse(data))
    for _ in range(3):
        assert len(store.load("default")) == 2
    assert len(parsed) == 1
    store.path.chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod"):
        store.load("default")


def test_a_lock_that_is_held_is_waited_for_and_then_named(
    store: FileKeystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change gives up after its time and leaves the file as it is."""
    monkeypatch.setattr(file_module, "LOCK_SECONDS", 0.05)
    with store._locked(), pytest.raises(KeystoreConflictError, match="has held the lock"):
        FileKeystore(store.path).add(record())
    assert store.load("default") == ()


ROTATE = """
import sys
from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey
from sqlalchemy_sealed.errors import KeystoreConflictError
manager = KeyManager(FileKeystore(sys.argv[1]), LocalRootKey.from_file(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    try:
        print(manager.rotate("default").primary.key_id.hex(), flush=True)
    except KeystoreConflictError:
        print("conflict", flush=True)
"""


def rotating(store: FileKeystore, root_key: Path, times: int) -> subprocess.Popen[str]:
    """Start a process that rotates so many times and prints each new key id."""
    arguments = [sys.executable, "-c", ROTATE, str(store.path), str(root_key), str(times)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_that_rotate_at_once_make_one_primary_each_time(
    store: FileKeystore, root_key: Path
) -> None:
    """Every rotation that was reported is there, in one unbroken row of generations."""
    KeyManager(store, LocalRootKey.from_file(root_key)).create("default")
    processes = [rotating(store, root_key, 40) for _ in range(2)]
    printed = [line for p in processes for line in p.communicate()[0].split()]
    made = {line for line in printed if line != "conflict"}
    data = [r for r in store.load("default") if r.kind == "data"]
    assert [r.generation for r in data] == list(range(1, len(made) + 2))
    assert made == {r.key_id.hex() for r in data[1:]}


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_loses_nothing(store: FileKeystore, root_key: Path) -> None:
    """Killed thirty times at random moments, the file loads and has every key that was told."""
    provider = LocalRootKey.from_file(root_key)
    KeyManager(store, provider).create("default")
    told: set[str] = set()
    chance = random.Random(11)
    for _ in range(30):
        with rotating(store, root_key, 1000) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 6)):
                told.add(process.stdout.readline().strip())
            os.kill(process.pid, signal.SIGKILL)
            told.update(process.stdout.read().split("\n")[:-1])
    keyset = KeyManager(store, provider).keyset("default")
    assert told <= {r.key_id.hex() for r in keyset.records}
    for known in keyset.records:
        assert len(provider.unwrap(known.wrapped, known.binding)) == 32
