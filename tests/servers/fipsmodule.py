"""
A FIPS module of OpenSSL for tests: found on this machine, and set up in a directory of its own.

`tests/servers/build-fips-module DIRECTORY` makes one from the sources of Debian, in a minute. It
is OpenSSL's code and does what a validated module does, but it is not a validated one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .server import ServerFailedError, ServiceMissingError

VARIABLE = "SEALED_TEST_FIPS_MODULE"
_PLACES = (
    "usr/lib/*/ossl-modules/fips.so",
    "usr/lib64/ossl-modules/fips.so",
    "usr/local/lib*/ossl-modules/fips.so",
)
_SETTINGS = """\
config_diagnostics = 1
openssl_conf = init
[init]
providers = providers
alg_section = algorithms
[providers]
fips = fips_sect
base = base_sect
[base_sect]
activate = 1
[algorithms]
default_properties = fips=yes
"""


def module() -> Path:
    """
    Return the file of a FIPS module.

    Raises:
        ServiceMissingError: there is none, or no `openssl` to set it up.
        ServerFailedError: the variable names one, and there is nothing.
    """
    if shutil.which("openssl") is None:
        raise ServiceMissingError("the openssl command is missing")
    if given := os.environ.get(VARIABLE):
        if not Path(given).is_file():
            raise ServerFailedError(f"{VARIABLE} names no file: {given}")
        return Path(given)
    found = [file for place in _PLACES for file in Path("/").glob(place)]
    if not found:
        raise ServiceMissingError(f"OpenSSL has no FIPS module here, and {VARIABLE} names none")
    return found[0]


def settings(module: Path, directory: Path) -> Path:
    """
    Copy a FIPS module into a directory, and return the settings of OpenSSL that use it alone.

    Raises:
        ServerFailedError: its self-tests fail.
    """
    directory.mkdir()
    own = shutil.copy(module, directory / "fips.so")
    section = directory / "fipsmodule.cnf"
    command = ["openssl", "fipsinstall", "-module", str(own), "-out", str(section)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailedError(f"openssl fipsinstall: {done.stdout}{done.stderr}")
    file = directory / "openssl.cnf"
    file.write_text(f"{_SETTINGS}{section.read_text()}\nmodule = {own}\n")
    return file
