"""What `fips_report` says of this process, and whether its table is complete and true."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

import sqlalchemy_sealed
from sqlalchemy_sealed import FIPSReport, aead, answers, fips, fips_report
from sqlalchemy_sealed.algorithms import ALGORITHMS, Place, Standing
from sqlalchemy_sealed.cli.app import app

PACKAGE = Path(sqlalchemy_sealed.__file__).parent
PAGE = PACKAGE.parent / "docs/explanation/fips.md"
COMPUTED = [each.name for each in ALGORITHMS if each.place in (Place.CRYPTOGRAPHY, Place.PYTHON)]

# What is imported to compute with, and the row that tells of it.
IMPORTED = {
    "AESGCM": "AES-256-GCM",
    "AES256": "XAES-256-GCM",
    "Cipher": "XAES-256-GCM",
    "ECB": "XAES-256-GCM",
    "HKDF": "HKDF-SHA256",
    "HMAC": "HMAC-SHA256",
    "SHA256": "HMAC-SHA256",
    "padding": "RSAES-OAEP-SHA256",
    "RSAPrivateKey": "RSAES-OAEP-SHA256",
    "RSAPublicKey": "RSAES-OAEP-SHA256",
    "pbkdf2_hmac": "PBKDF2-HMAC-SHA256",
    "sha256": "SHA-256",
    "urandom": "random bytes",
}
NO_ALGORITHM = {"InvalidTag", "UnsupportedAlgorithm", "backend", "openssl", "Random"}
FORMS = {"Encoding", "PublicFormat", "load_pem_private_key", "load_pem_public_key"}


def test_the_versions_are_those_that_are_linked() -> None:
    """The report names the OpenSSL of cryptography, and beside it that of Python."""
    report = fips_report()
    assert report.cryptography.version == backend.openssl_version_text()
    assert report.python.version == ssl.OPENSSL_VERSION


def test_the_mode_is_what_cryptography_says() -> None:
    """Whether OpenSSL is in FIPS mode is asked of OpenSSL, and not guessed from the system."""
    assert fips_report().cryptography.fips_mode is openssl.is_fips_enabled()


def test_a_cryptography_that_does_not_say_counts_as_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the question is gone from cryptography, the answer is None, and nothing runs."""
    monkeypatch.delattr(openssl, "is_fips_enabled")
    report = fips_report()
    assert report.cryptography.fips_mode is None
    assert not report.provider_runs
    assert any("does not say" in note for note in report.notes)


def test_all_that_is_computed_here_is_tried() -> None:
    """Each algorithm of this process gives its known answer; what others compute is not tried."""
    assert {each.name: each.runs for each in fips_report().algorithms} == {
        each.name: True if each.name in COMPUTED else None for each in ALGORITHMS
    }


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("AES-256-GCM", "Xaes.seal"),
        ("AES-256-GCM", "Xaes.open"),
        ("XAES-256-GCM", "Xaes.seal_with_nonce"),
        ("HKDF-SHA256", "derive"),
        ("HMAC-SHA256", "Mac.digest"),
        ("PBKDF2-HMAC-SHA256", "stretch"),
        ("RSAES-OAEP-SHA256", "oaep.KeyPair.encrypt"),
        ("SHA-256", "sha256"),
    ],
)
@pytest.mark.parametrize("fails", [True, False], ids=["refuses", "wrong"])
def test_what_does_not_compute_is_seen(
    name: str, broken: str, *, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An algorithm that OpenSSL refuses, or computes wrongly, does not run, and a note names it."""

    def replacement(*arguments: object) -> object:
        if fails:
            raise RuntimeError("unsupported")
        return hashlib.md5(b"") if broken == "sha256" else b"wrong"

    monkeypatch.setattr(f"sqlalchemy_sealed.answers.{broken}", replacement)
    report = fips_report()
    assert [each.runs for each in report.algorithms if each.name == name] == [False]
    (note,) = [note for note in report.notes if "does not compute" in note]
    assert name in note
    assert not report.provider_runs


def test_the_answer_of_pbkdf2_is_right() -> None:
    """Its value, of which no RFC tells, is computed anew from HMAC (RFC 8018 section 5.2)."""
    stretched = b""
    for block in (1, 2):
        last = answers._PBKDF2_SALT + block.to_bytes(4, "big")
        total = 0
        for _ in range(4096):
            last = hmac.digest(answers._PBKDF2_PASSWORD, last, "sha256")
            total ^= int.from_bytes(last, "big")
        stretched += total.to_bytes(32, "big")
    assert stretched[:40].hex() == answers._PBKDF2


def test_the_derivation_of_xaes_is_the_kdf_of_sp_800_108() -> None:
    """Three calls of AES give what counter mode with CMAC-AES-256 gives, as the table says."""
    key, prefix = aead.random_key(), b"ABCDEFGHIJKL"
    standard = KBKDFCMAC(
        AES, Mode.CounterMode, 32, 2, None, CounterLocation.BeforeFixed, None, None, b"X\0" + prefix
    )
    assert aead.Xaes(key).derive(prefix) == standard.derive(key)


# -- What follows from it


@pytest.mark.parametrize("ours", [True, False, None])
@pytest.mark.parametrize("python", [True, False, None])
@pytest.mark.parametrize("works", [True, False])
def test_a_provider_runs_only_where_mode_and_results_say_so(
    ours: bool | None, python: bool | None, *, works: bool
) -> None:
    """Both libraries have to be in FIPS mode and to work; one alone, or not known, is a no."""
    report = fips_report()
    report = FIPSReport(
        dataclasses.replace(report.cryptography, fips_mode=ours, works=works),
        dataclasses.replace(report.python, fips_mode=python),
        report.kernel,
        report.algorithms,
    )
    assert report.provider_runs is (ours is True and python is True and works)


@pytest.mark.parametrize(
    ("text", "mode"), [("1\n", True), ("0\n", False), ("2\n", None), ("", None), (None, None)]
)
def test_the_kernel_is_asked_where_it_tells(
    text: str | None, mode: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel in FIPS mode says 1; without that file, or with another text, it is not known."""
    flag = tmp_path / "fips_enabled"
    if text is not None:
        flag.write_text(text)
    monkeypatch.setattr(fips, "KERNEL", flag)
    report = fips_report()
    assert report.kernel is mode
    assert any("kernel" in note for note in report.notes) is (mode is not True)


def test_two_libraries_are_told_of() -> None:
    """Where cryptography has another OpenSSL than Python, a note says so; with one, none does."""
    report = fips_report()
    one = dataclasses.replace(
        report, python=dataclasses.replace(report.python, version=report.cryptography.version)
    )
    other = dataclasses.replace(
        report, python=dataclasses.replace(report.python, version="OpenSSL 3.9.9")
    )
    assert not any("Two OpenSSL" in note for note in one.notes)
    assert any("Two OpenSSL" in note for note in other.notes)


def test_a_report_is_a_value() -> None:
    """A report cannot be changed after the fact."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        fips_report().kernel = True  # type: ignore[misc]


# -- The table


def imported() -> Iterator[str]:
    """Yield the names that the library imports from cryptography, hashlib, os and random."""
    for file in PACKAGE.rglob("*.py"):
        if "testing" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                top = (node.module or "").partition(".")[0]
                names = {alias.name for alias in node.names}
                if top in ("cryptography", "hashlib", "hmac", "random", "secrets"):
                    yield from names
                elif top == "os":
                    yield from names & {"urandom", "getrandom"}
            elif isinstance(node, ast.Import):
                yield from {alias.name for alias in node.names} & {"hashlib", "hmac", "secrets"}


def test_every_algorithm_that_is_imported_has_a_row() -> None:
    """Nobody takes up another cipher, hash or generator without saying how it stands."""
    assert set(imported()) == set(IMPORTED) | NO_ALGORITHM | FORMS
    assert {*IMPORTED.values()} == {each.name for each in ALGORITHMS if each.place != Place.SERVICE}


def test_the_kinds_of_wrapping_are_all_there() -> None:
    """There is a use for each KEK provider: a wrapped key is told of, whoever wraps it."""
    uses = " ".join(use for each in ALGORITHMS for use in each.uses if "wrapped" in use)
    providers = {file.stem for file in (PACKAGE / "providers").glob("*.py")} - {
        "__init__", "awserrors", "forms", "moved", "pkcs11errors",
    }  # fmt: skip
    words = {
        "awskms": "AWS KMS",
        "local": "root key",
        "passphrase": "passphrase",
        "pkcs11": "hardware security module",
        "rsa": "RSA key",
        "vault": "Vault or OpenBao",
    }
    assert set(words) == providers
    assert [word for word in words.values() if word not in uses] == []


def test_nothing_claims_to_be_validated() -> None:
    """The words say what validation is, and never that there is any."""
    report = fips_report()
    texts = [each.caveat for each in report.algorithms] + [*report.notes, report.statement]
    claims = re.compile(r"FIPS[- ](140-?[23]? )?(validated|certified|compliant)", re.IGNORECASE)
    assert [text for text in [*texts, PAGE.read_text()] if claims.search(text)] == []
    assert "is not validation" in report.statement
    assert "CMVP certificate" in report.statement


def test_the_page_has_the_same_table() -> None:
    """The documentation names each algorithm with its standing, as the report does."""
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert dict(rows[1:]) == {each.name: each.standing.value for each in ALGORITHMS}


# -- The command


def test_the_command_shows_all_of_it() -> None:
    """A person sees both libraries, each algorithm with its caveat, and what it does not mean."""
    result = CliRunner().invoke(app, ["fips"])
    shown = " ".join(result.output.split())
    report = fips_report()
    assert result.exit_code == 0
    assert report.cryptography.version in shown
    for each in report.algorithms:
        assert f"{each.name} ({each.standard})" in shown
        assert each.caveat in shown
    for text in [*report.notes, report.statement]:
        assert text in shown


def test_the_command_gives_json() -> None:
    """A program gets the same, and nothing else."""
    document = json.loads(CliRunner().invoke(app, ["fips", "--json"]).output)
    report = fips_report()
    assert document["provider_runs"] is report.provider_runs
    assert document["cryptography"]["version"] == report.cryptography.version
    assert [each["name"] for each in document["algorithms"]] == [each.name for each in ALGORITHMS]
    assert {each["standing"] for each in document["algorithms"]} == {
        each.value for each in Standing
    }
    assert document["statement"] == report.statement


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_it_is_an_error_only_where_it_is_required(options: list[str]) -> None:
    """Exit code 0 tells that the check was made; with --require, 1 tells that nothing runs."""
    code = 0 if fips_report().provider_runs else 1
    assert CliRunner().invoke(app, ["fips", *options]).exit_code == 0
    assert CliRunner().invoke(app, ["fips", "--require", *options]).exit_code == code
