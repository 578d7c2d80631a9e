"""
Two places where SQLAlchemy itself would show plaintext, closed for every engine of the process.

* When a bind processor fails, also that of another column, SQLAlchemy raises a StatementError
  whose text, `params` and pickle hold the parameters before they were sealed.
* `echo="debug"` logs each row after it was opened.

Both are closed without looking at the statement: at these two places it is not known which of
the values are sealed ones.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError, StatementError


def hide_parameters(context: ExceptionContext) -> None:
    """Take the parameters out of an error that was raised before they were sealed."""
    error = context.sqlalchemy_exception
    sealed = context.execution_context is not None and isinstance(error, DBAPIError)
    if isinstance(error, StatementError) and not sealed:
        error.params = None
        error.hide_parameters = True


class RowFilter(logging.Filter):
    """Replaces the values in the log lines of rows by the number of columns."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the line that SQLAlchemy's cursor writes for each row."""
        if isinstance(record.msg, str) and record.msg.endswith("Row %r"):
            record.msg = record.msg.removesuffix("%r") + "(values are not logged)"
            record.args = record.args[:-1] if isinstance(record.args, tuple) else ()
        return True


_row_filter = RowFilter()


def hide_rows(connection: Connection) -> None:
    """Put the filter on the logger of this connection's engine."""
    logger: Any = connection.engine.logger
    # An engine with echo= has an InstanceLogger around the logger.
    logger = getattr(logger, "logger", logger)
    logger.addFilter(_row_filter)


event.listen(Engine, "handle_error", hide_parameters)
event.listen(Engine, "engine_connect", hide_rows)
