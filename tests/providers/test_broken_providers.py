"""The suite of providers notices what a provider may do wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MODULE = """
import base64, logging, threading

import pytest

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.testing import ProviderSuite

TEXTS = [LocalRootKey.generate() for _ in range(2)]


class Right:
    def __init__(self, text):
        self.text = text
        self.inner = LocalRootKey.from_text(text)

    def wrap(self, key, binding):
        return self.inner.wrap(key, binding)

    def unwrap(self, wrapped, binding):
        return self.inner.unwrap(wrapped, binding)

    def rewrap(self, wrapped, binding):
        return self.wrap(self.unwrap(wrapped, binding), binding)

    def version(self):
        return self.inner.version()


class BindsNothing(Right):
    def wrap(self, key, binding):
        return super().wrap(key, b"")

    def unwrap(self, wrapped, binding):
        return super().unwrap(wrapped, b"")


class WrapsAlike(Right):
    done = {}

    def wrap(self, key, binding):
        if (key, binding) not in self.done:
            self.done[key, binding] = super().wrap(key, binding)
        return self.done[key, binding]


class ReadsLeniently(Right):
    def unwrap(self, wrapped, binding):
        return super().unwrap(wrapped.strip().rstrip("="), binding)


class IgnoresCase(Right):
    def unwrap(self, wrapped, binding):
        scheme, version, key_id, sealed = (wrapped.split(":") + [""] * 4)[:4]
        return super().unwrap(f"{scheme}:{version}:{key_id.lower()}:{sealed}", binding)


class RewrapsNothing(Right):
    def rewrap(self, wrapped, binding):
        return wrapped


class RewrapsAnotherKey(Right):
    def rewrap(self, wrapped, binding):
        return self.wrap(self.unwrap(wrapped, binding)[::-1], binding)


class RaisesOthers(Right):
    def unwrap(self, wrapped, binding):
        try:
            return super().unwrap(wrapped, binding)
        except ProviderError as error:
            raise ValueError(str(error)) from None


class ChainsErrors(Right):
    def unwrap(self, wrapped, binding):
        try:
            return super().unwrap(wrapped, binding)
        except ProviderError as error:
            raise ProviderError("it does not unwrap") from error


class TellsSecretsInErrors(Right):
    def unwrap(self, wrapped, binding):
        try:
            return super().unwrap(wrapped, binding)
        except ProviderError as error:
            pass
        raise ProviderError(f"it does not unwrap with {self.text}")


class ShowsSecrets(Right):
    def __repr__(self):
        return f"ShowsSecrets({self.text!r})"


class PicklesSecrets(Right):
    def __reduce__(self):
        return PicklesSecrets, (self.text,)


class LogsKeys(Right):
    def wrap(self, key, binding):
        logging.getLogger("anything").debug("wrapping %s", base64.b64encode(b"key:" + key))
        return super().wrap(key, binding)


class TellsSecretsAsVersion(Right):
    def version(self):
        return self.text


class HoldsKeys(Right):
    def wrap(self, key, binding):
        return f"{super().wrap(key, binding)}:{key.hex()}"

    def unwrap(self, wrapped, binding):
        return super().unwrap(wrapped.rpartition(":")[0], binding)


class WrapsInLines(Right):
    def wrap(self, key, binding):
        return super().wrap(key, binding) + "\\n"

    def unwrap(self, wrapped, binding):
        return super().unwrap(wrapped.removesuffix("\\n"), binding)


class ReturnsViews(Right):
    def unwrap(self, wrapped, binding):
        return bytearray(super().unwrap(wrapped, binding))


class IsOneForAll(Right):
    def __init__(self, text):
        super().__init__(TEXTS[0])


class MixesThreads(Right):
    def wrap(self, key, binding):
        self.key = key
        threading.Event().wait(0.001)
        return super().wrap(self.key, binding)


class HangsAfterAFork(Right):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()

    def unwrap(self, wrapped, binding):
        with self.lock:
            threading.Event().wait(0.005)
            return super().unwrap(wrapped, binding)


class TakesAllForCurrent(Right):
    def is_current(self, wrapped, version):
        return True


def suite(kind):
    class Suite(ProviderSuite):
        @pytest.fixture
        def provider(self):
            return kind(TEXTS[0])

        @pytest.fixture
        def stranger(self):
            return kind(TEXTS[1])

        @pytest.fixture
        def secrets(self):
            return (TEXTS[0], TEXTS[1])

    return Suite


for kind in [Right, *Right.__subclasses__()]:
    globals()[f"Test{kind.__name__}"] = suite(kind)
"""

NOTICED = {
    "BindsNothing": "test_another_binding_is_refused",
    "WrapsAlike": "test_two_wrappings_differ",
    "ReadsLeniently": "test_there_is_one_form",
    "IgnoresCase": "test_every_changed_character_is_refused",
    "RewrapsNothing": "test_a_rewrap_keeps_the_key",
    "RewrapsAnotherKey": "test_a_rewrap_keeps_the_key",
    "RaisesOthers": "test_every_cut_is_refused",
    "ChainsErrors": "test_another_kek_is_refused",
    "TellsSecretsInErrors": "test_another_kek_is_refused",
    "ShowsSecrets": "test_it_shows_nothing",
    "PicklesSecrets": "test_it_shows_nothing",
    "LogsKeys": "test_it_logs_nothing_secret",
    "TellsSecretsAsVersion": "test_a_version_is_public",
    "HoldsKeys": "test_a_wrapped_key_does_not_hold_the_key",
    "WrapsInLines": "test_a_wrapped_key_is_text_for_any_keystore",
    "ReturnsViews": "test_a_key_comes_back",
    "IsOneForAll": "test_another_kek_is_refused",
    "MixesThreads": "test_threads_share_it",
    "HangsAfterAFork": "test_a_fork_in_the_middle_of_a_call",
    "TakesAllForCurrent": "test_what_is_new_is_current",
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run the suite on each broken provider, and return the tests that failed."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (folder / "test_them.py").write_text(MODULE)
    patience = "import sqlalchemy_sealed.testing.processes as p; p.PATIENCE = 2"
    (folder / "conftest.py").write_text(patience)
    return run(folder)


def run(folder: Path) -> dict[str, set[str]]:
    """Return the failed tests of a folder, by the name of the class that was tested."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found: dict[str, set[str]] = {}
    for name, test in re.findall(r"^FAILED \S+::Test(\w+)::(\w+)", done.stdout, re.MULTILINE):
        found.setdefault(name, set()).add(test)
    assert " passed" in done.stdout, done.stdout + done.stderr
    # Where CI is set, pytest does not shorten messages, in which the word may stand.
    assert " error" not in done.stdout.splitlines()[-1]
    return found


@pytest.mark.parametrize(("mistake", "test"), NOTICED.items(), ids=NOTICED)
def test_a_mistake_is_noticed(failed: dict[str, set[str]], mistake: str, test: str) -> None:
    """Each mistake fails the test that is about it."""
    assert test in failed[mistake]


def test_only_mistakes_are_noticed(failed: dict[str, set[str]]) -> None:
    """A provider without a mistake passes, and there are no other failures."""
    assert set(failed) == set(NOTICED)
