"""
Blind indexes: what is searched instead of a sealed value.

A blind index value is a keyed hash of the normalised value, 15 bytes of HMAC-SHA256 (RFC 2104),
and stands in a slot of the envelope. Equal values have equal slots: that is what a query finds,
and what an attacker with the database sees. `docs/explanation/leakage.md`.

Each index has a key of its own, derived from the index key of the keyset, the index's context
and its name, so equal values in two columns do not show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .aead import Mac, derive
from .codecs import Codec, TextCodec
from .context import PART, is_part, pack
from .envelope import SLOT_SIZE
from .errors import OptionError, ValueRefusedError
from .given import call, given
from .normalizers import check_names, normalized

_INFO_INDEX = b"sqlalchemy-sealed v1 index\x00"
DEFAULT_NAME = "equal"
SLOT_BITS = 8 * SLOT_SIZE

FEWEST_VALUES = 16
"""With fewer different values than this, an index needs `few_values=True`."""

_TEXT = TextCodec()


@dataclass(frozen=True, slots=True)
class BlindIndex:
    """
    An index over a sealed column, declared with the column.

    The index values stand in the rows. So rows have to be resealed after an index was added,
    removed or renamed, after their order was changed, and after `normalize`, `context`, `bits`,
    `unique` or `bridge` was. Until then, they are not found.

    Args:
        name: tells the indexes of one column apart. It is part of the key derivation.
        normalize: names of normalizers, applied in this order to the value and to what is
            searched: "nfc", "casefold", "digits", "strip", "last4", "first_letter",
            "email_domain", or one of your own (`register_normalizer`). For texts only.
        context: indexes of equal context and name have equal values for equal plaintexts, so
            their columns can be joined. By default the context of the column.
        bits: how much of the 120 bits of a slot is kept, 1 to 120. With fewer bits several
            values share one index value, which hides how often each is there; such a column is
            searched with `execute_exact`, which drops the false matches.
        unique: the index is unique, and stays so while the index key is rotated. Takes two
            slots, and makes two unique indexes with the table. An upsert names the first one;
            during a rotation, it raises IntegrityError where it meets a row under the old key,
            and `on_conflict_do_nothing()` without a target does nothing.
        bridge: take the second slot only, for unique indexes that are declared over
            `blind_index()` and other columns. Each of them brings a second one, so that it holds
            while the index key is rotated, as with *unique*, which implies this.
        few_values: accept that a column with few different values, such as a truth value, is
            all but readable through its index.

    Raises:
        OptionError: an argument that it cannot have.
    """

    name: str = DEFAULT_NAME
    normalize: str | tuple[str, ...] = ()
    context: str | None = None
    bits: int = SLOT_BITS
    unique: bool = False
    few_values: bool = False
    bridge: bool = False

    def __post_init__(self) -> None:
        """Refuse what it cannot be."""
        names: Any = (self.normalize,) if isinstance(self.normalize, str) else self.normalize
        if not isinstance(names, list | tuple):
            raise OptionError("normalize must be the name of a normalizer, or several in a tuple")
        check_names(names)
        object.__setattr__(self, "normalize", tuple(names))
        if not is_part(self.name):
            raise OptionError(f"the name of a blind index must be {PART}")
        if self.context is not None and not is_part(self.context):
            raise OptionError(f"the context of a blind index must be {PART}")
        if type(self.bits) is not int or not 1 <= self.bits <= SLOT_BITS:
            raise OptionError(f"bits must be a whole number from 1 to {SLOT_BITS}")
        for option in ("unique", "few_values", "bridge"):
            if not isinstance(getattr(self, option), bool):
                raise OptionError(f"{option} must be True or False")
        if self.has_bridge and self.is_truncated:
            raise OptionError(
                "an index of fewer bits cannot be unique: different values share an index value"
            )

    @property
    def is_truncated(self) -> bool:
        """Whether different values may share an index value on purpose."""
        return self.bits < SLOT_BITS

    @property
    def has_bridge(self) -> bool:
        """Whether it has a second slot, which bridges a rotation of the index key."""
        return self.unique or self.bridge

    @property
    def slots(self) -> int:
        """How many slots this index takes."""
        return 2 if self.has_bridge else 1

    def __repr__(self) -> str:
        """Return the call that makes this index."""
        arguments = given(self)
        if len(self.normalize) == 1:
            arguments["normalize"] = self.normalize[0]
        return call("BlindIndex", arguments)

    def normalized(self, codec: Codec[Any], value: Any) -> bytes:
        """
        Return the bytes that are hashed.

        Raises:
            ValueRefusedError: not a value of the column's type.
        """
        if not self.normalize:
            return codec.index_bytes(value)
        if not isinstance(value, str):
            raise ValueRefusedError(f"expects str, got {type(value).__name__}")
        return _TEXT.index_bytes(normalized(self.normalize, value))

    def preparing(self, codec: Codec[Any]) -> Callable[[Any], bytes]:
        """Return `normalized` for one codec, as short as it can be."""
        return partial(self.normalized, codec) if self.normalize else codec.index_bytes

    def form(self, codec: Codec[Any]) -> tuple[object, ...]:
        """Return what two indexes must share besides key, context and name to be compared."""
        return self.normalize, _TEXT.index_form if self.normalize else codec.index_form

    def hashing(self, label: str, material: bytes) -> Callable[[bytes], bytes]:
        """
        Return the function from normalised bytes to a slot.

        Args:
            label: the context label of the column.
            material: the index key, 32 bytes.
        """
        digest = self.digesting(label, material)
        if not self.is_truncated:
            return lambda data: digest(data)[:SLOT_SIZE]
        kept = ((1 << self.bits) - 1) << (SLOT_BITS - self.bits)

        def truncated(data: bytes) -> bytes:
            number = int.from_bytes(digest(data)[:SLOT_SIZE], "big") & kept
            return number.to_bytes(SLOT_SIZE, "big")

        return truncated

    def digesting(self, label: str, material: bytes) -> Callable[[bytes], bytes]:
        """Return the function from normalised bytes to all 32 bytes of their hash."""
        bound = pack((self.context or label, self.name))
        return Mac(derive(material, _INFO_INDEX + bound)).digest


def check_indexes(type_name: str, indexes: tuple[BlindIndex, ...], codec: Codec[Any]) -> None:
    """
    Check the blind indexes of a column.

    Raises:
        OptionError: the values of this column cannot be indexed so.
    """
    if not indexes:
        return
    if not codec.hashable:
        raise OptionError(
            f"{type_name}: a document has no blind index; keep the part that is searched in a "
            "column of its own"
        )
    if any(index.normalize for index in indexes) and codec.python_type is not str:
        raise OptionError(f"{type_name}: only texts can be normalised for a blind index")
    population = codec.population
    if population is None or population >= FEWEST_VALUES:
        return
    if not all(index.few_values for index in indexes):
        raise OptionError(
            f"{type_name}: a blind index over {population} different values gives them away; who "
            "sees how often each is there can tell which is which. If that is accepted, say "
            "BlindIndex(few_values=True)"
        )


def search_function(
    index: BlindIndex, codec: Codec[Any], label: str, material: bytes
) -> Callable[[Any], bytes]:
    """Return the function from a searched value to its slot under one index key."""
    prepare = index.preparing(codec)
    if index.is_truncated:
        slot = index.hashing(label, material)
        return lambda value: slot(prepare(value))
    digest = index.digesting(label, material)
    return lambda value: digest(prepare(value))[:SLOT_SIZE]


def slots_function(
    indexes: tuple[BlindIndex, ...], codec: Codec[Any], label: str, current: bytes, bridge: bytes
) -> Callable[[Any], bytes]:
    """
    Return the function that makes all slots of a value, one after the other.

    Args:
        indexes: those of the column.
        codec: that of the column.
        label: the context label of the column.
        current: the index key.
        bridge: the index key for second slots: the other key while the index key is rotated,
            else the same.
    """
    if len(indexes) == 1 and not indexes[0].has_bridge:
        return search_function(indexes[0], codec, label, current)
    # Outside of a rotation both slots of a unique index are the same: one hash is enough.
    keys = (current,) if bridge is current else (current, bridge)
    parts = []
    for index in indexes:
        functions = [index.hashing(label, key) for key in keys[: index.slots]]
        parts.append((index.preparing(codec), functions, index.slots // len(functions)))

    def slots(value: Any) -> bytes:
        made = b""
        for prepare, functions, times in parts:
            data = prepare(value)
            for slot in functions:
                made += slot(data) * times
        return made

    return slots
