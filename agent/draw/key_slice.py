"""The key slice as a picture: brain window, the bleed outlined."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from agent.packing import OUTLINE_RGB, outline_of

WINDOW_HU: Final = 0.0, 80.0
"""Brain window: level 40, width 80 [HU]."""

HEIGHT_PX: Final = 640

LETTER_PX: Final = 28

LETTER_GREY: Final = 200

COMPRESS_LEVEL: Final = 4

BRIGHTEST, OUTLINE = 254, 255
"""The last grey value, and the palette's entry after it."""

PALETTE: Final = (*(grey for grey in range(OUTLINE) for _ in range(3)), *OUTLINE_RGB)


def render_key_slice(
    hu: NDArray[np.int16], bleed: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> bytes:
    """Draw one slice as PNG in radiological convention: the patient's right on the left.

    Parameters
    ----------
    hu, bleed : (row, column)
        Columns run to the patient's left, so no flip is needed.
    spacing_mm : (float, float)
        Between rows and between columns.
    """
    width_px = round(HEIGHT_PX * hu.shape[1] * spacing_mm[1] / (hu.shape[0] * spacing_mm[0]))
    size = (width_px, HEIGHT_PX)
    picture = Image.fromarray(brain_grey(hu)).resize(size, Image.Resampling.BICUBIC)
    inside = np.asarray(Image.fromarray(bleed).resize(size)) > 0
    return outlined_png(np.asarray(picture), inside, ("R", "L"))


def brain_grey(hu: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn HU into grey values by the brain window."""
    low, high = WINDOW_HU
    return np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def outlined_png(
    grey: NDArray[np.uint8], inside: NDArray[np.bool_], sides: tuple[str, str]
) -> bytes:
    """Draw grey values (row, column) as PNG; ``inside`` is outlined, never covered.

    ``sides`` are the letters at the left and the right edge. In a palette, which is a third of the
    bytes, and of the time: an alert waits for it.
    """
    pixels = np.minimum(grey, BRIGHTEST)
    pixels[outline_of(inside, 1, 4)] = OUTLINE
    picture = Image.fromarray(pixels)
    picture.putpalette(PALETTE)
    draw = ImageDraw.Draw(picture)
    for letter, x_px in zip(sides, (LETTER_PX // 2, picture.width - LETTER_PX), strict=True):
        draw.text((x_px, picture.height // 2), letter, fill=LETTER_GREY, font_size=LETTER_PX)
    encoded = BytesIO()
    picture.save(encoded, "PNG", compress_level=COMPRESS_LEVEL)
    return encoded.getvalue()
