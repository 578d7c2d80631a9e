"""
Files that hold secrets: refuse them when others can read, replace them atomically.

A file is written beside its place with mode 0600, flushed to the disk and renamed over the old
one, so that a reader and a crash see the old content or the new one, never a part. A process that
is killed meanwhile leaves an unfinished file, `.<name>.<8 characters>.tmp`.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import KeystoreError, OptionError

OWNER_ONLY = 0o600
_UNFINISHED = ".tmp"


def path_of(text: str | os.PathLike[str]) -> Path:
    """
    Return a path.

    Raises:
        OptionError: no file can have it, since it holds a NUL or is not Unicode.
    """
    path = Path(text)
    try:
        if b"\0" not in os.fsencode(path):
            return path
    except UnicodeEncodeError:
        pass
    raise OptionError("no file can have this path: it holds a NUL, or is not Unicode")


def read(path: Path, what: str) -> bytes:
    """
    Return the content of a secret file.

    Raises:
        KeystoreError: missing, unreadable, or group and others have any permission on it.
    """
    problem: str
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & 0o077:
                raise KeystoreError(
                    f"the {what} can be used by others (mode {mode:04o}); only its owner may: "
                    f"chmod 600 {path}",
                    where=str(path),
                )
            return file.read()
    except FileNotFoundError:
        problem = f"there is no {what} here; make one with 'sealed init'"
    except OSError as error:
        problem = f"the {what} cannot be read: {error.strerror}"
    raise KeystoreError(problem, where=str(path))


def create(path: Path, data: bytes, what: str) -> None:
    """
    Write a secret file that must not exist yet.

    It is there as a whole or not at all. On a file system without hard links, such as FAT, it is
    empty for a moment.

    Raises:
        KeystoreError: it exists, or cannot be written.
    """
    problem: str
    try:
        with _written_beside(path, data) as name:
            _link(name, path)
        _sync_directory(path.parent)
        return
    except FileExistsError:
        problem = f"a {what} is already here and is not overwritten"
    except OSError as error:
        problem = f"the {what} cannot be written: {error.strerror}"
    raise KeystoreError(problem, where=str(path))


def replace(path: Path, data: bytes, what: str) -> None:
    """
    Write or replace a secret file atomically. It keeps its owner, also where root writes it.

    Raises:
        KeystoreError: it cannot be written; the old content is still there.
    """
    problem: str
    try:
        with _written_beside(path, data, _owner(path)) as name:
            Path(name).replace(path)
        _sync_directory(path.parent)
        return
    except OSError as error:
        problem = f"the {what} cannot be written: {error.strerror}"
    raise KeystoreError(problem, where=str(path))


def make_lock(lock: Path, path: Path) -> None:
    """
    Make the lock file of a secret file that belongs to another user, for that user.

    Else root, who may change the keys of a service, would leave a lock that the service cannot
    open. Where both belong to one user, whoever takes the lock makes it.

    Raises:
        OSError: it cannot be made, or not be given away.
    """
    owner = _owner(path)
    if owner is None:
        return
    with suppress(FileExistsError):
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY)
        try:
            os.fchown(handle, *owner)
        except OSError:
            lock.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


def remove_unfinished(path: Path, lock: Path) -> None:
    """
    Remove what killed processes left beside a secret file.

    Only regular files of this user that are named as unfinished ones are, and that are older than
    the lock: who held it when they were written is gone.

    Args:
        path: the secret file.
        lock: the file whose lock this process holds; every process that replaces the secret
            file takes it first.
    """
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(_UNFINISHED)}")
    with suppress(OSError), os.scandir(path.parent) as entries:
        left = [Path(each.path) for each in entries if unfinished.fullmatch(each.name)]
        if left:
            # The clock of the file system tells what is older, not ours.
            os.utime(lock)
            before = lock.stat()
            for each in left:
                _remove_older(each, before)


def _owner(path: Path) -> tuple[int, int] | None:
    """Return user and group of a file that is there and belongs to another user than this one."""
    if os.name != "posix":
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return None if found.st_uid == os.geteuid() else (found.st_uid, found.st_gid)


def _remove_older(path: Path, than: os.stat_result) -> None:
    with suppress(OSError):
        found = path.lstat()
        if (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == than.st_uid
            and found.st_mtime_ns < than.st_mtime_ns
        ):
            path.unlink()


def _link(name: str, path: Path) -> None:
    """Give a file a second name, which nothing has yet. A link, unlike a rename, sees to that."""
    try:
        os.link(name, path)
    except FileExistsError:
        raise
    except OSError:
        pass
    else:
        return
    # Without hard links: take the name first, so that of two processes one gets it.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
    try:
        Path(name).replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _written_beside(path: Path, data: bytes, owner: tuple[int, int] | None = None) -> Iterator[str]:
    """Write a file of mode 0600 beside *path*, yield its name, and remove what is left of it."""
    handle, name = tempfile.mkstemp(_UNFINISHED, f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            _write_through(file.fileno(), data)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)


def _write_through(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _sync_directory(path: Path) -> None:
    # A rename is on the disk only when its directory is. Windows has no such call.
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
