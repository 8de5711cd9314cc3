"""The Data page's lower half: add, download and remove data sets, as background jobs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.catalog import DatasetExistsError, DatasetInfo
from lab.data.decode import FORMAT_WORDS
from lab.data.download.dataset import download_dataset
from lab.data.download.offers import OFFERS, Offer
from lab.data.importer import ImportReport
from lab.errors import LabError
from lab.home import home_folder
from lab.progress import Cancel, Report
from lab.runs.store import store
from lab.ui.widgets.background import draw_job
from lab.ui.words import plain
from lab.words import size

KIND = "dataset"
SELECTED = "data_dataset"
"""The key of the select box of data sets."""
FROM_URL = "dataset"
"""The URL parameter that selects a data set: /data?dataset=cats-dogs."""
_JOB = "data_job"
"""The session's key of the job whose data set is shown when it has ended."""
_REPLACE = "data_replace"
"""The session's key of the name for which the page asks whether to replace it."""


# --- what the page shows ------------------------------------------------------------------------
def adopt_selection() -> None:
    """Selects the data set that the URL names, or that this session has just added."""
    wanted = st.query_params.pop(FROM_URL, None)
    job = jobs.get(st.session_state.get(_JOB, ""))
    if job is not None and not job.active:
        del st.session_state[_JOB]
        wanted = job.result["dataset"] if job.state == "done" else wanted
    if wanted in {info.name for info in catalog.list_datasets()}:
        st.session_state[SELECTED] = wanted


def draw_jobs() -> None:
    """Draws running downloads and imports, and how the last ones ended."""
    job = jobs.get(st.session_state.get(_JOB, ""))
    if job is not None and not job.active:  # it ended since `adopt_selection` looked
        st.rerun()
    for view in jobs.jobs(KIND)[:3]:
        if view.active:
            draw_job(view.id, key=f"data_job_{view.id}", title=view.title, cancellable=True)
        elif view.state == "failed":
            st.error(f"**{plain(view.title)}:** {plain(view.message)}", icon=":material/error:")
        elif view.state == "cancelled":
            st.caption(f"{plain(view.title)}: {plain(view.message)}")
        else:
            sentence = plain(view.result["sentence"])
            st.success(f"**{plain(view.title)}:** {sentence}", icon=":material/check_circle:")


def _outcome(report: ImportReport) -> dict[str, Any]:
    """Returns a job's result."""
    return {"dataset": report.dataset, "sentence": report.sentence}


def draw_how_to_get(info: DatasetInfo) -> None:
    """Draws how a data set that is not on this machine gets here."""
    if info.state == catalog.DAMAGED:
        st.error(plain(info.how_to_get), icon=":material/error:")
    for offer in OFFERS:
        if offer.dataset == info.name:
            _draw_offer(offer, key="data_get_here")
    st.caption("Or download it by hand and add the folder or zip below.")


# --- from a folder or a zip ---------------------------------------------------------------------
def draw_add(info: DatasetInfo) -> None:
    """Draws the form to add a folder or zip on this machine, or a small zip from the browser.

    It begins with the registered data set `info` when that one is not here yet.
    """
    with st.expander("From a folder or a zip", icon=":material/folder_open:", expanded=True):
        st.caption(
            f"One folder for each class, with pictures in it ({FORMAT_WORDS}); optionally train/, "
            "val/ and test/ above."
        )
        specs = {spec.name: spec for spec in catalog.DATASETS if not spec.drawn}
        if st.session_state.get("data_kind_of") != info.name:
            st.session_state["data_kind_of"] = info.name
            st.session_state["data_kind"] = info.name if not info.usable and not info.own else ""
        kind = st.selectbox(
            "What is it?",
            ["", *specs],
            format_func=lambda name: specs[name].title if name else "My own pictures",
            key="data_kind",
        )
        if kind:
            st.caption(f"Takes {specs[kind].expects}.")
        title = "" if kind else draw_name("data_name")
        path = st.text_input(
            "Path on this machine",
            key="data_path",
            placeholder="/home/me/pictures or /home/me/pictures.zip",
        )
        upload = st.file_uploader(
            "or a zip from your browser (up to 10 MB; larger ones by path)",
            type=["zip"],
            key="data_upload",
        )
        pressed = st.button("Add", key="data_add", icon=":material/add:", type="primary")
        missing = []
        if not kind and not title:
            missing.append("a name")
        if not path.strip() and upload is None:
            missing.append("a path or a zip")
        if missing:
            if pressed:
                st.error(f"Missing: {' and '.join(missing)}.", icon=":material/error:")
            return
        if path.strip() and upload is not None:
            if pressed:
                st.error(
                    f"Two sources: the path {plain(path)} and the zip {plain(upload.name)}. "
                    "Remove one of them.",
                    icon=":material/error:",
                )
            return

        def source() -> tuple[Path, bool]:
            if upload is not None:
                return _store_upload(upload.getvalue()), True
            return Path(path.strip()).expanduser(), False

        submit(kind or title, source, key="data", pressed=pressed, registered=bool(kind))


def draw_name(key: str) -> str:
    """Draws the box for the name of a person's own data set; returns it stripped."""
    title = st.text_input("Name", key=key, placeholder="for example: leaves", max_chars=100)
    return (title or "").strip()


def submit(
    title: str,
    source: Callable[[], tuple[Path, bool]],
    *,
    key: str,
    pressed: bool,
    registered: bool = False,
    started: Callable[[str], None] | None = None,
) -> None:
    """Starts the import once it is pressed; asks before it replaces a data set of that name.

    `source` returns where the pictures lie and whether that is deleted afterwards. `title` is the
    name of a `registered` data set. `started` is called with the job's id.
    """
    try:
        name = title if registered else catalog.dataset_name(title)
        if not registered and name in catalog.DATASETS:
            known = catalog.DATASETS.get(name)
            st.error(
                f"“{plain(title)}” is the name of a data set of the lab, {known.title}. Choose "
                "another name.",
                icon=":material/error:",
            )
            return
        if pressed:
            catalog.check_free(name)
    except DatasetExistsError:
        st.session_state[_REPLACE] = name
    except LabError as error:
        if pressed:
            st.error(plain(str(error)), icon=":material/error:")
        return
    asked = st.session_state.get(_REPLACE) == name
    if asked and not _draw_question(name, key=key, registered=registered):
        return
    if pressed or asked:
        path, delete_source = source()
        st.session_state.pop(_REPLACE, None)
        job_id = _start_import(
            name,
            path,
            title=None if registered else title,
            replace=asked,
            delete_source=delete_source,
        )
        if started is not None:
            started(job_id)
        st.rerun()


def _draw_question(name: str, *, key: str, registered: bool) -> bool:
    """Draws the two choices for a name that is taken; returns whether Replace was pressed."""
    info = catalog.describe(name)
    total = sum(info.split_totals.values())
    with st.container(border=True):
        st.markdown(
            f":material/warning: **{plain(info.title)}** is already on this machine: {total:,} "
            f"pictures in {len(info.class_names)} classes. {_fate_of_runs(name)}"
        )
        with st.container(horizontal=True):
            replace = st.button(
                "Replace it", key=f"{key}_replace_sure", icon=":material/swap_horiz:"
            )
            st.button(
                "Keep it" if registered else "Choose another name",
                key=f"{key}_replace_not",
                icon=":material/edit:",
                on_click=_keep,
                args=(None if registered else f"{key}_name", info.title),
            )
    return replace


def _keep(name_key: str | None, title: str) -> None:
    """Takes the question away and suggests a name that is free."""
    st.session_state.pop(_REPLACE, None)
    if name_key is None:
        return
    taken = {info.name for info in catalog.list_datasets()}
    number = 2
    while catalog.dataset_name(f"{title} {number}") in taken:
        number += 1
    st.session_state[name_key] = f"{title} {number}"


def _fate_of_runs(name: str) -> str:
    """Returns what becomes of the runs that used a data set when it goes."""
    runs = [run for run in store().runs() if run.dataset == name]
    if not runs:
        return "No run has used it."
    used = f"{len(runs):,} run{'s' * (len(runs) != 1)} used it and keep{'s' * (len(runs) == 1)} "
    used += "what was measured; pictures of the old set can no longer be looked at there."
    lost = [f"“{plain(run.name)}”" for run in runs if run.can_resume or run.is_live]
    if not lost:
        return used
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return f"{used} No longer to be resumed: {', '.join(lost[:3])}{more}."


def _store_upload(content: bytes) -> Path:
    """Writes the upload under a name of its own: the browser's file name never reaches the disk."""
    target = home_folder("downloads") / f"upload-{uuid.uuid4().hex}.zip"
    target.write_bytes(content)
    return target


def _start_import(
    name: str, source: Path, *, title: str | None, replace: bool, delete_source: bool
) -> str:
    def work(progress: Report, cancel: Cancel) -> dict[str, Any]:
        # Runs in a job's thread: must not call st.*.
        try:
            report = catalog.add_dataset(
                name, source, title=title, replace=replace, progress=progress, cancel=cancel
            )
        finally:
            if delete_source:
                shutil.rmtree(source) if source.is_dir() else source.unlink(missing_ok=True)
        return _outcome(report)

    shown = title or catalog.DATASETS.get(name).title
    job = jobs.start(KIND, f"Adding {shown}", work, key=f"dataset-{name}")
    st.session_state[_JOB] = job.id
    return job.id


# --- public data sets ---------------------------------------------------------------------------
def draw_downloads(info: DatasetInfo) -> None:
    """Draws what can be downloaded; opened when `info` is one of them and not here yet."""
    opened = any(offer.dataset == info.name for offer in OFFERS) and not info.usable
    with st.expander(
        "Download a public data set", icon=":material/cloud_download:", expanded=opened
    ):
        for offer in OFFERS:
            _draw_offer(offer, key="data_get")
        st.caption(
            "Needs the internet. A download that breaks off goes on where it stopped when you "
            "press again."
        )


def _draw_offer(offer: Offer, *, key: str) -> None:
    here = catalog.describe(offer.dataset).usable
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{offer.title}** · about {size(offer.size_bytes)}  \n"
            f"{offer.licence} · [source]({offer.page})",
            width="stretch",
        )
        if here:
            st.badge("On this machine", icon=":material/check:", color="green")
        elif st.button(
            "Download", key=f"{key}_{offer.id}", icon=":material/download:", type="primary"
        ):
            _start_download(offer)


def _start_download(offer: Offer) -> None:
    def work(progress: Report, cancel: Cancel) -> dict[str, Any]:
        return _outcome(download_dataset(offer.id, progress=progress, cancel=cancel))

    job = jobs.start(KIND, f"Downloading {offer.title}", work, key=f"dataset-{offer.dataset}")
    st.session_state[_JOB] = job.id
    st.rerun()


# --- removing -----------------------------------------------------------------------------------
def draw_remove(info: DatasetInfo) -> None:
    if st.button(
        f"Remove {plain(info.title)} from this machine",
        key="data_remove",
        icon=":material/delete:",
    ):
        _confirm_removal(info.name, info.title, info.bytes_on_disk)


@st.dialog("Remove this data set?")
def _confirm_removal(name: str, title: str, bytes_on_disk: int) -> None:
    st.markdown(
        f"**{plain(title)}** frees {size(bytes_on_disk)}. Your original files stay where they are. "
        f"{_fate_of_runs(name)}"
    )
    if st.button("Remove it", type="primary", key="data_remove_sure"):
        try:
            catalog.remove_dataset(name)
        except LabError as error:
            st.error(plain(str(error)))
            return
        st.rerun()
