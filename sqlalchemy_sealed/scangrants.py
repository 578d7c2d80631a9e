"""
Whether a login to MariaDB or MySQL sees all tables of a database.

Tables that it has no right on are not told of at all there, so rows in them would be missed.
PostgreSQL tells of all tables, and reading one without the right is an error.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from .errors import ConfigurationError

_GRANT = re.compile(r"GRANT (.+?) ON (\*|[`\"].+[`\"])\.\* TO ", re.DOTALL)
_SELECT = re.compile(r"\bALL PRIVILEGES\b|\bSELECT\b(?! \()")
_LIKE = re.compile(r"\\.|.", re.DOTALL)


class Grants:
    """
    What a login may read.

    Args:
        connection: to MariaDB or MySQL, with that login.
    """

    def __init__(self, connection: sa.Connection) -> None:
        # A line has the hash of the password, perhaps. Nothing of it is kept or shown.
        lines = connection.exec_driver_sql("SHOW GRANTS").scalars()
        found = [match for line in lines if (match := _GRANT.match(str(line)))]
        self._readable = [_pattern(m[2]) for m in found if _SELECT.search(m[1])]

    def check_sees_all(self, schema: str) -> None:
        """
        Refuse a database of which tables may be hidden.

        Raises:
            ConfigurationError: there is no right to SELECT on the whole of it.
        """
        if any(pattern.fullmatch(schema) for pattern in self._readable):
            return
        raise ConfigurationError(
            "this login may not see all tables, so rows may be missed; give one that has SELECT "
            "on the whole database, or is in a role that has it",
            where=schema,
        )


def _pattern(name: str) -> re.Pattern[str]:
    """Return what a grant is for: a name, in which `%` and `_` stand for others, or `*`."""
    if name == "*":
        return re.compile(".*", re.DOTALL)
    quote = name[0]
    parts = _LIKE.findall(name[1:-1].replace(quote * 2, quote))
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(each) or re.escape(each[-1]) for each in parts), re.DOTALL)
