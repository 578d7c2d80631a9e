"""Tests of match indexes on databases, and what they share."""
