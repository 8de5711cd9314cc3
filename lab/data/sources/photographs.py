"""Image files and their labels, decoded in parallel, returned in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from lab.data.decode import MAX_BYTES, SUFFIXES, Fit, UnreadableFile, decode, to_square
from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.source import Question, SourceImage
from lab.progress import Cancel, check_cancel

OTHER_IMAGES = frozenset({".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".svg"})


@dataclass(frozen=True)
class LabelledFile:
    """`path` inside the archive, `split` one of SPLITS, `label` indexes the class names."""

    path: str
    split: str
    label: int


@dataclass(frozen=True)
class Photographs:
    """A Source of image files of any size, decoded to three channels."""

    archive: Archive
    layout: str
    class_names: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    channels: int = 3
    fixed_size: int | None = None
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return len(self.files)

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """Read in this thread, decode in a few; Pillow releases the GIL while it decodes."""
        workers = min(8, os.cpu_count() or 1)
        pending: deque[tuple[LabelledFile, Future[SourceImage]]] = deque()

        def next_done() -> SourceImage | None:
            file, future = pending.popleft()
            try:
                return future.result()
            except UnreadableFile as error:
                rejections.add(file.path, error.reason)
                return None

        pool = ThreadPoolExecutor(workers, "decode")
        try:
            for file in self.files:
                check_cancel(cancel, "Reading the images")
                pending.append((file, pool.submit(_read, self.archive, file, image_size, fit)))
                if len(pending) >= 4 * workers:
                    yield next_done()
            while pending:
                check_cancel(cancel, "Reading the images")
                yield next_done()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(archive: Archive, file: LabelledFile, image_size: int, fit: Fit) -> SourceImage:
    data = archive.read(file.path, limit=MAX_BYTES)
    # Decoded at twice the target size: after antialiasing no difference can be seen.
    decoded = decode(data, name=file.path, at_least=2 * image_size)
    pixels = np.asarray(to_square(decoded.image, image_size=image_size, fit=fit))
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return SourceImage(pixels, file.split, file.label, file.path, digest, decoded.size)


def is_image(path: str) -> bool:
    """Whether the suffix is an image's; the content is checked when it is decoded."""
    return _suffix(path) in SUFFIXES


def is_other_image(path: str) -> bool:
    """Whether it is an image of a kind that the lab does not read."""
    return _suffix(path) in OTHER_IMAGES


def reject_non_image(path: str, rejections: Rejections) -> None:
    """Add the reason why a file that lies among the images is left out."""
    suffix = _suffix(path)
    if suffix in OTHER_IMAGES:
        rejections.add(path, f"is a {suffix[1:].upper()}; save it as JPEG, PNG or WebP")
    else:
        rejections.add(path, "is not a JPEG, PNG or WebP image by its name")


def _suffix(path: str) -> str:
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return dot + suffix.casefold() if stem else ""
