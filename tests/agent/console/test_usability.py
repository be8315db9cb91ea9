"""Each task of whoever sits at the page is done as `.docs/console.md` counts it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser

from tests.agent.console.browsing import IN_A_BROWSER
from tests.agent.console.usability import done

pytestmark = IN_A_BROWSER

DOCS = Path(__file__).parents[3] / ".docs" / "console.md"
ROW = re.compile(
    r"^\| (?P<task>[^|]+) \| [^|]+ \| (?P<clicks>\d+) \| (?P<typed>\d+) \|", re.MULTILINE
)


def test_each_task_takes_the_clicks_that_the_documentation_counts(browser: Browser) -> None:
    counted = {name: (hand.clicks, hand.typed) for name, hand, _ in done(browser)}

    documented = {
        row["task"]: (int(row["clicks"]), int(row["typed"]))
        for row in ROW.finditer(DOCS.read_text())
    }
    assert counted == documented
