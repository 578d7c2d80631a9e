"""What is bound for a search on MySQL and MariaDB: each value under either index key."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer
from sqlalchemy_sealed.envelope import from_text
from sqlalchemy_sealed.errors import ValueRefusedError


def bound(values: Any, storage: str = "binary") -> list[Any]:
    """Return the slots that the driver gets for a search among some values."""
    column = sa.Column("email", EncryptedString(index=BlindIndex(), storage=storage))
    table = sa.Table("people", sa.MetaData(), column)
    return sent(table.select().where(column.in_(sa.bindparam("who"))), {"who": values})


def sent(statement: Any, parameters: dict[str, Any] | None = None) -> list[Any]:
    """Return the slots that the driver gets for a statement."""
    compiled = statement.compile(dialect=mysql.dialect())
    expanded = compiled.construct_expanded_state(parameters)
    processors = {**compiled._bind_processors, **expanded.processors}
    is_list, *slots = [processors[name](expanded.parameters[name]) for name in expanded.positiontup]
    assert is_list == "1"
    return slots


def test_with_one_index_key_both_are_the_same(sealer: Sealer) -> None:
    """Outside of a rotation each value has one slot, bound twice."""
    slots = bound(["ada", "bob"])
    assert slots[:2] == slots[2:]
    assert len(set(slots)) == 2
    assert {len(slot) for slot in slots} == {15}


def test_during_a_rotation_both_index_keys_are_searched(sealer: Sealer) -> None:
    """Each value is bound under the old key and under the new one."""
    (old, _) = bound(["ada"])
    sealer.rotate(index=True)
    both = bound(["ada"])
    assert old in both
    assert len(set(both)) == 2
    assert both == sorted(both)


def test_the_text_form(sealer: Sealer) -> None:
    """A column of text storage is searched by 20 characters."""
    sealer.rotate(index=True)
    slots = bound(["ada", "bob"], storage="text")
    assert len(set(slots)) == 4
    assert {len(from_text(slot)) for slot in slots} == {15}


def test_null_is_bound_as_null(sealer: Sealer) -> None:
    """None among the values stays NULL, whatever the index keys are."""
    assert bound([None]) == [None, None]


def test_values_that_a_loader_option_puts_in(sealer: Sealer) -> None:
    """The ORM keeps the SQL of a criterion, and puts other values in: those are searched."""
    column = sa.Column("email", EncryptedString(index=BlindIndex()))
    table = sa.Table("people", sa.MetaData(), column)
    kept, wanted = column.in_(["ada", "bob"]), column.in_(["cy"])
    key: Any = wanted._generate_cache_key()
    put_in = key._apply_params_to_element(kept._generate_cache_key(), kept)
    assert sent(table.select().where(put_in)) == sent(table.select().where(wanted))


@pytest.mark.parametrize("values", ["ada", b"ada", iter(["ada"])])
def test_what_is_not_a_list_is_refused(sealer: Sealer, values: Any) -> None:
    """A text is not taken for a list of letters, and nothing that can be gone through once only."""
    with pytest.raises(ValueRefusedError, match=r"people\.email: expects a list of values"):
        bound(values)


def test_a_value_of_another_type_is_refused(sealer: Sealer) -> None:
    """The error names the column, and not the value."""
    with pytest.raises(ValueRefusedError, match=r"people\.email: ") as refused:
        bound([815])
    assert "815" not in str(refused.value)
