"""A second reader of the stored format, written from its specification alone."""

from __future__ import annotations
