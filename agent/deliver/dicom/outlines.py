"""Grayscale Softcopy Presentation State: each finding's outline, drawn over the source images."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, TypeAlias

import numpy as np
from highdicom import pr
from highdicom.color import CIELabColor
from highdicom.content import ModalityLUTTransformation
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from agent.deliver.dicom.result import MODEL, finished, identification, source_datasets
from agent.deliver.dicom.segmentation import COLOURS_RGB, tracking_uid
from agent.deliver.result import NOT_FOR_DIAGNOSIS, StoredResult, label_of

Point: TypeAlias = tuple[int, int]
"""Column and row of a corner of pixels: (0, 0) is the upper left one of the first."""

BRAIN_WINDOW_HU: Final = (40.0, 80.0)
"""Centre and width. A presentation state without a window shows images without one."""

SIDES: Final[dict[Point, tuple[Point, Point]]] = {
    (0, -1): ((0, 0), (1, 0)),
    (1, 0): ((1, 0), (1, 1)),
    (0, 1): ((1, 1), (0, 1)),
    (-1, 0): ((0, 1), (0, 0)),
}
"""Where the neighbour on a pixel's side lies, and from which of its corners to which that side
leads: clockwise about the pixel."""


def outlines(result: StoredResult) -> Dataset | None:
    """Make the presentation state; None where nothing is outlined.

    Nor is one made where images turn what is stored into HU each in its own way, or it is not
    known how: one presentation state says it for all.
    """
    rescale = result.images.rescale
    if rescale is None or result.numbers is None or not result.numbers.any():
        return None
    shown = np.flatnonzero(result.numbers.any(axis=(1, 2))).tolist()
    slope, intercept = rescale
    centre_hu, width_hu = BRAIN_WINDOW_HU
    layers = [_layer(result, number) for number in range(1, len(result.report.findings) + 1)]
    made = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=source_datasets(result, shown),
        **identification(result, "outlines"),
        manufacturer_model_name=MODEL,
        software_versions=version("bleedwatch"),
        device_serial_number="none",
        content_label="BLEEDS",
        content_description=f"Suspected hemorrhage, {NOT_FOR_DIAGNOSIS}",
        graphic_layers=layers,
        graphic_annotations=[one for k in shown for one in _annotations(result, k, layers)],
        modality_lut_transformation=ModalityLUTTransformation(
            rescale_intercept=intercept, rescale_slope=slope, rescale_type="HU"
        ),
        voi_lut_transformations=[
            pr.SoftcopyVOILUTTransformation(window_center=centre_hu, window_width=width_hu)
        ],
    )
    made.PresentationCreationDate = result.at.strftime("%Y%m%d")
    made.PresentationCreationTime = result.at.strftime("%H%M%S")
    made.BodyPartExamined = "HEAD"
    finished(made, result, "Bleedwatch outlines")
    del made.ContentDate, made.ContentTime  # a presentation state has its own two
    return made


def _layer(result: StoredResult, number: int) -> pr.GraphicLayer:
    finding = result.report.findings[number - 1]
    return pr.GraphicLayer(
        layer_name=f"FINDING{number}",
        order=number,
        description=label_of(finding)[:64],
        display_color=CIELabColor.from_rgb(*COLOURS_RGB[finding.subtype]),
    )


def _annotations(
    result: StoredResult, k: int, layers: list[pr.GraphicLayer]
) -> Iterator[pr.GraphicAnnotation]:
    """Outline the findings that a slice shows, each with its name."""
    image = result.images.images[k]
    for number, layer in enumerate(layers, 1):
        loops = loops_of(result.numbers[k] == number) if result.numbers is not None else []
        if not loops:
            continue
        uid = tracking_uid(result, number)
        column, row = max(loops[0].tolist())
        name = label_of(result.report.findings[number - 1])
        yield pr.GraphicAnnotation(
            referenced_images=source_datasets(result, [k]),
            referenced_frame_number=image.frame,
            graphic_layer=layer,
            graphic_objects=[
                pr.GraphicObject(
                    "POLYLINE",
                    loop.astype(float),
                    "PIXEL",
                    tracking_id=f"Finding {number}",
                    tracking_uid=uid,
                )
                for loop in loops
            ],
            text_objects=[
                pr.TextObject(
                    f"{number} {name}: {NOT_FOR_DIAGNOSIS}", "PIXEL", anchor_point=(column, row)
                )
            ],
        )


def loops_of(inside: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the outlines of what is inside (row, column), and of holes, along its pixels' edges.

    Each is closed: corners (n, 2) of column and row, the first again at the end. Areas that touch
    by a corner alone may be one outline, which then passes it twice.
    """
    n_rows, n_columns = inside.shape
    padded = np.pad(inside, 1)
    ahead: dict[Point, list[Point]] = {}
    for (di, dj), ((i_from, j_from), (i_to, j_to)) in SIDES.items():
        beside = padded[1 + dj : 1 + dj + n_rows, 1 + di : 1 + di + n_columns]
        for j, i in np.argwhere(inside & ~beside).tolist():
            ahead.setdefault((i + i_from, j + j_from), []).append((i + i_to, j + j_to))
    loops = []
    while ahead:
        loop = [next(iter(ahead))]
        while len(loop) == 1 or loop[-1] != loop[0]:
            ends = ahead[loop[-1]]
            end = ends.pop()
            if not ends:
                del ahead[loop[-1]]
            loop.append(end)
        loops.append(_corners(np.array(loop)))
    return loops


def _corners(loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out of a closed outline the points on its straight parts."""
    points, steps = loop[:-1], np.diff(loop, axis=0)
    turns = (steps != np.roll(steps, 1, axis=0)).any(axis=1)
    corners = points[turns]
    return np.concatenate([corners, corners[:1]])
