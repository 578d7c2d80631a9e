"""The plugin that Alembic loads: it breaks nothing for those who have nothing to do with it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from sqlalchemy import Engine, MetaData

import alembic_ext.plugin
from sqlalchemy_sealed.keystores.table import keys_table

MODULES = ["alembic", "alembic.op", "alembic.autogenerate", "alembic.runtime.plugins"]
OURS = ["alembic_ext", "alembic_ext.plugin", "alembic_ext.keys_table", "alembic_ext.autogenerate"]


@pytest.mark.parametrize("module", [*MODULES, *OURS])
def test_alembic_is_imported_with_it_and_without_the_library(module: str) -> None:
    """Whatever is imported first, the operations are there, and the library is not loaded."""
    program = (
        f"import {module}, sys\n"
        "from alembic import op\n"
        "assert callable(op.create_sealed_keys_table)\n"
        "assert not any(name.startswith('sqlalchemy_sealed') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_older_versions_of_alembic_can_load_it() -> None:
    """Up to 1.20.0, Alembic iterates over what an entry point names, and expects modules."""
    assert list(alembic_ext.plugin) == [alembic_ext.plugin]


def test_it_may_be_set_up_twice() -> None:
    """Who sets it up in env.py as well, as Alembic's documentation shows, gets no error."""
    Plugin.setup_plugin_from_module(alembic_ext.plugin, "by hand")


def test_a_failure_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception would break Alembic for everybody who has this library installed."""
    monkeypatch.setitem(sys.modules, "alembic_ext.keys_table", None)
    monkeypatch.delattr(alembic_ext, "keys_table")
    with caplog.at_level(logging.WARNING, "alembic_ext"):
        Plugin.setup_plugin_from_module(alembic_ext.plugin, "broken")
    assert "operations for sealed columns are not available" in caplog.text


def test_it_can_be_switched_off(sqlite_engine: Engine) -> None:
    """As any plugin of Alembic, by its name in env.py."""
    metadata = MetaData()
    keys_table(metadata)
    metadata.create_all(sqlite_engine)
    off = {"autogenerate_plugins": ["alembic.autogenerate.*", f"~{alembic_ext.plugin.NAME}"]}
    with sqlite_engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, MetaData()) == []
        context = MigrationContext.configure(connection, opts=off)
        assert [each[0] for each in compare_metadata(context, MetaData())] == ["remove_table"]
