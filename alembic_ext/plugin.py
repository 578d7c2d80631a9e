"""
What Alembic loads: the entry point `sealed` of the group `alembic.plugins`.

It is loaded in the middle of `import alembic`. So it is light, imports nothing when it is imported
itself, does not import the library at all, and raises nothing: an exception would break Alembic
for everybody who has this package installed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic_ext")

NAME = "alembic.autogenerate.sealed"
"""
The plugin that looks after generated migrations. Only those of this name space are on where env.py
names none; `autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.sealed"]` there
switches it off.
"""


def setup(plugin: Plugin) -> None:
    """Register operations, and what is done while a migration is generated."""
    try:
        _register(plugin)
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("the operations for sealed columns are not available: %r", error)


def _register(plugin: Plugin) -> None:
    from alembic.util import DispatchPriority  # noqa: PLC0415

    from . import keys_table  # noqa: F401, PLC0415 - to import it registers its operations

    try:
        ours = type(plugin)(NAME)
    except ValueError:
        return  # It is there already.
    ours.add_autogenerate_comparator(_keep_the_keys, "autogenerate", priority=DispatchPriority.LAST)


def _keep_the_keys(*arguments: Any) -> Any:
    from .autogenerate import keep_the_keys  # noqa: PLC0415

    return keep_the_keys(*arguments)


class _Plugin(ModuleType):
    """A module that is a list of itself: Alembic 1.18.0 to 1.20.0 iterates over what it loads."""

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


sys.modules[__name__].__class__ = _Plugin
