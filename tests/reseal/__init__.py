"""Tests of keystores against real files, databases and Vault, and what they share."""
