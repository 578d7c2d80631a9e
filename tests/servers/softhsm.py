"""
Tokens of SoftHSM2, a PKCS#11 module in software, in a directory of their own.

The module is a library that this process loads; the tokens are made by its command.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .server import ServiceMissingError

VARIABLE = "SOFTHSM2_CONF"
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class Hsm:
    """A module, its tokens, and the PIN that is the same for all of them."""

    library: str
    pin: str
    directory: Path

    def key(self, token: str, label: str, **changes: object) -> None:
        """
        Make an AES key in a token.

        Args:
            token: the label of the token.
            label: that of the key.
            changes: other than 256 bits, not extractable, and all uses allowed.
        """
        import pkcs11  # noqa: PLC0415 - it may be missing

        hidden = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        with self.session(token) as session:
            kind = changes.pop("key_type", pkcs11.KeyType.AES)
            bits = changes.pop("bits", 256)
            session.generate_key(kind, bits, label=label, store=True, template=hidden, **changes)

    @contextmanager
    def session(self, token: str, pin: str = "") -> Iterator[Any]:
        """Open a session that can write, as the user, who may be logged in to this process."""
        import pkcs11  # noqa: PLC0415 - it may be missing

        opened = pkcs11.lib(self.library).get_token(token_label=token)
        try:
            session = opened.open(rw=True, user_pin=pin or self.pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            session = opened.open(rw=True)
        with session:
            yield session

    def sessions(self) -> int:
        """Return how many sessions this process has open: handles are numbers from 1 on."""
        module, told = ctypes.CDLL(self.library), ctypes.create_string_buffer(64)
        return sum(
            module.C_GetSessionInfo(ctypes.c_ulong(handle), told) == 0  # CKR_OK
            for handle in range(1, 10_000)
        )

    def log_out(self) -> None:
        """End all sessions of this process, as if it had just been started."""
        import pkcs11  # noqa: PLC0415 - it may be missing

        pkcs11.lib(self.library).reinitialize()


def library() -> str:
    """
    Return the path of the module's library.

    Raises:
        ServiceMissingError: it, its command or python-pkcs11 is not on this machine.
    """
    if find_spec("pkcs11") is None:
        raise ServiceMissingError("no python-pkcs11; install the test extra of this project")
    found = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    if not found or shutil.which("softhsm2-util") is None:
        raise ServiceMissingError("no SoftHSM2; install it, such as the Debian package softhsm2")
    return str(found[0])


@contextmanager
def tokens(*labels: str) -> Iterator[Hsm]:
    """Make a token for each label, yield what is needed to use them, and delete them."""
    path, pin = library(), secrets.token_hex(8)
    directory = Path(tempfile.mkdtemp(prefix="sealed-softhsm-"))
    try:
        (directory / "tokens").mkdir()
        settings = directory / "softhsm2.conf"
        settings.write_text(f"directories.tokendir = {directory / 'tokens'}\nlog.level = ERROR\n")
        for label in labels:
            _make(settings, label, pin)
        os.environ[VARIABLE] = str(settings)
        yield Hsm(path, pin, directory)
    finally:
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(directory, ignore_errors=True)


def _make(settings: Path, label: str, pin: str) -> None:
    command = ["softhsm2-util", "--init-token", "--free", "--label", label]
    subprocess.run(
        [*command, "--so-pin", pin, "--pin", pin],
        check=True,
        capture_output=True,
        env={**os.environ, VARIABLE: str(settings)},
    )
