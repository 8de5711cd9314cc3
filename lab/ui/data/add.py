"""The Data page's lower half: add, download and remove data sets, as background jobs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.access import may_type_paths
from lab.data.catalog import DatasetExistsError, DatasetInfo
from lab.data.download.dataset import download_dataset
from lab.data.download.hub import add_from_hub
from lab.data.download.offers import OFFERS, Offer
from lab.data.importer import ImportReport
from lab.data.typed_path import typed_path
from lab.download.hub import hub_address
from lab.errors import LabError
from lab.experiments.starts import suited_to
from lab.progress import Cancel, Report
from lab.runs.store import store
from lab.ui.data.preview import DEFAULTS, ImportChoices, draw_preview, look_again
from lab.ui.data.upload import draw_upload, release_upload, upload_name
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.background import draw_job
from lab.ui.words import plain
from lab.words import size

KIND = "dataset"
SELECTED = "data_dataset"
"""The key of the select box of data sets."""
FROM_URL = "dataset"
"""The URL parameter that selects a data set: /data?dataset=cats-dogs."""
_IN_URL = "data_in_url"
"""The session's key of the data set that the page has put into the URL."""
_JOB = "data_job"
"""The session's key of the job whose data set is shown when it has ended."""
_PATH, _NAME, _HUB_NAME = "data_path", "data_name", "data_hub_name"
_REPOSITORY = "data_hub_repository"
_TYPED = (_PATH, _NAME, f"{_NAME}_suggested", _REPOSITORY, _HUB_NAME, f"{_HUB_NAME}_suggested")
MakeFolder = Callable[[Report], Path]
_REPLACE = "data_replace"
"""The session's key of the name for which the page asks whether to replace it."""


# --- what the page shows ------------------------------------------------------------------------
def adopt_selection() -> None:
    """Selects the data set that the URL names anew, or that this session has just added."""
    wanted = st.query_params.get(FROM_URL)
    if wanted == st.session_state.get(_IN_URL):  # the page put it there: the select box counts
        wanted = None
    job = jobs.get(st.session_state.get(_JOB, ""))
    if job is not None and not job.active:
        del st.session_state[_JOB]
        if job.state == "done":
            wanted = job.result["dataset"]
            for key in _TYPED:  # the form is for the next one
                st.session_state.pop(key, None)
    if wanted in {info.name for info in catalog.list_datasets()}:
        st.session_state[SELECTED] = wanted


def note_selection(info: DatasetInfo) -> None:
    """Puts the data set that is shown into the URL: a reload or a link shows it again."""
    st.query_params[FROM_URL] = st.session_state[_IN_URL] = info.name


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
            title = plain(view.result["title"])
            st.success(f"**{title}:** {sentence}", icon=":material/check_circle:")
            name = view.result["dataset"]
            if name in {info.name for info in catalog.list_datasets()}:  # not removed since
                draw_train_on_it(name, key=f"data_train_{view.id}")


def draw_train_on_it(name: str, *, key: str = "data_train") -> None:
    """Draws the way to the Train page with this data set in its form."""
    if st.button("Train on it", key=key, icon=":material/model_training:", type="primary"):
        fill_form(suited_to(name))
        look_at(None)
        st.switch_page("pages/train.py")


def _outcome(report: ImportReport) -> dict[str, Any]:
    """Returns a job's result."""
    return {
        "dataset": report.dataset,
        "title": report.meta.title,
        "sentence": report.sentence,
    }


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
    """Draws the form to add a folder or zip: where it lies, what it would give, its name.

    It begins with the registered data set `info` when that one is not here yet.
    """
    with st.expander("From a folder or a zip", icon=":material/folder_open:", expanded=True):
        st.caption(
            "One folder for each class, with pictures in it; optionally train/, val/ and test/ "
            "above or below. A table of labels beside the pictures is read, too."
        )
        specs = {spec.name: spec for spec in catalog.DATASETS if not spec.built_in}
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
        path = ""
        if may_type_paths():
            path = st.text_input(
                "Path on this machine",
                key=_PATH,
                placeholder="/home/me/pictures or /home/me/pictures.zip",
                on_change=look_again,
            )
        upload = draw_upload("data_upload")
        looked = st.button(
            "Look",
            key="data_look",
            icon=":material/visibility:",
            help="Says what would be added, before anything is written.",
            on_click=look_again,
        )
        place = typed_path(path) if path.strip() else upload
        if path.strip() and upload is not None:
            place = None
            st.error(
                f"Two sources: the path {plain(path)} and the uploaded file. Remove one of them.",
                icon=":material/error:",
            )
        choices = draw_preview(place, kind) if place is not None else None
        title = "" if kind else draw_name(_NAME, suggestion=_suggested(place, upload))
        pressed = st.button("Add", key="data_add", icon=":material/add:", type="primary")
        missing = []
        if not kind and not title:
            missing.append("a name")
        if place is None and not (path.strip() and upload is not None):
            missing.append("a path or a zip")
        if missing and (pressed or (looked and place is None)):
            st.error(f"Missing: {' and '.join(missing)}.", icon=":material/error:")
        if missing or place is None or choices is None:
            return

        def source() -> tuple[Path, bool]:
            if place == upload:
                release_upload("data_upload")  # the import deletes it
            return place, place == upload

        submit(
            kind or title,
            source,
            key="data",
            pressed=pressed,
            registered=bool(kind),
            choices=choices,
            origin=f"{upload_name('data_upload')} (uploaded)",
        )


def _suggested(place: Path | None, upload: Path | None) -> str:
    """Returns a name for the set from where it lies, or from what the upload is called."""
    if place is None:
        return ""
    if place == upload:
        place = Path(upload_name("data_upload"))
    return place.stem if place.suffix.casefold() == ".zip" else place.name


def draw_name(key: str, suggestion: str = "") -> str:
    """Draws the box for the name of a person's own data set; returns it stripped.

    A new `suggestion` is filled in where the person has typed nothing else.
    """
    before = st.session_state.get(f"{key}_suggested", "")
    if suggestion != before:
        st.session_state[f"{key}_suggested"] = suggestion
        if st.session_state.get(key, "") in ("", before):
            st.session_state[key] = suggestion[:100]
    title = st.text_input("Name", key=key, placeholder="for example: leaves", max_chars=100)
    return (title or "").strip()


def submit(
    title: str,
    source: Callable[[], tuple[Path | MakeFolder, bool]],
    *,
    key: str,
    pressed: bool,
    registered: bool = False,
    choices: ImportChoices = DEFAULTS,
    origin: str = "",
    started: Callable[[str], None] | None = None,
) -> None:
    """Starts the import once it is pressed; asks before it replaces a data set of that name.

    `source` returns where the pictures lie and whether that is deleted afterwards; what takes
    seconds to write is a function, which the job calls. `title` is the
    name of a `registered` data set. `choices` say how it is read, `origin` where a copy that is
    deleted came from. `started` is called with the
    job's id.
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
            choices=choices,
            origin=origin if delete_source else "",
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
            f"pictures in {len(info.class_names)} classes. {_kept_for_runs(name)}"
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


def _kept_for_runs(name: str) -> str:
    """Returns what becomes of the runs that used a data set when another takes its place."""
    count = sum(run.dataset == name for run in store().runs())
    if not count:
        return "No run has used it."
    runs = f"{count:,} run{'s' * (count != 1)}"
    return f"{runs} used it; what they were trained on is kept for them, as an earlier version."


def _fate_of_runs(name: str) -> str:
    """Returns what becomes of the runs that used a data set when it is removed."""
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


def _start_import(
    name: str,
    source: Path | MakeFolder,
    *,
    title: str | None,
    replace: bool,
    choices: ImportChoices,
    origin: str,
    delete_source: bool,
) -> str:
    def work(progress: Report, cancel: Cancel) -> dict[str, Any]:
        # Runs in a job's thread: must not call st.*.
        folder = source if isinstance(source, Path) else source(progress)
        try:
            report = catalog.add_dataset(
                name,
                folder,
                title=title,
                origin=origin,
                replace=replace,
                fit=choices.fit,
                image_size=choices.image_size,
                answers=choices.answers,
                without=choices.without,
                progress=progress,
                cancel=cancel,
            )
        finally:
            if delete_source:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
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


# --- Hugging Face's hub ---------------------------------------------------------------------------
def draw_hub() -> None:
    """Draws the form that fetches a data set by its address on the hub."""
    with st.expander("From the Hugging Face Hub", icon=":material/hub:"):
        st.caption(
            "A data set of pictures in folders, in a zip or as Parquet. The machine's own token "
            "opens private ones (`hf auth login`). Which commit it was is kept with the data set."
        )
        typed = st.text_input(
            "Repository",
            key=_REPOSITORY,
            placeholder="owner/name, with @ and a branch, tag or commit if you like",
            max_chars=300,
        ).strip()
        suggestion = typed.partition("@")[0].rpartition("/")[2]
        title = draw_name(_HUB_NAME, suggestion=suggestion)
        pressed = st.button(
            "Fetch and add", key="data_hub_add", icon=":material/cloud_download:", type="primary"
        )
        if not pressed:
            return
        if not (typed and title):
            st.error(f"Missing: {'a repository' if title else 'a name'}.", icon=":material/error:")
            return
        try:
            address = hub_address(typed)
            name = catalog.dataset_name(title)
            catalog.check_free(name)
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return

    def work(progress: Report, cancel: Cancel) -> dict[str, Any]:
        return _outcome(
            add_from_hub(str(address), name, title=title, progress=progress, cancel=cancel)
        )

    job = jobs.start(KIND, f"Fetching {address.id}", work, key=f"dataset-{name}")
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
