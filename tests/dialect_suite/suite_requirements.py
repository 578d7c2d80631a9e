"""What a database has to have for sealed types: nothing of what their plain types need."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

NAMES = (
    *("binary_literals", "date", "date_historic", "datetime", "datetime_historic"),
    *("datetime_interval", "datetime_literals", "datetime_microseconds", "datetime_timezone"),
    *("datetime_timezone_historic", "empty_strings_text", "empty_strings_varchar"),
    *("expressions_against_unbounded_text", "fetch_null_from_numeric", "infinity_floats"),
    *("json_type", "nullable_booleans", "precision_numerics_enotation_large"),
    *("precision_numerics_general", "precision_numerics_many_significant_digits"),
    *("precision_numerics_retains_significant_digits", "standalone_null_binds_whereclause"),
    *("text_type", "time", "time_microseconds", "time_timezone", "timestamp_microseconds"),
    *("unbounded_varchar", "unicode_data", "unicode_data_no_special_types", "uuid_data_type"),
)
"""Requirements of the type suite. None of its tests is left out for want of one of these."""


class Requirements(SuiteRequirements):
    """All of these are there, with every driver: an envelope is stored, whatever is in it."""

    @property
    def insert_executemany_returning(self) -> Any:
        """Every database of this session has it."""
        return exclusions.open()


for name in NAMES:
    setattr(Requirements, name, property(lambda _self: exclusions.open()))
