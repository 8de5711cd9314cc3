"""A data set by one click: fetched, checked, imported, and the archive thrown away.

    LAB_HOME/downloads/<file>.zip, <id>/    arrived and checked; imported next, then deleted
    LAB_HOME/downloads/<file>.zip.part      on its way (lab.data.download.http)
    LAB_HOME/downloads/kaggle/              on its way (lab.data.download.kaggle)

Whatever happens in between, the data set appears whole or not at all, and pressing Download again
goes on from what is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lab.data.download.http import fetch
from lab.data.download.kaggle import download_from_kaggle, forget
from lab.data.download.offers import OFFERS, Needed, Offer
from lab.data.download.part_file import PartFile
from lab.data.download.patience import Patience
from lab.data.download.refusals import by_hand
from lab.errors import DataError, ResourceError
from lab.home import home_folder, require_free_space, writing
from lab.progress import Cancel, Cancelled, Report, never, silent

if TYPE_CHECKING:
    from lab.data.catalog import ImportReport

__all__ = ["OFFERS", "Needed", "Offer", "discard_download", "download_dataset"]


def download_dataset(
    offer_id: str,
    *,
    progress: Report = silent,
    cancel: Cancel = never,
    patience: Patience | None = None,
) -> ImportReport:
    """Fetch one of OFFERS and add it to the lab under its data set's name.

    Progress counts bytes while it arrives, images while they are decoded; `cancel` is asked from
    several threads. Raises NotFoundError, DataError, ResourceError, Cancelled; each says what is
    kept for the next try.
    """
    from lab.data import catalog

    offer = OFFERS.get(offer_id)
    with _alone(offer):
        arrived = _arrived(offer)
        if not arrived.exists():
            require_free_space(arrived.parent, offer.disk_bytes)
            if offer.kaggle:
                _bring_from_kaggle(offer, arrived, progress, cancel, patience)
            else:
                fetch(
                    offer.url,
                    arrived,
                    expected_bytes=offer.expected_bytes,
                    what=offer.title,
                    page=offer.page,
                    progress=progress,
                    cancel=cancel,
                    patience=patience,
                )
        try:
            _check_layout(offer, arrived)
            report = catalog.add_dataset(
                offer.dataset, arrived, title=offer.title, progress=progress, cancel=cancel
            )
        except Cancelled as cancelled:
            raise Cancelled(
                f"The import of {offer.title} was cancelled. The download is kept: press Download "
                "again to go on with the import."
            ) from cancelled
        except DataError:
            _remove(arrived)  # importing the same files again would only fail again
            raise
        _remove(arrived)
        return report


def discard_download(offer_id: str) -> int:
    """Delete what an unfinished download keeps for the next try; returns the bytes set free."""
    offer = OFFERS.get(offer_id)
    with _alone(offer):
        arrived = _arrived(offer)
        left = [arrived, PartFile(arrived).path, _kaggle_cache(offer)]
        freed = sum(_bytes_in(path) for path in left)
        PartFile(arrived).discard()
        for path in left:
            _remove(path)
        return freed


def _arrived(offer: Offer) -> Path:
    """Where the zip (or, from kagglehub, the unpacked folder) is once it is complete."""
    name = offer.id if offer.kaggle else PurePosixPath(urlsplit(offer.url).path).name
    return home_folder("downloads") / name


def _kaggle_cache(offer: Offer) -> Path:
    return home_folder("downloads") / "kaggle" / offer.id


def _bring_from_kaggle(
    offer: Offer, arrived: Path, progress: Report, cancel: Cancel, patience: Patience | None
) -> None:
    cache = _kaggle_cache(offer)
    folder = download_from_kaggle(
        offer.kaggle,
        cache,
        what=offer.title,
        page=offer.page,
        progress=progress,
        cancel=cancel,
        patience=patience,
    )
    # Out of kagglehub's cache in one step: from now on this is ours to import and to delete.
    with writing(arrived):
        os.replace(folder, arrived)
    forget(cache)


def _check_layout(offer: Offer, arrived: Path) -> None:
    if arrived.is_dir():
        files = [
            path.relative_to(arrived).as_posix() for path in arrived.rglob("*") if path.is_file()
        ]
    else:
        with zipfile.ZipFile(arrived) as archive:
            files = archive.namelist()
    missing = [lack for needed in offer.needs if (lack := needed.missing_from(files))]
    if missing:
        raise DataError(
            f"What arrived is not laid out as {offer.title} should be: {'; '.join(missing)} "
            f"({len(files):,} files in all). It was thrown away; the source may have changed. "
            f"{by_hand(offer.page)}"
        )


@contextlib.contextmanager
def _alone(offer: Offer) -> Iterator[None]:
    """Two downloads into the same files would spoil each other; the system frees the lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(home_folder("locks") / f"download-{offer.id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as timeout:
        raise ResourceError(
            f"{offer.title} is already being downloaded, here or by another process of the lab "
            "with the same LAB_HOME. Wait for it, or cancel it there."
        ) from timeout
    try:
        yield
    finally:
        lock.release()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes_in(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
