"""Bleedwatch's agent: CT series in, hemorrhage alerts out."""
