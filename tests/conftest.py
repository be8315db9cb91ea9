"""One BLAS thread, as the agent has it: more of them fight with everything else that runs."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

threadpool_limits(limits=1, user_api="blas")
