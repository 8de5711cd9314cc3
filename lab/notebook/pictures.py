"""Pictures as Python has them: a path, the bytes of a file, a PIL image, an array."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.data.decode import read_picture
from lab.errors import DataError

AnyPicture: TypeAlias = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, the bytes of a picture file, an image, or an array (H, W) or (H, W, C) uint8."""


def named_bytes(picture: AnyPicture, name: str = "The picture") -> tuple[str, bytes]:
    """Returns a picture's name and its bytes as a file. Raises LabError."""
    if isinstance(picture, str | os.PathLike):
        return str(picture), read_picture(picture)
    if isinstance(picture, bytes):
        return name, picture
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
            raise DataError(
                f"{name} is an array {picture.shape} of {picture.dtype}; a picture is (H, W) or "
                "(H, W, C) of uint8."
            )
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    file = io.BytesIO()
    picture.save(file, "PNG")  # nothing is lost, and it goes the way of every other picture
    return name, file.getvalue()
