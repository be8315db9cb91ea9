"""``python -m agent`` is ``bleedwatch``."""

from agent.cli import program

program()
