"""The key slice as a picture: brain window, the bleed outlined."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

WINDOW_HU: Final = 0.0, 80.0
"""Brain window: level 40, width 80 [HU]."""

HEIGHT_PX: Final = 640

OUTLINE_RGB: Final = 255, 196, 0
"""Amber: stands out from grey for the colour-blind too."""

LETTER_PX: Final = 28


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
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    width_px = round(HEIGHT_PX * hu.shape[1] * spacing_mm[1] / (hu.shape[0] * spacing_mm[0]))
    size = (width_px, HEIGHT_PX)
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    inside = np.asarray(Image.fromarray(bleed).resize(size)) > 0
    outside = ndimage.binary_dilation(inside, iterations=4)
    pixels = np.array(picture)
    pixels[outside & ~ndimage.binary_dilation(inside)] = OUTLINE_RGB
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for letter, x_px in (("R", LETTER_PX // 2), ("L", width_px - LETTER_PX)):
        draw.text((x_px, HEIGHT_PX // 2), letter, fill=(200, 200, 200), font_size=LETTER_PX)
    encoded = BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()
