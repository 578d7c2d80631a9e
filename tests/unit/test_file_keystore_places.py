"""Where a keystore file may lie: folders that are closed, disks that are full, files of others."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.unprivileged import own_directory, unprivileged_uid

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, secretfile
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreConflictError, KeystoreError, OptionError
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.testing.processes import in_child

# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

UID = unprivileged_uid()
AS_ROOT = pytest.mark.skipif(not UID, reason="only root writes files of other users")
PROVIDER = LocalRootKey(random_key())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder of a user who is not root."""
    with own_directory("sealed-keystore-", UID) as directory:
        yield directory


def as_user(work: Callable[[], object]) -> str:
    """Do something in a child that is not root, and return what it returns or which error."""

    def told() -> bytes:
        if UID:
            os.setgid(pwd.getpwuid(int(UID)).pw_gid)
            os.setuid(int(UID))
        try:
            return str(work()).encode()
        except KeystoreError as error:
            chained = "" if error.__context__ is None else ", chained"
            return f"{type(error).__name__}{chained}: {error}".encode()

    return in_child(told).decode()


def manager(path: Path) -> KeyManager:
    """Return the manager of a keystore file."""
    return KeyManager(FileKeystore(path), PROVIDER)


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(each.name for each in folder.iterdir())


def rotated(path: Path) -> int:
    """Rotate, and return the generation of the primary."""
    return manager(path).rotate("default").primary.generation


# -- folders


def test_in_a_folder_that_is_read_only_keys_are_read_and_not_changed(folder: Path) -> None:
    """As in an image of a container. Nothing is left in it, and the message says what is wrong."""
    path = folder / "keys.json"
    as_user(lambda: manager(path).create("default"))
    path.with_name("keys.json.lock").unlink()
    folder.chmod(0o500)
    assert as_user(lambda: len(manager(path).keyset("default").records)) == "2"
    told = as_user(lambda: rotated(path))
    assert told == f"KeystoreError: {path}: the lock file cannot be made or used: Permission denied"
    assert names(folder) == ["keys.json"]


def test_a_folder_that_cannot_be_reached_is_said(folder: Path) -> None:
    """Reading and changing: an error of ours, whichever of the folders above is closed."""
    inside = folder / "closed" / "inside"
    inside.mkdir(parents=True)
    (folder / "closed").chmod(0)
    path = inside / "keys.json"
    try:
        assert "cannot be read: Permission denied" in as_user(lambda: manager(path).keyset("x"))
        assert "or cannot be reached" in as_user(lambda: manager(path).create("default"))
    finally:
        (folder / "closed").chmod(0o700)


@pytest.mark.parametrize("text", ["keys\0.json", "keys\ud800.json"], ids=["NUL", "not Unicode"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """By everything that reads a file, at once."""
    for use in (FileKeystore, LocalRootKey.from_file, RsaKey.from_file):
        with pytest.raises(OptionError, match="no file can have this path") as caught:
            use(text)
        assert caught.value.__context__ is None


def test_where_nothing_can_be_locked_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems, where older versions of filelock raise this."""

    def acquire(self: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(KeystoreError, match="the file system has no locks") as caught:
        manager(tmp_path / "keys.json").create("default")
    assert not isinstance(caught.value, KeystoreConflictError)
    assert names(tmp_path) == []


# -- files of others


@AS_ROOT
def test_root_leaves_the_keystore_to_its_owner(folder: Path) -> None:
    """What `sudo sealed keys rotate` writes, the service can read, lock and change."""
    path = folder / "keys.json"
    as_user(lambda: manager(path).create("default"))
    path.with_name("keys.json.lock").unlink()
    assert rotated(path) == 2
    for name in ("keys.json", "keys.json.lock"):
        found = (folder / name).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (int(UID), 0o600)
    assert as_user(lambda: rotated(path)) == "3"
    assert rotated(path) == 4


@AS_ROOT
def test_root_follows_nobodys_link_in_place_of_the_lock(folder: Path, tmp_path: Path) -> None:
    """The owner of the folder cannot make root give a file away."""
    path, target = folder / "keys.json", tmp_path / "of root"
    target.write_text("of root")
    as_user(lambda: manager(path).create("default"))
    lock = path.with_name("keys.json.lock")
    lock.unlink()
    lock.symlink_to(target)
    with pytest.raises(KeystoreError, match="the lock file cannot be made or used"):
        rotated(path)
    assert (target.stat().st_uid, target.read_text()) == (0, "of root")


@AS_ROOT
def test_a_file_is_not_taken_over(folder: Path) -> None:
    """A user who may write the folder of another user's keystore does not replace the file."""
    path = folder / "keys.json"
    path.touch(mode=0o600)
    told = as_user(lambda: secretfile.replace(path, b"{}", "keystore"))
    assert told == f"KeystoreError: {path}: the keystore cannot be written: Operation not permitted"
    assert (path.stat().st_uid, path.read_bytes()) == (0, b"")
    assert names(folder) == ["keys.json"]


# -- full disks


def test_a_file_that_may_not_grow_is_as_it_was(tmp_path: Path) -> None:
    """The kernel cuts a write short and refuses the next one; keys that were there are there."""
    path = tmp_path / "keys.json"
    before = manager(path).create("default").records

    def work() -> bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100,) * 2)
        with pytest.raises(KeystoreError, match="cannot be written: File too large") as caught:
            rotated(path)
        assert caught.value.where == str(path)
        return b"refused"

    assert in_child(work) == b"refused"
    assert manager(path).keyset("default").records == before
    assert names(tmp_path) == ["keys.json", "keys.json.lock"]
    assert rotated(path) == 2


ON_A_FULL_DISK = """
    import os, subprocess, sys
    from pathlib import Path
    from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey
    from sqlalchemy_sealed.errors import KeystoreError
    from sqlalchemy_sealed.keystores.database import DatabaseKeystore

    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    table = DatabaseKeystore(f"sqlite:///{folder}/keys.db")
    table.create()
    for store in (FileKeystore(folder / "keys.json"), table):
        manager = KeyManager(store, provider)
        manager.create("default")
        names = set(os.listdir(folder)) | {"filler"}
        with open(folder / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(512))
            except OSError:
                pass
        told, made = "", 1
        while not told:  # The last page of a file has room for some more.
            try:
                made = manager.rotate("default").primary.generation
            except KeystoreError as error:
                assert error.__context__ is None
                told = str(error)
        print(told.rpartition(": ")[2])
        assert set(os.listdir(folder)) == names, os.listdir(folder)
        keys = manager.keyset("default").records
        assert len(keys) == made + 1
        for each in keys:
            assert len(provider.unwrap(each.wrapped, each.binding)) == 32
        (folder / "filler").unlink()
        assert manager.rotate("default").primary.generation == made + 1
"""


def test_a_full_disk_loses_no_key(tmp_path: Path) -> None:
    """On a real one: what was there stays, nothing is left beside it, and it goes on with room."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no file system of its own can be mounted here")
    program = textwrap.dedent(ON_A_FULL_DISK)
    command = [*alone, sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "No space left on device",
        "the disk of the database is full",
    ]
