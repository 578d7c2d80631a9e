"""Files that hold secrets: for their owner only, and replaced as a whole."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_sealed import secretfile
from sqlalchemy_sealed.errors import KeystoreError

OLD, NEW = b"old content\n", b"new content, which is longer\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a secret file."""
    path = tmp_path / "secret"
    secretfile.create(path, OLD, "secret file")
    return path


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let new files be open to everyone unless they say otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full after ten bytes of every file."""
    written: dict[int, int] = {}
    write = os.write

    def until_full(handle: int, data: Any) -> int:
        room = 10 - written.get(os.fstat(handle).st_ino, 0)
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written[os.fstat(handle).st_ino] = 10 - room + min(room, len(data))
        return write(handle, data[:room])

    monkeypatch.setattr(os, "write", until_full)


def test_a_secret_file_is_read(path: Path) -> None:
    """The content comes back, also through a symbolic link."""
    assert secretfile.read(path, "secret file") == OLD
    link = path.with_name("link")
    link.symlink_to(path)
    assert secretfile.read(link, "secret file") == OLD


@pytest.mark.parametrize("write", [secretfile.create, secretfile.replace])
def test_a_new_file_is_for_its_owner_only(write: Any, tmp_path: Path, open_umask: None) -> None:
    """Whatever the umask, nobody else can read it at any time."""
    write(tmp_path / "new", NEW, "secret file")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [1 << bit for bit in range(6)], ids=oct)
def test_a_file_that_others_can_use_is_not_read(path: Path, mode: int) -> None:
    """Any single permission of group or others is refused, with the command that takes it away."""
    path.chmod(0o600 | mode)
    with pytest.raises(KeystoreError, match="can be used by others") as caught:
        secretfile.read(path, "secret file")
    assert f"(mode {0o600 | mode:04o})" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)
    assert caught.value.where == str(path)


def test_replacing_a_file_that_others_can_use_closes_it(path: Path) -> None:
    """The new file has the mode of a secret, not that of the old one."""
    path.chmod(0o644)
    secretfile.replace(path, NEW, "secret file")
    assert secretfile.read(path, "secret file") == NEW


def test_what_is_not_there_is_explained(tmp_path: Path) -> None:
    """The message names the file, what it should be and how to make one."""
    with pytest.raises(KeystoreError, match=r"no secret file here; make one with 'sealed init'"):
        secretfile.read(tmp_path / "absent", "secret file")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    """What the operating system says is in the message."""
    with pytest.raises(KeystoreError, match="the secret file cannot be read: Is a directory"):
        secretfile.read(tmp_path, "secret file")


def test_create_does_not_overwrite(path: Path) -> None:
    """A file that is there stays as it was."""
    with pytest.raises(KeystoreError, match="already here and is not overwritten"):
        secretfile.create(path, NEW, "secret file")
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("write", [secretfile.create, secretfile.replace])
def test_a_missing_directory_is_explained(write: Any, tmp_path: Path) -> None:
    """Directories are not made along the way."""
    with pytest.raises(KeystoreError, match="cannot be written: No such file or directory"):
        write(tmp_path / "absent" / "secret", NEW, "secret file")


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system have no hard links, as FAT and some network file systems."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def test_a_file_is_made_without_hard_links(tmp_path: Path, no_links: None) -> None:
    """It is for its owner only, does not overwrite another, and nothing is left beside it."""
    path = tmp_path / "new"
    secretfile.create(path, NEW, "secret file")
    assert secretfile.read(path, "secret file") == NEW
    with pytest.raises(KeystoreError, match="already here and is not overwritten"):
        secretfile.create(path, OLD, "secret file")
    assert secretfile.read(path, "secret file") == NEW
    assert list(tmp_path.iterdir()) == [path]


def eight_make(path: Path) -> None:
    """Let eight threads make a file at once, and check that it holds what the only winner wrote."""
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def make(number: int) -> None:
        content = bytes([number]) * 1000
        barrier.wait()
        try:
            secretfile.create(path, content, "secret file")
        except KeystoreError:
            return
        won.append(content)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [path.read_bytes()]


def test_of_two_that_make_a_file_without_hard_links_one_is_told(
    tmp_path: Path, no_links: None
) -> None:
    """Whoever takes the name first; in between, the file is empty and never a part."""
    eight_make(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_a_rename_that_fails_without_hard_links_takes_the_name_back(
    tmp_path: Path, no_links: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No empty file is left, which would keep the next one from being made."""

    def fail(self: Path, target: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeystoreError, match="cannot be written"):
        secretfile.create(tmp_path / "new", NEW, "secret file")
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operating system that takes a byte at a time gets all of them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:1]))
    secretfile.replace(path, NEW, "secret file")
    assert path.read_bytes() == NEW


def test_a_full_disk_leaves_the_old_content(path: Path, full_disk: None) -> None:
    """A replacement that fails changes nothing, and leaves nothing beside the file."""
    with pytest.raises(KeystoreError, match="No space left on device") as caught:
        secretfile.replace(path, NEW, "secret file")
    assert caught.value.where == str(path)
    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_no_part_of_a_new_file(tmp_path: Path, full_disk: None) -> None:
    """What could not be written as a whole is not there, so that it can be made again."""
    with pytest.raises(KeystoreError, match="No space left on device"):
        secretfile.create(tmp_path / "new", NEW, "secret file")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_being_made_is_seen_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that looks while another one makes the file does not find a part of it."""
    seen: list[bool] = []
    write = os.write

    def look_and_write(handle: int, data: Any) -> int:
        seen.append((tmp_path / "new").exists())
        return write(handle, data[:5])

    monkeypatch.setattr(os, "write", look_and_write)
    secretfile.create(tmp_path / "new", NEW, "secret file")
    assert set(seen) == {False}
    assert (tmp_path / "new").read_bytes() == NEW


def test_of_two_that_make_the_same_file_one_is_told(tmp_path: Path) -> None:
    """The file holds what the winner wrote."""
    eight_make(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_a_reader_sees_the_old_content_or_the_new(path: Path) -> None:
    """While a file is replaced again and again, it is never missing and never a part."""
    contents = [bytes([number]) * 5000 for number in range(2)]
    secretfile.replace(path, contents[0], "secret file")
    stop = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(secretfile.read(path, "secret file"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        secretfile.replace(path, contents[number % 2], "secret file")
    stop.set()
    reader.join()
    assert set(seen) <= set(contents)
    assert seen


def test_content_is_on_the_disk_before_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the rename cannot leave a name without its content: flush, rename, flush."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        directory = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append("flush directory" if directory else "flush content")
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    secretfile.replace(path, NEW, "secret file")
    assert done == ["flush content", "rename", "flush directory"]


def test_a_rename_that_fails_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file beside it, which holds the new secret, is taken away."""

    def fail(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeystoreError, match="cannot be written: Permission denied"):
        secretfile.replace(path, NEW, "secret file")
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == OLD
