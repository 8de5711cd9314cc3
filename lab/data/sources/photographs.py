"""Image files and their labels, decoded in parallel, returned in order.

Files in a folder whose name begins with "burst-" were taken in one go and are nearly the same: they
are one group, which no split cuts apart.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from lab.data.decode import (
    FORMAT_WORDS,
    MAX_BYTES,
    SUFFIXES,
    Fit,
    UnreadableFile,
    ValueRange,
    begins_like_a_picture,
    common_range,
    could_be_wide,
    decode,
    to_square,
    wide_limits,
)
from lab.data.pack import Rejections
from lab.data.sources.archive import READ_ERRORS, Archive
from lab.data.sources.source import Question, SourceImage
from lab.progress import Cancel, Progress, Report, check_cancel, throttled

OTHER_IMAGES = frozenset({".svg", ".psd", ".jp2", ".j2k", ".jxl", ".ico", ".eps", ".dcm", ".raw"})
"""Suffixes of images that are not read."""
BURST = "burst-"
"""How the name of a folder begins whose images were taken in one go."""

T = TypeVar("T")


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
        """Read and decode in a few threads; Pillow releases the GIL while it decodes."""
        value_range = self._value_range(cancel)

        def read(file: LabelledFile) -> SourceImage:
            data = self.archive.read(file.path, limit=MAX_BYTES)
            image = photograph(data, file, image_size=image_size, fit=fit, value_range=value_range)
            return replace(image, group=burst_of(file.path))

        for file, result in _in_threads(read, self.files, cancel):
            if isinstance(result, UnreadableFile):
                rejections.add(file.path, result.reason)
                yield None
            else:
                yield result

    def without_other_files(
        self, rejections: Rejections, progress: Report, cancel: Cancel
    ) -> Photographs:
        """Returns the source without the files that do not begin like a picture."""
        progress = throttled(progress)
        files = []
        for done, (file, result) in enumerate(_in_threads(self._check, self.files, cancel), 1):
            if isinstance(result, UnreadableFile):
                rejections.add(file.path, result.reason)
            else:
                files.append(file)
            progress(Progress(done, len(self.files), "Looking at the files", "files"))
        return replace(self, files=tuple(files))

    def _check(self, file: LabelledFile) -> None:
        """Raises UnreadableFile; only what looks like none is read whole, for the reason."""
        if not begins_like_a_picture(self._beginning(file)):
            decode(self.archive.read(file.path, limit=MAX_BYTES), name=file.path)

    def _value_range(self, cancel: Cancel) -> ValueRange | None:
        """The range of the files of more than 8 bits a value; None when there are none.

        These are decoded twice. Of the others only the first bytes are read.
        """
        limits: list[ValueRange | None] = []
        for _, result in _in_threads(self._limits, self.files, cancel):
            if not isinstance(result, UnreadableFile):  # it is refused when its turn comes
                limits.append(result)
        return common_range(limits)

    def _beginning(self, file: LabelledFile) -> bytes:
        try:
            with self.archive.open(file.path) as stream:
                return stream.read(32)
        except READ_ERRORS as error:
            raise UnreadableFile(file.path, str(error)) from error

    def _limits(self, file: LabelledFile) -> ValueRange | None:
        if not could_be_wide(self._beginning(file)):
            return None
        return wide_limits(self.archive.read(file.path, limit=MAX_BYTES), name=file.path)


def _in_threads(
    work: Callable[[LabelledFile], T], files: Sequence[LabelledFile], cancel: Cancel
) -> Iterator[tuple[LabelledFile, T | UnreadableFile]]:
    """Each file and what `work` returns for it, or the UnreadableFile that it raises; in order."""
    workers = min(8, os.cpu_count() or 1)
    pending: deque[tuple[LabelledFile, Future[T]]] = deque()

    def next_done() -> tuple[LabelledFile, T | UnreadableFile]:
        file, future = pending.popleft()
        try:
            return file, future.result()
        except UnreadableFile as error:
            return file, error

    pool = ThreadPoolExecutor(workers, "decode")
    try:
        for file in files:
            check_cancel(cancel, "Reading the images")
            pending.append((file, pool.submit(work, file)))
            if len(pending) >= 4 * workers:
                yield next_done()
        while pending:
            check_cancel(cancel, "Reading the images")
            yield next_done()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def photograph(
    data: bytes, file: LabelledFile, *, image_size: int, fit: Fit, value_range: ValueRange | None
) -> SourceImage:
    """Returns the picture in `data` as a square; `value_range` is that of the whole set. Raises
    UnreadableFile."""
    # Decoded at twice the target size: after antialiasing no difference can be seen.
    decoded = decode(data, name=file.path, at_least=2 * image_size, value_range=value_range)
    pixels = np.asarray(to_square(decoded.image, image_size=image_size, fit=fit))
    return SourceImage(
        pixels,
        file.split,
        file.label,
        file.path,
        digest=hashlib.blake2b(data, digest_size=16).digest(),
        size=decoded.size,
        remark=decoded.remark,
        value_range=value_range,
    )


def burst_of(path: str) -> str:
    """The folder of the burst that the file belongs to; "" when it belongs to none."""
    for folder in PurePosixPath(path).parents:
        if folder.name.casefold().startswith(BURST):
            return str(folder)
    return ""


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
        rejections.add(path, f"is a {suffix[1:].upper()}, which is not read; save it as PNG")
    else:
        rejections.add(path, f"is not a {FORMAT_WORDS} image by its name")


def _suffix(path: str) -> str:
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return dot + suffix.casefold() if stem else ""
