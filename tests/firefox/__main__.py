"""``python -m tests.firefox``: an alert shown and acknowledged, slices, and an extent, in Firefox.

It needs Debian's ``firefox-esr`` and, once, ``npm --prefix tests/firefox ci``. Playwright drives a
Firefox of its own alone; this one is driven over WebDriver BiDi, which Firefox speaks by itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.wiring import system_clock
from tests.agent.console.browsing import Console, alive, suspect
from tests.agent.console.stacks import keep_stack
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import finding
from tests.agent.stored import Store

HERE = Path(__file__).parent
KEY = 5


def main() -> int:
    """Serve a suspicion, and have Firefox look at it."""
    firefox, node = shutil.which("firefox-esr") or shutil.which("firefox"), shutil.which("node")
    if not firefox or not node or not (HERE / "node_modules").is_dir():
        print(__doc__)
        return 2
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "bleedwatch.sqlite", system_clock) as store,
    ):
        console = Console(Path(folder), free_port(), store)
        console.start()
        try:
            alive(console)
            suspect(console, findings=(finding(key_slice=KEY, subtype="intraparenchymal"),))
            keep_stack(store)
            looked = subprocess.run([node, HERE / "check.mjs", firefox, console.url], check=False)
        finally:
            console.stop()
    return looked.returncode


if __name__ == "__main__":
    sys.exit(main())
