"""The number by which a driver says why a statement failed; its text may quote what was sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DBAPIError


def code_of(error: DBAPIError) -> int | str | None:
    """Return the SQLSTATE of PostgreSQL, or the number of another driver; None if it tells none."""
    driver: Any = error.orig
    code: Any = getattr(driver, "sqlite_errorcode", None)
    if code is None and driver is not None and driver.args and isinstance(driver.args[0], int):
        code = driver.args[0]  # The SQLSTATE of MariaDB says less.
    if code is None:
        code = getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)
    return code if isinstance(code, int | str) else None
