"""Pictures, good and bad, and folders and zips of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Files = Mapping[str, bytes]


def photo(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A smooth RGB picture with a bright blot; another seed gives another picture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(seed: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    return encoded(photo(seed, size), quality=90)


def bomb(side: int = 9000) -> bytes:
    """A few kilobytes that decode to `side` x `side` pixels."""
    return encoded(Image.new("1", (side, side)), "PNG")


BAD_PICTURES: dict[str, tuple[bytes, str]] = {
    "cut.jpg": (jpeg(1, (200, 200))[:-3000], "is cut off: less than half of the picture is there"),
    "empty.jpg": (b"", "is empty (0 bytes)"),
    "text.jpg": (b"This is not a picture.\n" * 20, "holds text, not a picture"),
    "bomb.png": (bomb(), "has 9,000 x 9,000 pixels; at most 64 megapixels are decoded"),
    "giant.png": (bomb(16000), "at most 64 megapixels are decoded"),
    "page.jpg": (b"%PDF-1.7\n" + bytes(50), "is a PDF, not a picture"),
    "header.png": (encoded(photo(3), "PNG")[:20] + b"\x00" * 50, "is damaged"),
    "random.jpg": (
        bytes(range(128, 256)) * 9 + b"\x00",
        "is not a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF image",
    ),
}
"""File name -> (bytes, what the reason says)."""


def write_folder(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return path


def pets(count: int = 4, *, prefix: str = "", first: int = 0) -> dict[str, bytes]:
    """`count` cats and `count` dogs in a folder each."""
    return {
        f"{prefix}{kind}s/{kind}.{i}.jpg": jpeg(1000 * k + i)
        for k, kind in enumerate(("cat", "dog"))
        for i in range(first, first + count)
    }


def with_label_csv(files: dict[str, bytes], split: str) -> dict[str, bytes]:
    """`files` (of `pets`) below `split`/, and the label.csv of document 000 beside them."""
    rows = [f"{name},{int(name.startswith('dog'))}" for name in files]
    table = "\n".join(["path,label", *rows]) + "\n"
    return {f"{split}/label.csv": table.encode()} | {f"{split}/{n}": d for n, d in files.items()}


def sign_csv(labels: list[int], *, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    rows = [",".join(["label", *(f"pixel{i}" for i in range(1, 785))])]
    for label in labels:
        rows.append(",".join(map(str, [label, *rng.integers(0, 256, 784).tolist()])))
    return ("\n".join(rows) + "\n").encode()
