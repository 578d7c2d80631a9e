"""
`Encrypted`: the SQLAlchemy type that all sealed types are thin forms of.

It seals on bind and opens on result, by the functions of `processors`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from sqlalchemy import LargeBinary, Text, TypeDecorator, event
from sqlalchemy.types import TypeEngine, to_instance

from ..codecs import Codec, codec_for
from ..context import Context
from ..errors import NoContextError, OptionError, ValueRefusedError
from ..index import check_indexes
from ..match import check_match
from ..sealer import Sealer, get_sealer
from .binding import Binding, attach
from .comparator import SealedComparator
from .dual import check_dual, reading
from .literals import rendering
from .options import Options, checked
from .processors import opening, sealing

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import (
        _BindProcessorType,
        _LiteralProcessorType,
        _ResultProcessorType,
    )

T = TypeVar("T")


class Encrypted(TypeDecorator[T], Generic[T]):
    """
    A column whose values are sealed in the database.

    Args:
        inner: the SQLAlchemy type of the values, such as `Numeric(10, 2)`. Its lengths and
            precisions bound the plaintext; the database stores bytes (or text).
        options: see `Options`.

    A value takes 52 bytes more than its plaintext; with `storage="text"`, 4 characters for
    each 3 bytes of that. NULL stays NULL; the empty string is sealed.

    Raises:
        OptionError: values of *inner* cannot be sealed, or an option is wrong.

    When used, errors are those of `Sealer.seal` and `Sealer.open`, and `ValueRefusedError`,
    `DecodingError` and `NoContextError`. All of them name the column and never the value.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary
    cache_ok = True
    if not TYPE_CHECKING:  # Checkers take the operators of the plain type, as for any column.
        comparator_factory = SealedComparator

    def __init__(
        self, inner: TypeEngine[T] | type[TypeEngine[T]], **options: Unpack[Options]
    ) -> None:
        name = type(self).__name__
        self.inner: TypeEngine[T] = to_instance(inner)
        self.codec: Codec[T] = codec_for(self.inner)
        self.settings = checked(name, dict(options))
        if self.settings.masked and self.codec.python_type is not str:
            raise OptionError(f"{name}: only texts can be read masked")
        check_indexes(name, self.settings.index, self.codec)
        check_match(name, self.settings.match, self.codec)
        check_dual(name, self.settings, self.inner)
        self.binding = Binding(self)
        super().__init__()
        self.impl = Text() if self.settings.is_text else LargeBinary()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep a plain subclass cacheable: SQLAlchemy looks for the flag in each class."""
        super().__init_subclass__(**kwargs)
        base = cls.__mro__[1].__dict__
        if "cache_ok" in base and not {"cache_ok", "__init__"} & cls.__dict__.keys():
            cls.cache_ok = base["cache_ok"]

    # -- what it is bound to

    @property
    def sealer(self) -> Sealer:
        """The sealer of this type, looked up by its name."""
        return get_sealer(self.settings.sealer)

    @property
    def label(self) -> str | None:
        """The context label: the explicit one, else that of the column, else None."""
        return self.settings.context or self.binding.label

    @property
    def context(self) -> Context:
        """
        What values of this type are bound to.

        Raises:
            NoContextError: no explicit context, and no column with a table.
        """
        label = self.label
        if label is None:
            raise NoContextError(
                f"{type(self).__name__} is not attached to a column of a table, so its values "
                "have nothing to be bound to; pass context='table.column' (the context of the "
                "column that holds the values), or use that column's type"
            )
        return Context(label)

    # -- values

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[T]:
        """Return the function that makes envelopes of values."""
        if type(self).process_bind_param is not Encrypted.process_bind_param:
            return lambda value: self.process_bind_param(value, dialect)
        return sealing(self)

    def result_processor(self, dialect: Dialect, coltype: object) -> _ResultProcessorType[T]:
        """Return the function that opens envelopes."""
        if type(self).process_result_value is not Encrypted.process_result_value:
            return lambda value: self.process_result_value(value, dialect)
        return reading(self, dialect, opening(self)) if self.settings.is_dual else opening(self)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:
        """Return the envelope of one value. A subclass may change the value first."""
        return sealing(self, once=True)(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> T | None:
        """Return the value of one envelope. A subclass may change the value afterwards."""
        opened = opening(self, once=True)
        return reading(self, dialect, opened)(value) if self.settings.is_dual else opened(value)

    def literal_processor(self, dialect: Dialect) -> _LiteralProcessorType[T]:
        """
        Return the function that renders sealed values into SQL text, as for `literal_binds`.

        It does not raise: SQLAlchemy would quote the value in its own error. What cannot be
        sealed is rendered as a call of a function that no database has.
        """
        return rendering(self.bind_processor(dialect), dialect)

    # -- what SQLAlchemy asks of a type

    @property
    def python_type(self) -> type[Any]:
        """The Python type of the values."""
        return self.codec.python_type

    @property
    def hashable(self) -> bool:  # type: ignore[override]
        """Whether the values can be hashed."""
        return self.codec.hashable

    def compare_values(self, x: Any, y: Any) -> bool:
        """
        Whether two values are the same, so that no UPDATE is needed.

        Equal is not enough: Decimal 1.0 equals 1.00, and JSON true equals 1.
        """
        if x is y or self.codec.exact or x is None or y is None:
            return bool(x == y) or x is y
        try:
            return self.codec.encode(x) == self.codec.encode(y)
        except ValueRefusedError:
            return False

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the storage type. The plain BLOB and TEXT of MySQL end at 64 KiB."""
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects import mysql  # noqa: PLC0415 - not for other databases

            if self.settings.is_text:
                return mysql.LONGTEXT(charset="ascii", collation="ascii_bin")
            return mysql.LONGBLOB()
        if dialect.name == "postgresql" and not self.settings.is_text:
            return _BYTEA
        return self.impl_instance

    def with_variant(self, type_: Any, *dialect_names: str) -> Any:
        """
        Return this type with another sealed type for some dialects.

        Raises:
            OptionError: *type_* is not sealed; it would store plaintext there.
        """
        if not isinstance(to_instance(type_), Encrypted):
            raise OptionError(
                f"{type(self).__name__}: a variant for {', '.join(dialect_names)} must be sealed, "
                "too"
            )
        return super().with_variant(type_, *dialect_names)

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        # The stock key leaves out what is not a positional __init__ argument of a public name,
        # such as the context, and is copied with the type: two types that differ only there
        # would share one compiled statement, processors included. This one is made of everything
        # that an instance has, and kept as long as it has the same; it is asked for more than
        # once in each execution.
        cls, state, label = type(self), self.__dict__, self.settings.context or self.binding.label
        has = cls, self.codec, self.settings, label, state.get("tracked")
        known, key = state.get("_cache_key", (None, None))
        if known == has and not self._variant_mapping:
            return key
        variants = tuple(
            (name, variant._static_cache_key) for name, variant in self._variant_mapping.items()
        )
        own = _kind(cls, self.codec, self.settings), label, variants  # type: ignore[arg-type]
        if cls.__module__.startswith(_OURS):
            key = (*own, state.get("tracked"))
            state["_cache_key"] = has, key
            return key
        if not cls.__dict__.get("cache_ok"):
            return self._uncached_key()
        return (*own, *(item for item in sorted(vars(self).items()) if item[0] not in _INTERNAL))

    def _uncached_key(self) -> Any:
        """
        Return a key that only this instance has, after SQLAlchemy's warning if there is one.

        SQLAlchemy's own constant for "do not cache" is not seen in the key of a bound value: there
        it would be a key that all such types share.
        """
        super()._static_cache_key  # noqa: B018 - for its warning
        return type(self), self.label, self.__dict__.setdefault("_cache_token", object())

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the label in place of the references to the column."""
        state = self.__dict__.copy()
        state["binding"] = self.binding.label
        state.pop("comparator_factory", None)
        state.pop("_static_cache_key", None)
        state.pop("_cache_token", None)
        state.pop("_cache_key", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was pickled."""
        self.__dict__.update(state)
        self.binding = Binding(self, state["binding"])

    def option_arguments(self) -> dict[str, Any]:
        """Return the options that are not the default, by name, for `repr`."""
        return self.settings.arguments()

    def inner_arguments(self) -> dict[str, Any]:
        """Return the arguments before the options, by name, for `repr`."""
        return {"inner": self.inner}

    def __repr__(self) -> str:
        """
        Return the call that makes this type. It holds names only, never a key.

        The context is that of the column, spelled out, so that a migration keeps it.
        """
        arguments = {k: v for k, v in self.inner_arguments().items() if v is not None}
        arguments |= self.option_arguments()
        if self.label is not None:
            arguments["context"] = self.label
        rendered = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return f"{type(self).__name__}({rendered})"


class _CastBinary(LargeBinary):
    """
    Bytes whose parameters say so in SQL, as those of texts and dates do.

    A driver that sends None without a type, as psycopg does, leaves PostgreSQL without one in
    `:parameter IS NULL`, which it refuses.
    """

    render_bind_cast = True


_BYTEA = _CastBinary()


class _Kind:
    """What types have in common that differ in their context only: one object for equal ones."""

    __slots__ = ("parts",)

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return repr(self.parts)


# In a cache key this object is hashed and compared by identity; its parts take longer than all the
# rest of the key. If one is dropped here, equal types get another one, and compile once more.
_kind = lru_cache(maxsize=4096)(_Kind)

_OURS = f"{__package__}."
_INTERNAL = {
    *dir(Encrypted),
    "inner",
    "codec",
    "settings",
    "binding",
    "_cache_token",
    "_cache_key",
    "_static_cache_key",
}
"""Attributes that the cache key has already, or that SQLAlchemy keeps on an instance."""

event.listen(Encrypted, "after_parent_attach", attach, propagate=True)
