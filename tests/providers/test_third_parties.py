"""The suites of providers and keystores as others use them: from an installed wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]

TESTS = textwrap.dedent("""\
    import pytest
    import sqlalchemy_sealed
    from sqlalchemy_sealed import LocalRootKey, MemoryKeystore
    from sqlalchemy_sealed.errors import KeystoreConflictError
    from sqlalchemy_sealed.testing import KeystoreSuite, ProviderSuite


    class Forgetful(MemoryKeystore):
        def add(self, *records):
            try:
                super().add(*records)
            except KeystoreConflictError:
                pass


    class Lenient(LocalRootKey):
        def unwrap(self, wrapped, binding):
            return super().unwrap(wrapped.strip(), binding)


    def root_key(kind):
        return kind.from_text(LocalRootKey.generate())


    class TestProvider(ProviderSuite):
        kind = LocalRootKey

        @pytest.fixture
        def provider(self):
            return root_key(self.kind)

        @pytest.fixture
        def stranger(self):
            return root_key(self.kind)


    class TestLenientProvider(TestProvider):
        kind = Lenient


    class TestKeystore(KeystoreSuite):
        @pytest.fixture
        def store(self):
            return MemoryKeystore()


    class TestForgetfulKeystore(KeystoreSuite):
        @pytest.fixture
        def store(self):
            return Forgetful()


    def test_where_it_is_from():
        print("from", sqlalchemy_sealed.__file__)
""")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_others_run_the_suites(installed: Path, tmp_path: Path) -> None:
    """In a project of their own; what is right passes, what is wrong fails and shows values."""
    (tmp_path / "test_ours.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(installed)},
    )
    assert f"from {installed}" in done.stdout
    outcomes = re.findall(
        r"^(PASSED|FAILED|ERROR) \S+::(Test\w+)::(\w+)", done.stdout, re.MULTILINE
    )
    failed = {(suite, test) for outcome, suite, test in outcomes if outcome != "PASSED"}
    assert failed == {
        ("TestLenientProvider", "test_there_is_one_form"),
        ("TestForgetfulKeystore", "test_a_taken_place_is_a_conflict"),
        ("TestForgetfulKeystore", "test_all_records_are_added_or_none"),
        ("TestForgetfulKeystore", "test_an_id_is_taken_in_all_kinds"),
        ("TestForgetfulKeystore", "test_records_given_together_must_not_meet"),
        ("TestForgetfulKeystore", "test_of_threads_that_add_one_generation_one_wins"),
        ("TestForgetfulKeystore", "test_it_shows_no_wrapped_key"),
    }
    passed = [suite for outcome, suite, _ in outcomes if outcome == "PASSED"]
    assert passed.count("TestProvider") > 50
    assert passed.count("TestKeystore") > 30
