"""
What every KEK provider must do. A test class of a provider inherits from `ProviderSuite`.

It provides these fixtures:

    provider      a provider that can wrap and unwrap
    stranger      one of the same kind over another KEK
    secrets       texts that must never be shown, such as a password; optional
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from ..errors import ProviderError, SealedError
from ..protocols import KEKProvider
from .inputs import (
    BINDING,
    FOREIGN,
    KEY,
    OTHER_BINDINGS,
    OTHER_KEYS,
    binding_of,
    cut,
    flipped,
    forms_of,
    not_canonical,
    own_scheme,
)
from .processes import CANNOT_FORK, busy, in_child

each_foreign = pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
each_other_binding = pytest.mark.parametrize("other", OTHER_BINDINGS.values(), ids=OTHER_BINDINGS)
forking = pytest.mark.skipif(CANNOT_FORK, reason="there is no fork here")
# Newer versions of Python warn that a fork of a process with threads may hang; that is the test.
warned = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class ProviderSuite:
    """The behaviour that all KEK providers share."""

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return texts that the provider must not show. None by default; override it."""
        return ()

    @pytest.fixture
    def refused(self, secrets: tuple[str, ...]) -> Callable[[Callable[[], Any]], ProviderError]:
        """Return what checks that a call is refused, by an error that shows nothing."""

        def refused(call: Callable[[], Any]) -> ProviderError:
            with pytest.raises(ProviderError) as caught:
                call()
            error = caught.value
            assert error.__context__ is None, "an error of others hangs on it"
            assert error.__cause__ is None
            assert_hidden(secrets, str(error), repr(error), repr(vars(error)))
            copy = pickle.loads(pickle.dumps(error))
            assert (type(copy), str(copy)) == (type(error), str(error))
            return error

        return refused

    # -- wrap and unwrap

    def test_it_is_a_provider(self, provider: KEKProvider) -> None:
        """It has the methods of the protocol; what is optional is of the right kind."""
        assert isinstance(provider, KEKProvider)
        assert isinstance(getattr(provider, "remote", False), bool)
        assert isinstance(getattr(provider, "can_unwrap", True), bool)

    @pytest.mark.parametrize("key", OTHER_KEYS, ids=bytes.hex)
    def test_a_key_comes_back(self, provider: KEKProvider, key: bytes) -> None:
        """Whatever its bytes are, a key is unwrapped as it was."""
        unwrapped = provider.unwrap(provider.wrap(key, BINDING), BINDING)
        assert unwrapped == key
        assert type(unwrapped) is bytes

    @each_other_binding
    def test_a_key_comes_back_with_its_binding(self, provider: KEKProvider, other: bytes) -> None:
        """Whatever the bytes of its binding are, too."""
        wrapped = provider.wrap(KEY, other)
        assert provider.unwrap(wrapped, other) == KEY
        assert provider.unwrap(provider.rewrap(wrapped, other), other) == KEY

    def test_two_wrappings_differ(self, provider: KEKProvider) -> None:
        """Who sees wrapped keys does not see which of them hold the same key."""
        wrapped = [provider.wrap(KEY, BINDING) for _ in range(5)]
        assert len(set(wrapped)) == len(wrapped)

    def test_a_wrapped_key_is_text_for_any_keystore(self, provider: KEKProvider) -> None:
        """Visible ASCII, so that no file, table or header changes it."""
        wrapped = provider.wrap(KEY, BINDING)
        assert type(wrapped) is str
        assert wrapped.isascii()
        assert wrapped.isprintable()
        assert " " not in wrapped

    def test_a_wrapped_key_does_not_hold_the_key(self, provider: KEKProvider) -> None:
        """Neither as it is, nor in any encoding."""
        wrapped = provider.wrap(KEY, BINDING)
        assert [form for form in forms_of(KEY) if form.lower() in wrapped.lower()] == []

    # -- what is refused

    @each_other_binding
    def test_another_binding_is_refused(
        self, provider: KEKProvider, refused: Any, other: bytes
    ) -> None:
        """A wrapped key that was given to another name, kind or id opens nowhere else."""
        wrapped = provider.wrap(KEY, BINDING)
        refused(lambda: provider.unwrap(wrapped, other))
        refused(lambda: provider.rewrap(wrapped, other))
        assert provider.unwrap(wrapped, BINDING) == KEY

    def test_another_kek_is_refused(
        self, provider: KEKProvider, stranger: KEKProvider, refused: Any
    ) -> None:
        """A keystore of another installation does not open, in neither direction."""
        for one, another in ((provider, stranger), (stranger, provider)):
            wrapped = one.wrap(KEY, BINDING)
            refused(lambda: another.unwrap(wrapped, BINDING))  # noqa: B023 - called at once
            refused(lambda: another.rewrap(wrapped, BINDING))  # noqa: B023 - called at once
            assert one.unwrap(wrapped, BINDING) == KEY

    def test_every_changed_character_is_refused(self, provider: KEKProvider, refused: Any) -> None:
        """Each character counts, also those that an encoding may ignore."""
        wrapped = provider.wrap(KEY, BINDING)
        for changed in flipped(wrapped):
            refused(lambda: provider.unwrap(changed, BINDING))  # noqa: B023 - called at once

    def test_every_cut_is_refused(self, provider: KEKProvider, refused: Any) -> None:
        """No beginning and no end of a wrapped key is taken for the whole."""
        wrapped = provider.wrap(KEY, BINDING)
        for part in cut(wrapped):
            refused(lambda: provider.unwrap(part, BINDING))  # noqa: B023 - called at once

    def test_there_is_one_form(self, provider: KEKProvider, refused: Any) -> None:
        """What `wrap` would not write is refused, even where it means the same."""
        wrapped = provider.wrap(KEY, BINDING)
        for text in not_canonical(wrapped):
            refused(lambda: provider.unwrap(text, BINDING))  # noqa: B023 - called at once

    def test_what_is_damaged_is_not_rewrapped(self, provider: KEKProvider, refused: Any) -> None:
        """A rewrap checks the key that it is given, so that no damage is made to look new."""
        wrapped = provider.wrap(KEY, BINDING)
        for changed in islice(flipped(wrapped[::-1]), 8):
            refused(lambda: provider.rewrap(changed[::-1], BINDING))  # noqa: B023 - called at once
        refused(lambda: provider.rewrap(wrapped[:-1], BINDING))

    @each_foreign
    def test_what_others_wrote_is_refused(
        self, provider: KEKProvider, refused: Any, text: str
    ) -> None:
        """A wrapped key of another kind of provider, or no wrapped key at all."""
        refused(lambda: provider.unwrap(text, BINDING))
        refused(lambda: provider.rewrap(text, BINDING))

    # -- the life of a wrapped key

    def test_a_rewrap_keeps_the_key(self, provider: KEKProvider) -> None:
        """The text is new, the key is the same, and the old text still unwraps."""
        wrapped = provider.wrap(KEY, BINDING)
        rewrapped = provider.rewrap(wrapped, BINDING)
        assert rewrapped != wrapped
        assert provider.unwrap(rewrapped, BINDING) == provider.unwrap(wrapped, BINDING) == KEY

    def test_many_are_rewrapped_in_order(self, provider: KEKProvider, refused: Any) -> None:
        """Many keys come back each at its place, in one call where the provider has such a one."""

        def one_by_one(items: list[tuple[str, bytes]]) -> list[str]:
            return [provider.rewrap(*item) for item in items]

        rewrap_many = getattr(provider, "rewrap_many", one_by_one)
        keys = [bytes([number]) * 32 for number in range(20)]
        bindings = [binding_of("default", key_id=key[:8]) for key in keys]
        items = [(provider.wrap(key, at), at) for key, at in zip(keys, bindings, strict=True)]
        rewrapped = list(rewrap_many(items))
        assert list(map(provider.unwrap, rewrapped, bindings)) == keys
        assert list(rewrap_many([])) == []
        items[7] = (items[7][0], bindings[8])
        refused(lambda: list(rewrap_many(items)))

    def test_a_version_is_public(self, provider: KEKProvider, secrets: tuple[str, ...]) -> None:
        """It is one line of text that stays the same, for lists and logs."""
        version = provider.version()
        assert type(version) is str
        assert version
        assert version.isprintable()
        assert provider.version() == version
        assert_hidden(secrets, version)

    def test_what_is_new_is_current(self, provider: KEKProvider) -> None:
        """A provider that tells what a rewrap can leave out knows its own keys from others."""
        is_current = getattr(provider, "is_current", None)
        if is_current is None:
            pytest.skip("this provider does not tell")
        version = provider.version()
        wrapped = provider.wrap(KEY, BINDING)
        told = {is_current(text, version) for text in (wrapped, provider.rewrap(wrapped, BINDING))}
        assert told in ({True}, {False})
        foreign = [text for text in FOREIGN.values() if not own_scheme(wrapped, text)]
        assert not any(is_current(text, version) for text in foreign)

    # -- nothing is shown

    def test_it_shows_nothing(self, provider: KEKProvider, secrets: tuple[str, ...]) -> None:
        """Neither its repr nor a pickle has a secret in it, nor a key that it wrapped."""
        provider.unwrap(provider.wrap(KEY, BINDING), BINDING)
        assert_hidden(secrets, repr(provider), str(provider), f"{provider}")
        try:
            pickled = pickle.dumps(provider)
        except (TypeError, pickle.PicklingError, AttributeError):
            return
        assert_hidden(secrets, pickled.decode("latin-1"))

    def test_it_logs_nothing_secret(
        self, provider: KEKProvider, secrets: tuple[str, ...], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also where every library that it uses logs all it can."""
        with caplog.at_level(logging.DEBUG):
            wrapped = provider.wrap(KEY, BINDING)
            provider.rewrap(wrapped, BINDING)
            provider.unwrap(wrapped, BINDING)
            with pytest.raises(SealedError):
                provider.unwrap(wrapped, binding_of("another"))
            provider.version()
        assert_hidden(secrets, caplog.text)

    # -- threads and processes

    def test_threads_share_it(self, provider: KEKProvider) -> None:
        """Eight threads wrap, rewrap and unwrap, and each gets its own key."""
        barrier = threading.Barrier(8)

        def work(number: int) -> bool:
            key, binding = bytes([number]) * 32, binding_of(f"name {number}")
            barrier.wait()
            return all(
                provider.unwrap(provider.rewrap(provider.wrap(key, binding), binding), binding)
                == key
                for _ in range(3)
            )

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))

    @forking
    @warned
    def test_a_forked_child_uses_it(self, provider: KEKProvider) -> None:
        """Parent and child wrap and unwrap after a fork, and read each other's keys."""
        wrapped = provider.wrap(KEY, BINDING)

        def work() -> bytes:
            assert provider.unwrap(wrapped, BINDING) == KEY
            return provider.wrap(KEY, BINDING).encode()

        theirs = [in_child(work) for _ in range(2)]
        assert {provider.unwrap(text.decode(), BINDING) for text in theirs} == {KEY}
        assert provider.unwrap(wrapped, BINDING) == KEY

    @forking
    @warned
    def test_a_fork_in_the_middle_of_a_call(self, provider: KEKProvider) -> None:
        """A child does not hang on what a thread of its parent held, and both go on."""
        wrapped = provider.wrap(KEY, BINDING)
        with busy(lambda: provider.rewrap(wrapped, BINDING)):
            for _ in range(5):
                assert in_child(lambda: provider.unwrap(wrapped, BINDING)) == KEY
        assert provider.unwrap(wrapped, BINDING) == KEY


def assert_hidden(secrets: tuple[str, ...], *shown: str) -> None:
    """Check that no text shows a secret or the key."""
    hidden = [*secrets, *forms_of(KEY)]
    assert not any(secret in text for secret in hidden for text in shown), "a secret is shown"
