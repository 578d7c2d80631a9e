"""
What can be said, and what not, about FIPS 140 in this process.

Synopsis:

    report = fips_report()
    report.provider_runs        # a FIPS provider does what this process computes
    report.algorithms           # each algorithm: its uses, its standard, its standing, its caveat
    print(report.statement)     # what none of this means

FIPS 140-3 validates modules. A process can see that its OpenSSL takes nothing but a FIPS
provider, and that this provider works; it cannot see a certificate. `docs/explanation/fips.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .aead import linked_openssl
from .algorithms import ALGORITHMS, Algorithm, Place
from .answers import gives

KERNEL = Path("/proc/sys/crypto/fips_enabled")
"""1 if the Linux kernel was started with `fips=1` (its admin-guide, kernel-parameters)."""

STATEMENT = (
    "Using approved algorithms is not validation, and neither is a FIPS provider that runs. FIPS "
    "140-3 validates cryptographic modules: only a module with a CMVP certificate, of the version "
    "and on the platform that the certificate names, in its approved mode and used as its security "
    "policy says, is validated. A process cannot see a certificate. sqlalchemy-sealed has none: it "
    "is no cryptographic module, and it holds keys in the memory of the process, outside of any."
)
"""What the report does not say, in words that can be handed on."""


@dataclass(frozen=True, slots=True)
class LinkedOpenSSL:
    """
    An OpenSSL library in this process, as one of its users has it.

    Attributes:
        user: who calls it: `cryptography`, or Python, whose `hashlib` and `ssl` do.
        version: what it says of itself. A FIPS provider in it may be of another version.
        fips_mode: whether it takes nothing but what a FIPS provider has; None if that is not told.
        works: whether all that this library asks of it gave the right results just now.
    """

    user: Place
    version: str
    fips_mode: bool | None
    works: bool

    @property
    def provider_runs(self) -> bool:
        """Whether a FIPS provider computes here: FIPS mode is on, and there are results."""
        return self.fips_mode is True and self.works


@dataclass(frozen=True, slots=True)
class FIPSReport:
    """
    What `fips_report` found.

    Attributes:
        cryptography: the OpenSSL that seals and opens. The wheels of cryptography on PyPI bring
            one of their own, and no FIPS provider with it.
        python: the OpenSSL that stretches passphrases, and that speaks TLS for Python.
        kernel: whether the Linux kernel is in FIPS mode; None if that cannot be read.
        algorithms: the algorithms of the library, each tried where this process computes it.
    """

    cryptography: LinkedOpenSSL
    python: LinkedOpenSSL
    kernel: bool | None
    algorithms: tuple[Algorithm, ...]

    @property
    def provider_runs(self) -> bool:
        """Whether a FIPS provider computes all that this process computes. Not validation."""
        return self.cryptography.provider_runs and self.python.provider_runs

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong, or not as one may think, in whole sentences."""
        return tuple(_notes(self))

    @property
    def statement(self) -> str:
        """What the report does not say: that anything is validated."""
        return STATEMENT


def fips_report() -> FIPSReport:
    """
    Return what can be said about FIPS 140 in this process.

    Every algorithm is tried on known answers, in a few milliseconds. Nothing is changed: it does
    not put OpenSSL into FIPS mode. It never raises; what cannot be told is None, and counts as no.
    """
    algorithms = tuple(replace(each, runs=gives(each.name)) for each in ALGORITHMS)

    def linked(user: Place, version: str, fips_mode: bool | None) -> LinkedOpenSSL:  # noqa: FBT001
        works = all(each.runs for each in algorithms if each.place is user)
        return LinkedOpenSSL(user, version, fips_mode, works)

    return FIPSReport(
        linked(Place.CRYPTOGRAPHY, *linked_openssl()),
        linked(Place.PYTHON, *_openssl_of_python()),
        _kernel(),
        algorithms,
    )


def _openssl_of_python() -> tuple[str, bool | None]:
    """Return version and FIPS mode as `linked_openssl` does, of the OpenSSL of Python."""
    try:
        import _hashlib  # noqa: PLC0415
        import ssl  # noqa: PLC0415 - a Python may be built without OpenSSL
    except ImportError:
        return "none", None
    try:
        return ssl.OPENSSL_VERSION, bool(_hashlib.get_fips_mode())
    except (AttributeError, ValueError):
        return ssl.OPENSSL_VERSION, None


def _kernel() -> bool | None:
    try:
        flag = KERNEL.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return {"0": False, "1": True}.get(flag)


def _notes(report: FIPSReport) -> Iterator[str]:
    ours, python = report.cryptography, report.python
    if ours.fips_mode is None:
        yield "This cryptography does not say whether its OpenSSL is in FIPS mode: taken as no."
    elif not ours.fips_mode:
        yield (
            f"The OpenSSL of cryptography ({ours.version}) is not in FIPS mode. The wheels of "
            "cryptography on PyPI bring an OpenSSL of their own without a FIPS provider; built "
            "from source, cryptography uses the OpenSSL of the system, and its mode."
        )
    if python.fips_mode is not True:
        yield (
            f"The OpenSSL of Python ({python.version}) is not in FIPS mode: it stretches "
            "passphrases, and speaks TLS with Vault and AWS."
        )
    yield from _failures(report)
    if ours.version != python.version:
        yield (
            "Two OpenSSL libraries are in this process, that of cryptography and that of Python. "
            "Where both load a FIPS module from one file, it works in the first of them only."
        )
    if report.kernel is not True:
        state = "not in FIPS mode" if report.kernel is False else "not known to be in FIPS mode"
        yield f"The kernel, which makes the random bytes, is {state}."


def _failures(report: FIPSReport) -> Iterator[str]:
    for library in (report.cryptography, report.python):
        failed = [each for each in report.algorithms if each.place is library.user]
        names = ", ".join(each.name for each in failed if not each.runs)
        if names:
            yield (
                f"The OpenSSL of {library.user} ({library.version}) does not compute: {names}. "
                "What needs it fails; nothing is sealed in another way."
            )
