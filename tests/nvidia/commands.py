"""Run commands one after another, each a process that ends as a command of the program does.

Forked from one that has imported the program already, and with all that an interpreter does at its
end: that is where pycuda aborts. Reads [{"words": …, "environment": …}, …] from its input, and
prints [{"code": …, "said": …}, …]; a negative code is a signal's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

import build_engine.compile.build
import build_engine.compile.verify  # noqa: F401 - imported once for all
from agent.cli import main


def told(order: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.environ.update(order["environment"])
            for descriptor in (1, 2):
                os.dup2(said.fileno(), descriptor)
            sys.argv = ["bleedwatch", *order["words"]]
            main()
            sys.exit()
        _, status = os.waitpid(child, 0)
        said.seek(0)
        text = said.read().decode()
    return {"code": os.waitstatus_to_exitcode(status), "said": text}


if __name__ == "__main__":
    orders = json.load(sys.stdin)
    answers = [told(order) for order in orders]
    json.dump(answers, sys.stdout)
