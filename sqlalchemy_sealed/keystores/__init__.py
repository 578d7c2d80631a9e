"""Keystores: where wrapped data keys lie. One small file each, all of one shape."""
