"""All tests; what is set here holds before anything of ours is imported."""

import os
import sys

# Images of containers often forbid compiled files: each process of a run would compile all again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
