"""Bytes to validated slices to a growing series with geometry, and when that is complete."""
