"""``python -m agent`` is ``bleedwatch``."""

from agent.cli import main

main()
