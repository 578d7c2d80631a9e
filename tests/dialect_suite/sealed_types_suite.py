"""
The type suite that SQLAlchemy has for dialects of third parties, on sealed types.

It runs as it is written, except that its names of types mean sealed ones: see `suite_types`. What
does not apply is set to None here, with the reason. These classes do not apply as a whole:

* `ArrayTest`: an array of sealed values is refused; the whole array is sealed as JSON.
* `CastTypeDecoratorTest`: a sealed value is not cast in SQL.
* `TrueDivTest`: nor is it divided.
* `DateTimeCoercedToDateTimeTest`: a datetime is not taken for a date, but refused.
* `JSONLegacyStringCastIndexTest`: SQL does not look into a sealed document.
* `NativeUUIDTest`, `PrecisionIntervalTest`: how a database stores the plain type.
"""

from __future__ import annotations

import decimal
from typing import Any

import suite_types as sealed
from sqlalchemy import Integer as PlainInteger
from sqlalchemy import String as PlainString
from sqlalchemy import Table as AnyTable
from sqlalchemy import event, testing
from sqlalchemy.testing import eq_
from sqlalchemy.testing.schema import Column, Table
from sqlalchemy.testing.suite import test_types as suite

from sqlalchemy_sealed import Encrypted

for _name in ("BigInteger", "Boolean", "Float", "LargeBinary", "Numeric", "String", "Text", "Uuid"):
    setattr(suite, _name, getattr(sealed, _name.removeprefix("Big")))

PLAIN = {"id", "name", "pickle_data"}
"""The columns of the suite that are not under test."""


@event.listens_for(AnyTable, "before_create")
def all_are_sealed(table: AnyTable, _connection: Any, **_kw: Any) -> None:
    """Let no test pass because it was left with a plain type."""
    for column in table.columns:
        type_: Any = column.type
        sealed_type = isinstance(getattr(type_, "impl_instance", None), Encrypted)
        assert column.name in PLAIN or sealed_type or isinstance(type_, Encrypted), column


class SealedUnicodeVarcharTest(suite.UnicodeVarcharTest):
    datatype = sealed.String(255)


class SealedUnicodeTextTest(suite.UnicodeTextTest):
    datatype = sealed.Text()


class SealedBinaryTest(suite.BinaryTest):
    test_pickle_roundtrip = None  # PickleType makes a pickle in a plain LargeBinary.


class SealedTextTest(suite.TextTest):
    pass


class SealedStringTest(suite.StringTest):
    test_dont_truncate_rightside = None  # LIKE is refused.
    test_concatenate_binary = None  # Of plain literals; `+` on a sealed column is refused.
    test_concatenate_clauselist = None


class SealedIntervalTest(suite.IntervalTest):
    datatype = sealed.Interval
    test_select_direct_literal_interval = None  # A literal of no sealed type.
    test_arithmetic_operation_literal_interval = None  # So are these, and `+` is refused.
    test_arithmetic_operation_table_interval_and_literal_interval = None
    test_arithmetic_operation_table_date_and_literal_interval = None


class _Dates:
    test_select_direct = None  # A literal of no sealed type.


class SealedDateTimeTest(_Dates, suite.DateTimeTest):
    datatype = sealed.DateTime


class SealedDateTimeTZTest(_Dates, suite.DateTimeTZTest):
    datatype = sealed.DateTime(timezone=True)


class SealedDateTimeMicrosecondsTest(_Dates, suite.DateTimeMicrosecondsTest):
    datatype = sealed.DateTime


class SealedTimestampMicrosecondsTest(_Dates, suite.TimestampMicrosecondsTest):
    datatype = sealed.DateTime


class SealedTimeTest(_Dates, suite.TimeTest):
    datatype = sealed.Time


class SealedTimeTZTest(_Dates, suite.TimeTZTest):
    datatype = sealed.Time(timezone=True)


class SealedTimeMicrosecondsTest(_Dates, suite.TimeMicrosecondsTest):
    datatype = sealed.Time


class SealedDateTest(_Dates, suite.DateTest):
    datatype = sealed.Date


class _Historic(_Dates):
    @property
    def historic_values(self) -> list[Any]:
        """All years: no database looks into them."""
        return [self.make_value(year) for year in self.historic_years]  # type: ignore[attr-defined]


class SealedDateTimeHistoricTest(_Historic, suite.DateTimeHistoricTest):
    datatype = sealed.DateTime


class SealedDateTimeTZHistoricTest(_Historic, suite.DateTimeTZHistoricTest):
    datatype = sealed.DateTime(timezone=True)


class SealedDateHistoricTest(_Historic, suite.DateHistoricTest):
    datatype = sealed.Date


class SealedIntegerTest(suite.IntegerTest):
    test_huge_int_auto_accommodation = None  # Literals of no sealed type.

    def test_literal(self, literal_round_trip: Any) -> None:
        literal_round_trip(sealed.Integer, [5], [5])  # Its ids are plain integers.


class SealedNumericTest(suite.NumericTest):
    """Floats are not taken for decimals, nor decimals for floats: either is refused."""

    @testing.fixture
    def do_numeric_test(self, metadata: Any, connection: Any) -> Any:
        """As in the suite, without its arithmetic in SQL; digits have to stay in any case."""

        def run(type_: Any, input_: Any, output: Any, **_options: Any) -> None:
            table = Table("t", metadata, Column("x", type_))
            table.create(connection)
            connection.execute(table.insert(), [{"x": x} for x in input_])
            read = [row[0] for row in connection.execute(table.select())]
            eq_(sorted(map(str, read)), sorted(map(str, output)))

        return run

    def test_render_literal_numeric(self, literal_round_trip: Any) -> None:
        value = decimal.Decimal("15.7563")
        literal_round_trip(sealed.Numeric(8, 4), [value], [value])

    def test_render_literal_float(self, literal_round_trip: Any) -> None:
        literal_round_trip(sealed.Float(), [15.7563], [15.7563])

    def test_numeric_as_decimal(self, do_numeric_test: Any) -> None:
        value = decimal.Decimal("15.7563")
        do_numeric_test(sealed.Numeric(8, 4), [value], [value])

    def test_float_as_float(self, do_numeric_test: Any) -> None:
        do_numeric_test(sealed.Float(), [15.756, float("inf")], [15.756, float("inf")])

    test_infinity_floats = None  # Among those above.
    test_render_literal_numeric_asfloat = None  # Its `asdecimal=False` is EncryptedFloat.
    test_numeric_as_float = None
    test_numeric_null_as_float = None
    test_float_custom_scale = None  # Its `asdecimal=True` is EncryptedNumeric.
    test_float_as_decimal = None
    test_float_coerce_round_trip = None  # Literals of no sealed type.
    test_decimal_coerce_round_trip = None
    test_decimal_coerce_round_trip_w_cast = None
    test_float_is_not_numeric = None  # Classes of the plain types.


class SealedBooleanTest(suite.BooleanTest):
    test_whereclause = None  # A sealed truth value is no condition: compare it with True.


class SealedJSONTest(suite.JSONTest):
    @classmethod
    def define_tables(cls, metadata: Any) -> None:
        """As in the suite, but None may be stored in both columns: it is NULL in either."""
        Table(
            "data_table",
            metadata,
            Column("id", PlainInteger, primary_key=True, test_needs_autoincrement=True),
            Column("name", PlainString(30), nullable=False),
            Column("data", sealed.JSON()),
            Column("nulldata", sealed.JSON()),
        )

    test_index_typed_access = None  # SQL does not look into a sealed document.
    test_index_typed_comparison = None
    test_path_typed_comparison = None
    test_index_cross_casts = None
    test_round_trip_json_null_as_json_null = None  # By CAST, which is refused.
    test_round_trip_none_as_json_null = None  # None is NULL; JSON.NULL is the JSON null.
    test_eval_none_flag_orm = None
    test_round_trip_custom_json = None  # The serialiser of the engine is for plain JSON.


class SealedEnumTest(suite.EnumTest):
    datatype = sealed.Enum(*suite.EnumTest.enum_values)


class SealedUuidTest(suite.UuidTest):
    datatype = sealed.Uuid

    def test_uuid_returning(self, connection: Any) -> None:
        table, data = self.tables.uuid_table, suite.uuid.uuid4()
        statement = table.insert().returning(table.c.uuid_data, table.c.uuid_data_nonnative)
        values = {"id": 1, "uuid_data": data, "uuid_data_nonnative": data}
        eq_(connection.execute(statement, values).first(), (data, data))

    test_uuid_text_round_trip = None  # Its `as_uuid=False` is EncryptedString.
    test_literal_text = None
    test_literal_nonnative_text = None
