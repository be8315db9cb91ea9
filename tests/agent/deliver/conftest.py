"""What tests of channels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.deliver.archives import collected, unclosed


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collecting takes 30 ms: only where pynetdicom may leave a socket."""
    yield
    if unclosed.mark in request.node.iter_markers("filterwarnings"):
        collected()
