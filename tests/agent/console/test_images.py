"""agent.console.images over HTTP: a result's views, and its slices in HU."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import jpeg_ls
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.records import Instant
from agent.voxels import HeadVolume
from agent.wiring import system_clock
from tests import heads
from tests.agent.console.made import context_of
from tests.agent.console.stacks import (
    BLEED,
    FIELD_MM,
    MAPS,
    OUTLINED,
    SIZE,
    keep,
    keep_stack,
)
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store
from tests.packed import unpacked
from tests.schema import check

RESULT = "/api/series/1.2.3.4/1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        receive(opened, system_clock)
        views = {"axial": b"\x89PNG a", "coronal": b"\x89PNG c", "sagittal": b"\x89PNG s"}
        add_result(opened, report(), views)
        yield opened


@pytest.fixture
def client(store: Store) -> TestClient:
    return TestClient(create_app(context_of(store)), base_url="http://localhost")


def pixels(png: bytes, mode: str = "L") -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert(mode))


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_each_view_is_served(client: TestClient, view: str) -> None:
    answer = client.get(f"{RESULT}/views/{view}.png")

    assert answer.content == b"\x89PNG " + view[:1].encode()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"


def test_a_slice_is_served_in_hu_bit_by_bit(client: TestClient, store: Store) -> None:
    hu = np.random.default_rng(1).integers(-(2**15), 2**15, (2, 40, 30)).astype(np.int16)
    grid = heads.axial_grid(np.array([0.0, 5.0]), rows=40, columns=30)
    keep(store, HeadVolume(hu, grid, ("", ""), ()), np.zeros(hu.shape, np.uint8))

    for k in (0, 1):
        answer = client.get(f"{RESULT}/slices/{k}.hu")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert (unpacked(answer.content) == hu[k].ravel()).all()


def test_a_slice_that_was_kept_as_jpeg_ls_is_served_like_others(
    client: TestClient, store: Store
) -> None:
    keep_stack(store)
    hu = np.random.default_rng(1).integers(-1024, 3071, (64, 64))
    former = jpeg_ls.encode_buffer((hu + 2**15).astype("<u2").tobytes(), 64, 64, 1, 16)

    store.sql("UPDATE slices SET hu = ?", bytes(former))

    assert (unpacked(client.get(f"{RESULT}/slices/0.hu").content) == hu.ravel()).all()


def test_the_stack_is_described(client: TestClient, store: Store) -> None:
    keep_stack(store)

    described = client.get(f"{RESULT}/slices").json()

    check("GET /api/series/{uid}/{revision}/slices", described)
    assert described == {
        "kept": "whole",
        "n": 12,
        "rows": SIZE,
        "columns": SIZE,
        "spacing_mm": [1.8, 1.8],
        "heights_mm": [5.0 * k for k in range(12)],
        "outlined": list(OUTLINED),
        "voxels_ml": [0.0162] * 12,
        "field_mm": FIELD_MM,
        "vertex_mm": None,
        "mapped": [None, None, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10],
    }


def test_an_outline_is_served_where_there_is_one(client: TestClient, store: Store) -> None:
    keep_stack(store)

    answers = [client.get(f"{RESULT}/slices/{k}/outline.png") for k in range(12)]

    assert [k for k, answer in enumerate(answers) if answer.status_code == 200] == list(OUTLINED)
    opaque = pixels(answers[OUTLINED[0]].content, "RGBA")[..., 3] > 0
    assert opaque.any()
    assert not opaque[BLEED].any()


def test_probabilities_are_served_with_the_first_slice_of_each_slab_that_was_seen(
    client: TestClient, store: Store
) -> None:
    keep_stack(store)

    answers = [client.get(f"{RESULT}/slices/{k}/probabilities") for k in range(12)]

    with_maps = [k for k, answer in enumerate(answers) if answer.status_code == 200]
    assert with_maps == [2, 4, 6, 8, 10]
    assert zlib.decompress(answers[4].content) == MAPS.tobytes()


def test_each_revision_has_its_own_slices(client: TestClient, store: Store) -> None:
    add_result(store, report(revision=2), {"axial": b"\x89PNG 2"})
    keep_stack(store, revision=2)

    second = RESULT.removesuffix("1") + "2"
    assert client.get(f"{second}/views/axial.png").content == b"\x89PNG 2"
    assert client.get(f"{second}/slices").json()["kept"] == "whole"
    assert client.get(f"{RESULT}/slices").json()["kept"] == "coming"
    assert client.get(f"{RESULT}/slices/0.hu").status_code == 404


def test_slices_that_do_not_come_any_more_are_not_kept(store: Store) -> None:
    def minutes_later() -> Instant:
        now = system_clock()
        return Instant(now.utc + timedelta(minutes=2), now.monotonic_s + 120)

    later = TestClient(
        create_app(context_of(store, clock=minutes_later)), base_url="http://localhost"
    )

    described = later.get(f"{RESULT}/slices").json()

    check("GET /api/series/{uid}/{revision}/slices", described)
    assert described == {"kept": "no"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{RESULT}/slices/99.hu", 404),
        (f"{RESULT}/slices/{10**30}.hu", 404),
        (f"{RESULT}/slices/-1.hu", 404),
        (f"{RESULT}/slices/0/outline.png", 404),
        (f"{RESULT}/views/oblique.png", 404),
        (f"{RESULT}/views/..%2Faxial.png", 404),
        ("/api/series/9.9/1/slices", 404),
        ("/api/series/9.9/1/views/axial.png", 404),
        (f"/api/series/1.2.3.4/{10**20}/slices/0.hu", 404),
        (f"{RESULT}/key-slice.png", 404),
    ],
    ids=[
        "beyond-the-last",
        "huge-number",
        "negative",
        "no-outline",
        "unknown-view",
        "path-in-a-view",
        "unknown-series",
        "picture-of-an-unknown-series",
        "huge-revision",
        "former-address",
    ],
)
def test_what_there_is_not(client: TestClient, store: Store, path: str, status: int) -> None:
    keep_stack(store)

    assert client.get(path).status_code == status
