"""One keystore file and several processes: two that rotate at once, and one that is killed."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from filelock import FileLock

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, secretfile
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreConflictError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.keystores import file as file_module

# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def manager(tmp_path: Path) -> KeyManager:
    """Return the manager of a keystore file with a key named "default"."""
    manager = KeyManager(FileKeystore(tmp_path / "keys.json"), LocalRootKey(random_key()))
    manager.create("default")
    return manager


def data_keys(manager: KeyManager) -> list[KeyRecord]:
    """Return the data keys, and see that each one unwraps."""
    keys = [r for r in manager.keyset("default").records if r.kind is KeyKind.DATA]
    for key in keys:
        assert len(manager.provider.unwrap(key.wrapped, key.binding)) == 32
    return keys


# -- two at once


class MeetingKeystore(FileKeystore):
    """A keystore whose users have all loaded before the first of them adds."""

    def __init__(self, path: Path, barrier: Any) -> None:
        super().__init__(path)
        self.barrier = barrier

    def add(self, *records: KeyRecord) -> None:
        self.barrier.wait(30)
        super().add(*records)


def test_of_two_processes_that_rotate_at_once_one_wins_each_time(manager: KeyManager) -> None:
    """Both load the same keys; one makes the new primary, the other gets a conflict. Ten times."""
    rounds = 10
    path = manager.keystore.path
    barrier, told = FORK.Barrier(2), FORK.SimpleQueue()

    def rotate_ten_times() -> None:
        own = KeyManager(MeetingKeystore(path, barrier), manager.provider)
        for number in range(rounds):
            try:
                told.put((number, own.rotate("default").primary.key_id))
            except KeystoreConflictError:
                told.put((number, None))
            barrier.wait(30)

    processes = [FORK.Process(target=rotate_ten_times) for _ in range(2)]
    for process in processes:
        process.start()
    results = [told.get() for _ in range(2 * rounds)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    won = {number: key_id for number, key_id in results if key_id is not None}
    lost = Counter(number for number, key_id in results if key_id is None)
    assert won.keys() == lost.keys() == set(range(rounds))
    assert set(lost.values()) == {1}
    assert [key.key_id for key in data_keys(manager)[1:]] == [won[n] for n in range(rounds)]


def test_names_that_are_made_at_once_are_all_there(manager: KeyManager) -> None:
    """Changes of different keys by four processes do not overwrite each other."""
    path = manager.keystore.path

    def create_five(process: int) -> None:
        own = KeyManager(FileKeystore(path), manager.provider)
        for number in range(5):
            own.create(f"{process} {number}")

    processes = [FORK.Process(target=create_five, args=(each,)) for each in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    names = {f"{process} {number}" for process in range(4) for number in range(5)}
    assert set(manager.keystore.names()) == names | {"default"}


def test_a_link_to_the_file_is_the_same_keystore(manager: KeyManager, tmp_path: Path) -> None:
    """Through a symbolic link the file behind it is changed, under one lock: nothing is lost."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.json"
    link.symlink_to(manager.keystore.path)
    linked = KeyManager(FileKeystore(link), manager.provider)
    for each in (linked, manager, linked):
        each.rotate("default")
    assert link.is_symlink()
    assert data_keys(linked) == data_keys(manager)
    assert len(data_keys(manager)) == 4


def test_a_lock_of_another_process_is_named(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation that does not get the lock changes nothing and says which file it is about."""
    path = manager.keystore.path
    held, done = FORK.Event(), FORK.Event()

    def hold() -> None:
        with FileLock(f"{path}.lock"):
            held.set()
            done.wait(30)

    process = FORK.Process(target=hold)
    process.start()
    assert held.wait(30)
    monkeypatch.setattr(file_module, "LOCK_SECONDS", 0.05)
    with pytest.raises(KeystoreConflictError, match="another process has held the lock") as caught:
        manager.rotate("default")
    assert len(data_keys(manager)) == 1, "reading does not wait"
    done.set()
    process.join()
    assert caught.value.where == str(path)
    assert manager.rotate("default").primary.generation == 2


# -- killed


WRITING = {
    method.__code__
    for method in (FileKeystore.add, FileKeystore._change, inspect.unwrap(FileKeystore._locked))
}
"""What runs of the keystore's own module when it writes; of `secretfile`, everything counts."""


def killed(work: Callable[[], None], line: int) -> bool:
    """
    Do *work* in a forked child that is killed before a line of our code; say whether it was.

    Lines are counted as they run, in the code that locks and writes the file.
    """
    left = line

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != secretfile.__file__ and frame.f_code not in WRITING:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    child = os.fork()
    if child == 0:
        _in_child(work, trace)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _in_child(work: Callable[[], None], trace: Any) -> NoReturn:
    try:
        sys.settrace(trace)
        work()
        sys.settrace(None)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.fixture
def half_writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the operating system take a file in several pieces, so that a kill comes between them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:400]))
    yield
    monkeypatch.undo()


@pytest.mark.slow
def test_a_kill_before_any_line_loses_nothing(
    manager: KeyManager, tmp_path: Path, half_writes: None
) -> None:
    """
    A rotation that is killed before each of its lines in turn has happened or has not.

    The file loads, has the old key, and the new one if it was told; the next process can rotate.
    Unfinished files, which hold wrapped keys, are for the owner only until the next write removes
    them.
    """
    path, told = manager.keystore.path, tmp_path / "told"
    told.touch()
    original = path.read_bytes()
    [old] = data_keys(manager)

    def rotate() -> None:
        told.write_bytes(manager.rotate("default").primary.key_id)

    line = happened = unfinished = 0
    while killed(rotate, line):
        beside = set(path.parent.iterdir()) - {path, told, path.with_name(f"{path.name}.lock")}
        unfinished += len(beside)
        assert {stat.S_IMODE(each.stat().st_mode) for each in beside} <= {0o600}
        first, *new = data_keys(manager)
        assert first == old
        assert len(new) <= 1
        assert told.read_bytes() in (b"", *(key.key_id for key in new))
        happened += len(new)
        manager.rotate("default")
        path.write_bytes(original)
        told.write_bytes(b"")
        line += 1
    assert told.read_bytes() == data_keys(manager)[-1].key_id
    assert line > 30, "there are that many lines to be killed before"
    assert 0 < happened < line, "it was killed before the rename and after it"
    assert unfinished > 2, "there were unfinished files beside the keystore and its lock"
    manager.rotate("default")
    assert {each.name for each in path.parent.iterdir()} == {"keys.json", "keys.json.lock", "told"}


def test_only_what_is_unfinished_is_removed(manager: KeyManager) -> None:
    """What has another name, is newer than the lock, a link or a folder, is not the keystore's."""
    path = manager.keystore.path
    left = path.with_name(".keys.json.0abcdef_.tmp")
    others = [
        path.with_name(name)
        for name in (
            ".keys.json.20260101",
            ".keys.json.20260101.tmp.bak",
            ".keys.json.tmp",
            ".other.json.0abcdef_.tmp",
            "keys.json.0abcdef_.tmp",
            ".keysxjson.0abcdef_.tmp",
        )
    ]
    newer, folder, link = (path.with_name(f".keys.json.0000000{n}.tmp") for n in "123")
    for each in (left, *others, newer):
        each.write_text("{}")
        os.utime(each, (1, 1))
    os.utime(newer, (2**32, 2**32))
    folder.mkdir()
    link.symlink_to(left)
    manager.rotate("default")
    assert not left.exists()
    assert all(each.exists() for each in (*others, newer, folder))
    assert link.is_symlink()


@pytest.mark.slow
def test_a_first_key_is_made_as_a_whole_or_not_at_all(tmp_path: Path, half_writes: None) -> None:
    """Killed while it makes the file, `create` leaves no keystore, or one with both keys."""
    provider = LocalRootKey(random_key())
    line = 0
    while True:
        path = tmp_path / str(line) / "keys.json"
        path.parent.mkdir()
        manager = KeyManager(FileKeystore(path), provider)
        was_killed = killed(lambda manager=manager: manager.create("default"), line)
        if path.exists():
            assert len(manager.keyset("default").records) == 2
        else:
            assert was_killed
            assert len(manager.create("default").records) == 2
        if not was_killed:
            break
        line += 1
    assert line > 20
