"""Heads whose truth is known: generated, real, and real with a bleed laid in."""
