"""Sealed types by each driver, and what it stores as a connection of its own sees it."""
