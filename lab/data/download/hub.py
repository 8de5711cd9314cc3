"""A data set from Hugging Face's hub: its files fetched, then added as a folder is.

    LAB_HOME/downloads/hub-<owner>--<name>-<commit>/     until it is added; a second try goes on

The commit is fixed before the first file, and kept with the data set as its source.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from lab.data import catalog
from lab.data.catalog import ImportReport
from lab.data.decode import Fit
from lab.data.sources.photographs import is_image
from lab.download.hub import HubAddress, endpoint, hub_address, hub_errors
from lab.errors import DataError
from lab.home import home_folder, require_free_space, writing
from lab.people import require_admin
from lab.progress import Cancel, Cancelled, Progress, Report, never, silent, throttled

BESIDE = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".zip", ".tar", ".gz", ".tgz", ".mat",
    ".xml", ".npz",
)  # fmt: skip
"""What is fetched beside pictures: tables of labels, lists of parts, archives."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

READERS = 8
"""Files that are fetched at a time."""

WHAT = "data set"


def add_from_hub(
    address: str,
    name: str,
    *,
    title: str | None = None,
    replace: bool = False,
    fit: Fit = "stretch",
    image_size: int | None = None,
    answers: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    progress: Report = silent,
    cancel: Cancel = never,
) -> ImportReport:
    """Fetch the data set at `address` ("hf://owner/name") and add it as `catalog.add_dataset` does.

    Progress counts bytes, then images. Raises NotAllowedError for who is no admin (the machine's
    token is used), ConfigError, DatasetExistsError, DataError, ResourceError, Cancelled; what had
    arrived is kept for the next try.
    """
    require_admin("Fetching from the Hugging Face Hub")
    wanted = hub_address(address)
    if not replace:
        catalog.check_free(name)  # before the download
    with hub_errors(wanted, WHAT):
        commit, sizes = _files_of(wanted)
    folder = home_folder("downloads", f"hub-{wanted.id.replace('/', '--')}-{commit[:12]}")
    require_free_space(folder, sum(sizes.values()))
    try:
        with writing(folder), hub_errors(wanted, WHAT):
            _fetch(wanted, commit, sizes, folder, progress, cancel)
    except Cancelled as cancelled:
        raise Cancelled(
            f"The download of {wanted.id} was cancelled. The files that had arrived are kept: the "
            "next try goes on from there."
        ) from cancelled
    report = catalog.add_dataset(
        name,
        _place(folder, sizes),
        title=title,
        origin=wanted.at(commit),
        replace=replace,
        fit=fit,
        image_size=image_size,
        answers=answers,
        without=without,
        progress=progress,
        cancel=cancel,
    )
    shutil.rmtree(folder, ignore_errors=True)
    return report


def _files_of(wanted: HubAddress) -> tuple[str, dict[str, int]]:
    """Returns the commit and the bytes of each file that may belong to the data."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint()).dataset_info(
        wanted.id, revision=wanted.revision or None, files_metadata=True
    )
    sizes = {
        each.rfilename: each.size or 0
        for each in info.siblings or ()
        if is_image(each.rfilename) or each.rfilename.lower().endswith(BESIDE)
    }
    if not info.sha or not sizes:
        raise DataError(
            f"The data set {wanted.id!r} on {endpoint()} has no pictures, tables or archives; the "
            "lab reads pictures in folders, zip files and Parquet."
        )
    return info.sha, sizes


def _fetch(
    wanted: HubAddress,
    commit: str,
    sizes: Mapping[str, int],
    folder: Path,
    progress: Report,
    cancel: Cancel,
) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # it would draw them on standard error
    report = throttled(progress)
    total, done = sum(sizes.values()), 0
    report(Progress(0, total, f"Downloading {wanted.id}", "bytes"))

    def fetch(file: str) -> int:
        if cancel():
            raise Cancelled
        hf_hub_download(
            wanted.id,
            file,
            repo_type="dataset",
            revision=commit,
            local_dir=folder,
            endpoint=endpoint(),
        )
        return sizes[file]

    with ThreadPoolExecutor(READERS, thread_name_prefix="hub") as pool:
        pending: set[Any] = {pool.submit(fetch, file) for file in sizes}
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                if cancel():
                    raise Cancelled
                done += sum(each.result() for each in finished)
                report(Progress(done, total, f"Downloading {wanted.id}", "bytes"))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _place(folder: Path, sizes: Mapping[str, int]) -> Path:
    """The folder, or the one archive in it that holds the pictures."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # huggingface_hub's own notes
    archives = [name for name in sizes if name.lower().endswith(ARCHIVES)]
    if len(archives) == 1 and not any(map(is_image, sizes)):
        return folder / archives[0]
    return folder
