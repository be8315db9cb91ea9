"""How many faults there are to be, where their counts go, and the small agent that meets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.program import Program


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)
            if config.getoption("--full"):
                item.add_marker(pytest.mark.timeout(0), append=False)


@dataclass(frozen=True)
class Row:
    """One row of the table of faults."""

    full: bool

    def amount(self, full: int, reduced: int) -> int:
        """How many faults there are, with ``--full`` and without."""
        return full if self.full else reduced

    def tell(self, text: str) -> None:
        """Print what was seen: shown with ``-rA`` or ``-s``."""
        print(f"faults: {text}")


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    return Row(request.config.getoption("--full"))


@pytest.fixture
def agent(tmp_path: Path, engines: Path) -> Iterator[Program]:
    with Program(tmp_path / "box", engines) as agent:
        yield agent
