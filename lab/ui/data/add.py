"""The Data page's lower half: add, download and remove data sets, as background jobs."""

from __future__ import annotations

import uuid
from pathlib import Path

import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.download.dataset import download_dataset
from lab.data.download.offers import OFFERS
from lab.errors import LabError
from lab.home import home_folder
from lab.progress import Cancel, Report
from lab.ui.widgets.background import draw_job
from lab.words import size

KIND = "dataset"


def draw_how_to_get(info: DatasetInfo) -> None:
    st.info(info.how_to_get, icon=":material/download:")


def draw_jobs() -> None:
    """Draws running downloads and imports, and how the last ones ended."""
    for view in jobs.jobs(KIND)[:3]:
        if view.active:
            draw_job(view.id, key=f"data_job_{view.id}", title=view.title, cancellable=True)
        elif view.state == "failed":
            st.error(f"**{view.title}:** {view.message}", icon=":material/error:")
        elif view.state == "cancelled":
            st.caption(f"{view.title}: {view.message}")
        else:
            st.success(f"**{view.title}:** {view.result}", icon=":material/check_circle:")


def draw_add() -> None:
    """Draws the form to add a folder or zip on this machine, or a small zip from the browser."""
    with st.expander("From a folder or a zip", icon=":material/folder_open:", expanded=True):
        st.caption(
            "One folder for each class, with JPEG, PNG or WebP images in it; optionally train/, "
            "val/ and test/ above. The archives of the data sets that the lab knows work as they "
            "are."
        )
        specs = {spec.name: spec for spec in catalog.DATASETS if not spec.drawn}
        kind = st.selectbox(
            "What is it?",
            ["", *specs],
            format_func=lambda name: specs[name].title if name else "My own images",
            key="data_kind",
        )
        if kind:
            st.caption(f"Takes {specs[kind].expects}.")
        name = kind
        title = None
        if not kind:
            title = st.text_input("Name", key="data_name", placeholder="for example: leaves")
            name = "-".join((title or "").lower().split())
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
        ready = bool(name) and bool(path or upload)
        if st.button(
            "Add",
            key="data_add",
            icon=":material/add:",
            type="primary",
            disabled=not ready,
            help=None if ready else "Give a name, and a path or a zip.",
        ):
            if path:
                _start_import(name, Path(path).expanduser(), title=title, delete_source=False)
            elif upload is not None:
                archive = _store_upload(upload.getvalue())
                _start_import(name, archive, title=title, delete_source=True)


def _store_upload(content: bytes) -> Path:
    """Writes the upload under a name of its own: the browser's file name never reaches the disk."""
    target = home_folder("downloads") / f"upload-{uuid.uuid4().hex}.zip"
    target.write_bytes(content)
    return target


def _start_import(name: str, source: Path, *, title: str | None, delete_source: bool) -> None:
    def work(progress: Report, cancel: Cancel) -> str:
        # Runs in a job's thread: must not call st.*.
        try:
            report = catalog.add_dataset(
                name, source, title=title, progress=progress, cancel=cancel
            )
        finally:
            if delete_source:
                source.unlink(missing_ok=True)
        return report.sentence

    try:
        jobs.start(KIND, f"Adding {title or name}", work, key=f"dataset-{name}")
    except LabError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.rerun()


def draw_downloads() -> None:
    with st.expander("Download a public data set", icon=":material/cloud_download:"):
        for offer in OFFERS:
            with st.container(border=True, horizontal=True, vertical_alignment="center"):
                st.markdown(
                    f"**{offer.title}** · about {size(offer.size_bytes)}  \n"
                    f"{offer.licence} · [source]({offer.page})",
                    width="stretch",
                )
                if st.button("Download", key=f"data_get_{offer.id}", icon=":material/download:"):

                    def work(progress: Report, cancel: Cancel, offer_id: str = offer.id) -> str:
                        return download_dataset(offer_id, progress=progress, cancel=cancel).sentence

                    jobs.start(
                        KIND, f"Downloading {offer.title}", work, key=f"dataset-{offer.dataset}"
                    )
                    st.rerun()
        st.caption(
            "Needs the internet. A download that breaks off goes on where it stopped when you "
            "press again."
        )


def draw_remove(info: DatasetInfo) -> None:
    if st.button(
        f"Remove {info.title} from this machine", key="data_remove", icon=":material/delete:"
    ):
        _confirm_removal(info.name, info.title, info.bytes_on_disk)


@st.dialog("Remove this data set?")
def _confirm_removal(name: str, title: str, bytes_on_disk: int) -> None:
    st.markdown(
        f"**{title}** frees {size(bytes_on_disk)}. Your original files stay where they are, and so "
        "do the runs; runs that used it can no longer be resumed."
    )
    if st.button("Remove it", type="primary", key="data_remove_sure"):
        try:
            catalog.remove_dataset(name)
        except LabError as error:
            st.error(str(error))
            return
        st.rerun()
