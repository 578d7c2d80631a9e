"""
Alembic operations for sealed columns.

The operations that encrypt, rotate and decrypt columns in migrations will live here. Until
then, sealed types render in migrations as plain column types, with their context spelled out.
"""

from __future__ import annotations

__all__: list[str] = []
