"""Pictures of a data set, over HTTP: several in one file, as a map of the set draws them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.responses import Response

from lab.api.endpoint import Answer, Call, Endpoint, Example, Parameter
from lab.data import catalog
from lab.errors import ConfigError, NotFoundError

MOST_PICTURES = 64
"""In one file."""
COLUMNS = 8
MOST_SIDE = 256
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
"""The pixels under one hash never change."""


def read_pictures(call: Call) -> Any:
    rows = _rows(call["rows"])
    pack = catalog.open_pack(call["dataset"])
    if call["images"] not in ("", pack.meta.images_hash):
        raise NotFoundError(
            f"The data set {call['dataset']!r} was replaced by other pictures; open the page again."
        )
    if max(rows) >= len(pack):
        raise NotFoundError(
            f"The data set {call['dataset']!r} has no picture {max(rows):,}; they are numbered 0 "
            f"to {len(pack) - 1:,}."
        )
    side = max(1, call["side"])
    lines = -(-len(rows) // COLUMNS)
    across = min(COLUMNS, len(rows))
    sheet = Image.new("L" if pack.meta.channels == 1 else "RGB", (across * side, lines * side))
    for place, pixels in enumerate(pack.take(np.array(rows, dtype=np.int64))):
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        smaller = side < pack.meta.image_size
        way = Image.Resampling.BILINEAR if smaller else Image.Resampling.NEAREST
        corner = (place % COLUMNS * side, place // COLUMNS * side)
        sheet.paste(picture.resize((side, side), way), corner)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85, subsampling=0)
    headers = KEPT if call["images"] else {"Cache-Control": "no-cache"}
    return Response(file.getvalue(), media_type="image/jpeg", headers=headers)


def _rows(text: str) -> list[int]:
    parts = text.split(",")
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 10]
    if len(numbers) != len(parts) or not 0 < len(parts) <= MOST_PICTURES:
        raise ConfigError(
            f"rows is {text!r:.80}; allowed are 1 to {MOST_PICTURES} whole numbers with commas "
            "between them."
        )
    return numbers


ENDPOINTS = (
    Endpoint(
        "GET",
        "/datasets/{dataset}/pictures",
        "Read pictures of a data set",
        f"As squares side by side in one JPEG, {COLUMNS} a row, in the order of `rows`.",
        read_pictures,
        Answer("The pictures.", {"type": "string"}, media_type="image/jpeg"),
        parameters=(
            Parameter("dataset", "The data set's name.", where="path"),
            Parameter("rows", f"Which ones, such as 0,17; at most {MOST_PICTURES}.", default="0"),
            Parameter("side", "Of a picture, in pixels.", "integer", default=64, maximum=MOST_SIDE),
            Parameter("images", "The set's hash of pixels: a kept answer is of those.", default=""),
        ),
        example=Example({"dataset": "drawn-signs", "rows": "0,17", "side": 64}),
        errors=(404,),
        group="Data sets and architectures",
    ),
)
