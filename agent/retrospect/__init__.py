"""An archive read after the fact: every series of it once, one row each, by one bundle or two."""
