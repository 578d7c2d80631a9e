"""What a stored value has to be, as seen past the types."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from drivers.places import Place
from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.envelope import Envelope, from_text, parse


def envelope_of(stored: Any, column: sa.Column[Any], place: Place) -> Envelope:
    """
    Return the envelope that a driver gave, if it is one in the column's storage form.

    Raises:
        NotAnEnvelopeError: it is something else.
        AssertionError: it is of another storage form.
    """
    settings = column.type.settings
    assert type(stored) is (str if settings.is_text else place.driver.gives), column
    envelope = parse(from_text(stored) if settings.is_text else bytes(stored))
    assert len(envelope.slots) == settings.slots
    return envelope


def assert_sealed(
    stored: Any, column: sa.Column[Any], value: Any, sealer: Sealer, place: Place
) -> None:
    """Check that a stored value is the envelope of a value, for its own column, under our key."""
    if value is None:
        assert stored is None
        return
    plaintext = column.type.codec.encode(value)
    data = bytes(envelope := envelope_of(stored, column, place))
    assert envelope.key_id == sealer.keyset.primary.key_id
    assert sealer.open(data, f"{column.table.name}.{column.name}") == plaintext
    assert len(plaintext) < 8 or plaintext not in data
    assert b"canary" not in data
