"""Downloading a data set: fetched, checked, imported, and the archive deleted.

    LAB_HOME/downloads/<id>.zip         complete and checked; imported next, then deleted
    LAB_HOME/downloads/<id>.zip.part    incomplete (lab.download.fetch)

Whatever happens in between, the data set appears whole or not at all, and pressing Download again
goes on from what is there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lab.data import catalog
from lab.data.catalog import ImportReport
from lab.data.download.offers import OFFERS, Offer
from lab.errors import DataError, ResourceError
from lab.home import home_folder
from lab.progress import Cancel, Cancelled, Report, never, silent

if TYPE_CHECKING:
    from lab.download.fetch import Patience
    from lab.download.remote_file import Login


def download_dataset(
    offer_id: str,
    *,
    replace: bool = False,
    progress: Report = silent,
    cancel: Cancel = never,
    patience: Patience | None = None,
) -> ImportReport:
    """Fetch one of OFFERS and add it to the lab under its data set's name.

    Progress counts bytes while it arrives, images while they are decoded. Raises NotFoundError,
    DatasetExistsError without `replace`, DataError, ResourceError, Cancelled; each says what is
    kept for the next try.
    """
    # Here, not at the top: see lab.download.
    from lab.download.fetch import PATIENCE, fetch
    from lab.download.remote_file import RemoteFile

    offer = OFFERS.get(offer_id)
    file = RemoteFile(
        url=offer.url,
        title=offer.title,
        by_hand=_by_hand(offer),
        kind="zip",
        expected_bytes=offer.expected_bytes,
        login=_kaggle_login() if offer.is_on_kaggle else None,
    )
    if not replace:
        catalog.check_free(offer.dataset)  # before the download
    with _exclusive(offer):
        archive = home_folder("downloads") / f"{offer.id}.zip"
        fetch(file, archive, progress=progress, cancel=cancel, patience=patience or PATIENCE)
        try:
            _check_layout(offer, archive)
            report = catalog.add_dataset(
                offer.dataset,
                archive,
                title=offer.title,
                replace=replace,
                progress=progress,
                cancel=cancel,
            )
        except Cancelled as cancelled:
            raise Cancelled(
                f"The import of {offer.title} was cancelled. The download is kept: press Download "
                "again to go on with the import."
            ) from cancelled
        except catalog.DatasetExistsError:
            raise  # somebody added it meanwhile: the file is kept
        except DataError:
            archive.unlink()  # importing the same file again would only fail again
            raise
        archive.unlink()
        return report


def _by_hand(offer: Offer) -> str:
    return f"Or download it in a browser from {offer.page} and add the file on the Data page."


def _check_layout(offer: Offer, archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        files = opened.namelist()
    missing = [text for needed in offer.needs if (text := needed.missing_from(files))]
    if missing:
        raise DataError(
            f"What arrived is not laid out as {offer.title} should be: {'; '.join(missing)} "
            f"({len(files):,} files in all). It was thrown away; the source may have changed. "
            f"{_by_hand(offer)}"
        )


@contextlib.contextmanager
def _exclusive(offer: Offer) -> Iterator[None]:
    """One download and import of a data set at a time; the system frees the lock."""
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


def _kaggle_login() -> Login | None:
    """The Kaggle account from the environment or kaggle.json, as Kaggle's own programs find it.

    Public data sets need none. Raises DataError for a kaggle.json that holds no account.
    """
    from lab.download.remote_file import Login

    if token := os.environ.get("KAGGLE_API_TOKEN"):
        return Login("KAGGLE_API_TOKEN", f"Bearer {token}")
    source = "KAGGLE_USERNAME and KAGGLE_KEY"
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    file = Path(os.environ.get("KAGGLE_CONFIG_DIR") or "~/.kaggle").expanduser() / "kaggle.json"
    if not (name and key) and file.is_file():
        source = str(file)
        try:
            account = json.loads(file.read_text(encoding="utf-8"))
            name, key = account["username"], account["key"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} holds no username and key of a Kaggle account. Download it again from "
                "your Kaggle settings, or delete it: public data sets need no account."
            ) from error
    if not (name and key):
        return None
    return Login(source, f"Basic {base64.b64encode(f'{name}:{key}'.encode()).decode()}")
