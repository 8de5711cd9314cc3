"""Pictures as a page shows them."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHOWN_SIDE = 112
"""Smallest side in pixels at which images are shown; 28-pixel images are enlarged without blur."""

PER_PAGE = 24
"""Pictures of a gallery that are on the page together."""


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarges a small image (H, W, C) uint8 in whole-number blocks, without blur."""
    factor = max(1, SHOWN_SIDE // image.shape[0])
    shown = np.repeat(np.repeat(np.asarray(image), factor, axis=0), factor, axis=1)
    return shown[..., 0] if shown.shape[-1] == 1 else shown


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes (H, W, 1 or 3) uint8 as a PNG file, quick rather than small."""
    file = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes (H, W, 1 or 3) uint8 as a JPEG file: a tenth of a photograph's PNG, and quicker."""
    file = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()


def png_url(pixels: NDArray[np.uint8]) -> str:
    """Encodes (H, W, 1 or 3) uint8 as a data: URL.

    It comes with the page's own message, so it can be shown however often the page runs: the server
    forgets a picture of its own once a later run of the page does without it.
    """
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def jpeg_url(pixels: NDArray[np.uint8]) -> str:
    """As `png_url`, for photographs: a tenth of the size."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels)).decode()
