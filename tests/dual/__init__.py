"""Tests of columns that hold plaintext and envelopes side by side."""
