"""Constraints of a table that a run would meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ..types.declaration import short_name
from .moves import Kind
from .places import Finding, Place


def check_constraints(place: Place) -> Iterator[Finding]:
    """Find CHECK constraints that would refuse what is written."""
    written = place.column.name
    own = short_name(place.column.table, written, "sealed")
    for each in _checks(place):
        name, text = each.get("name") or "without a name", str(each["sqltext"])
        is_own = own in str(name) or "b1e6a5" in text.lower() or "'seal'" in text
        if written not in text:
            continue
        if place.kind is Kind.DECRYPT and is_own:
            yield place.found(
                f"the CHECK constraint {name} lets nothing in but envelopes; drop it first"
            )
        elif place.kind is Kind.ENCRYPT and place.is_in_place and not is_own:
            yield place.found(
                f"the CHECK constraint {name} is about plaintext, and envelopes may not meet it; "
                "drop it first"
            )
        elif place.kind is Kind.ENCRYPT and place.is_in_place:
            yield place.found(
                f"the CHECK constraint {name} is there, so there can be no plaintext that was "
                "written since",
                is_warning=True,
            )


def _checks(place: Place) -> Sequence[Any]:
    try:
        return place.inspector.get_check_constraints(place.column.table, schema=place.column.schema)
    except (NotImplementedError, SQLAlchemyError):
        return []


def unique_constraints(place: Place) -> Iterator[Finding]:
    """Find what holds the plaintext unique, and would not hold envelopes so."""
    source = place.other or place.column.name
    table, schema = place.column.table, place.column.schema
    named: list[tuple[str, Sequence[str | None]]] = [
        (f"the unique constraint {each['name'] or ''}".strip(), each["column_names"])
        for each in place.inspector.get_unique_constraints(table, schema=schema)
    ]
    known = {tuple(columns) for _, columns in named}
    named += [
        (f"the unique index {each['name']}", each["column_names"])
        for each in place.inspector.get_indexes(table, schema=schema)
        if each["unique"] and tuple(each["column_names"]) not in known
    ]
    named += [
        (f"the foreign key {each['name'] or ''}".strip(), each["constrained_columns"])
        for each in place.inspector.get_foreign_keys(table, schema=schema)
    ]
    remedy = "declare index=BlindIndex(unique=True) to keep the sealed values unique"
    for name, columns in named:
        if source not in columns:
            continue
        if place.is_in_place:
            yield place.found(
                f"{name} is over it and compares envelopes, of which no two are equal; drop it, "
                f"and {remedy}"
            )
        elif not any(index.unique for index in place.type.settings.index):
            yield place.found(
                f"{name} is over {source!r}, and nothing like it over the sealed column; {remedy}",
                is_warning=True,
            )
