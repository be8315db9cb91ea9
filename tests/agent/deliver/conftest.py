"""What tests of channels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.deliver.archives import collected


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    collected()
