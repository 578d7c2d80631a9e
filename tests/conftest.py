"""Fixtures live in plug-ins, one subject each."""

from __future__ import annotations

pytest_plugins = ["fix_keys", "fix_db", "fix_providers", "fix_vault", "fix_runbook"]
