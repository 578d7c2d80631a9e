"""
Tests for KEK providers and keystores that others write; pytest runs them.

    from sqlalchemy_sealed.testing import ProviderSuite

    class TestMyProvider(ProviderSuite):
        @pytest.fixture
        def provider(self):
            return MyProvider("one KEK")

        @pytest.fixture
        def stranger(self):
            return MyProvider("another KEK")

`docs/howto/write-a-provider.md` has an example. Nothing else of the library imports this package,
which needs pytest.
"""

from __future__ import annotations

import pytest

# Without it, a failed assertion of a suite would not show its values.
pytest.register_assert_rewrite(
    "sqlalchemy_sealed.testing.keystore_suite", "sqlalchemy_sealed.testing.provider_suite"
)

from .keystore_suite import KeystoreSuite, record
from .provider_suite import ProviderSuite

__all__ = ["KeystoreSuite", "ProviderSuite", "record"]
