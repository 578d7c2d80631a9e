"""
Alembic operations for sealed columns.

Alembic finds them by itself when this package is installed: `alembic_ext.plugin` is published
as a plugin of Alembic. There are

    op.create_sealed_keys_table()       the table of a DatabaseKeystore
    op.drop_sealed_keys_table()

The operations that encrypt, rotate and decrypt columns in migrations will live here, too. Until
then, sealed types render in migrations as plain column types, with their context spelled out.
"""

from __future__ import annotations

__all__: list[str] = []
