"""A pack at another image size, made once and stored inside the pack it comes from."""

from __future__ import annotations

import dataclasses
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.data.decode import to_square
from lab.data.pack import Pack, PackWriter, load_pack, verify_images
from lab.data.pack_lock import pack_lock
from lab.errors import ConfigError, DataError
from lab.home import require_free_space
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent, throttled

SMALLEST, LARGEST = 8, 512
_CHUNK = 128


def check_image_size(image_size: int) -> None:
    """ConfigError unless packs may have this side."""
    if not SMALLEST <= image_size <= LARGEST:
        raise ConfigError(
            f"image_size is {image_size}; allowed is a whole number from {SMALLEST} to {LARGEST}."
        )


def resized(pack: Pack, image_size: int, progress: Report = silent, cancel: Cancel = never) -> Pack:
    """The same images as squares of `image_size` pixels, antialiased, from the original pack.

    Made once, then read from packs/<name>/size-<n>/; it goes when the data set is replaced or
    removed. Raises ConfigError for a size out of range, ResourceError when the disk is too full,
    Cancelled.
    """
    check_image_size(image_size)
    if image_size == pack.meta.image_size:
        return pack
    if pack.folder is None:
        raise ValueError("this pack is in memory only; packs at another size are stored on disk")
    original = pack.folder.parent if pack.folder.name.startswith("size-") else pack.folder
    if original != pack.folder:
        pack = load_pack(original)
        if image_size == pack.meta.image_size:
            return pack
    folder = original / f"size-{image_size}"
    if (ready := _ready(pack, folder)) is not None:
        return ready
    with pack_lock(pack.meta.dataset, progress=progress, cancel=cancel):
        pack = load_pack(original)  # it may have been replaced while we waited
        if (ready := _ready(pack, folder)) is not None:
            return ready
        return _make(pack, folder, image_size, throttled(progress), cancel)


def own_image_size(pack: Pack) -> int:
    """Returns the image size of the pack that `pack` was resized from, or its own."""
    if pack.folder is None or not pack.folder.name.startswith("size-"):
        return pack.meta.image_size
    return load_pack(pack.folder.parent).meta.image_size


def _ready(pack: Pack, folder: Path) -> Pack | None:
    if not folder.exists():
        return None
    try:
        resized_pack = load_pack(folder)
        verify_images(resized_pack)
    except DataError:
        return None  # damaged: it is made anew from the original
    return resized_pack if resized_pack.meta.content_hash == pack.meta.content_hash else None


def _make(pack: Pack, folder: Path, image_size: int, progress: Report, cancel: Cancel) -> Pack:
    verify_images(pack)  # a copy of damaged pictures would have a good checksum
    shutil.rmtree(folder, ignore_errors=True)
    total, channels = len(pack), pack.meta.channels
    require_free_space(folder.parent, total * image_size * image_size * channels)
    text = f"Resizing to {image_size} x {image_size}"

    def resize_one(index: int) -> NDArray[np.uint8]:
        pixels = pack.images[index]
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        square = np.asarray(to_square(image, image_size=image_size, fit="stretch"))
        return square.reshape(image_size, image_size, channels)

    with (
        PackWriter(folder, image_size=image_size, channels=channels) as writer,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1), "resize") as pool,
    ):
        for start in range(0, total, _CHUNK):
            check_cancel(cancel, text)
            chunk = range(start, min(start + _CHUNK, total))
            writer.add(np.stack(list(pool.map(resize_one, chunk))), [pack.names[i] for i in chunk])
            progress(Progress(chunk.stop, total, text, "images"))
        writer.finish(
            dataclasses.replace(pack.meta, image_size=image_size),
            pack.labels,
            pack.split,
            groups=pack.groups,
            sizes=pack.sizes,
            hashes=(pack.meta.content_hash, pack.meta.images_hash),
        )
    return load_pack(folder)
