"""One BLAS thread, as the agent has it: more of them fight with everything else that runs."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is first imported
